//! `muster machine terminal`: root's shell on a machine, in this terminal; and whether that is allowed.

use super::path;
use crate::print;
use crate::prompt;
use crate::rest::{Call, Client, Socket, decode, encode};
use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use protocol::rest::{Session, Terminal as Kept, TerminalState, TerminalSwitch};
use protocol::terminal::{End, MAX_BYTES, OperatorHears, OperatorSays, Size, WINDOW};
use std::io::{self, IsTerminal, Read, Write};
use std::thread;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

/// Ctrl-], as telnet has it: what leaves the terminal.
const LEAVE: u8 = 0x1d;
/// Seen bytes are told of when they have become this many.
const TELL_AFTER: u64 = WINDOW / 8;
/// Messages of the keyboard that wait to be sent.
const WAITING: usize = 16;

/// Arguments of `muster machine terminal`
#[derive(Debug, clap::Args)]
pub(crate) struct Terminal {
    /// Name or UUID
    machine: String,
    /// Allow terminals on the machine, and open none
    #[arg(long, conflicts_with_all = ["disable", "stop", "state"])]
    enable: bool,
    /// Forbid terminals on the machine; ends the one that is open
    #[arg(long, conflicts_with_all = ["stop", "state"])]
    disable: bool,
    /// End the terminal that somebody has open on the machine
    #[arg(long, conflicts_with = "state")]
    stop: bool,
    /// Show whether terminals are allowed, and the one that is open
    #[arg(long)]
    state: bool,
    #[command(flatten)]
    call: Call,
}

/// Arguments of `muster machine terminals`
#[derive(Debug, clap::Args)]
pub(crate) struct Terminals {
    /// Name or UUID
    machine: String,
    /// Write the recording of this one to standard output, in asciicast v2, which asciinema plays
    #[arg(long, value_name = "UUID")]
    recording: Option<Uuid>,
    #[command(flatten)]
    call: Call,
}

/// Opens a terminal, or says whether one may be opened.
pub(crate) async fn terminal(args: Terminal) -> Result<()> {
    let mut client = args.call.client()?;
    let at = format!("{}/terminal", path(&args.machine));
    let answer = if args.enable {
        enter_password(&mut client).await?;
        client.put(&at, &TerminalSwitch { enabled: true }).await?
    } else if args.disable {
        client.put(&at, &TerminalSwitch { enabled: false }).await?
    } else if args.stop {
        client.delete(&at).await?
    } else if args.state {
        client.get(&at).await?
    } else {
        return open(client, &at).await;
    };
    args.call.show(&answer, || Ok(draw(&decode(&answer)?)))
}

/// Those that were open, or the recording of one.
pub(crate) async fn terminals(args: Terminals) -> Result<()> {
    let client = args.call.client()?;
    if let Some(id) = args.recording {
        let at = format!("/api/v3/terminals/{}/recording", encode(&id.to_string()));
        let text = client.bytes(client.request(reqwest::Method::GET, &at)).await?;
        return io::stdout().write_all(&text).context("the recording cannot be written");
    }
    let answer = client.get(&format!("{}/terminals", path(&args.machine))).await?;
    args.call.show(&answer, || {
        let all: Vec<Kept> = decode(&answer)?;
        Ok(draw_list(&all))
    })
}

fn draw(state: &TerminalState) -> String {
    let allowed = if state.enabled {
        format!("allowed by {} at {}", print::one_line(&state.enabled_by), state.enabled_at)
    } else {
        "off; allow them with --enable".to_owned()
    };
    let open = state.open.as_ref().map_or_else(
        || "none".to_owned(),
        |open| format!("{} from {} since {}", print::one_line(&open.user), open.source, open.opened_at),
    );
    let online = if state.online { "online" } else { "offline" };
    print::fields(&[("Terminals", allowed), ("Machine", online.to_owned()), ("Open", open)])
}

fn draw_list(all: &[Kept]) -> String {
    let rows = all.iter().map(|each| {
        vec![
            each.opened_at.clone(),
            print::one_line(&each.user),
            each.source.clone(),
            format!("{} s", each.seconds),
            print::bytes(each.bytes),
            if each.end.is_none() { "open".to_owned() } else { print::one_line(&each.message) },
            each.uuid.to_string(),
        ]
    });
    let header = ["OPENED", "BY", "FROM", "LASTED", "SHOWN", "ENDED", "UUID"];
    print::table(&header, rows.collect(), "no terminal was opened on this machine in the last 90 days")
}

/// Terminals want the password anew, whatever else speaks for us.
async fn enter_password(client: &mut Client) -> Result<()> {
    if client.is_by_password() {
        return Ok(());
    }
    let session: Session = decode(&client.get("/api/v3/session").await?)?;
    let name = print::one_line(&session.username);
    let password = prompt::password(&format!("Password of {name} at {}", client.endpoint()))?;
    if password.is_empty() {
        bail!("no password: terminals want it anew, also where a token speaks");
    }
    client.set_password(&session.username, &password)
}

async fn open(mut client: Client, at: &str) -> Result<()> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        bail!("this needs a terminal at both ends: run it on one, without a pipe");
    }
    enter_password(&mut client).await?;
    let mut socket = client.websocket(&format!("{at}/ws"), 2 * MAX_BYTES).await?;
    say(&mut socket, &OperatorSays::Open { csrf: String::new(), size: size() }).await?;
    let raw = Raw::begin()?;
    let ended = converse(&mut socket).await;
    drop(raw);
    match ended? {
        (End::Exited | End::Left, message) => print::note(&format!("\nended: {}", print::one_line(&message))),
        (_, message) => bail!("{}", print::one_line(&message)),
    }
}

/// Carries bytes both ways until it is over: why.
async fn converse(socket: &mut Socket) -> Result<(End, String)> {
    let mut keys = keyboard();
    let mut resized = signal(SignalKind::window_change()).context("changes of the size cannot be heard")?;
    let (mut seen, mut is_open) = (0, false);
    loop {
        tokio::select! {
            heard = socket.next() => match heard {
                Some(Ok(Message::Binary(bytes))) => {
                    let mut out = io::stdout();
                    out.write_all(&bytes).and_then(|()| out.flush()).context("the terminal cannot be written")?;
                    seen += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    if seen >= TELL_AFTER {
                        say(socket, &OperatorSays::Seen { bytes: seen }).await?;
                        seen = 0;
                    }
                }
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text).unwrap_or(OperatorHears::Other) {
                    OperatorHears::Waiting { message } | OperatorHears::Notice { message } => tell(&message)?,
                    OperatorHears::Opened { .. } => {
                        is_open = true;
                        tell("open, and recorded; Ctrl-] leaves")?;
                    }
                    OperatorHears::Ended { reason, message } => return Ok((reason, message)),
                    OperatorHears::Other => {}
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => bail!("the server ended the connection"),
                Some(Err(error)) => return Err(error).context("the connection broke"),
            },
            typed = keys.recv() => {
                let Some(typed) = typed else { bail!("the keyboard cannot be read any more") };
                if typed.contains(&LEAVE) {
                    // Whether the server hears it or not, it notices.
                    socket.close(None).await.unwrap_or(());
                    return Ok((End::Left, "you left it".to_owned()));
                }
                if is_open {
                    socket.send(Message::binary(typed)).await.context("the connection broke")?;
                }
            }
            Some(()) = resized.recv() => say(socket, &OperatorSays::Resize { size: size() }).await?,
        }
    }
}

async fn say(socket: &mut Socket, what: &OperatorSays) -> Result<()> {
    let text = serde_json::to_string(what).context("a message cannot be written")?;
    socket.send(Message::text(text)).await.context("the connection broke")
}

/// A remark of ours in a terminal that is raw.
fn tell(text: &str) -> Result<()> {
    let mut out = io::stderr();
    write!(out, "[{}]\r\n", print::one_line(text)).context("the terminal cannot be written")
}

/// What is typed. The thread that reads it ends with the program: nothing else makes a read return.
fn keyboard() -> mpsc::Receiver<Vec<u8>> {
    let (tell, keys) = mpsc::channel(WAITING);
    thread::spawn(move || {
        let mut buffer = vec![0; 4_096];
        while let Ok(count @ 1..) = io::stdin().read(&mut buffer) {
            let typed = buffer.get(..count).unwrap_or_default().to_vec();
            if tell.blocking_send(typed).is_err() {
                break;
            }
        }
    });
    keys
}

fn size() -> Size {
    rustix::termios::tcgetwinsize(io::stdout())
        .map(|size| Size::new(size.ws_col.into(), size.ws_row.into()))
        .unwrap_or_default()
}

/// Hands every key on as it is until it is dropped.
struct Raw(Termios);

impl Raw {
    fn begin() -> Result<Self> {
        let before = tcgetattr(io::stdin()).context("the terminal's settings cannot be read")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &raw).context("the terminal cannot be made raw")?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nobody could do more about it than `reset`.
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.0).unwrap_or(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::rest::TerminalOpen;

    #[test]
    fn state_says_what_can_be_done_and_nothing_in_it_moves_the_cursor() {
        assert!(draw(&TerminalState::default()).contains("off; allow them with --enable"));
        let open = TerminalOpen {
            uuid: Uuid::nil(),
            user: "e\u{1b}[2Jve".to_owned(),
            source: "10.0.0.9".to_owned(),
            opened_at: "2026-01-01T00:00:00Z".to_owned(),
        };
        let state = TerminalState {
            enabled: true,
            enabled_by: "mia".to_owned(),
            open: Some(open),
            ..TerminalState::default()
        };
        let drawn = draw(&state);
        assert!(
            drawn.contains("allowed by mia") && drawn.contains("from 10.0.0.9") && !drawn.contains('\u{1b}')
        );
        assert!(draw_list(&[]).contains("no terminal was opened"));
    }
}
