//! Where a run happens: folders, the media under test, who takes part, and who is told.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use harness::media::Media;
use harness::output;
use iso::manifest::Manifest;

/// What always takes part: its name starts with one of these words.
const ALWAYS: [&str; 2] = ["muster", "bare"];

/// Everything that suites share.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Peers' rooms and programs, kept between runs.
    pub(crate) cache: PathBuf,
    /// Rounds of what is cheap.
    pub(crate) rounds: usize,
    peers: Vec<String>,
    media: PathBuf,
    speaks: bool,
}

impl Stage {
    /// A stage for these peers; all of them when none is named.
    pub(crate) fn new(rounds: usize, peers: Vec<String>, media: Option<PathBuf>) -> Result<Self> {
        let media = media.unwrap_or_else(|| output::target_dir().join("media"));
        let cache = cache_dir()?.join("bench");
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        Ok(Self { cache, rounds, peers, media, speaks: true })
    }

    /// One for tests, which prints nothing.
    #[cfg(test)]
    pub(crate) fn silent(peers: &[&str]) -> Self {
        let peers = peers.iter().map(|&peer| peer.to_owned()).collect();
        Self { cache: PathBuf::new(), rounds: 1, peers, media: PathBuf::new(), speaks: false }
    }

    /// Rounds of what takes long: not more than `most`.
    pub(crate) fn rounds_up_to(&self, most: usize) -> usize {
        self.rounds.min(most)
    }

    /// Whether a contender takes part.
    pub(crate) fn is_wanted(&self, name: &str) -> bool {
        let always = ALWAYS.iter().any(|word| name.starts_with(word));
        // Several contenders may be one peer: `nginx, static file`.
        let peer = name.split(',').next().unwrap_or(name);
        always || self.peers.is_empty() || self.peers.iter().any(|wanted| wanted == peer)
    }

    /// One line for people, on standard output.
    pub(crate) fn tell(&self, line: &str) -> Result<()> {
        if !self.speaks {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    }

    /// A folder for logs, below `target/e2e-output`, emptied.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        output::folder(&format!("bench-{name}"))
    }
}

/// The cache that builds and peers share: `$XDG_CACHE_HOME/muster`, else `~/.cache/muster`.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let cache = image_builder::cache_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    cache.context("neither XDG_CACHE_HOME nor HOME is set, so there is no place for peers")
}

/// The media under test.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Manifest,
}

impl Subject {
    /// Opens the media and checks that the files are those of the manifest.
    pub(crate) fn open(stage: &Stage) -> Result<Self> {
        let folder = stage.media.clone();
        let media = Media::open(&folder).context("run `make media` first")?;
        for (name, file) in media.manifest.paths() {
            let path = folder.join(&name);
            let size = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
            if size != file.size {
                bail!("{} has {size} bytes and its manifest says {}", path.display(), file.size);
            }
        }
        Ok(Self { folder, manifest: media.manifest })
    }

    /// A file of the media.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Its length, as the manifest has it.
    pub(crate) fn size(&self, name: &str) -> Result<u64> {
        let file = self.manifest.files.get(name);
        file.map(|file| file.size).with_context(|| format!("the manifest has no {name}"))
    }

    /// The first digits of a file's SHA-256.
    pub(crate) fn digest(&self, name: &str) -> Result<String> {
        let file = self.manifest.files.get(name).with_context(|| format!("the manifest has no {name}"))?;
        Ok(short(&file.sha256))
    }
}

/// Enough of a digest to tell inputs apart in a table.
pub(crate) fn short(digest: &str) -> String {
    digest.chars().take(16).collect()
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a whole file, and its folder.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// A number for statistics.
#[expect(clippy::cast_precision_loss, reason = "sizes of files stay far below 2^53")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}
