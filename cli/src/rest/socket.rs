//! Websockets: upgraded by the same HTTPS client as every other call, so that the server is recognised in one way
//! only; tungstenite then speaks on the upgraded connection.

use super::Client;
use anyhow::{Context, Result, bail};
use reqwest::Method;
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// A websocket to the server.
pub(crate) type Socket = WebSocketStream<reqwest::Upgraded>;

impl Client {
    /// Opens the websocket at `path`; messages of at most `most` bytes are read.
    pub(crate) async fn websocket(&self, path: &str, most: usize) -> Result<Socket> {
        let key = generate_key();
        let request = self
            .request(Method::GET, path)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let answer = self.send(request).await?;
        let accepted = answer.headers().get(SEC_WEBSOCKET_ACCEPT).and_then(|value| value.to_str().ok());
        if accepted != Some(derive_accept_key(key.as_bytes()).as_str()) {
            bail!("{} does not speak websocket at {path}; is it a Muster server?", self.endpoint());
        }
        let stream = answer.upgrade().await.context("the server did not switch to a websocket")?;
        let limits = WebSocketConfig::default().max_message_size(Some(most)).max_frame_size(Some(most));
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(limits)).await)
    }
}
