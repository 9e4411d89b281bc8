//! Recordings in asciicast v2, as asciinema plays them: <https://docs.asciinema.org/manual/asciicast/v2/>.
//! A header, then an event a line: `[SECONDS, "o", TEXT]` for what was shown, `[SECONDS, "r", "COLSxROWS"]`
//! for another size. What is typed is in it only as far as the machine showed it, so no password is.
//!
//! In the data directory each line is sealed by itself, bound to its recording and its place in it. A line
//! that a killed server left half written is the last one, and is left out.

use super::live::Opened;
use crate::keys::{KeysError, Sealer};
use protocol::terminal::Size;
use serde_json::json;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use uuid::Uuid;

/// Largest recording, in bytes on the disk: what cannot be recorded does not happen.
pub(super) const MAX_RECORDING: u64 = 32 * 1_024 * 1_024;
/// What programs in the terminal take it for.
const TERM: &str = "xterm-256color";

/// Why something is not recorded, or not read back.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    /// It has become too large.
    #[error("the recording is full; open another terminal")]
    Full,
    /// The disk.
    #[error("the recording cannot be kept; the server's log says why")]
    Disk(#[from] io::Error),
    /// The system gives no random bytes.
    #[error("the recording cannot be sealed")]
    Seal(#[from] KeysError),
    /// A line is not what was written.
    #[error("line {0} of the recording was changed, or was sealed under another master key")]
    Damaged(u64),
}

/// Where a recording lies.
pub(super) fn path(folder: &Path, id: Uuid) -> PathBuf {
    folder.join(format!("{id}.cast.sealed"))
}

fn about(id: Uuid, line: u64) -> String {
    format!("terminals/{id}/{line}")
}

/// A recording under way.
pub(super) struct Recorder {
    file: File,
    sealer: Arc<Sealer>,
    id: Uuid,
    begun: Instant,
    lines: u64,
    size: u64,
    most: u64,
    /// The beginning of a character whose end is yet to come.
    rest: Vec<u8>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("id", &self.id).field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Begins one with its header.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(super) async fn begin(
        folder: &Path,
        sealer: Arc<Sealer>,
        opened: &Opened,
        most: u64,
    ) -> Result<Self, RecordError> {
        let (folder, place) = (folder.to_owned(), path(folder, opened.id));
        let make = move || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(place)
        };
        let file = tokio::task::spawn_blocking(make).await.map_err(io::Error::other)??;
        let mut recorder = Self {
            file: File::from_std(file),
            sealer,
            id: opened.id,
            begun: Instant::now(),
            lines: 0,
            size: 0,
            most,
            rest: Vec::new(),
        };
        let header = json!({
            "version": 2,
            "width": opened.size.cols(),
            "height": opened.size.rows(),
            "timestamp": opened.at.as_seconds(),
            "title": format!("{} on {}", opened.user, opened.machine_name),
            "env": { "TERM": TERM },
        });
        recorder.line(&header.to_string()).await?;
        Ok(recorder)
    }

    /// Records what is about to be shown.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(super) async fn shown(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        self.rest.extend_from_slice(bytes);
        let text = take_text(&mut self.rest);
        if text.is_empty() { Ok(()) } else { self.event("o", &text).await }
    }

    /// Records another size.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(super) async fn resized(&mut self, size: Size) -> Result<(), RecordError> {
        self.event("r", &format!("{}x{}", size.cols(), size.rows())).await
    }

    /// Has everything on the disk.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(super) async fn end(mut self) -> Result<(), RecordError> {
        if !self.rest.is_empty() {
            let text = String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned();
            self.event("o", &text).await?;
        }
        self.file.flush().await?;
        Ok(self.file.sync_all().await?)
    }

    async fn event(&mut self, code: &str, text: &str) -> Result<(), RecordError> {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.line(&json!([seconds, code, text]).to_string()).await
    }

    async fn line(&mut self, text: &str) -> Result<(), RecordError> {
        let mut sealed = self.sealer.seal(&about(self.id, self.lines), text.as_bytes())?;
        sealed.push('\n');
        let size = self.size.saturating_add(u64::try_from(sealed.len()).unwrap_or(u64::MAX));
        if size > self.most {
            return Err(RecordError::Full);
        }
        self.file.write_all(sealed.as_bytes()).await?;
        // It is a file in memory until then, which a killed server would take along.
        self.file.flush().await?;
        (self.size, self.lines) = (size, self.lines.saturating_add(1));
        Ok(())
    }
}

/// The text at the beginning of `bytes`, which leaves in them no more than a character that may still become
/// whole. What is no text shows as U+FFFD.
fn take_text(bytes: &mut Vec<u8>) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut left: &[u8] = bytes;
    loop {
        match std::str::from_utf8(left) {
            Ok(valid) => {
                text.push_str(valid);
                left = &[];
                break;
            }
            Err(error) => {
                let (valid, after) = left.split_at_checked(error.valid_up_to()).unwrap_or((left, &[]));
                text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                let Some(wrong) = error.error_len() else {
                    left = after;
                    break;
                };
                text.push(char::REPLACEMENT_CHARACTER);
                left = after.get(wrong..).unwrap_or_default();
            }
        }
    }
    *bytes = left.to_vec();
    text
}

/// A recording as it is played. Blocks on the disk.
///
/// # Errors
/// [`RecordError`]; `NotFound` when it is gone.
pub(super) fn read(folder: &Path, sealer: &Sealer, id: Uuid) -> Result<String, RecordError> {
    let sealed = fs::read_to_string(path(folder, id))?;
    let mut text = String::with_capacity(sealed.len());
    for (line, number) in sealed.split_inclusive('\n').zip(0..) {
        let Some(line) = line.strip_suffix('\n') else { break };
        let plain = sealer.open(&about(id, number), line).map_err(|_| RecordError::Damaged(number))?;
        text.push_str(&String::from_utf8(plain).map_err(|_| RecordError::Damaged(number))?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;
    use engine::time::Timestamp;
    use proptest::prelude::*;
    use protocol::ids::MachineId;
    use serde_json::Value;
    use std::net::Ipv4Addr;
    use std::os::unix::fs::PermissionsExt;

    const ID: Uuid = Uuid::from_u128(7);

    fn sealer(folder: &Path) -> Arc<Sealer> {
        Keys::open(folder, &[], Timestamp::from_seconds(1_800_000_000)).unwrap().sealer()
    }

    async fn recorder(folder: &Path, sealer: &Arc<Sealer>, most: u64) -> Recorder {
        let opened = Opened {
            id: ID,
            user: "ada".to_owned(),
            source: Ipv4Addr::LOCALHOST.into(),
            machine: MachineId(Uuid::nil()),
            machine_name: "db-07".to_owned(),
            at: Timestamp::from_seconds(1_800_000_000),
            size: Size::new(100, 30),
        };
        Recorder::begin(folder, Arc::clone(sealer), &opened, most).await.unwrap()
    }

    #[tokio::test]
    async fn recording_is_an_asciicast_that_nobody_else_reads() {
        let folder = tempfile::tempdir().unwrap();
        let (sealer, casts) = (sealer(folder.path()), folder.path().join("terminals"));
        let mut recorder = recorder(&casts, &sealer, MAX_RECORDING).await;
        recorder.shown("gr\u{fc}".as_bytes()).await.unwrap();
        let (one, other) = "\u{df}\u{1b}[2J".as_bytes().split_at(1);
        recorder.shown(one).await.unwrap();
        recorder.shown(other).await.unwrap();
        recorder.resized(Size::new(120, 40)).await.unwrap();
        recorder.shown(b"\xff\xe2\x82").await.unwrap();
        recorder.end().await.unwrap();
        let file = path(&casts, ID);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(&file).unwrap().contains("asciicast"));
        let cast = read(&casts, &sealer, ID).unwrap();
        let lines: Vec<Value> = cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let header = json!({"version": 2, "width": 100, "height": 30, "timestamp": 1_800_000_000,
            "title": "ada on db-07", "env": {"TERM": "xterm-256color"}});
        assert_eq!(lines[0], header);
        let events: Vec<(&str, &str)> =
            lines[1..].iter().map(|line| (line[1].as_str().unwrap(), line[2].as_str().unwrap())).collect();
        let expected = [
            ("o", "gr\u{fc}"),
            ("o", "\u{df}\u{1b}[2J"),
            ("r", "120x40"),
            ("o", "\u{fffd}"),
            ("o", "\u{fffd}"),
        ];
        assert_eq!(events, expected);
        assert!(lines[1..].iter().all(|line| line[0].as_f64().is_some_and(|seconds| seconds >= 0.0)));
    }

    #[tokio::test]
    async fn changed_recording_is_refused_and_a_cut_one_is_read_as_far_as_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = sealer(folder.path());
        let mut recorder = recorder(folder.path(), &sealer, MAX_RECORDING).await;
        for text in ["one", "two"] {
            recorder.shown(text.as_bytes()).await.unwrap();
        }
        recorder.end().await.unwrap();
        let file = path(folder.path(), ID);
        let whole = fs::read_to_string(&file).unwrap();
        fs::write(&file, &whole[..whole.len() - 5]).unwrap();
        assert_eq!(read(folder.path(), &sealer, ID).unwrap().lines().count(), 2);
        let lines: Vec<&str> = whole.lines().collect();
        fs::write(&file, format!("{}\n{}\n{}\n", lines[0], lines[2], lines[1])).unwrap();
        assert!(matches!(read(folder.path(), &sealer, ID), Err(RecordError::Damaged(1))));
        fs::copy(&file, path(folder.path(), Uuid::from_u128(8))).unwrap();
        assert!(matches!(read(folder.path(), &sealer, Uuid::from_u128(8)), Err(RecordError::Damaged(0))));
    }

    #[tokio::test]
    async fn nothing_more_is_shown_than_what_a_recording_holds() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = sealer(folder.path());
        let mut recorder = recorder(folder.path(), &sealer, 2_000).await;
        let mut kept = 0;
        let error = loop {
            match recorder.shown(&[b'x'; 200]).await {
                Ok(()) => kept += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, RecordError::Full) && kept > 2);
        recorder.end().await.unwrap();
        assert_eq!(read(folder.path(), &sealer, ID).unwrap().lines().count(), 1 + kept);
        assert!(fs::metadata(path(folder.path(), ID)).unwrap().len() <= 2_000);
    }

    proptest! {
        #[test]
        fn text_is_the_same_however_it_was_cut(bytes: Vec<u8>, cuts: Vec<usize>) {
            let (mut rest, mut text, mut left) = (Vec::new(), String::new(), bytes.as_slice());
            for cut in cuts {
                let (piece, after) = left.split_at(cut % (left.len() + 1));
                rest.extend_from_slice(piece);
                text.push_str(&take_text(&mut rest));
                prop_assert!(rest.len() < 4);
                left = after;
            }
            rest.extend_from_slice(left);
            text.push_str(&take_text(&mut rest));
            text.push_str(&String::from_utf8_lossy(&rest));
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
