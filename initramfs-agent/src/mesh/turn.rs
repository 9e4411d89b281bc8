//! One member process at a time: whoever comes later takes over. The earlier one listens on a socket in the member's folder,
//! which root alone may enter, and ends when somebody connects; the kernel keeps the tunnels meanwhile.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

const SOCKET: &str = "turn.sock";
/// How long the earlier one may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// It cannot be this one's turn.
#[derive(Debug, thiserror::Error)]
#[error("cannot take over at {path}")]
pub(super) struct TurnError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The turn of this process.
#[derive(Debug)]
pub(super) struct Turn(UnixListener);

impl Turn {
    /// Takes over from whoever is at it.
    ///
    /// # Errors
    /// [`TurnError`].
    pub(super) async fn take(folder: &Path) -> Result<Self, TurnError> {
        let path = folder.join(SOCKET);
        let failed = |source| TurnError { path: path.clone(), source };
        if let Ok(mut earlier) = UnixStream::connect(&path).await {
            // It says nothing; the end of it ends the connection.
            let gone = timeout(PATIENCE, earlier.read_u8()).await;
            if gone.is_err() {
                return Err(failed(io::ErrorKind::TimedOut.into()));
            }
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        UnixListener::bind(&path).map(Self).map_err(failed)
    }

    /// Waits until somebody takes over. What it returns is to be held until this process has ended its work.
    pub(super) async fn over(&self) -> Option<UnixStream> {
        self.0.accept().await.ok().map(|(stream, _)| stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_later_waits_until_the_earlier_one_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let first = Turn::take(folder.path()).await.unwrap();
        let path = folder.path().to_owned();
        let second = tokio::spawn(async move { Turn::take(&path).await });
        let stream = first.over().await.unwrap();
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(stream);
        drop(first);
        let second = second.await.unwrap().unwrap();
        drop(second);
        // One that was killed left its socket.
        assert!(folder.path().join(SOCKET).exists());
        Turn::take(folder.path()).await.unwrap();
    }
}
