//! Boot media under test: built once by the real builder, then shared by every test.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail};
use iso::manifest::Manifest;

use crate::output;
use crate::process::Spec;

/// Longest build: Debian's packages are downloaded and 670 modules compressed.
const BUILD_WITHIN: Duration = Duration::from_secs(900);
/// Longest build of a whole release, from nothing.
const RELEASE_WITHIN: Duration = Duration::from_secs(3_600);
/// Lines of a build's output that a failure shows.
const SHOWN_LINES: usize = 30;

/// Which kernel and drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Debian's generic kernel: what people download.
    Generic,
    /// Debian's cloud kernel: smaller, for virtual machines; most tests boot it for speed.
    Cloud,
}

impl Profile {
    fn word(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Cloud => "cloud",
        }
    }

    fn folder(self) -> PathBuf {
        match self {
            Self::Generic => output::target_dir().join("media"),
            Self::Cloud => output::target_dir().join("media-cloud"),
        }
    }
}

/// A media directory.
#[derive(Debug, Clone)]
pub struct Media {
    folder: PathBuf,
    /// Its `manifest.json`.
    pub manifest: Manifest,
}

impl Media {
    /// The media of a profile, built by `muster media build` when they are missing, or older
    /// than the agent they carry or than the generic media that `make media` keeps current.
    ///
    /// # Errors
    /// When they cannot be built; with what the builder said.
    pub fn of(profile: Profile) -> Result<Self> {
        static BUILDING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = BUILDING.lock().map_err(|_| anyhow!("an earlier build of the media failed"))?;
        let folder = profile.folder();
        if !is_fresh(&folder) {
            build(profile, &folder)?;
        }
        Self::open(&folder)
    }

    /// The media of another commit, built whole by that commit's own `make media` into a cache beside
    /// the clone's, which takes minutes once.
    ///
    /// # Errors
    /// When the commit is not in this clone's history, or they cannot be built; with what make said.
    pub fn of_commit(commit: &str) -> Result<Self> {
        let release = output::cache_dir()?.join("releases").join(commit);
        let folder = release.join("target/media");
        if folder.join("manifest.json").is_file() {
            return Self::open(&folder);
        }
        // A folder of its own, so that its Makefile does not link it to the shared one.
        std::fs::create_dir_all(release.join("target")).context("cannot make a folder")?;
        unpack(commit, &release)?;
        let logs = output::folder(&format!("media-{commit}"))?;
        let mut make = Spec::new(Path::new("env"), &logs, "make")
            .args(["--unset=CARGO_TARGET_DIR", "--unset=MAKEFLAGS", "make", "-C"].map(OsStr::new))
            .args([release.as_os_str(), OsStr::new("media")])
            .start()?;
        let status = make.wait(RELEASE_WITHIN)?;
        if !status.success() {
            let said = std::fs::read_to_string(make.stderr()).context("cannot read make's output")?;
            bail!("`make media` of {commit} ended with {status}:\n{}", output::tail(&said, SHOWN_LINES));
        }
        Self::open(&folder)
    }

    /// Opens a media directory.
    ///
    /// # Errors
    /// When it holds no manifest that can be read.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("manifest.json");
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest = Manifest::parse(&bytes).with_context(|| format!("cannot use {}", path.display()))?;
        Ok(Self { folder: folder.to_path_buf(), manifest })
    }

    /// The directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The base image, never personalised.
    #[must_use]
    pub fn iso(&self) -> PathBuf {
        self.folder.join("muster.iso")
    }

    /// The kernel.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// The initial RAM disk.
    #[must_use]
    pub fn initrd(&self) -> PathBuf {
        self.folder.join("initrd")
    }
}

/// Writes a commit's files into a folder.
fn unpack(commit: &str, folder: &Path) -> Result<()> {
    let mut archive = Command::new("git")
        .arg("-C")
        .arg(output::workspace())
        .args(["archive", commit])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run git")?;
    let files = archive.stdout.take().context("git has no output")?;
    let unpacked =
        Command::new("tar").arg("-xC").arg(folder).stdin(files).status().context("cannot run tar")?;
    if !archive.wait().context("cannot await git")?.success() || !unpacked.success() {
        bail!("cannot unpack {commit} into {}: is it in this clone's history?", folder.display());
    }
    Ok(())
}

/// Path of the agent that media carry.
#[must_use]
pub fn agent() -> PathBuf {
    output::target_dir().join("x86_64-unknown-linux-gnu/release/muster-agent")
}

/// Path of the installer that their tools carry.
fn installer() -> PathBuf {
    output::target_dir().join("x86_64-unknown-linux-gnu/release/muster-installer")
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn is_fresh(folder: &Path) -> bool {
    let Some(built) = modified(&folder.join("manifest.json")) else { return false };
    let generic = Profile::Generic.folder().join("manifest.json");
    [agent(), installer(), generic].iter().filter_map(|path| modified(path)).all(|newest| built >= newest)
}

fn build(profile: Profile, folder: &Path) -> Result<()> {
    let logs = output::folder(&format!("media-{}", profile.word()))?;
    let mut builder = Spec::new(&output::muster_binary()?, &logs, "build")
        .args(["media", "build", "--profile", profile.word(), "--out"])
        .args([folder])
        .args(["--agent".into(), agent(), "--installer".into(), installer()])
        .start()?;
    let status = builder.wait(BUILD_WITHIN)?;
    if !status.success() {
        let said = std::fs::read_to_string(builder.stderr()).context("cannot read the builder's output")?;
        bail!("`muster media build` ended with {status}:\n{}", output::tail(&said, SHOWN_LINES));
    }
    Ok(())
}
