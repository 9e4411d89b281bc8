//! `muster events`: the server's websocket as lines of JSON.

use crate::print;
use crate::rest::{Client, Connection};
use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use protocol::event::{Event, EventPattern};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Largest event that is read, in bytes.
const MAX_EVENT: usize = 4 * 1_024 * 1_024;

/// Arguments of `muster events`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to hear of, as TYPE.ACTION.KEY with * or comma lists
    #[arg(value_name = "PATTERN", default_values = ["machines.*.*", "enrollments.*.*"], value_parser = pattern)]
    patterns: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Checks a pattern before anyone is asked, and keeps it as it was written.
fn pattern(text: &str) -> Result<String, protocol::event::PatternError> {
    text.parse::<EventPattern>().map(|_| text.to_owned())
}

/// What one message of the server means to us.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// A pattern is registered.
    Registered,
    /// Something to print: a change, or word that changes were lost (`websocket.resync`).
    News,
    /// The server refuses a command.
    Refused(String),
}

/// Prints events until the server or the reader goes away.
pub(crate) async fn run(args: Args) -> Result<()> {
    let client = Client::open(&args.connection)?;
    let mut socket = client.websocket("/api/v3/ws", MAX_EVENT).await?;
    for pattern in &args.patterns {
        let words = Utf8Bytes::from(format!("register {pattern}"));
        socket.send(Message::Text(words)).await.context("the server hung up")?;
    }
    let mut registered = 0;
    while let Some(message) = socket.next().await {
        match message.context("the connection broke")? {
            Message::Text(text) => match judge(&text)? {
                Heard::News => print::line(&text)?,
                Heard::Refused(why) => bail!("the server refused: {}", print::one_line(&why)),
                Heard::Registered => {
                    registered += 1;
                    if registered == args.patterns.len() {
                        print::note(&format!(
                            "listening at {} for {}",
                            client.endpoint(),
                            args.patterns.join(" ")
                        ))?;
                    }
                }
            },
            Message::Close(Some(frame)) if !frame.reason.is_empty() => {
                bail!("the server ended the connection: {}", print::one_line(&frame.reason))
            }
            Message::Close(_) => break,
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    bail!("the server ended the connection; what changed since then was not heard")
}

fn judge(text: &str) -> Result<Heard> {
    let event: Event = serde_json::from_str(text).context("the server sent something that is no event")?;
    Ok(match (event.kind.as_str(), event.action.as_str()) {
        ("websocket", "register") => Heard::Registered,
        ("websocket", "error") => {
            let message = event.object.get("Message").and_then(serde_json::Value::as_str).unwrap_or_default();
            Heard::Refused(message.to_owned())
        }
        _ => Heard::News,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_no_news_and_losses_are() {
        let event = |kind: &str, action: &str| {
            format!(
                r#"{{"Time":"","Type":"{kind}","Action":"{action}","Key":"k","Principal":"system","Object":{{"Message":"why"}}}}"#
            )
        };
        assert_eq!(judge(&event("websocket", "register")).unwrap(), Heard::Registered);
        assert_eq!(judge(&event("websocket", "error")).unwrap(), Heard::Refused("why".into()));
        assert_eq!(judge(&event("websocket", "resync")).unwrap(), Heard::News);
        assert_eq!(judge(&event("machines", "register")).unwrap(), Heard::News);
        assert!(judge("[]").is_err());
    }

    #[test]
    fn a_pattern_is_checked_before_anyone_is_asked() {
        assert_eq!(pattern("machines.update.*").unwrap(), "machines.update.*");
        assert!(pattern("machines").unwrap_err().to_string().contains("such as machines.*.*"));
    }
}
