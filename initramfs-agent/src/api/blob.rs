//! Files of images, or the rest of them: from our server, or from a foreign one whose CA is known.
//!
//! Limits: those of a connection, and how long a server may be silent, before its answer and within it.

use super::ConnectError;
use super::rest::Place;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HOST, HeaderMap, HeaderName, IF_RANGE, RANGE,
    RETRY_AFTER, USER_AGENT,
};
use hyper::{Request, Response, StatusCode};
use std::time::Duration;
use tokio::time::timeout;

/// Longest tag that is sent back, in bytes.
const MAX_TAG: usize = 256;

/// Why a file does not come, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server says no, or not now.
    #[error("{place} answers HTTP {status}")]
    Refused {
        /// The server.
        place: String,
        /// Its answer.
        status: StatusCode,
        /// Seconds to wait before asking again.
        retry_after: Option<u64>,
    },
    /// The server has something else than is wanted.
    #[error("{place} has a file of {got} bytes where one of {want} is wanted")]
    Length {
        /// The server.
        place: String,
        /// What it has.
        got: u64,
        /// What is wanted.
        want: u64,
    },
    /// The server sends us to another one.
    #[error("{0} sends us to another server, which nobody vouches for; set Pull to server in the Image")]
    Elsewhere(String),
    /// The connection broke, or nothing came any more.
    #[error("{0} broke off")]
    Cut(String),
}

impl BlobError {
    /// Whether the same server may do better later.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Connect(error) => match error {
                ConnectError::Name { .. }
                | ConnectError::NoRoute(_)
                | ConnectError::Proxy(_)
                | ConnectError::Unreachable(_) => true,
                ConnectError::Pin { .. } | ConnectError::CertificateTime(_) => false,
            },
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            Self::Length { .. } | Self::Elsewhere(_) => false,
            Self::Cut(_) => true,
        }
    }

    /// Seconds that the server asks us to wait.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Connect(_) | Self::Length { .. } | Self::Elsewhere(_) | Self::Cut(_) => None,
        }
    }
}

/// A file, or the rest of it.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Path and query.
    pub(crate) path: &'a str,
    /// The header `Authorization`, or empty.
    pub(crate) authorization: &'a str,
    /// The first byte wanted.
    pub(crate) from: u64,
    /// The file's length in bytes, where it is known.
    pub(crate) size: Option<u64>,
    /// What this server called the file when its beginning came.
    pub(crate) tag: Option<&'a str>,
    /// How long the server may be silent.
    pub(crate) silence: Duration,
}

/// A file on its way.
pub(crate) struct Coming {
    body: Incoming,
    place: String,
    silence: Duration,
    /// Bytes that were not asked for, at the beginning of the answer.
    surplus: u64,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
    /// The file's whole length, where the server tells.
    pub(crate) size: Option<u64>,
    /// What this server calls this very file.
    pub(crate) tag: Option<String>,
}

/// Asks for a file.
///
/// # Errors
/// [`BlobError`].
pub(crate) async fn ask(place: &Place, wanted: Wanted<'_>) -> Result<Coming, BlobError> {
    let name = place.server.authority();
    let cut = || BlobError::Cut(name.clone());
    let (mut requests, host) = place.connect().await?;
    let request = compose(wanted, &host).map_err(|_| cut())?;
    let response = timeout(wanted.silence, requests.send_request(request)).await;
    let response = response.map_err(|_| cut())?.map_err(|_| cut())?;
    read(response, name, wanted)
}

fn compose(wanted: Wanted<'_>, host: &str) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::get(wanted.path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("muster-installer/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*");
    if !wanted.authorization.is_empty() {
        request = request.header(AUTHORIZATION, wanted.authorization);
    }
    if wanted.from > 0 {
        request = request.header(RANGE, format!("bytes={}-", wanted.from));
        if let Some(tag) = wanted.tag {
            request = request.header(IF_RANGE, tag);
        }
    }
    request.body(Full::new(Bytes::new()))
}

fn read(response: Response<Incoming>, place: String, wanted: Wanted<'_>) -> Result<Coming, BlobError> {
    let (status, headers) = (response.status(), response.headers());
    let number = |name: HeaderName| text(headers, &name).and_then(|text| text.parse::<u64>().ok());
    let (size, surplus) = match status {
        // A server without ranges, or with another file since: what we have is asked for again, and the
        // digest says whether it fits.
        StatusCode::OK => (number(CONTENT_LENGTH), wanted.from),
        StatusCode::PARTIAL_CONTENT => {
            let range = text(headers, &CONTENT_RANGE).and_then(|range| whole_of(range, wanted.from));
            (Some(range.ok_or_else(|| BlobError::Cut(place.clone()))?), 0)
        }
        status if status.is_redirection() => return Err(BlobError::Elsewhere(place)),
        _ => return Err(BlobError::Refused { place, status, retry_after: number(RETRY_AFTER) }),
    };
    if let (Some(got), Some(want)) = (size, wanted.size)
        && got != want
    {
        return Err(BlobError::Length { place, got, want });
    }
    // Weak tags promise no equal bytes (RFC 9110 8.8.1).
    let tag = text(headers, &ETAG).filter(|tag| tag.starts_with('"')).map(str::to_owned);
    let known = size.or(wanted.size);
    let left = known.map(|size| size.saturating_sub(wanted.from).saturating_add(surplus));
    Ok(Coming { body: response.into_body(), place, silence: wanted.silence, surplus, left, size: known, tag })
}

impl Coming {
    /// The next bytes; none at the end of the file.
    ///
    /// # Errors
    /// [`BlobError::Cut`], and [`BlobError::Length`] where more comes than the file has.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        loop {
            let cut = || BlobError::Cut(self.place.clone());
            let frame = match timeout(self.silence, self.body.frame()).await.map_err(|_| cut())? {
                Some(frame) => frame.map_err(|_| cut())?,
                None if self.left.unwrap_or(0) == 0 => return Ok(None),
                None => return Err(cut()),
            };
            let Ok(mut data) = frame.into_data() else { continue };
            self.count(data.len())?;
            let unwanted = usize::try_from(self.surplus).unwrap_or(usize::MAX).min(data.len());
            self.surplus = self.surplus.saturating_sub(u64::try_from(unwanted).unwrap_or(u64::MAX));
            drop(data.split_to(unwanted));
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), BlobError> {
        let (Some(left), Ok(bytes)) = (self.left, u64::try_from(bytes)) else { return Ok(()) };
        let want = self.size.unwrap_or(left);
        let longer =
            || BlobError::Length { place: self.place.clone(), got: want.saturating_add(bytes), want };
        self.left = Some(left.checked_sub(bytes).ok_or_else(longer)?);
        Ok(())
    }
}

/// The whole length in `bytes 100-999/1000`, where it begins as it should.
fn whole_of(range: &str, from: u64) -> Option<u64> {
    let (stretch, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = stretch.split_once('-')?;
    let (first, last, whole): (u64, u64, u64) =
        (first.parse().ok()?, last.parse().ok()?, whole.parse().ok()?);
    (first == from && last.checked_add(1) == Some(whole)).then_some(whole)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().filter(|value| value.len() <= MAX_TAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rest_that_was_asked_for_is_taken() {
        assert_eq!(whole_of("bytes 100-999/1000", 100), Some(1_000));
        for range in [
            "bytes 0-999/1000",
            "bytes 100-998/1000",
            "bytes 100-999/*",
            "100-999/1000",
            "bytes 100-18446744073709551615/0",
            "bytes */1000",
        ] {
            assert_eq!(whole_of(range, 100), None, "{range}");
        }
    }

    #[test]
    fn only_what_may_pass_is_waited_for() {
        let refused = |status| BlobError::Refused {
            place: "a:1".to_owned(),
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: Some(7),
        };
        for (status, expected) in
            [(503, true), (500, true), (429, true), (404, false), (401, false), (412, false)]
        {
            assert_eq!(refused(status).passes(), expected, "{status}");
        }
        assert_eq!(refused(503).retry_after(), Some(7));
        assert!(BlobError::Cut("a:1".to_owned()).passes());
        assert!(!BlobError::from(ConnectError::Pin { got: None, authority: None }).passes());
    }
}
