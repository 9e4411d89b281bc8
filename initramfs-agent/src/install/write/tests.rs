//! Images over real TLS onto files in place of disks.

use super::*;
use crate::install::fail;
use crate::install::mount::Volumes;
use crate::install::settings::Settings;
use crate::install::state::{Held, Mount, Partitioned};
use crate::install::tests::{Fault, Server, install};
use imaging::blockmap::{Map, Options, pack_raw};
use protocol::install::{Layer, Source, Step};
use std::fs::{self, File};
use std::io::Cursor;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATH: &str = "/api/v3/images/blobs/x";
const QUICK: Patience = Patience { silence: Duration::from_millis(500), fruitless: Duration::from_secs(2) };
/// What a disk is full of before.
const OLD: u8 = 0xee;
const DISK: usize = 8 * 1_024 * 1_024;

/// A disk image of 6 MiB with holes, whose bytes pack somewhat.
fn disk_image() -> Vec<u8> {
    let mut image = vec![0; 6 * 1_024 * 1_024];
    let mut seed = 7_u32;
    for (at, byte) in image.iter_mut().enumerate() {
        if at % 3_000_000 < 2_300_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [_, _, middle, high] = seed.to_le_bytes();
            // Only some of it is noise.
            *byte = if at % 4_096 < 64 { high } else { middle & 3 };
        }
    }
    image[512..520].copy_from_slice(b"EFI PART");
    image
}

/// The same as a block map, with the order for it.
fn block_map(image: &[u8]) -> (Vec<u8>, ImageOrder) {
    let mut file = Vec::new();
    let options = Options { threads: 1, ..Options::default() };
    let summary = pack_raw(image, Cursor::new(Vec::new()), &mut file, options).unwrap();
    let map = Map::read(&mut file.as_slice()).unwrap();
    let source = Source { url: PATH.to_owned(), ..Source::default() };
    let layer = Layer {
        digest: summary.digest.to_string(),
        size: summary.length,
        index: map.digest().to_string(),
        sources: vec![source],
        ..Layer::default()
    };
    let order = ImageOrder { way: Way::BlockMap, digest: layer.digest.clone(), layers: vec![layer] };
    (file, order)
}

/// A machine with one disk.
struct Machine {
    server: Server,
    install: Install,
    disk: PathBuf,
    state: State,
}

impl Machine {
    fn new(size: usize) -> Self {
        let (server, install) = install();
        let disk = server.folder.path().join("disk");
        fs::write(&disk, vec![OLD; size]).unwrap();
        let mut machine = Self { server, install, disk, state: State::default() };
        machine.partition();
        machine
    }

    /// As the verb before leaves it, in a run of which nothing is known yet.
    fn partition(&mut self) {
        fs::remove_file(self.install.folder.file("index")).unwrap_or(());
        let made = Partitioned { disks: vec![self.disk.clone()], ..Partitioned::default() };
        self.state = State { run: self.install.settings.run, partitioned: Some(made), ..State::default() };
    }

    fn write(&mut self, order: &ImageOrder) -> Result<Written, String> {
        image(&self.install, order, &mut self.state, QUICK).map_err(|error| fail::line(&error.into()))
    }

    fn disk(&self) -> Vec<u8> {
        fs::read(&self.disk).unwrap()
    }

    /// What `boot` does last.
    fn uncover(&self, held: &[Held]) {
        let disk = File::options().write(true).open(&self.disk).unwrap();
        for Held { file, offset } in held {
            disk.write_all_at(&self.install.folder.bytes(file).unwrap().unwrap(), *offset).unwrap();
        }
    }

    /// Whether anything could find or boot what is on the disk.
    fn is_bootable(&self) -> bool {
        let disk = self.disk();
        let ends = disk[..1 << 20].iter().chain(&disk[disk.len() - (1 << 20)..]);
        !ends.copied().all(|byte| byte == 0)
    }
}

#[test]
fn a_disk_image_is_written_with_its_holes_and_bootable_by_its_held_bytes_alone() {
    let image = disk_image();
    let (file, order) = block_map(&image);
    let mut machine = Machine::new(DISK);
    machine.server.give(PATH, file.clone());
    let written = machine.write(&order).unwrap();
    assert_eq!(written.downloaded, file.len() as u64);
    assert_eq!(written.held.len(), 2);
    assert!(!machine.is_bootable());
    machine.uncover(&written.held);
    let disk = machine.disk();
    assert!(disk[..image.len()] == image);
    assert!(disk[image.len()..DISK - (1 << 20)].iter().all(|&byte| byte == OLD), "not the image's");
    assert!(disk[DISK - (1 << 20)..].iter().all(|&byte| byte == 0), "the old backup table is gone");
}

#[test]
fn a_download_that_breaks_off_again_and_again_costs_no_byte_twice() {
    let image = disk_image();
    let (file, order) = block_map(&image);
    let mut machine = Machine::new(DISK);
    machine.server.give(PATH, file.clone());
    for _ in 0..3 {
        machine.server.fault(Fault::Cut(file.len() / 5));
    }
    let written = machine.write(&order).unwrap();
    assert_eq!((written.downloaded, machine.server.sent()), (file.len() as u64, file.len()));
    machine.uncover(&written.held);
    assert!(machine.disk()[..image.len()] == image);
}

#[test]
fn a_verb_that_is_called_again_goes_on_where_the_disk_is_right() {
    let image = disk_image();
    let (file, order) = block_map(&image);
    let mut machine = Machine::new(DISK);
    machine.server.give(PATH, file.clone());
    let map = Map::read(&mut file.as_slice()).unwrap();
    let second = usize::try_from(map.frame_start(1).unwrap()).unwrap();
    machine.server.fault(Fault::Cut(second + 1_000));
    machine.server.fault(Fault::Refuse(404, "gone"));
    let error = machine.write(&order).unwrap_err();
    assert!(error.contains("HTTP 404"), "{error}");
    // The verb is another process by now.
    machine.state = machine.install.folder.state().unwrap().unwrap();
    assert_eq!(machine.state.blocks.as_ref().unwrap().next, 1);
    let before = machine.server.sent();
    let written = machine.write(&order).unwrap();
    let rest = file.len() - second;
    assert!(machine.server.sent() - before < rest + 64 * 1_024, "the rest, and the index");
    machine.uncover(&written.held);
    assert!(machine.disk()[..image.len()] == image);
}

#[test]
fn a_damaged_frame_is_asked_for_once_more() {
    let image = disk_image();
    let (file, order) = block_map(&image);
    let mut machine = Machine::new(DISK);
    machine.server.give(PATH, file.clone());
    machine.server.fault(Fault::Flip(file.len() - 10));
    let written = machine.write(&order).unwrap();
    machine.uncover(&written.held);
    assert!(machine.disk()[..image.len()] == image);
    assert!(machine.server.sent() < file.len() * 2, "what was right was kept");
}

#[test]
fn a_thousand_flipped_bits_are_all_caught_and_nothing_is_bootable() {
    // Two frames.
    let (file, order) = block_map(&disk_image()[..2_300_000]);
    let mut machine = Machine::new(2_400_000);
    let mut seed = 3_u64;
    for number in 0..1_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bit = usize::try_from(seed >> 20).unwrap() % (file.len() * 8);
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        machine.server.give(PATH, flipped);
        machine.partition();
        let error = machine.write(&order).unwrap_err();
        assert!(error.starts_with("error: the image sha256:"), "flip {number} of bit {bit}: {error}");
    }
    // Whatever was written of frames that were right.
    let disk = machine.disk();
    assert!(disk[..1 << 20].iter().all(|&byte| byte == 0 || byte == OLD));
    assert!(machine.state.written.is_none());
}

#[test]
fn another_image_than_the_orders_is_not_written_at_all() {
    let (_, order) = block_map(&disk_image());
    let mut other = disk_image();
    other[1_500_000] ^= 1;
    let (file, mut wrong) = block_map(&other);
    let mut machine = Machine::new(DISK);
    machine.server.give(PATH, file);
    wrong.layers[0].index = order.layers[0].index.clone();
    let error = machine.write(&wrong).unwrap_err();
    assert!(error.ends_with("the index of the image's block map is damaged"), "{error}");
    assert!(machine.disk().iter().all(|&byte| byte == OLD));

    wrong.layers[0].index = String::new();
    assert!(machine.write(&wrong).unwrap_err().contains("no usable digest"));
    wrong.layers.clear();
    assert!(machine.write(&wrong).unwrap_err().contains("has 0 files"));
}

#[test]
fn a_disk_that_is_too_small_is_not_touched() {
    let (file, order) = block_map(&disk_image());
    let mut machine = Machine::new(4_000_000);
    machine.server.give(PATH, file);
    let error = machine.write(&order).unwrap_err();
    assert!(error.contains("has 4000000 bytes and the image needs 6291456"), "{error}");
    assert!(machine.disk().iter().all(|&byte| byte == OLD));
}

#[test]
fn a_disk_that_is_full_is_named_at_once_even_where_the_server_is_silent() {
    let (file, order) = block_map(&disk_image());
    let mut machine = Machine::new(DISK);
    machine.server.give(PATH, file.clone());
    machine.server.fault(Fault::Stall(file.len() - 1_000));
    let patient = Patience { silence: Duration::from_secs(600), ..QUICK };
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let done = on_small_file_system(folder.path(), move || {
        // Larger than what it lies on: the hole is filled as it is written.
        File::create(&path).unwrap().set_len(DISK as u64).unwrap();
        machine.disk.clone_from(&path);
        machine.partition();
        let error = image(&machine.install, &order, &mut machine.state, patient).unwrap_err();
        let error = fail::line(&error.into());
        assert!(error.contains(&format!("cannot write the disk {}", path.display())), "{error}");
        assert!(error.contains("No space left on device"), "{error}");
    });
    assert!(!done || begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn a_cancelled_run_writes_no_more() {
    let (file, order) = block_map(&disk_image());
    let mut machine = Machine::new(DISK);
    machine.server.give(PATH, file.clone());
    machine.server.fault(Fault::Stall(file.len() / 2));
    machine.server.cancel();
    let patient = Patience { silence: Duration::from_secs(600), ..QUICK };
    let error = image(&machine.install, &order, &mut machine.state, patient).unwrap_err();
    assert_eq!(
        fail::line(&error.into()),
        "error: the run was cancelled, or a step took too long; nothing more is written"
    );
    let disk = machine.disk();
    let mut ends = disk[..1 << 20].iter().chain(&disk[DISK - (1 << 20)..]);
    // As it was, or erased.
    assert!(ends.all(|byte| *byte == if machine.state.blocks.is_some() { 0 } else { OLD }));
}

/// Says how much memory a process of its own needs at most to write an image that the test's server has.
const CHILD: &str = "MUSTER_TEST_WRITER";

#[test]
fn memory_is_bounded_whatever_the_image() {
    const DATA: usize = 96 * 1_024 * 1_024;
    const MOST_KIB: u64 = 64 * 1_024;
    if let Some(folder) = std::env::var_os(CHILD) {
        return write_as_child(Path::new(&folder));
    }
    let (file, order) = block_map(&crate::install::fetch::tests::noise(DATA, 11));
    let (server, install) = install();
    server.give(PATH, file);
    let folder = server.folder.path();
    File::create(folder.join("disk")).unwrap().set_len(DATA as u64).unwrap();
    fs::write(folder.join("order"), serde_json::to_vec(&order).unwrap()).unwrap();
    drop(install);
    let name = "install::write::tests::memory_is_bounded_whatever_the_image";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .envs(crate::install::tests::environment(&server.url, &server.pin))
        .env(CHILD, folder)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let peak: u64 = fs::read_to_string(folder.join("peak")).unwrap().parse().unwrap();
    assert!(peak < MOST_KIB, "{peak} KiB");
}

fn write_as_child(folder: &Path) {
    let mut settings = Settings::read(|name| std::env::var_os(name)).unwrap();
    settings.folder = folder.join("child");
    let install = Install::begin(settings, Step::Write).unwrap();
    let order: ImageOrder = serde_json::from_slice(&fs::read(folder.join("order")).unwrap()).unwrap();
    let made = Partitioned { disks: vec![folder.join("disk")], ..Partitioned::default() };
    let mut state = State { partitioned: Some(made), ..State::default() };
    image(&install, &order, &mut state, Patience::default()).unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")).unwrap();
    fs::write(folder.join("peak"), peak.trim()).unwrap();
}

/// An entry of a tar archive (POSIX ustar): a file, or a folder where the path ends so.
fn entry(path: &str, content: &[u8]) -> Vec<u8> {
    let mut head = [0; 512];
    let kind = if path.ends_with('/') { b'5' } else { b'0' };
    let fields: [(usize, String); 6] = [
        (0, path.to_owned()),
        (100, "0000755\x00".to_owned()),
        (108, "0000000\x000000000\x00".to_owned()),
        (124, format!("{:011o}\x00{:011o}\x00", content.len(), 1_700_000_000)),
        (148, " ".repeat(8)),
        (257, "ustar\x0000".to_owned()),
    ];
    for (at, text) in fields {
        head[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    head[156] = kind;
    let sum: u32 = head.iter().map(|&byte| u32::from(byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\x00 ").as_bytes());
    let mut entry = head.to_vec();
    entry.extend(content);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

/// Archives of these entries, packed, at the server; and the order for them.
fn layers(server: &Server, way: Way, archives: &[&[(&str, &[u8])]]) -> ImageOrder {
    let layers = archives.iter().enumerate().map(|(number, entries)| {
        let mut tar: Vec<u8> = entries.iter().flat_map(|(path, content)| entry(path, content)).collect();
        tar.extend([0; 1_024]);
        let file = zstd::bulk::compress(&tar, 3).unwrap();
        let url = format!("/api/v3/images/blobs/{number}");
        let digest = imaging::digest::Digest::of(&file).to_string();
        let (size, sources) = (file.len() as u64, vec![Source { url: url.clone(), ..Source::default() }]);
        server.give(&url, file);
        Layer { digest, size, sources, ..Layer::default() }
    });
    ImageOrder { way, digest: "sha256:00".to_owned(), layers: layers.collect() }
}

/// Unpacks into a plain folder in place of the target's file systems.
fn unpack(install: &Install, order: &ImageOrder, folder: &Path) -> Result<u64, String> {
    let volumes = Volumes(vec![("/dev/sda2".into(), File::open(folder).unwrap().into())]);
    let fetcher = Fetcher::new(install, QUICK, size(order));
    let unpacked = tree::unpack(install, &fetcher, order, 0, &volumes);
    unpacked.map(|()| fetcher.received()).map_err(|error| fail::line(&error.into()))
}

#[test]
fn layers_are_unpacked_one_over_another_whatever_breaks_off() {
    let (server, install) = install();
    let noise = crate::install::fetch::tests::noise(900_000, 5);
    let low: &[(&str, &[u8])] = &[("etc/", b""), ("etc/old", b"x"), ("usr/", b""), ("usr/big", &noise)];
    let high: &[(&str, &[u8])] = &[("etc/.wh.old", b""), ("etc/new", b"y")];
    let order = layers(&server, Way::Layers, &[low, high]);
    let folder = tempfile::tempdir().unwrap();
    for at in [100_000, 250_000, 300_000] {
        server.fault(Fault::Cut(at));
    }
    assert_eq!(unpack(&install, &order, folder.path()).unwrap(), size(&order));
    assert!(fs::read(folder.path().join("usr/big")).unwrap() == noise);
    assert_eq!(fs::read(folder.path().join("etc/new")).unwrap(), b"y");
    assert!(!folder.path().join("etc/old").exists());

    // In a root tar such a name is one like others.
    let order = layers(&server, Way::Tar, &[high]);
    unpack(&install, &order, folder.path()).unwrap();
    assert!(folder.path().join("etc/.wh.old").exists());
}

#[test]
fn every_flipped_bit_of_a_layer_is_caught() {
    let (server, install) = install();
    let order = layers(&server, Way::Layers, &[&[("etc/", b""), ("etc/hostname", b"db-07"), ("a", b"b")]]);
    let file = server.file("/0");
    let folder = tempfile::tempdir().unwrap();
    for bit in 0..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        server.give("/api/v3/images/blobs/0", flipped);
        let error = unpack(&install, &order, folder.path()).unwrap_err();
        assert!(error.contains("cannot be unpacked, also when it was asked for once more"), "{error}");
    }
}

#[test]
fn an_archive_that_leads_out_of_the_target_is_refused() {
    let (server, install) = install();
    let order = layers(&server, Way::Layers, &[&[("../outside", b"x")]]);
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("target");
    fs::create_dir(&inside).unwrap();
    let error = unpack(&install, &order, &inside).unwrap_err();
    assert!(error.contains("its path leads outside by `..`"), "{error}");
    assert!(!folder.path().join("outside").exists());
}

#[test]
fn a_file_system_that_is_full_is_named_at_once() {
    let (server, install) = install();
    let noise = crate::install::fetch::tests::noise(4_000_000, 5);
    let order = layers(&server, Way::Layers, &[&[("big", &noise)]]);
    server.fault(Fault::Stall(3_900_000));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    on_small_file_system(folder.path(), move || {
        let error = unpack(&install, &order, &path).unwrap_err();
        assert!(error.starts_with("error: /dev/sda2 is full; give it more room"), "{error}");
    });
}

#[test]
fn a_layer_that_was_damaged_once_is_written_into_empty_file_systems() {
    let mut machine = Machine::new(0);
    let order = layers(&machine.server, Way::Layers, &[&[("etc/", b""), ("etc/hostname", b"db-07")]]);
    machine.server.fault(Fault::Flip(40));
    let mount = |place: &str| Mount {
        device: "memory".into(),
        place: place.to_owned(),
        filesystem: "tmpfs".to_owned(),
        ..Mount::default()
    };
    let made = Partitioned { mounts: vec![mount("/"), mount("/var")], ..Partitioned::default() };
    machine.state.partitioned = Some(made);
    let folder = tempfile::tempdir().unwrap();
    on_small_file_system(folder.path(), move || {
        let written = machine.write(&order).unwrap();
        assert_eq!(written.downloaded, size(&order) * 2);
        assert_eq!(fs::read_dir(&machine.install.target).unwrap().count(), 0, "nothing is left mounted");
        machine.server.fault(Fault::Flip(40));
        machine.server.fault(Fault::Flip(41));
        let error = machine.write(&order).unwrap_err();
        assert!(error.contains("cannot be unpacked"), "{error}");
        assert_eq!(fs::read_dir(&machine.install.target).unwrap().count(), 0, "nothing is left mounted");
    });
}

/// Runs `test` where `folder` is a file system of 2 MiB; `false` without the right to make one.
fn on_small_file_system(folder: &Path, test: impl FnOnce() + Send + 'static) -> bool {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    let folder = folder.to_owned();
    let thread = std::thread::spawn(move || {
        if unshare(CloneFlags::CLONE_NEWNS).is_err() {
            return false;
        }
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
        let kind = Some("tmpfs");
        mount(kind, &folder, kind, MsFlags::empty(), Some("size=2m")).unwrap();
        test();
        true
    });
    thread.join().unwrap()
}
