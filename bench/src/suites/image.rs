//! Images onto disks and into file systems, beside the tools that people use: what it takes to bring one
//! Debian system from a compressed file to where it boots from.
//!
//! Sources are in the page cache for everybody; targets are files of this computer, made anew before each
//! round; everybody flushes, and every result is compared with the source before its numbers count. The
//! limits are the two halves of the work alone, unpacking into nothing and writing what needs no unpacking: the
//! slower of the two in time, since they overlap, and both in processor time, since somebody has to do both.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{MUSTER, begin};
use crate::computer::{Others, Watch};
use crate::contest::{Driver, contest};
use crate::install;
use crate::judge::{ratio_at_most, value_at_most};
use crate::measure::{Call, has_program};
use crate::record::{Layout, LoadOf, Metric, Sample, Suite};
use crate::room::{Plan, Room};
use crate::stage::{Stage, number, short, write};

/// The system that is brought: a kernel, compilers, and tens of thousands of small files.
const SYSTEM: Plan = Plan {
    name: "image-system",
    packages: "systemd-sysv,linux-image-amd64,linux-headers-amd64,build-essential,git,python3-dev,golang-go",
};
/// Size of the disk, in bytes: half of it stays empty.
const DISK: &str = "3G";
const DISK_TASK: &str = "disk image";
const GZIP_TASK: &str = "layer, gzip";
const ZSTD_TASK: &str = "layer, zstd";
/// Most rounds of a layer, which take minutes each; one of the disk image takes half of one.
const SLOW_ROUNDS: usize = 3;
const METRICS: [Metric; 3] = [Metric::Cpu, Metric::Wall, Metric::PeakMemory];
/// The two halves of the work.
const HALVES: [&str; 2] = ["bare unpack", "bare write"];
const LIMIT: &str = "bare limit";
const MIB: f64 = 1_024.0 * 1_024.0;

pub(crate) fn run(stage: &Stage) -> Result<Suite> {
    let mut suite = begin("image")?;
    (suite.layout, suite.load_of, suite.load) = (Layout::Grid, LoadOf::Others, 0.0);
    let folder = stage.folder("image")?;
    if let Err(reason) = SYSTEM.available() {
        anyhow::bail!("no system to bring: {reason}");
    }
    let inputs = Inputs::make(stage, &folder)?;
    for (name, file) in [("disk", &inputs.disk), ("layer", &inputs.gzip)] {
        let bytes = file.metadata().context("an input's length")?.len();
        suite
            .inputs
            .insert(name.to_owned(), format!("{bytes} bytes, {}", short(&install::digest(file)?.hex())));
    }
    suite.inputs.insert("files".to_owned(), inputs.listing.lines().count().to_string());
    let others = RefCell::default();
    for (task, lines) in inputs.contests()? {
        let drivers = lines.into_iter().map(|line| -> Box<dyn Driver + '_> {
            let name = format!("{}, {task}", line.0);
            Box::new(Tool { name, line, inputs: &inputs, folder: &folder, others: &others })
        });
        let rounds = if task == DISK_TASK { stage.rounds } else { stage.rounds_up_to(SLOW_ROUNDS) };
        contest(stage, &mut suite, rounds, &METRICS, drivers.collect())?;
        limit(&mut suite, task);
    }
    suite.load = others.into_inner().share();
    judge(&mut suite);
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    Ok(suite)
}

/// The limits of a task, round by round: the slower half in time, both halves in processor time.
fn limit(suite: &mut Suite, task: &str) {
    for metric in [Metric::Cpu, Metric::Wall] {
        let half =
            |half: &str| suite.samples(&format!("{half}, {task}"), metric).unwrap_or_default().to_vec();
        let [unpack, write] = HALVES.map(half);
        for (unpack, write) in unpack.into_iter().zip(write) {
            let limit = if metric == Metric::Cpu { unpack + write } else { unpack.max(write) };
            suite.add(&format!("{LIMIT}, {task}"), metric, limit);
        }
    }
}

fn judge(suite: &mut Suite) {
    for task in [DISK_TASK, GZIP_TASK, ZSTD_TASK] {
        let of = format!("{MUSTER}, {task}");
        for peer in
            [LIMIT, "zstd to dd", "zstd to dd sparse", "qemu-img", "bmaptool", "skopeo + umoci", "tar"]
        {
            for metric in [Metric::Cpu, Metric::Wall] {
                suite.compare(&of, &format!("{peer}, {task}"), metric);
            }
        }
        let to = format!("{LIMIT}, {task}");
        for (metric, what) in [
            (Metric::Cpu, "CPU <= 1.15x of unpack + write"),
            (Metric::Wall, "wall <= 1.15x of max(unpack, write)"),
        ] {
            let text = format!("{task}: {what}");
            let because = "digests of all that comes are taken, too";
            let target = ratio_at_most(suite, &text, (&of, &to, metric), 1.15, because);
            suite.targets.push(target);
        }
        let most = if task == DISK_TASK { 64.0 } else { 256.0 };
        let text = format!("{task}: memory <= {most} MiB");
        let row = (of.as_str(), Metric::PeakMemory);
        let target = value_at_most(suite, &text, row, most * MIB, "frames that are under way");
        suite.targets.push(target);
    }
}

/// What is brought, in every form.
struct Inputs {
    room: Room,
    /// Raw, sparse.
    disk: PathBuf,
    /// The system as a layer.
    gzip: PathBuf,
    listing: String,
    folder: PathBuf,
}

impl Inputs {
    fn make(stage: &Stage, folder: &Path) -> Result<Self> {
        let room = SYSTEM.open(stage)?;
        stage.tell("  making the images")?;
        let file = |name: &str| folder.join(name);
        let root = room.file("/");
        let shell = |script: &str| {
            let call = Call::new("sh").args(["-ec", script, "sh"]).arg(&root).arg(folder);
            call.measured(folder, "make").map(drop)
        };
        shell(&format!("cd \"$2\"; truncate -s {DISK} disk; mke2fs -q -F -t ext4 -d \"$1\" disk"))?;
        shell(
            "cd \"$2\"; zstd -q -3 -f disk -o disk.zst; qemu-img convert -O qcow2 -c -o compression_type=zstd disk qcow2",
        )?;
        shell(
            "cd \"$2\"; tar --numeric-owner --sort=name -C \"$1\" -cf layer.tar .; gzip -kn layer.tar; zstd -q -3 layer.tar",
        )?;
        if has_program("bmaptool") {
            shell("cd \"$2\"; bmaptool create -o bmap disk")?;
        }
        install::pack(&file("disk"), &file("map"), &file("frames.zst"))?;
        let listing = listed(&root, folder)?;
        let inputs = Self {
            room,
            disk: file("disk"),
            gzip: file("layer.tar.gz"),
            listing,
            folder: folder.to_path_buf(),
        };
        inputs.lay_out_oci()?;
        Ok(inputs)
    }

    /// The layer as an OCI image in a folder (image-spec, `image-layout.md`).
    fn lay_out_oci(&self) -> Result<()> {
        let oci = self.folder.join("oci");
        let put = |bytes: Vec<u8>| -> Result<(String, usize)> {
            let digest = imaging::digest::Digest::of(&bytes);
            let length = bytes.len();
            write(&oci.join("blobs/sha256").join(digest.hex()), bytes)?;
            Ok((digest.to_string(), length))
        };
        let diff_id = install::digest(&self.folder.join("layer.tar"))?.to_string();
        let (layer, layer_size) = put(crate::stage::read(&self.gzip)?)?;
        let (config, config_size) = put(serde_json::to_vec(&json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }))?)?;
        let (manifest, manifest_size) = put(serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer, "size": layer_size}],
        }))?)?;
        write(&oci.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let index = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": manifest_size,
            "annotations": {"org.opencontainers.image.ref.name": "system"},
        }]});
        write(&oci.join("index.json"), serde_json::to_vec(&index)?)
    }

    /// The contests: for each task its contenders.
    fn contests(&self) -> Result<Vec<(&'static str, Vec<Line>)>> {
        let mut gzip = self.layer_contest("layer.tar.gz", "gzip -dc", &[])?;
        let umoci = "skopeo copy -q oci:oci:system oci:copied:system; \
            umoci unpack --image copied:system target; sync -f target";
        gzip.push(Line("skopeo + umoci", umoci.into(), &["skopeo", "umoci"], Outcome::Bundle));
        let zstd = self.layer_contest("layer.tar.zst", "zstd -dcq", &["zstd"])?;
        Ok(vec![(DISK_TASK, self.disk_contest()?), (GZIP_TASK, gzip), (ZSTD_TASK, zstd)])
    }

    /// Ours, with the digest by which the installer trusts what comes.
    fn ours(&self, what: &str, file: &str) -> Result<String> {
        let path = self.folder.join(file);
        let digest = if what == "write" { install::index_digest(&path)? } else { install::digest(&path)? };
        Ok(format!("'{}' subject {what} {file} {digest} target", this()?.display()))
    }

    fn disk_contest(&self) -> Result<Vec<Line>> {
        let dd = |how: &str| {
            format!("zstd -dcq disk.zst | dd of=target bs=4M iflag=fullblock conv={how} status=none")
        };
        let qemu_img = |how: &str| format!("qemu-img convert -O raw -t none {how} target; sync target");
        let bmaptool = "bmaptool -q copy --bmap bmap disk.zst target; sync target";
        let decode = format!("'{}' subject decode frames.zst", this()?.display());
        Ok(vec![
            Line(MUSTER, self.ours("write", "map")?, &[], Outcome::Disk),
            Line("zstd to dd", dd("fsync"), &["zstd"], Outcome::Disk),
            Line("zstd to dd sparse", dd("sparse,fsync"), &["zstd"], Outcome::Disk),
            Line("qemu-img", qemu_img("-T none -f qcow2 qcow2"), &["qemu-img"], Outcome::Disk),
            Line("bmaptool", bmaptool.into(), &["bmaptool", "zstd"], Outcome::Disk),
            Line(HALVES[0], decode, &[], Outcome::Nothing),
            Line(HALVES[1], qemu_img("-f raw disk"), &["qemu-img"], Outcome::Disk),
        ])
    }

    fn layer_contest(&self, file: &str, decoder: &str, needs: &'static [&'static str]) -> Result<Vec<Line>> {
        let tar = |from: &str| format!("tar --numeric-owner -C target -xpf {from}; sync -f target");
        let decode = format!("'{}' subject decode {file}", this()?.display());
        let piped = format!("mkdir target; {decoder} {file} | {}", tar("-"));
        Ok(vec![
            Line(MUSTER, self.ours("unpack", file)?, &[], Outcome::Folder),
            Line("tar", piped, needs, Outcome::Folder),
            Line(HALVES[0], decode, &[], Outcome::Nothing),
            Line(HALVES[1], format!("mkdir target; {}", tar("layer.tar")), &[], Outcome::Folder),
        ])
    }
}

/// Where this program lies.
fn this() -> Result<PathBuf> {
    std::env::current_exe().context("where this program lies is not known")
}

/// Where a contender leaves its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Disk,
    Folder,
    /// A folder in a folder, as OCI runtimes want it.
    Bundle,
    Nothing,
}

/// A contender: its name, what the shell runs, the programs it needs, and what comes out.
#[derive(Debug, Clone)]
struct Line(&'static str, String, &'static [&'static str], Outcome);

struct Tool<'a> {
    name: String,
    line: Line,
    inputs: &'a Inputs,
    folder: &'a Path,
    others: &'a RefCell<Others>,
}

impl Tool<'_> {
    /// Nothing of an earlier round is left, nor waits to be written.
    fn clear(&self) -> Result<()> {
        let script = "cd \"$1\"; rm -rf target copied; sync -f .";
        Call::new("sh").args(["-ec", script, "sh"]).arg(self.folder).measured(self.folder, "clear")?;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let target = self.folder.join("target");
        match self.line.3 {
            Outcome::Nothing => Ok(()),
            Outcome::Disk => {
                Call::new("cmp").arg(&self.inputs.disk).arg(&target).measured(self.folder, "cmp").map(drop)
            }
            Outcome::Folder => self.check_folder(&target),
            Outcome::Bundle => self.check_folder(&target.join("rootfs")),
        }
    }

    fn check_folder(&self, root: &Path) -> Result<()> {
        let found = listed(root, self.folder)?;
        ensure!(found == self.inputs.listing, "not what {} holds", self.inputs.room.file("/").display());
        Ok(())
    }
}

impl Driver for Tool<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn available(&self) -> Result<(), String> {
        match self.line.2.iter().find(|program| !has_program(program)) {
            Some(program) => Err(format!("{program} is missing: run `make bench`, which installs it")),
            None => Ok(()),
        }
    }

    fn setup(&mut self) -> Result<()> {
        Ok(())
    }

    fn version(&self) -> Result<Option<String>> {
        let mut versions = String::new();
        for program in self.line.2 {
            let said = Call::new(*program).arg("--version").output(self.folder, "version")?;
            let word = said
                .split_whitespace()
                .find(|word| word.contains('.') && word.contains(|c: char| c.is_ascii_digit()));
            write!(versions, "{program} {} ", word.unwrap_or("?").trim_end_matches(','))?;
        }
        Ok(Some(versions.trim_end().to_owned()).filter(|text| !text.is_empty()))
    }

    fn run(&mut self) -> Result<Sample> {
        self.clear()?;
        let script = format!("cd \"$1\"; {}", self.line.1);
        let call = Call::new("bash").args(["-o", "pipefail", "-ec", &script, "bash"]).arg(self.folder);
        let watch = Watch::start()?;
        let sample = call.measured(self.folder, "tool")?;
        let cpu = sample.get(&Metric::Cpu).copied().context("no processor time was measured")?;
        self.others.borrow_mut().add(&watch, cpu)?;
        self.check()?;
        Ok(sample)
    }
}

/// Everything below a folder: kind, mode, owner, size, link, and times of files; times of folders are not everybody's.
fn listed(root: &Path, folder: &Path) -> Result<String> {
    let about = "%P %y %m %U:%G %s %l %Ts\\n";
    let folders = "%P %y %m %U:%G\\n";
    let call = Call::new("find").arg(root).args(["-mindepth", "1"]);
    let call = call.args(["(", "-type", "d", "-printf", folders, ")", "-o", "-printf", about]);
    let text = call.output(folder, "listing")?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    ensure!(number(lines.len() as u64) > 0.0, "{} is empty", root.display());
    Ok(lines.join("\n"))
}
