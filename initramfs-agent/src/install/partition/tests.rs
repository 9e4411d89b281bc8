//! Layouts made for real, with Debian's programs, on loop devices over files of the test: never on a disk.
//!
//! Loop devices are root's: for anybody else these tests have nothing to work on, and pass.

use super::*;
use crate::disk::{Window, contents};
use protocol::install::{Contents, Volume};
use std::cell::RefCell;
use std::fs::File;
use std::process::Command;

const MIB: u64 = 1 << 20;

/// A disk made of a file.
struct Loop {
    device: PathBuf,
    file: tempfile::NamedTempFile,
}

impl Loop {
    /// A disk of so many MiB.
    fn new(mib: u64) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(mib * MIB).unwrap();
        let made = Command::new("losetup")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["--find", "--show", "--partscan"])
            .arg(file.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let device = String::from_utf8(made.stdout).unwrap();
        Self { device: PathBuf::from(device.trim()), file }
    }

    fn contents(&self) -> Contents {
        let file = File::open(self.file.path()).unwrap();
        contents(&Window::new(&file, file.metadata().unwrap().len()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let freed = Command::new("/sbin/losetup").arg("--detach").arg(&self.device).status().unwrap();
        assert!(freed.success() || std::thread::panicking());
    }
}

/// Divides disks by a layout; the keys that were given to the server, too.
fn divide(disks: &[&Loop], layout: &Layout) -> Result<(Partitioned, Vec<String>), PartitionError> {
    let (devices, keys) =
        (disks.iter().map(|disk| disk.device.clone()).collect::<Vec<_>>(), RefCell::default());
    let work = Work {
        disks: &devices,
        run: Uuid::from_u128(1),
        tell: &|_, _| Ok(()),
        escrow: &|volume, key| {
            let keys: &RefCell<Vec<String>> = &keys;
            keys.borrow_mut().push(format!("{volume} {key}"));
            Ok(())
        },
    };
    let made = work.divide(layout)?;
    Ok((made, keys.into_inner()))
}

/// Disks of so many MiB; none for who is not root.
fn loops<const N: usize>(mib: u64) -> Option<[Loop; N]> {
    nix::unistd::geteuid().is_root().then(|| std::array::from_fn(|_| Loop::new(mib)))
}

#[test]
fn default_layout_is_made_twice_over_whatever_was_there() {
    let Some([disk]) = loops(2_048) else { return };
    for _ in 0..2 {
        let (made, keys) = divide(&[&disk], &Layout::default()).unwrap();
        assert!(keys.is_empty());
        let places: Vec<_> =
            made.mounts.iter().map(|mount| (mount.place.as_str(), mount.filesystem.as_str())).collect();
        assert_eq!(places, [("/", "ext4"), ("/boot/efi", "vfat")]);
        let told = disk.contents();
        assert_eq!((told.table.as_str(), told.error.as_str()), ("gpt", ""));
        let names: Vec<_> =
            told.partitions.iter().map(|found| (found.name.as_str(), found.filesystem.as_str())).collect();
        assert_eq!(names, [("muster-bios", ""), ("muster-esp", "vfat"), ("muster-root", "ext4")]);
        // What the next verbs are told is what is on the disk.
        for mount in &made.mounts {
            let partition =
                made.partitions.iter().find(|partition| partition.device == mount.device).unwrap();
            let index = usize::try_from(partition.number - 1).unwrap();
            assert_eq!(told.partitions[index].uuid.to_lowercase(), mount.uuid.to_lowercase());
        }
    }
}

#[test]
fn volumes_swap_and_every_file_system_are_made_where_they_belong() {
    let Some([disk]) = loops(4_096) else { return };
    let volume = |name: &str, mount: &str, filesystem, size_mib| Volume {
        name: name.to_owned(),
        mount: mount.to_owned(),
        filesystem,
        size_mib,
    };
    let layout = Layout {
        filesystem: Filesystem::Xfs,
        root_mib: 1_024,
        swap_mib: 256,
        volumes: vec![
            volume("logs", "/var/log", Filesystem::Ext4, 400),
            volume("data", "/srv", Filesystem::Btrfs, 0),
        ],
        ..Layout::default()
    };
    let (made, _) = divide(&[&disk], &layout).unwrap();
    let told = disk.contents();
    let found: Vec<_> = told
        .partitions
        .iter()
        .map(|found| format!("{} {} {}", found.name, found.filesystem, found.label))
        .collect();
    assert_eq!(
        found,
        [
            "muster-bios  ",
            "muster-esp vfat ESP",
            "muster-root xfs root",
            "muster-swap swap swap",
            "logs ext4 logs",
            "data btrfs data"
        ]
    );
    let places: Vec<_> = made.mounts.iter().map(|mount| mount.place.as_str()).collect();
    assert_eq!(places, ["/", "/boot/efi", "/srv", "/var/log", "none"]);
    assert!(told.partitions.iter().all(|found| found.start % MIB == 0), "on whole mebibytes");
}

/// Whether this kernel makes arrays and encrypts: few that tests run on do.
fn has_layers() -> bool {
    let misc = std::fs::read_to_string("/proc/misc").unwrap_or_default();
    misc.contains("device-mapper") && Path::new("/proc/mdstat").exists()
}

#[test]
fn mirrored_and_encrypted_volumes_are_made_and_taken_down_again() {
    let Some([one, other]) = has_layers().then(|| loops(6_144)).flatten() else { return };
    let volume = Volume { name: "data".to_owned(), mount: "/srv".to_owned(), ..Volume::default() };
    let layout = Layout {
        raid1: 2,
        luks: true,
        root_mib: 2_048,
        swap_mib: 256,
        volumes: vec![volume],
        ..Layout::default()
    };
    for _ in 0..2 {
        let (made, keys) = divide(&[&one, &other], &layout).unwrap();
        let places: Vec<_> =
            made.mounts.iter().map(|mount| format!("{} {}", mount.place, mount.device.display())).collect();
        assert_eq!(
            places,
            [
                "/ /dev/muster/root".to_owned(),
                "/boot /dev/md/boot".to_owned(),
                format!("/boot/efi {}p2", one.device.display()),
                "/srv /dev/muster/data".to_owned(),
                "none /dev/muster/swap".to_owned()
            ]
        );
        let arrays: Vec<_> = made.arrays.iter().map(|array| array.name.as_str()).collect();
        assert_eq!(
            (arrays, made.groups),
            (vec!["/dev/md/boot", "/dev/md/system"], vec!["muster".to_owned()])
        );
        let [key] = keys.try_into().unwrap();
        assert!(key.starts_with(&made.ciphers.first().unwrap().uuid));
        for disk in [&one, &other] {
            let told = disk.contents();
            let found: Vec<_> =
                told.partitions.iter().map(|found| format!("{} {}", found.name, found.filesystem)).collect();
            let member = "linux_raid_member";
            let expected = [
                "muster-bios ".to_owned(),
                "muster-esp vfat".to_owned(),
                format!("muster-boot {member}"),
                format!("muster-system {member}"),
            ];
            assert_eq!(found, expected);
        }
        // Only one of the two: its arrays are on a kept disk as well.
        let refused = divide(&[&one], &Layout::default()).unwrap_err().to_string();
        assert!(refused.contains("is also on") && refused.contains("which is kept"), "{refused}");
    }
    let devices = [one.device.clone(), other.device.clone()];
    let work = Work { disks: &devices, run: Uuid::nil(), tell: &|_, _| Ok(()), escrow: &|_, _| Ok(()) };
    work.clear().unwrap();
}

#[test]
fn each_of_groups_arrays_and_ciphers_is_made_by_itself() {
    let Some([one, other]) = has_layers().then(|| loops(4_096)).flatten() else { return };
    let lvm = Layout { lvm: Some(protocol::install::Lvm::default()), ..Layout::default() };
    let cipher = Layout { luks: true, ..Layout::default() };
    let mirror = Layout { raid1: 2, filesystem: Filesystem::Xfs, ..Layout::default() };
    for (layout, root) in
        [(lvm, "/dev/muster/root"), (cipher, "/dev/mapper/muster-crypt"), (mirror, "/dev/md/root")]
    {
        let disks = if layout.raid1 > 1 { vec![&one, &other] } else { vec![&one] };
        let (made, _) = divide(&disks, &layout).unwrap();
        assert_eq!(made.mounts.first().unwrap().device, Path::new(root));
        let devices: Vec<PathBuf> = disks.iter().map(|disk| disk.device.clone()).collect();
        let work = Work { disks: &devices, run: Uuid::nil(), tell: &|_, _| Ok(()), escrow: &|_, _| Ok(()) };
        work.clear().unwrap();
        assert!(one.contents().is_empty());
    }
}

#[test]
fn disk_that_is_mounted_is_refused_and_left_as_it_is() {
    let Some([disk]) = loops(2_048) else { return };
    let (made, _) = divide(&[&disk], &Layout::default()).unwrap();
    let point = tempfile::tempdir().unwrap();
    let root = made.mounts.first().unwrap();
    let mounted = Command::new("mount").arg(&root.device).arg(point.path()).status().unwrap();
    assert!(mounted.success());
    let before = disk.contents();
    let refused = divide(&[&disk], &Layout::default()).unwrap_err().to_string();
    assert!(Command::new("umount").arg(point.path()).status().unwrap().success());
    assert!(refused.contains("is in use: it is mounted at "), "{refused}");
    let after = disk.contents();
    assert_eq!(before.partitions.len(), after.partitions.len());
    assert_eq!(before.partitions.last().unwrap().uuid, after.partitions.last().unwrap().uuid);
}

#[test]
fn disk_image_finds_a_disk_without_a_signature() {
    let Some([disk]) = loops(2_048) else { return };
    divide(&[&disk], &Layout::default()).unwrap();
    let devices = [disk.device.clone()];
    let work =
        Work { disks: &devices, run: Uuid::from_u128(1), tell: &|_, _| Ok(()), escrow: &|_, _| Ok(()) };
    let made = work.clear().unwrap();
    assert!(made.mounts.is_empty() && made.partitions.is_empty() && made.disks == devices);
    assert!(disk.contents().is_empty());
    assert!(release::partitions(&name_of(&disk.device)).unwrap().is_empty(), "the kernel has forgotten them");
}

#[test]
fn program_that_finds_no_room_names_the_disk() {
    let Some([disk]) = loops(256) else { return };
    let told = divide(&[&disk], &Layout::default()).unwrap_err().to_string();
    assert!(told.starts_with(&format!("sgdisk fails on {}", disk.device.display())), "{told}");
}

#[test]
fn key_that_the_server_does_not_take_is_not_used() {
    let Some([disk]) = loops(4_096) else { return };
    let devices = [disk.device.clone()];
    let refuse = |_: &str, _: &str| Err(PartitionError::Random);
    let work = Work { disks: &devices, run: Uuid::from_u128(1), tell: &|_, _| Ok(()), escrow: &refuse };
    assert!(work.divide(&Layout { luks: true, ..Layout::default() }).is_err());
    let root = disk.contents().partitions.pop().unwrap();
    assert_eq!((root.name.as_str(), root.filesystem.as_str()), ("muster-root", ""), "nothing is encrypted");
}

#[test]
fn partitions_are_called_as_the_kernel_calls_them() {
    let cases = [("/dev/sda", "/dev/sda2"), ("/dev/nvme0n1", "/dev/nvme0n1p2"), ("/dev/vda", "/dev/vda2")];
    for (disk, partition) in cases {
        assert_eq!(device_of(Path::new(disk), 2), Path::new(partition));
    }
}

#[test]
fn pass_phrase_is_typed_by_people_and_never_the_same() {
    let (one, other) = (pass_phrase().unwrap(), pass_phrase().unwrap());
    assert_ne!(one, other);
    assert_eq!((one.len(), one.split('-').count()), (35, 6));
    assert!(one.bytes().all(|byte| byte == b'-' || LETTERS.contains(&byte)));
}

#[test]
fn name_of_a_group_on_a_kept_disk_is_not_taken_again() {
    let contents =
        Contents { filesystem: "LVM2_member".to_owned(), label: "muster".to_owned(), ..Contents::default() };
    let kept = Disk { name: "sdb".to_owned(), contents, ..Disk::default() };
    let plan = protocol::install::DiskPlan::none(&[kept], String::new());
    let order = InstallOrder { plan, ..InstallOrder::default() };
    let told = free_name(&order, "muster").unwrap_err().to_string();
    assert!(told.starts_with("sdb, which is kept, has a volume group muster"), "{told}");
    assert!(free_name(&order, "system").is_ok());
}
