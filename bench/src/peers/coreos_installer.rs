//! coreos-installer 0.27.0: embeds a configuration into an ISO, in a copy or in place. It works
//! on any ISO with its two files, so it gets one as large as ours.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::contest::Driver;
use crate::measure::{Call, has_program};
use crate::record::{Metric, Sample};
use crate::stage::{Stage, Subject, read, write};

const VERSION: &str = "0.27.0";
/// Compiling it takes five minutes of processor time on a calm computer.
const COMPILED_WITHIN: Duration = Duration::from_secs(3_600);
/// Length of the area it writes into, as on Fedora CoreOS's ISO.
const AREA: usize = 256 * 1_024;
const IGNITION: &str = r#"{"ignition":{"version":"3.3.0"}}"#;

/// Where the configuration goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// A new file: one for every client, as a server would have to keep them.
    Copy,
    /// The file itself, which then serves one client alone.
    Place,
}

/// Embeds a configuration into an ISO.
#[derive(Debug)]
pub(crate) struct CoreosInstaller<'a> {
    stage: &'a Stage,
    subject: &'a Subject,
    into: Into,
    folder: PathBuf,
}

impl<'a> CoreosInstaller<'a> {
    pub(crate) fn new(stage: &'a Stage, subject: &'a Subject, into: Into) -> Self {
        Self { stage, subject, into, folder: PathBuf::new() }
    }

    fn program(&self) -> PathBuf {
        self.stage.cache.join("coreos-installer/bin/coreos-installer")
    }

    fn install(&self) -> Result<()> {
        let root = self.stage.cache.join("coreos-installer");
        if !self.program().is_file() {
            self.stage.tell("  compiling coreos-installer, which takes minutes")?;
            let call = Call::new("cargo").args(["install", "coreos-installer", "--version", VERSION]);
            let call = call.arg("--locked").arg("--root").arg(&root).within(COMPILED_WITHIN);
            // Not among our own products: it is built once.
            let call = call.env("CARGO_TARGET_DIR", root.join("target"));
            call.measured(&self.folder, "cargo")
                .context("compile coreos-installer (it needs libzstd-dev)")?;
        }
        let version = Call::new(self.program()).arg("--version").output(&self.folder, "version")?;
        ensure!(version.contains(VERSION), "{} is {}", self.program().display(), version.trim());
        Ok(())
    }

    /// An ISO with our kernel and ramdisk that coreos-installer takes for one of its own.
    fn base(&self) -> Result<PathBuf> {
        let tree = self.folder.join("tree");
        let copy = |from: &str, to: &str| write(&tree.join(to), read(&self.subject.path(from))?);
        copy(image_builder::KERNEL_FILE, "images/pxeboot/vmlinuz")?;
        copy(image_builder::INITRD_FILE, "images/pxeboot/initrd.img")?;
        write(&tree.join("images/ignition.img"), vec![0; AREA])?;
        write(&tree.join("coreos/igninfo.json"), r#"{"file":"images/ignition.img"}"#)?;
        let image = self.folder.join("base.iso");
        let call = Call::new("xorriso").args(["-as", "mkisofs", "-quiet", "-o"]).arg(&image).arg(&tree);
        call.measured(&self.folder, "xorriso")?;
        Ok(image)
    }

    /// A fresh image to work on; the call that embeds; and the file that then has it.
    fn prepare(&self) -> Result<(Call, PathBuf)> {
        let base = self.folder.join("base.iso");
        let work = self.folder.join("work.iso");
        if work.exists() {
            fs::remove_file(&work).context("cannot remove the last image")?;
        }
        let config = self.folder.join("config.ign");
        let call = Call::new(self.program()).args(["iso", "ignition", "embed", "-i"]).arg(config);
        let call = match self.into {
            Into::Copy => call.arg("-o").arg(&work).arg(base),
            Into::Place => {
                write(&work, read(&base)?)?;
                // A page that waits to be written would not count when it is written once more.
                File::open(&work).and_then(|file| file.sync_all()).context("cannot flush the image")?;
                call.arg(&work)
            }
        };
        Ok((call, work))
    }

    fn check(&self, image: &Path) -> Result<()> {
        let call = Call::new(self.program()).args(["iso", "ignition", "show"]).arg(image);
        let shown = call.output(&self.folder, "show")?;
        ensure!(shown.trim() == IGNITION, "the image holds {shown:?}");
        let (base, made) = (read(&self.folder.join("base.iso"))?, read(image)?);
        let differing = base.iter().zip(&made).filter(|(one, other)| one != other).count();
        ensure!(base.len() == made.len() && differing <= AREA, "the image differs in {differing} bytes");
        Ok(())
    }
}

impl Driver for CoreosInstaller<'_> {
    fn name(&self) -> &str {
        match self.into {
            Into::Copy => "coreos-installer, copy",
            Into::Place => "coreos-installer, in place",
        }
    }

    fn available(&self) -> Result<(), String> {
        for program in ["cargo", "xorriso", "valgrind"] {
            if !has_program(program) {
                return Err(format!("{program} is missing: run `make bench`, which installs it"));
            }
        }
        Ok(())
    }

    fn setup(&mut self) -> Result<()> {
        let name = if self.into == Into::Copy { "coreos-copy" } else { "coreos-place" };
        self.folder = self.stage.folder(name)?;
        self.install()?;
        write(&self.folder.join("config.ign"), IGNITION)?;
        self.base().map(drop)
    }

    fn version(&self) -> Result<Option<String>> {
        Ok(Some(VERSION.to_owned()))
    }

    fn run(&mut self) -> Result<Sample> {
        let (call, image) = self.prepare()?;
        let mut sample = call.measured(&self.folder, "embed")?;
        self.check(&image)?;
        let (call, image) = self.prepare()?;
        sample.insert(Metric::Instructions, call.instructions(&self.folder, "counted")?);
        self.check(&image)?;
        Ok(sample)
    }
}
