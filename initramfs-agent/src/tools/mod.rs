//! Tools: programs that the image leaves out and fetches from its server when they are wanted.
//!
//! 1. [`Ticket`] of the initial ramdisk: name, lengths and digest.
//! 2. Enough memory, before anything is asked for.
//! 3. Download into an anonymous file in memory, continued after a cut, from any of the servers.
//! 4. Digest and length, before a byte is unpacked.
//! 5. `unpack`: everything is judged, then everything is written, or nothing.
//!
//! The agent of process 1 does it, since it alone knows proxies, name servers and whom to trust;
//! a shell asks for it through [`door`].

pub(crate) mod door;
mod unpack;

use crate::api::download::{DownloadError, Wanted, Way};
use crate::report::chain;
use crate::sys;
use protocol::tools::{MAX_TICKET_LEN, Ticket, TicketError};
use ring::digest::{Context, SHA256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use unpack::UnpackError;

/// Memory that stays free for the machine beside the tools, in bytes.
const RESERVE: u64 = 64 * 1_024 * 1_024;
const MEBIBYTE: u64 = 1_024 * 1_024;
/// Rounds over all servers without a new byte, after which it is given up.
const FRUITLESS_ROUNDS: u32 = 3;
/// Cuts after which it is given up, however much came between them.
const MAX_CUTS: u32 = 100;
/// Pause before servers are asked again.
const PAUSE: Duration = Duration::from_secs(2);
/// How often progress is told, in parts of the whole.
const STEPS: u64 = 5;
/// Largest window of the packed archive, as a power of two: what level 22 uses is refused.
const MAX_WINDOW: u32 = 24;

/// Why there are no tools.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolsError {
    /// The ticket cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The ticket is not one of ours.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// The machine is too small.
    #[error(
        "the tools need {need} MiB of memory and {available} MiB are free; end other programs, or use a larger machine"
    )]
    Memory {
        /// MiB needed.
        need: u64,
        /// MiB available.
        available: u64,
    },
    /// The medium names no server.
    #[error("no server is known to this machine; boot from a medium of your server")]
    NoServer,
    /// No server gave the file.
    #[error("cannot download {file}")]
    Download {
        /// The file.
        file: String,
        /// Of the last attempt.
        #[source]
        source: DownloadError,
    },
    /// The file is not the one that belongs to the image.
    #[error(
        "{file} has the SHA-256 {got}, this image wants {want}; nothing was unpacked, boot from the server's present media"
    )]
    Digest {
        /// The file.
        file: String,
        /// Of what came.
        got: String,
        /// Of the ticket.
        want: String,
    },
    /// The file does not unpack to what the ticket says.
    #[error("{file} cannot be unpacked: {cause}; have the media built again")]
    Packed {
        /// The file.
        file: String,
        /// Why.
        cause: String,
    },
    /// The archive is not put in place.
    #[error("nothing was unpacked")]
    Unpack(#[from] UnpackError),
    /// Memory cannot be written or read.
    #[error("cannot keep the download in {folder}")]
    Keep {
        /// The folder.
        folder: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Where tools come from and where they go.
#[derive(Clone)]
pub(crate) struct Source {
    /// What belongs to this image.
    pub(crate) ticket: Ticket,
    /// The servers.
    pub(crate) way: Way,
    /// Where the download lies meanwhile, and the note that it is done.
    pub(crate) folder: PathBuf,
    /// What it is unpacked over.
    pub(crate) root: PathBuf,
    pause: Duration,
}

impl Source {
    /// Tools of this image over the machine's root.
    pub(crate) fn new(ticket: Ticket, way: Way) -> Self {
        Self { ticket, way, folder: door::FOLDER.into(), root: "/".into(), pause: PAUSE }
    }

    /// Fetches the tools, unless they are there; gives back the programs' names. `say` is told how
    /// far it has come.
    ///
    /// # Errors
    /// [`ToolsError`]; nothing is left behind then.
    pub(crate) async fn fetch(&self, say: &mut impl FnMut(String)) -> Result<Vec<String>, ToolsError> {
        let note = self.folder.join("tools");
        if let Ok(names) = fs::read_to_string(&note) {
            return Ok(names.lines().map(str::to_owned).collect());
        }
        self.fits(available_memory())?;
        let packed = self.download(say).await?;
        let (ticket, root) = (self.ticket.clone(), self.root.clone());
        let programs = match spawn_blocking(move || put_in_place(packed, &ticket, &root)).await {
            Ok(outcome) => outcome,
            Err(error) => Err(self.packed(chain(&error))),
        };
        sys::release_free_memory();
        let programs = programs?;
        fs::write(&note, programs.join("\n")).map_err(|source| self.keep(source))?;
        Ok(programs)
    }

    /// Whether the machine has the memory: the packed file, the archive, and the files out of it.
    fn fits(&self, available: Option<u64>) -> Result<(), ToolsError> {
        let Ticket { size, unpacked_size, .. } = &self.ticket;
        let need = size.saturating_add(unpacked_size.saturating_mul(2)).saturating_add(RESERVE);
        match available {
            Some(available) if available < need => {
                Err(ToolsError::Memory { need: need / MEBIBYTE + 1, available: available / MEBIBYTE })
            }
            // A kernel that does not say it is not one of ours; it would say when memory is out.
            Some(_) | None => Ok(()),
        }
    }

    /// The whole file with the right digest, at its beginning.
    ///
    /// # Errors
    /// [`ToolsError`].
    pub(crate) async fn download(&self, say: &mut impl FnMut(String)) -> Result<File, ToolsError> {
        let mut landing = Landing::new(&self.folder).map_err(|source| self.keep(source))?;
        let (mut fruitless, mut cuts) = (0, 0);
        while landing.len < self.ticket.size {
            let before = landing.len;
            let error = self.round(&mut landing, say).await;
            let Err(error) = error else { break };
            fruitless = if landing.len > before { 0 } else { fruitless + 1 };
            cuts += 1;
            if fruitless >= FRUITLESS_ROUNDS || cuts >= MAX_CUTS {
                return Err(error);
            }
            say(format!("{}; trying again", chain(&error)));
            sleep(self.pause).await;
        }
        let got = landing.digest();
        if got != self.ticket.sha256 {
            let Ticket { file, sha256, .. } = self.ticket.clone();
            return Err(ToolsError::Digest { file, got, want: sha256 });
        }
        landing.file.rewind().map_err(|source| self.keep(source))?;
        Ok(landing.file)
    }

    /// Asks each server once, until the file is whole.
    async fn round(&self, landing: &mut Landing, say: &mut impl FnMut(String)) -> Result<(), ToolsError> {
        let Ticket { file, size, .. } = &self.ticket;
        let mut last = Err(ToolsError::NoServer);
        for server in &self.way.servers {
            let wanted = Wanted { file, size: *size, from: landing.len };
            let step = (size / STEPS).max(1);
            say(format!("{file} from {}", server.authority()));
            let keep = |piece: &[u8]| {
                let before = landing.len / step;
                landing.keep(piece)?;
                if landing.len / step > before {
                    say(format!("{} of {} KiB", landing.len / 1_024, size / 1_024));
                }
                Ok(())
            };
            match self.way.download(server, wanted, keep).await {
                Ok(()) => return Ok(()),
                Err(source) => last = Err(ToolsError::Download { file: file.clone(), source }),
            }
        }
        last
    }

    fn keep(&self, source: io::Error) -> ToolsError {
        ToolsError::Keep { folder: self.folder.clone(), source }
    }

    fn packed(&self, cause: String) -> ToolsError {
        ToolsError::Packed { file: self.ticket.file.clone(), cause }
    }
}

/// The ticket of this image; `None` when it has none, as those of older builders.
///
/// # Errors
/// [`ToolsError::Read`] and [`ToolsError::Ticket`].
pub(crate) fn ticket(path: &Path) -> Result<Option<Ticket>, ToolsError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ToolsError::Read { path: path.to_owned(), source }),
    };
    let limit = u64::try_from(MAX_TICKET_LEN).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|source| ToolsError::Read { path: path.to_owned(), source })?;
    Ok(Some(Ticket::parse(&bytes)?))
}

/// Unpacks the verified file over `root`.
fn put_in_place(packed: File, ticket: &Ticket, root: &Path) -> Result<Vec<String>, ToolsError> {
    let wrong = |cause: String| ToolsError::Packed { file: ticket.file.clone(), cause };
    let broken = |error: io::Error| wrong(error.to_string());
    let mut decoder = zstd::Decoder::new(packed).map_err(broken)?;
    decoder.window_log_max(MAX_WINDOW).map_err(broken)?;
    let mut archive = Vec::with_capacity(usize::try_from(ticket.unpacked_size).unwrap_or_default());
    decoder.take(ticket.unpacked_size.saturating_add(1)).read_to_end(&mut archive).map_err(broken)?;
    if u64::try_from(archive.len()).ok() != Some(ticket.unpacked_size) {
        return Err(wrong(format!("it is not {} bytes long then", ticket.unpacked_size)));
    }
    Ok(unpack::unpack(&archive, root)?)
}

/// A file without a name, which goes when it is closed, and the digest of what is in it.
struct Landing {
    file: File,
    hash: Context,
    len: u64,
}

impl Landing {
    fn new(folder: &Path) -> io::Result<Self> {
        let path = folder.join("tools.download");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(&path)?;
        Ok(Self { file, hash: Context::new(&SHA256), len: 0 })
    }

    fn keep(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hash.update(piece);
        self.len = self.len.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    fn digest(&self) -> String {
        self.hash.clone().finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// `MemAvailable` in bytes.
fn available_memory() -> Option<u64> {
    memory_in(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn memory_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests;
