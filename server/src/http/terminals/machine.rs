//! The machine's side of a terminal: a websocket of the program that its agent started.

use super::{PING, SEND, SILENCE};
use crate::app::{FromMachine, MachineSide, ToMachine};
use crate::http::Http;
use crate::http::body::bad_request;
use crate::http::error::HttpError;
use crate::http::extract::{Key, Secret};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use protocol::inventory::clean_text;
use protocol::terminal::{MAX_BYTES, MAX_SENTENCE, MachineHears, MachineSays, read};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Time for the last word to the machine.
const GOODBYE: Duration = Duration::from_secs(2);

/// Upgrades to a websocket, for whoever has the secret: once.
pub(crate) async fn connect(
    State(http): State<Http>,
    Key(id): Key,
    Secret(secret): Secret,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, HttpError> {
    let upgrade = upgrade.map_err(|_| bad_request("this address is for websockets"))?;
    let side = http.app.attach_terminal(&id, &secret)?;
    let upgrade = upgrade.max_message_size(MAX_BYTES).max_frame_size(MAX_BYTES);
    Ok(upgrade.on_upgrade(move |socket| run(socket, side)))
}

/// Runs until either side ends.
async fn run(socket: WebSocket, side: MachineSide) {
    let MachineSide { start, hears, says } = side;
    let (mut sink, stream) = socket.split();
    if says.send(FromMachine::Came).await.is_err() || tell(&mut sink, &start).await.is_err() {
        return;
    }
    tokio::select! {
        () = bring(&mut sink, hears) => {}
        () = take(stream, says) => {}
    }
    // The program ends with its connection, whether it hears this or not.
    drop(timeout(GOODBYE, sink.close()).await);
}

/// Brings the machine what it is sent, and pings it. Ends with the operator's side.
async fn bring(sink: &mut SplitSink<WebSocket, Message>, mut hears: Receiver<ToMachine>) {
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sent = tokio::select! {
            said = hears.recv() => match said {
                Some(ToMachine::Bytes(bytes)) => send(sink, Message::Binary(bytes.into())).await,
                Some(ToMachine::Resize(size)) => tell(sink, &MachineHears::Resize { size }).await,
                None => return,
            },
            _ = pings.tick() => send(sink, Message::Ping(Vec::new().into())).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Takes what the machine sends. Ends when either side does.
async fn take(mut stream: SplitStream<WebSocket>, says: Sender<FromMachine>) {
    while let Ok(Some(Ok(message))) = timeout(SILENCE, stream.next()).await {
        let said = match message {
            Message::Binary(bytes) => FromMachine::Bytes(bytes.to_vec()),
            Message::Text(text) => match understood(&text) {
                Some(said) => FromMachine::Says(said),
                None => continue,
            },
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return,
        };
        if says.send(said).await.is_err() {
            return;
        }
    }
}

/// What a text of the machine says; none for what this version does not know. Its sentences are made
/// harmless: they are shown.
fn understood(text: &str) -> Option<MachineSays> {
    match read(text)? {
        MachineSays::Failed { message } => {
            let message = clean_text(&message).chars().take(MAX_SENTENCE).collect();
            Some(MachineSays::Failed { message })
        }
        exited @ MachineSays::Exited { .. } => Some(exited),
        MachineSays::Other => None,
    }
}

/// The socket is gone, or takes nothing in.
struct Gone;

async fn tell(sink: &mut SplitSink<WebSocket, Message>, what: &MachineHears) -> Result<(), Gone> {
    let text = serde_json::to_string(what).map_err(|error| {
        tracing::error!(%error, "a machine's side of a terminal cannot be told");
        Gone
    })?;
    send(sink, Message::text(text)).await
}

async fn send(sink: &mut SplitSink<WebSocket, Message>, message: Message) -> Result<(), Gone> {
    match timeout(SEND, sink.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::terminal::MAX_TEXT;

    #[test]
    fn what_a_machine_says_is_made_harmless_or_passed_over() {
        let long = format!(r#"{{"Type":"failed","Message":"\u001b[2J{}"}}"#, "x".repeat(1_000));
        let Some(MachineSays::Failed { message }) = understood(&long) else { panic!("not understood") };
        assert!(message.len() <= MAX_SENTENCE && !message.contains('\u{1b}') && message.ends_with('x'));
        assert_eq!(
            understood(r#"{"Type":"exited"}"#),
            Some(MachineSays::Exited { code: None, signal: None })
        );
        let endless = format!(r#"{{"Type":"exited","Padding":"{}"}}"#, "x".repeat(MAX_TEXT));
        for text in ["", "[]", "{}", r#"{"Type":"later"}"#, r#"{"Type":"exited","Code":"0"}"#, &endless] {
            assert_eq!(understood(text), None, "{text}");
        }
    }
}
