//! `/api/v3/ws`: events. A cookie alone is not enough here, since browsers send it from any
//! page: the page must be the dashboard's own.

use super::Http;
use super::body::bad_request;
use super::error::HttpError;
use super::extract::{Caller, Operator, OwnPage};
use crate::app::{App, News, Watch};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use protocol::event::Event;
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
                _ = pings.tick() => self.ping(&app, heard).await,
            };
            if let Err(end) = sent {
                return end;
            }
        }
    }

    /// Pings, and ends what has ended: a silent peer, a log-in that is over.
    async fn ping(&mut self, app: &App, heard: Instant) -> Result<(), End> {
        if heard.elapsed() > SILENCE {
            return Err(End(close_code::AWAY, "no answer to pings"));
        }
        let over = End(close_code::POLICY, "the log-in has ended");
        if self.operator.login.expires_at.is_some_and(|end| end <= app.now()) {
            return Err(over);
        }
        if let Some(secret) = &self.operator.session {
            app.by_session(secret, self.caller.origin()).await.map_err(|_| over)?;
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
