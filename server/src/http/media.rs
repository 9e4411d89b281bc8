//! Files on their way out, by ranges, each from one open file per request: boot media at
//! `/media/{file}`, and what the boot doors serve.
//!
//! Over a connection that can, the kernel sends what it has in memory by itself. What it would have to
//! wait for a disk for is read by other threads, as is everything that goes through TLS.

use super::Http;
use super::error::HttpError;
use super::extract::{Caller, Key, authority};
use super::range::{Selection, select};
use crate::app::{AppError, Download};
use crate::listener::{FileLane, MAX_STRETCH, Stretch};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use protocol::config::ServerUrl;
use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes read from disk at a time: small, so that the listener sees a slow download move.
const CHUNK: u64 = 64 * 1_024;
/// Least that is left to the kernel, in bytes: what is shorter goes with the head in one piece.
const LEAST_STRETCH: u64 = 64 * 1_024;
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
        let servers = http.app.media.servers(host, http.port);
        http.app.media.open(&name, &servers, &http.app.keys, caller.source).map(|download| (name, download))
    });
    let (name, download) = opened.await.map_err(AppError::internal)??;
    Ok(respond(&name, download, &parts))
}

/// The script of the one-line command. Its bearer is a bootstrap token, which logs nobody in.
pub(crate) async fn install_script(State(http): State<Http>, caller: Caller, parts: Parts) -> Response {
    let credentials = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = credentials.and_then(|text| text.strip_prefix("Bearer ")).map(str::trim);
    let script = http.app.install_script(caller.source, token, called_by(&parts), http.port).await;
    let headers =
        [(header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (headers, script).into_response()
}

/// The name by which the caller reached this server.
pub(crate) fn called_by(parts: &Parts) -> Option<ServerUrl> {
    format!("https://{}", authority(parts)?).parse().ok()
}

/// A download, or the part of it that was asked for.
pub(super) fn respond(name: &str, download: Download, parts: &Parts) -> Response {
    let (len, etag, sha256) = (download.len, download.etag.clone(), download.sha256.clone());
    let mut response = selected(len, &etag, parts, |first, count| body(download, first, count, parts));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type(name));
    // Personalised by the name the server was called: a cache must ask each time.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Some(Ok(sha256)) = sha256.map(HeaderValue::try_from) {
        headers.insert(SHA256_HEADER, sha256);
    }
    response
}

/// The answer that the request's conditions and range choose, with its length announced: loaders
/// read no chunks. `body` makes a number of bytes from a first one on.
pub(super) fn selected(len: u64, etag: &str, parts: &Parts, body: impl FnOnce(u64, u64) -> Body) -> Response {
    let sent = |first, count| ([(header::CONTENT_LENGTH, count)], body(first, count));
    let mut response = match select(&parts.headers, len, etag) {
        Selection::Whole => (StatusCode::OK, sent(0, len)).into_response(),
        Selection::Part { first, last } => {
            let range = [(header::CONTENT_RANGE, format!("bytes {first}-{last}/{len}"))];
            (StatusCode::PARTIAL_CONTENT, range, sent(first, last - first + 1)).into_response()
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
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

/// `count` bytes from `first` on.
fn body(download: Download, first: u64, count: u64, parts: &Parts) -> Body {
    let patience = FIRST_MINUTE + Duration::from_secs(count / SLOWEST);
    let lane = parts.extensions.get::<FileLane>().cloned();
    let deadline = Instant::now() + patience;
    let start = Sending { download, left: count, seek: Some(first), deadline, lane };
    Body::from_stream(stream::try_unfold(start, next_chunk))
}

struct Sending {
    download: Download,
    left: u64,
    seek: Option<u64>,
    deadline: Instant,
    lane: Option<FileLane>,
}

/// The next chunk, only when the peer has taken the one before.
async fn next_chunk(mut sending: Sending) -> io::Result<Option<(Bytes, Sending)>> {
    if sending.left == 0 {
        return Ok(None);
    }
    if Instant::now() > sending.deadline {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the download is too slow"));
    }
    if let Some(position) = sending.seek.take() {
        sending.download.seek(position)?;
    }
    if let Some(chunk) = sending.by_kernel()? {
        return Ok(Some((chunk, sending)));
    }
    // Off the async threads: it may wait for a disk.
    let read = tokio::task::spawn_blocking(move || {
        let count = sending.left.min(CHUNK);
        let mut chunk = vec![0; usize::try_from(count).map_err(io::Error::other)?];
        sending.download.read_exact(&mut chunk)?;
        sending.left -= count;
        Ok(Some((Bytes::from(chunk), sending)))
    });
    read.await.map_err(io::Error::other)?
}

impl Sending {
    /// Has the kernel send the next stretch, where it can at once; gives back what stands for it.
    fn by_kernel(&mut self) -> io::Result<Option<Bytes>> {
        let Some(lane) = &self.lane else { return Ok(None) };
        let (file, position, unpatched) = self.download.unpatched();
        let count = unpatched.min(self.left).min(MAX_STRETCH as u64);
        if count < LEAST_STRETCH || !in_memory(file, position, count) {
            return Ok(None);
        }
        let len = usize::try_from(count).map_err(io::Error::other)?;
        let (file, place) = (Arc::clone(file), Arc::clone(self.download.place()));
        let Some(stand_in) = lane.send(Stretch::new(file, position, len, self.deadline, place)) else {
            return Ok(None);
        };
        self.download.skip(count)?;
        self.left -= count;
        Ok(Some(stand_in))
    }
}

/// Whether the kernel has both ends of a stretch in memory, and so most likely what lies between.
/// Not where a file system cannot say.
fn in_memory(file: &File, position: u64, count: u64) -> bool {
    let has = |at| {
        let mut byte = [0];
        preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT) == Ok(1)
    };
    has(position) && has(position + count.saturating_sub(1))
}

fn content_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => "application/json",
        Some("iso") => "application/x-iso9660-image",
        _ if name == "SHA256SUMS" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}

#[cfg(test)]
mod tests;
