//! The operator's side of a terminal: a websocket of the dashboard or of `muster`.
//!
//! 1. Who calls is known before the upgrade, and whether they have the right at all.
//! 2. The first message opens it; a cookie speaks only with the session's token in that message.
//! 3. What the machine writes is recorded, then shown, never more than a window ahead of what was seen.
//! 4. Whatever ends it is told in a last message, and put on record.

use super::{PING, SEND, SILENCE};
use crate::app::{App, Ended, FromMachine, Seat, ToMachine};
use crate::http::Http;
use crate::http::body::bad_request;
use crate::http::error::HttpError;
use crate::http::extract::{Caller, Key, Operator, OwnSocket, is_csrf_token};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use engine::machine::Machine;
use protocol::terminal::{End, MAX_BYTES, MachineSays, OperatorHears, OperatorSays, Size, WINDOW, read};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

/// How long the first message may take.
const FIRST: Duration = Duration::from_secs(10);
/// How long the machine's side may take to come: the boot image fetches its tools first.
const NO_ANSWER: Duration = Duration::from_secs(120);
/// Nothing is typed for so long: it ends.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// So long before that, it is told.
const WARNING: Duration = Duration::from_secs(60);
/// Longest that one may last.
const LONGEST: Duration = Duration::from_secs(8 * 3_600);
/// Until the log-in changes; it is looked at with every ping as well.
const LONG: Duration = Duration::from_secs(3_600);

/// Upgrades to a websocket.
pub(crate) async fn connect(
    State(http): State<Http>,
    caller: Caller,
    OwnSocket(operator): OwnSocket,
    Key(machine): Key,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, HttpError> {
    let machine = http.app.may_open_terminal(operator.actor(), &machine).await?;
    let upgrade = upgrade.map_err(|_| bad_request("this address is for websockets"))?;
    let upgrade = upgrade.max_message_size(MAX_BYTES).max_frame_size(MAX_BYTES);
    let side = Side { http, caller, operator, unseen: 0, typed: None };
    Ok(upgrade.on_upgrade(move |socket| side.run(socket, machine)))
}

/// Who is there, and how far they are.
struct Side {
    http: Http,
    caller: Caller,
    operator: Operator,
    /// Bytes that were sent and not seen yet.
    unseen: u64,
    /// What the machine has no room for yet; nothing more is read meanwhile.
    typed: Option<ToMachine>,
}

impl Side {
    async fn run(mut self, mut socket: WebSocket, machine: Machine) {
        let ended = match self.first(&mut socket).await {
            Ok(size) => {
                match App::open_terminal(&self.http.app, &self.operator.login, &machine, size).await {
                    Ok(mut seat) => {
                        let ended = self.converse(&mut socket, &mut seat).await;
                        seat.close(&ended).await;
                        ended
                    }
                    Err(refused) => refused,
                }
            }
            Err(ended) => ended,
        };
        // Somebody who left hears nothing any more.
        drop(tell(&mut socket, &ended.told()).await);
        let code = if ended.end == End::Exited { close_code::NORMAL } else { close_code::POLICY };
        let close = Message::Close(Some(CloseFrame { code, reason: "".into() }));
        drop(timeout(SEND, socket.send(close)).await);
    }

    /// The first message: how large it is to be, from nobody but the page of the session.
    async fn first(&self, socket: &mut WebSocket) -> Result<Size, Ended> {
        let said = match timeout(FIRST, socket.recv()).await {
            Ok(Some(Ok(Message::Text(text)))) => understood(&text)?,
            Ok(Some(Ok(_))) => return Err(not_understood()),
            Ok(Some(Err(_)) | None) => return Err(left()),
            Err(_) => return Err(Ended::new(End::TooSlow, "nothing was said in time")),
        };
        let OperatorSays::Open { csrf, size } = said else { return Err(not_understood()) };
        let Some(secret) = &self.operator.session else { return Ok(size) };
        if is_csrf_token(csrf.as_bytes(), &self.http.app.csrf_token(secret)) {
            return Ok(size);
        }
        Err(Ended::new(End::Forbidden, "the first message needs the session's CSRF token"))
    }

    async fn converse(&mut self, socket: &mut WebSocket, seat: &mut Seat) -> Ended {
        let app = std::sync::Arc::clone(&self.http.app);
        let mut changes = app.login_changes(&self.operator.login);
        let says = seat.says.clone();
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut patience = Patience::begin(heard);
        let message = format!("waiting for the agent of {}", seat.machine_name());
        if let Err(ended) = tell(socket, &OperatorHears::Waiting { message }).await {
            return ended;
        }
        loop {
            let step = tokio::select! {
                () = self.http.stopping.cancelled() => Err(Ended::new(End::ServerStops, "the server stops")),
                _ = seat.stop.changed() => Err(stopped(seat)),
                said = seat.hears.recv(), if self.unseen < WINDOW => {
                    self.show(socket, seat, said, &mut patience).await
                }
                room = says.reserve(), if self.typed.is_some() => match (room, self.typed.take()) {
                    (Ok(room), Some(typed)) => {
                        room.send(typed);
                        Ok(())
                    }
                    // The last word of the machine's side is still to come.
                    (Err(_), _) | (Ok(_), None) => Ok(()),
                },
                said = socket.recv(), if self.typed.is_none() => {
                    heard = Instant::now();
                    self.hear(seat, said, &mut patience).await
                }
                () = changes.wait(LONG) => self.look_again(&app, seat).await,
                _ = pings.tick() => match ping(socket, heard).await {
                    Ok(()) => self.look_again(&app, seat).await,
                    Err(ended) => Err(ended),
                },
                () = sleep_until(patience.next().0) => patience_ends(socket, &mut patience).await,
            };
            if let Err(ended) = step {
                return ended;
            }
        }
    }

    /// Shows what the machine's side sends, once it is recorded.
    async fn show(
        &mut self,
        socket: &mut WebSocket,
        seat: &mut Seat,
        said: Option<FromMachine>,
        patience: &mut Patience,
    ) -> Result<(), Ended> {
        match said {
            Some(FromMachine::Bytes(bytes)) => {
                seat.record(&bytes).await?;
                self.unseen = self.unseen.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                send(socket, Message::Binary(bytes.into())).await
            }
            Some(FromMachine::Told) => {
                let message =
                    "the agent starts it; in the boot image it may fetch its tools first".to_owned();
                tell(socket, &OperatorHears::Waiting { message }).await
            }
            Some(FromMachine::Came) => {
                patience.came(Instant::now());
                tell(socket, &OperatorHears::Opened { uuid: seat.id() }).await
            }
            Some(FromMachine::Says(MachineSays::Exited { code, signal })) => Err(exited(code, signal)),
            Some(FromMachine::Says(MachineSays::Failed { message })) => {
                Err(Ended::new(End::MachineFailed, format!("the machine gives no shell: {message}")))
            }
            Some(FromMachine::Says(MachineSays::Other)) => Ok(()),
            None => Err(Ended::new(End::MachineLost, "the connection to the machine broke off")),
        }
    }

    /// Takes what the operator says.
    async fn hear(
        &mut self,
        seat: &mut Seat,
        said: Option<Result<Message, axum::Error>>,
        patience: &mut Patience,
    ) -> Result<(), Ended> {
        match said {
            Some(Ok(Message::Binary(bytes))) => {
                patience.typed(Instant::now());
                self.typed = Some(ToMachine::Bytes(bytes.to_vec()));
            }
            Some(Ok(Message::Text(text))) => match understood(&text)? {
                OperatorSays::Resize { size } => {
                    seat.resize(size).await?;
                    self.typed = Some(ToMachine::Resize(size));
                }
                OperatorSays::Seen { bytes } => self.unseen = self.unseen.saturating_sub(bytes),
                OperatorSays::Open { .. } => return Err(not_understood()),
                OperatorSays::Other => {}
            },
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(left()),
        }
        Ok(())
    }

    /// Ends with the log-in, the right, or the machine's switch.
    async fn look_again(&mut self, app: &App, seat: &Seat) -> Result<(), Ended> {
        match app.still(&self.operator.login, self.caller.origin()).await {
            Ok(Some(actor)) => app.terminal_goes_on(&actor, seat.machine()).await,
            Ok(None) => Err(Ended::new(End::LoggedOut, "the log-in has ended")),
            Err(error) => {
                tracing::warn!(%error, "whether a terminal's log-in holds cannot be told");
                Err(Ended::new(End::Failed, "the server cannot tell whether the log-in holds"))
            }
        }
    }
}

/// How long is waited, and for what.
#[derive(Debug, Clone, Copy)]
struct Patience {
    begun: Instant,
    /// Since when nothing was typed; none until the machine's side is there.
    typed_at: Option<Instant>,
    warned: bool,
}

/// What happens when patience ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    NoAnswer,
    Warn,
    Idle,
    TooLong,
}

impl Patience {
    const fn begin(now: Instant) -> Self {
        Self { begun: now, typed_at: None, warned: false }
    }

    const fn came(&mut self, now: Instant) {
        self.typed_at = Some(now);
    }

    /// Typing before the machine's side is there brings it no sooner.
    fn typed(&mut self, now: Instant) {
        self.typed_at = self.typed_at.map(|_| now);
        self.warned = false;
    }

    /// What comes next, and when.
    fn next(&self) -> (Instant, Limit) {
        let Some(typed) = self.typed_at else { return (self.begun + NO_ANSWER, Limit::NoAnswer) };
        let idle =
            if self.warned { (typed + IDLE, Limit::Idle) } else { (typed + IDLE - WARNING, Limit::Warn) };
        let longest = self.begun + LONGEST;
        if longest < idle.0 { (longest, Limit::TooLong) } else { idle }
    }
}

async fn patience_ends(socket: &mut WebSocket, patience: &mut Patience) -> Result<(), Ended> {
    match patience.next().1 {
        Limit::Warn => {
            patience.warned = true;
            let message = "nothing was typed for 14 minutes; it ends in one more".to_owned();
            tell(socket, &OperatorHears::Notice { message }).await
        }
        Limit::NoAnswer => {
            let message = "the machine's agent did not bring a terminal within two minutes; its console, or its \
                           journal, says why, and an agent of an older version knows none";
            Err(Ended::new(End::NoAnswer, message))
        }
        Limit::Idle => Err(Ended::new(End::Idle, "nothing was typed for 15 minutes")),
        Limit::TooLong => Err(Ended::new(End::TooLong, "it was open for eight hours; open another one")),
    }
}

fn understood(text: &str) -> Result<OperatorSays, Ended> {
    read(text).ok_or_else(not_understood)
}

fn not_understood() -> Ended {
    Ended::new(End::NotUnderstood, "the other side said what this server does not understand")
}

fn left() -> Ended {
    Ended::new(End::Left, "it was closed")
}

fn stopped(seat: &Seat) -> Ended {
    let why = seat.stop.borrow().clone();
    why.unwrap_or_else(|| Ended::new(End::Failed, "its place was lost"))
}

fn exited(code: Option<i32>, signal: Option<i32>) -> Ended {
    let message = match (code, signal) {
        (Some(0), _) => "the shell ended".to_owned(),
        (Some(code), _) => format!("the shell ended with code {code}"),
        (None, Some(signal)) => format!("the shell was ended by signal {signal}"),
        (None, None) => "the shell ended, nobody knows how".to_owned(),
    };
    Ended::new(End::Exited, message)
}

/// Pings, and ends a silent peer.
async fn ping(socket: &mut WebSocket, heard: Instant) -> Result<(), Ended> {
    if heard.elapsed() > SILENCE {
        return Err(Ended::new(End::Left, "the other side was silent for a minute"));
    }
    send(socket, Message::Ping(Vec::new().into())).await
}

async fn tell(socket: &mut WebSocket, what: &OperatorHears) -> Result<(), Ended> {
    match serde_json::to_string(what) {
        Ok(text) => send(socket, Message::text(text)).await,
        Err(error) => {
            tracing::error!(%error, "an operator's side of a terminal cannot be told");
            Err(Ended::new(End::Failed, "the server could not say something"))
        }
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), Ended> {
    match timeout(SEND, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(left()),
        Err(_) => Err(Ended::new(End::TooSlow, "the other side takes nothing in any more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn silence_is_warned_of_and_ends_it_and_typing_starts_anew() {
        let now = Instant::now();
        let mut patience = Patience::begin(now);
        assert_eq!(patience.next(), (now + NO_ANSWER, Limit::NoAnswer));
        patience.typed(now + PING);
        assert_eq!(patience.next(), (now + NO_ANSWER, Limit::NoAnswer), "typing is no answer");
        patience.came(now);
        assert_eq!(patience.next(), (now + IDLE - WARNING, Limit::Warn));
        patience.warned = true;
        assert_eq!(patience.next(), (now + IDLE, Limit::Idle));
        patience.typed(now + IDLE - PING);
        assert_eq!(patience.next().1, Limit::Warn);
        patience.typed(now + LONGEST - PING);
        assert_eq!(patience.next(), (now + LONGEST, Limit::TooLong));
    }

    proptest! {
        #[test]
        fn whatever_an_operators_side_says_is_understood_or_refused(text in ".{0,300}") {
            if let Err(ended) = understood(&text) {
                prop_assert_eq!(ended.end, End::NotUnderstood);
            }
        }
    }
}
