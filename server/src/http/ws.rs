//! `/api/v3/ws` and `/api/v3/events`: events. A cookie alone is not enough here, since browsers send it from any
//! page: the page must be the dashboard's own.

use super::Http;
use super::body::bad_request;
use super::error::HttpError;
use super::extract::{Caller, Json, Operator, OwnPage};
use super::objects::nothing;
use crate::app::{App, News, Watch};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use protocol::event::Event;
use protocol::rest::NewEvent;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Longest command, in bytes.
const MAX_COMMAND: usize = 4 * 1_024;
/// How often the peer is pinged, and the log-in looked at again.
const PING: Duration = Duration::from_secs(20);
/// Longest silence of the peer: three pings unanswered.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest time one message may take to leave.
const SEND: Duration = Duration::from_secs(30);
/// Until the log-in changes; it is looked at with every ping as well.
const LONG: Duration = Duration::from_secs(3_600);
/// Longest body of an event that somebody makes.
const EVENT_BODY: usize = 64 * 1_024;

/// Upgrades to a websocket.
pub(crate) async fn connect(
    State(http): State<Http>,
    caller: Caller,
    OwnPage(operator): OwnPage,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, HttpError> {
    let watch = http.app.watch(operator.actor())?;
    let upgrade = upgrade.map_err(|_| bad_request("this address is for websockets"))?;
    let upgrade = upgrade.max_message_size(MAX_COMMAND).max_frame_size(MAX_COMMAND);
    Ok(upgrade.on_upgrade(move |socket| Connection { http, caller, operator, socket }.run(watch)))
}

/// Makes an event.
pub(crate) async fn post(
    State(http): State<Http>,
    operator: Operator,
    Json(event): Json<NewEvent, EVENT_BODY>,
) -> Result<Response, HttpError> {
    http.app.post_event(operator.actor(), event)?;
    Ok(nothing())
}

struct Connection {
    http: Http,
    caller: Caller,
    operator: Operator,
    socket: WebSocket,
}

/// Why a connection ends: a close code and a word for the peer.
struct End(u16, &'static str);

impl Connection {
    async fn run(mut self, watch: Watch) {
        // The place among the limits is kept until here.
        let peer = self.caller.peer.clone();
        let End(code, reason) = self.converse(watch).await;
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        if let Ok(Err(error)) = timeout(SEND, self.socket.send(close)).await {
            tracing::debug!(address = %peer.address, %error, "websocket close");
        }
    }

    async fn converse(&mut self, mut watch: Watch) -> End {
        let app = std::sync::Arc::clone(&self.http.app);
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = app.login_changes(&self.operator.login);
        let mut heard = Instant::now();
        loop {
            let sent = tokio::select! {
                () = self.http.stopping.cancelled() => return End(close_code::AWAY, "the server stops"),
                news = app.next_event(&mut watch) => match news {
                    News::Told(told) => self.send(Message::text(told.text.as_str())).await,
                    News::Own(event) => self.tell(&event).await,
                },
                received = self.socket.recv() => {
                    heard = Instant::now();
                    match received {
                        Some(Ok(Message::Text(command))) => {
                            let answer = app.command(&mut watch, &command);
                            self.tell(&answer).await
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                        Some(Ok(Message::Binary(_))) => Err(End(close_code::UNSUPPORTED, "commands are text")),
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return End(close_code::NORMAL, ""),
                    }
                }
                () = changes.wait(LONG) => self.look_again(&app, &mut watch).await,
                _ = pings.tick() => match self.ping(heard).await {
                    Ok(()) => self.look_again(&app, &mut watch).await,
                    Err(end) => Err(end),
                },
            };
            if let Err(end) = sent {
                return end;
            }
        }
    }

    /// Ends with the log-in, and goes on with what the caller may do now.
    async fn look_again(&mut self, app: &App, watch: &mut Watch) -> Result<(), End> {
        match app.still(&self.operator.login, self.caller.origin()).await {
            Ok(Some(actor)) => {
                watch.goes_on_as(actor);
                Ok(())
            }
            Ok(None) => Err(End(close_code::POLICY, "the log-in has ended")),
            Err(error) => {
                tracing::warn!(%error, "whether a websocket's log-in holds cannot be told");
                Err(End(close_code::ERROR, "the server cannot tell whether the log-in holds"))
            }
        }
    }

    /// Pings, and ends a silent peer.
    async fn ping(&mut self, heard: Instant) -> Result<(), End> {
        if heard.elapsed() > SILENCE {
            return Err(End(close_code::AWAY, "no answer to pings"));
        }
        self.send(Message::Ping(Vec::new().into())).await
    }

    async fn tell(&mut self, event: &Event) -> Result<(), End> {
        match serde_json::to_string(event) {
            Ok(json) => self.send(Message::Text(json.into())).await,
            Err(error) => {
                tracing::error!(%error, "an event cannot be written as JSON");
                Err(End(close_code::ERROR, "an event could not be told"))
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(SEND, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End(close_code::AWAY, "too slow")),
        }
    }
}
