//! A real shell in a real terminal, at the end of a websocket that the test holds.

use super::*;
use crate::reap::tests::reaper;
use futures_util::{SinkExt, StreamExt};
use nix::sys::signal::kill;
use protocol::terminal::Size;
use std::future::Future;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

const SOON: Duration = Duration::from_secs(20);

/// The server's end, and what the machine's side comes to.
struct Server {
    socket: WebSocketStream<DuplexStream>,
    shown: String,
    over: JoinHandle<Over>,
    shell: Pid,
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(SOON, work).await.expect("in time")
}

impl Server {
    /// A shell with a plain prompt in a terminal of 80 columns and 24 rows.
    async fn with_shell() -> Self {
        let (near, far) = duplex(64 * 1_024);
        let far: Box<dyn Way> = Box::new(far);
        let line = Line::new(WebSocketStream::from_raw_socket(far, Role::Client, None).await);
        let pty = Pty::open(Size::default()).unwrap();
        let running = Shell::default().start(&reaper(), &pty).unwrap();
        let shell = Pid::from_raw(running.pid().try_into().unwrap());
        let over = tokio::spawn(attend(line, pty, running));
        let socket = WebSocketStream::from_raw_socket(near, Role::Server, None).await;
        let mut server = Self { socket, shown: String::new(), over, shell };
        server.types("PS1=; stty -echo; echo re''ady\n").await;
        server.sees("ready\r\n").await;
        server
    }

    async fn types(&mut self, text: &str) {
        self.socket.send(Message::binary(text.as_bytes().to_vec())).await.unwrap();
    }

    async fn says(&mut self, what: &MachineHears) {
        self.socket.send(Message::text(serde_json::to_string(what).unwrap())).await.unwrap();
    }

    /// Reads until this was shown since the last time.
    async fn sees(&mut self, text: &str) {
        while !self.shown.contains(text) {
            match within(self.socket.next()).await {
                Some(Ok(Message::Binary(bytes))) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                other => panic!("{other:?} after {:?}", self.shown),
            }
        }
        self.shown.clear();
    }

    /// The machine's last word.
    async fn last_word(&mut self) -> MachineSays {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Binary(bytes))) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                other => panic!("{other:?} after {:?}", self.shown),
            }
        }
    }

    /// Whether the shell is still there; one that was collected is not.
    fn has_shell(&self) -> bool {
        kill(self.shell, None).is_ok()
    }
}

#[tokio::test]
async fn shell_has_a_terminal_that_grows_and_its_end_is_told() {
    let mut server = Server::with_shell().await;
    server.types("tty -s && stty size && echo $TERM $HOME\n").await;
    server.sees("24 80\r\nxterm-256color /\r\n").await;
    server.says(&MachineHears::Resize { size: Size::new(132, 50) }).await;
    server.socket.send(Message::text("{\"Type\":\"later\"}")).await.unwrap();
    server.types("stty size\n").await;
    server.sees("50 132\r\n").await;
    server.types("printf 'last \\377 words'; exit 7\n").await;
    assert_eq!(server.last_word().await, MachineSays::Exited { code: Some(7), signal: None });
    assert!(server.shown.contains("last \u{fffd} words"), "{:?}", server.shown);
    let over = within(&mut server.over).await.unwrap();
    assert!(matches!(over, Over::Exited(Some(status)) if status.code() == Some(7)), "{over:?}");
    assert!(matches!(within(server.socket.next()).await, Some(Ok(Message::Close(_)))));
}

#[tokio::test]
async fn interrupt_comes_through_a_flood_that_nobody_reads() {
    let mut server = Server::with_shell().await;
    server.types("yes flood\n").await;
    server.sees("flood").await;
    // Far more than what lies between: the machine's side waits to be read.
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.types("\u{3}").await;
    server.types("echo ended with $?\n").await;
    server.sees("ended with 130\r\n").await;
    server.types("kill -9 $$\n").await;
    assert_eq!(server.last_word().await, MachineSays::Exited { code: None, signal: Some(9) });
}

#[tokio::test]
async fn shell_that_ignores_its_hangup_does_not_outlive_the_connection() {
    for script in ["echo held\n", "trap '' HUP; echo held\n"] {
        let mut server = Server::with_shell().await;
        server.types(script).await;
        server.sees("held\r\n").await;
        assert!(server.has_shell());
        drop(std::mem::replace(
            &mut server.socket,
            WebSocketStream::from_raw_socket(duplex(1).0, Role::Server, None).await,
        ));
        assert_eq!(within(&mut server.over).await.unwrap(), Over::Hung, "{script:?}");
        within(async {
            while server.has_shell() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn server_that_closes_ends_it() {
    let mut server = Server::with_shell().await;
    server.socket.close(None).await.unwrap();
    assert_eq!(within(&mut server.over).await.unwrap(), Over::Hung);
}

#[test]
fn program_that_nobody_told_anything_says_what_is_missing() {
    assert_eq!(
        TerminalError::Id.to_string(),
        "MUSTER_TERMINAL in the environment names no terminal: the agent starts this program"
    );
    assert_eq!(Over::Hung.to_string(), "the server ended it, or the connection broke");
}
