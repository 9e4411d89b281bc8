//! Bytes both ways between the terminal and the server's websocket. Each way goes on by itself, so that Ctrl-C
//! comes through however much the machine has to show, and each waits for whoever takes nothing in.

use super::pty::Pty;
use crate::reap::Running;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use protocol::terminal::{MAX_BYTES, MachineHears, MachineSays, read};
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Longest silence of the server: three pings that did not come.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest time one message may take to leave. A server that waits for its operator takes nothing in.
const SEND: Duration = Duration::from_secs(20 * 60);
/// Time for the last word to the server.
const GOODBYE: Duration = Duration::from_secs(5);
/// Most of what a shell wrote and nobody read yet that is carried after its end.
const MAX_LEFT: usize = 64;

/// Any connection.
pub(super) trait Way: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Way for T {}

type Socket = WebSocketStream<Box<dyn Way>>;

/// The server at the other end.
pub(super) struct Line {
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The shell ended.
    Exited(Option<ExitStatus>),
    /// The server ended it, or is gone.
    Hung,
    /// The terminal broke.
    Broken,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(Some(status)) => write!(f, "the shell ended, {status}"),
            Self::Exited(None) => f.write_str("the shell ended"),
            Self::Hung => f.write_str("the server ended it, or the connection broke"),
            Self::Broken => f.write_str("the terminal broke"),
        }
    }
}

impl Line {
    /// A connection that is a websocket already.
    pub(super) fn new(socket: Socket) -> Self {
        let (sink, stream) = socket.split();
        Self { sink, stream }
    }

    /// The server's next text, within this time.
    pub(super) async fn hear_text(&mut self, patience: Duration) -> Option<MachineHears> {
        let next = async {
            loop {
                match self.stream.next().await?.ok()? {
                    Message::Text(text) => return read(&text),
                    Message::Ping(_) | Message::Pong(_) => {}
                    Message::Binary(_) | Message::Close(_) | Message::Frame(_) => return None,
                }
            }
        };
        timeout(patience, next).await.ok().flatten()
    }

    /// Says the last word, and closes the connection.
    pub(super) async fn say(mut self, last: &MachineSays) {
        say(&mut self.sink, last).await;
    }
}

/// Carries bytes until the shell ends or the server is gone.
pub(super) async fn carry(line: Line, pty: &Pty, running: &mut Running) -> Over {
    let Line { mut sink, stream } = line;
    let over = tokio::select! {
        over = show(&mut sink, pty) => match over {
            // Everybody has let go of it: the shell is about to end, too.
            Over::Exited(_) => Over::Exited(timeout(GOODBYE, running.wait()).await.ok().flatten()),
            over @ (Over::Hung | Over::Broken) => over,
        },
        over = hear(stream, pty) => over,
        status = running.wait() => Over::Exited(status),
    };
    if let Over::Exited(status) = over {
        show_rest(&mut sink, pty).await;
        let (code, signal) = (status.and_then(|s| s.code()), status.and_then(|s| s.signal()));
        say(&mut sink, &MachineSays::Exited { code, signal }).await;
    }
    over
}

/// From the terminal to the server.
async fn show(sink: &mut SplitSink<Socket, Message>, pty: &Pty) -> Over {
    let mut buffer = vec![0; MAX_BYTES];
    loop {
        let count = match pty.read(&mut buffer).await {
            Ok(0) => return Over::Exited(None),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return Over::Broken,
        };
        let message = Message::binary(buffer.get(..count).unwrap_or_default().to_vec());
        match timeout(SEND, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Over::Hung,
        }
    }
}

/// What the shell wrote before it ended.
async fn show_rest(sink: &mut SplitSink<Socket, Message>, pty: &Pty) {
    let mut buffer = vec![0; MAX_BYTES];
    for _ in 0..MAX_LEFT {
        let Ok(count @ 1..) = pty.read_now(&mut buffer) else { return };
        let message = Message::binary(buffer.get(..count).unwrap_or_default().to_vec());
        if !matches!(timeout(GOODBYE, sink.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// From the server to the terminal.
async fn hear(mut stream: SplitStream<Socket>, pty: &Pty) -> Over {
    loop {
        match timeout(SILENCE, stream.next()).await {
            Ok(Some(Ok(Message::Binary(bytes)))) => {
                if pty.type_in(&bytes).await.is_err() {
                    return Over::Broken;
                }
            }
            Ok(Some(Ok(Message::Text(text)))) => {
                if let Some(MachineHears::Resize { size }) = read(&text)
                    && pty.resize(size).is_err()
                {
                    return Over::Broken;
                }
            }
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
            Ok(Some(Ok(Message::Close(_) | Message::Frame(_)) | Err(_)) | None) | Err(_) => {
                return Over::Hung;
            }
        }
    }
}

async fn say(sink: &mut SplitSink<Socket, Message>, what: &MachineSays) {
    let text = serde_json::to_string(what).unwrap_or_default();
    let last = async {
        sink.send(Message::text(text)).await?;
        sink.close().await
    };
    // A server that does not hear it notices that the connection ended.
    drop(timeout(GOODBYE, last).await);
}
