//! Events as a websocket client hears them.

use crate::site::{Site, basic};
use axum::http::header;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longest wait for an event that must come.
const WITHIN: Duration = Duration::from_secs(20);

/// A connection that registered a pattern.
pub(crate) struct Events(WebSocketStream<TcpStream>);

impl Events {
    /// The next event.
    pub(crate) async fn next(&mut self) -> Value {
        let text = self.hear().await.expect("the connection goes on");
        serde_json::from_str(&text).unwrap()
    }

    /// Why the server ended the connection.
    pub(crate) async fn end(&mut self) -> String {
        loop {
            if let Err(reason) = self.hear().await {
                return reason;
            }
        }
    }

    /// Says a command; answers its acknowledgement.
    pub(crate) async fn say(&mut self, command: &str) -> Value {
        self.0.send(Message::text(command)).await.unwrap();
        self.next().await
    }

    async fn hear(&mut self) -> Result<String, String> {
        let message = tokio::time::timeout(WITHIN, async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                    Some(Ok(Message::Close(Some(frame)))) => return Err(frame.reason.to_string()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err("closed".to_owned()),
                }
            }
        });
        message.await.expect("an event")
    }
}

impl Site {
    /// Events of a pattern, as the first user hears them.
    pub(crate) async fn events(&self, pattern: &str) -> Events {
        let password = std::fs::read_to_string(self.data("admin-password")).unwrap();
        self.events_of(&basic("admin", password.trim()), pattern).await
    }

    /// The same as somebody else hears them.
    pub(crate) async fn events_of(&self, authorization: &str, pattern: &str) -> Events {
        let mut events = self.socket("", &[(header::AUTHORIZATION, authorization)]).await.unwrap();
        let answer = events.say(&format!("register {pattern}")).await;
        assert_eq!(answer["Type"], "websocket", "every command is acknowledged");
        events
    }

    /// A websocket, or the status that refuses it. TLS is the listener's affair.
    pub(crate) async fn socket(
        &self,
        query: &str,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<Events, u16> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.server.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut request = format!("ws://{address}/api/v3/ws{query}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), value.parse().unwrap());
        }
        match client_async(request, TcpStream::connect(address).await.unwrap()).await {
            Ok((socket, _)) => Ok(Events(socket)),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}
