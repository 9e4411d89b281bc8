//! Files of the server's media, over the same trust as every other call, but on a connection of
//! their own: the conversation of the driver goes on meanwhile.

use super::connect::Road;
use super::tls::Trust;
use super::{ClockTrust, ConnectError};
use crate::net::Status;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, HOST, HeaderName, RANGE, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use protocol::SERVER_ID_SUFFIX;
use protocol::config::{ProxyUrl, ServerUrl};
use std::io;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Longest silence of a server, before the answer and within it.
const SILENCE: Duration = Duration::from_secs(30);

/// Why a file did not come, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server has no such file.
    #[error("{place} does not have {file}; have its media built by this version ('muster media build')")]
    Absent {
        /// The server.
        place: String,
        /// The file.
        file: String,
    },
    /// The server has another file of this name.
    #[error("{place} has another {file} than belongs to this image; boot from the server's present media")]
    Other {
        /// The server.
        place: String,
        /// The file.
        file: String,
    },
    /// Any other answer.
    #[error("{0} answers HTTP {1}")]
    Refused(String, StatusCode),
    /// The connection broke.
    #[error("{0} broke off")]
    Cut(String),
    /// What came could not be kept.
    #[error("cannot keep the download")]
    Keep(#[source] io::Error),
}

/// One file, or the rest of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Its name in `/media/`.
    pub(crate) file: &'a str,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// The first byte wanted.
    pub(crate) from: u64,
}

/// The way to servers, as it is at any moment.
#[derive(Clone)]
pub(crate) struct Way {
    /// In the order in which they are tried.
    pub(crate) servers: Vec<ServerUrl>,
    /// Whom to believe.
    pub(crate) trust: Trust,
    /// What connections go through.
    pub(crate) proxy: watch::Receiver<Option<ProxyUrl>>,
    /// Whom to ask for names.
    pub(crate) network: watch::Receiver<Status>,
}

impl Way {
    /// Hands a file over to `keep` piece by piece, in order, never more than it is long.
    ///
    /// # Errors
    /// [`DownloadError`]; what was kept until then may be continued from.
    pub(crate) async fn download(
        &self,
        server: &ServerUrl,
        wanted: Wanted<'_>,
        mut keep: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), DownloadError> {
        let place = server.authority();
        let mut body = self.ask(server, &place, wanted).await?.into_body();
        let mut left = wanted.size.saturating_sub(wanted.from);
        while left > 0 {
            let Ok(Some(Ok(frame))) = timeout(SILENCE, body.frame()).await else {
                return Err(DownloadError::Cut(place));
            };
            let Ok(data) = frame.into_data() else { continue };
            left = u64::try_from(data.len())
                .ok()
                .and_then(|len| left.checked_sub(len))
                .ok_or_else(|| DownloadError::Other { place: place.clone(), file: wanted.file.to_owned() })?;
            keep(&data).map_err(DownloadError::Keep)?;
        }
        Ok(())
    }

    /// The head of a good answer.
    async fn ask(
        &self,
        server: &ServerUrl,
        place: &str,
        wanted: Wanted<'_>,
    ) -> Result<Response<Incoming>, DownloadError> {
        let (proxy, dns) = (self.proxy.borrow().clone(), self.network.borrow().dns());
        let road = Road { trust: &self.trust, proxy: proxy.as_ref(), dns };
        // The time counts: a machine whose clock is wrong has been told the right one by its server.
        let (mut requests, peer) = road.lead_to(server, ClockTrust::Set).await?;
        // A proxy that ends TLS finds the server by the name that was dialled.
        let host = match peer.authority {
            Some(_) => place.to_owned(),
            None => format!("{}{SERVER_ID_SUFFIX}", peer.server_id),
        };
        let Wanted { file, size, from } = wanted;
        let mut request = Request::get(format!("/media/{file}"))
            .header(HOST, host)
            .header(USER_AGENT, concat!("muster-agent/", env!("CARGO_PKG_VERSION")));
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let cut = || DownloadError::Cut(place.to_owned());
        let request = request.body(Full::new(Bytes::new())).map_err(|_| cut())?;
        let response = timeout(SILENCE, requests.send_request(request)).await;
        let response = response.map_err(|_| cut())?.map_err(|_| cut())?;
        let says = |name: HeaderName, words: String| {
            response.headers().get(name).is_some_and(|value| value.as_bytes() == words.as_bytes())
        };
        let file = || file.to_owned();
        let (good, right) = if from == 0 {
            (StatusCode::OK, says(CONTENT_LENGTH, size.to_string()))
        } else {
            let range = format!("bytes {from}-{}/{size}", size.saturating_sub(1));
            (StatusCode::PARTIAL_CONTENT, says(CONTENT_RANGE, range))
        };
        match response.status() {
            status if status == good && right => Ok(response),
            status if status == good || status == StatusCode::RANGE_NOT_SATISFIABLE => {
                Err(DownloadError::Other { place: place.to_owned(), file: file() })
            }
            StatusCode::NOT_FOUND => Err(DownloadError::Absent { place: place.to_owned(), file: file() }),
            status => Err(DownloadError::Refused(place.to_owned(), status)),
        }
    }
}
