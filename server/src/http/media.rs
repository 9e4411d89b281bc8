//! `/media/{file}`: boot media, by ranges, streamed from one open file per request.

use super::Http;
use super::error::HttpError;
use super::extract::{Caller, Key, authority};
use super::range::{Selection, select};
use crate::app::{AppError, Download};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use protocol::config::ServerUrl;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes read from disk at a time: small, so that the listener sees a slow download move.
const CHUNK: u64 = 64 * 1_024;
/// Slowest download that keeps its place, in bytes a second, beyond a first minute.
const SLOWEST: u64 = 32 * 1_024;
const FIRST_MINUTE: Duration = Duration::from_secs(60);
/// Digital Rebar's header with a file's digest.
const SHA256_HEADER: HeaderName = HeaderName::from_static("x-drp-sha256sum");

/// Sends a file, or the part that was asked for.
pub(crate) async fn download(
    State(http): State<Http>,
    caller: Caller,
    Key(name): Key,
    parts: Parts,
) -> Result<Response, HttpError> {
    let host = called_by(&parts);
    let opened = tokio::task::spawn_blocking(move || {
        let servers = http.media.servers(host, http.port);
        http.media.open(&name, &servers, &http.app.keys, caller.source).map(|download| (name, download))
    });
    let (name, download) = opened.await.map_err(AppError::internal)??;
    Ok(respond(&name, download, &parts))
}

/// The name by which the caller reached this server.
pub(crate) fn called_by(parts: &Parts) -> Option<ServerUrl> {
    format!("https://{}", authority(parts)?).parse().ok()
}

/// A download, or the part of it that was asked for.
pub(super) fn respond(name: &str, download: Download, parts: &Parts) -> Response {
    let (len, etag) = (download.len, download.etag.clone());
    let sha256 = download.sha256.clone();
    let mut response = match select(&parts.headers, len, &etag) {
        Selection::Whole => (StatusCode::OK, body(download, 0, len)).into_response(),
        Selection::Part { first, last } => {
            let count = last - first + 1;
            let range = [(header::CONTENT_RANGE, format!("bytes {first}-{last}/{len}"))];
            (StatusCode::PARTIAL_CONTENT, range, body(download, first, count)).into_response()
        }
        Selection::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        Selection::PreconditionFailed => StatusCode::PRECONDITION_FAILED.into_response(),
        Selection::Unsatisfiable => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{len}"))];
            (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, content_type(name));
    // Personalised by the name the server was called: a cache must ask each time.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    if let Some(Ok(sha256)) = sha256.map(HeaderValue::try_from) {
        headers.insert(SHA256_HEADER, sha256);
    }
    response
}

/// `count` bytes from `first` on, with their length announced.
fn body(download: Download, first: u64, count: u64) -> Response {
    let patience = FIRST_MINUTE + Duration::from_secs(count / SLOWEST);
    let start = Sending { download, left: count, seek: Some(first), deadline: Instant::now() + patience };
    let body = Body::from_stream(stream::try_unfold(start, next_chunk));
    ([(header::CONTENT_LENGTH, count)], body).into_response()
}

struct Sending {
    download: Download,
    left: u64,
    seek: Option<u64>,
    deadline: Instant,
}

/// The next chunk, read off the async threads, and only when the peer has taken the one before.
async fn next_chunk(mut sending: Sending) -> io::Result<Option<(Bytes, Sending)>> {
    if sending.left == 0 {
        return Ok(None);
    }
    if Instant::now() > sending.deadline {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the download is too slow"));
    }
    let read = tokio::task::spawn_blocking(move || {
        if let Some(position) = sending.seek.take() {
            sending.download.seek(position)?;
        }
        let count = sending.left.min(CHUNK);
        let mut chunk = vec![0; usize::try_from(count).map_err(io::Error::other)?];
        sending.download.read_exact(&mut chunk)?;
        sending.left -= count;
        Ok(Some((Bytes::from(chunk), sending)))
    });
    read.await.map_err(io::Error::other)?
}

fn content_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => "application/json",
        Some("iso") => "application/x-iso9660-image",
        _ if name == "SHA256SUMS" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}
