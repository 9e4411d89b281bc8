//! What building media costs, with nothing kept and with everything kept; and what peers pay.
//!
//! Peers keep nothing between builds, so they are compared with our cold build. A warm build of
//! ours is faster than theirs for the reason that it does not do their work: it is told beside
//! its own target, never as a ratio to a peer.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use harness::output;

use super::{begin, name_inputs};
use crate::contest::{Driver, contest};
use crate::judge::value_at_most;
use crate::measure::Call;
use crate::modules::Frozen;
use crate::peers::dracut::Dracut;
use crate::peers::grub_mkrescue::GrubMkrescue;
use crate::peers::initramfs_tools::InitramfsTools;
use crate::record::{Metric, Sample, Suite};
use crate::stage::{Stage, Subject, cache_dir, read};

const WARM: &str = "muster, warm";
const COLD: &str = "muster, cold";
/// A cold build, dracut and initramfs-tools take up to a minute each.
const SLOW_ROUNDS: usize = 3;
const METRICS: [Metric; 3] = [Metric::Cpu, Metric::Wall, Metric::PeakMemory];

pub(crate) fn run(stage: &Stage) -> Result<Suite> {
    let subject = Subject::open(stage)?;
    let folder = stage.folder("build")?;
    let frozen = Frozen::of(&subject, &folder)?;
    let mut suite = begin("build")?;
    name_inputs(&mut suite, &subject, Some(&frozen))?;
    let quick: Vec<Box<dyn Driver + '_>> = vec![
        Box::new(Build::new(stage, &subject, Cache::Warm)),
        Box::new(GrubMkrescue::new(stage, &subject)),
    ];
    contest(stage, &mut suite, stage.rounds, &METRICS, quick)?;
    let slow: Vec<Box<dyn Driver + '_>> = vec![
        Box::new(Build::new(stage, &subject, Cache::Cold)),
        Box::new(InitramfsTools::new(stage, &frozen)),
        Box::new(Dracut::alone(stage, &frozen)),
        Box::new(Dracut::with_network(stage, &frozen)),
    ];
    contest(stage, &mut suite, stage.rounds_up_to(SLOW_ROUNDS), &METRICS, slow)?;
    for metric in [Metric::Cpu, Metric::Wall] {
        for peer in ["initramfs-tools", "dracut", "dracut-network"] {
            suite.compare(COLD, peer, metric);
        }
    }
    let targets = vec![
        value_at_most(
            &suite,
            "warm image build <= 0.5 s CPU",
            (WARM, Metric::Cpu),
            0.5,
            "the programs' archive is compressed anew at every build, files are hashed and flushed",
        ),
        value_at_most(
            &suite,
            "cold image build <= 20 s CPU",
            (COLD, Metric::Cpu),
            20.0,
            "every module is compressed once, at zstd's level 19",
        ),
    ];
    suite.targets.extend(targets);
    Ok(suite)
}

/// What is kept from an earlier build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cache {
    /// Packages and packed modules.
    Warm,
    /// Packages alone: fetching them is the network's work.
    Cold,
}

/// `muster media build`, the whole of it: ramdisk, ISO, digests, published on disk.
#[derive(Debug)]
struct Build<'a> {
    stage: &'a Stage,
    subject: &'a Subject,
    cache: Cache,
    folder: PathBuf,
}

impl<'a> Build<'a> {
    fn new(stage: &'a Stage, subject: &'a Subject, cache: Cache) -> Self {
        Self { stage, subject, cache, folder: PathBuf::new() }
    }

    /// A cache folder that holds the packages and nothing else.
    fn forget(&self) -> Result<()> {
        let cache = self.folder.join("cache/muster");
        if cache.exists() {
            fs::remove_dir_all(&cache).with_context(|| format!("cannot empty {}", cache.display()))?;
        }
        let packages = cache.join("packages");
        fs::create_dir_all(&packages).with_context(|| format!("cannot make {}", packages.display()))?;
        let kept = cache_dir()?.join("packages");
        for entry in fs::read_dir(&kept).with_context(|| format!("cannot read {}", kept.display()))? {
            let from = entry?.path();
            if let (true, Some(name)) = (from.is_file(), from.file_name()) {
                std::os::unix::fs::symlink(&from, packages.join(name)).context("cannot link a package")?;
            }
        }
        Ok(())
    }

    fn build(&self) -> Result<Sample> {
        let call = Call::new(output::muster_binary()?)
            .args(["media", "build", "--out"])
            .arg(self.folder.join("media"))
            .arg("--agent")
            .arg(self.subject.path(image_builder::AGENT_FILE))
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            .env("SOURCE_DATE_EPOCH", self.subject.manifest.identity.build_time.to_string());
        let sample = call.measured(&self.folder, "muster")?;
        self.check(image_builder::INITRD_FILE)?;
        self.check(image_builder::ISO_FILE)?;
        Ok(sample)
    }

    /// The same input must have given the same bytes as the media under test.
    fn check(&self, file: &str) -> Result<()> {
        let built = self.folder.join("media").join(file);
        let same = read(&built)? == read(&self.subject.path(file))?;
        ensure!(same, "{} is not what `make media` built: run it again", built.display());
        Ok(())
    }
}

impl Driver for Build<'_> {
    fn name(&self) -> &str {
        match self.cache {
            Cache::Warm => WARM,
            Cache::Cold => COLD,
        }
    }

    fn available(&self) -> Result<(), String> {
        output::muster_binary().map(drop).map_err(|error| format!("{error:#}"))
    }

    fn setup(&mut self) -> Result<()> {
        self.folder =
            self.stage.folder(if self.cache == Cache::Warm { "build-warm" } else { "build-cold" })?;
        self.forget()?;
        if self.cache == Cache::Warm {
            self.build()?;
        }
        Ok(())
    }

    fn run(&mut self) -> Result<Sample> {
        if self.cache == Cache::Cold {
            self.forget()?;
        }
        self.build()
    }
}
