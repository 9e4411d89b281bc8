//! Events as a websocket client hears them.

use crate::site::{Site, basic};
use axum::http::header;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longest wait for an event that must come.
const WITHIN: Duration = Duration::from_secs(20);

/// A connection that registered a pattern.
pub(crate) struct Events(WebSocketStream<TcpStream>);

impl Events {
    /// The next event.
    pub(crate) async fn next(&mut self) -> Value {
        let message = tokio::time::timeout(WITHIN, async {
            loop {
                if let Message::Text(text) = self.0.next().await.unwrap().unwrap() {
                    return text;
                }
            }
        });
        serde_json::from_str(&message.await.expect("an event")).unwrap()
    }
}

impl Site {
    /// Events of a pattern, as the first user hears them. TLS is the listener's affair.
    pub(crate) async fn events(&self, pattern: &str) -> Events {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.server.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut request = format!("ws://{address}/api/v3/ws").into_client_request().unwrap();
        let password = std::fs::read_to_string(self.data("admin-password")).unwrap();
        let authorization = basic("admin", password.trim()).parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, authorization);
        let (socket, _) =
            client_async(request, TcpStream::connect(address).await.unwrap()).await.unwrap();
        let mut events = Events(socket);
        events.0.send(Message::text(format!("register {pattern}"))).await.unwrap();
        assert_eq!(events.next().await["Type"], "websocket", "every command is acknowledged");
        events
    }
}
