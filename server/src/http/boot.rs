//! Boot files for firmware and loaders: GET and HEAD of any path, without a log-in, at a listener of
//! its own and below `/boot/` of the one with TLS. Nothing else is served there.

use super::Http;
use super::error::{self, HttpError};
use super::extract::Caller;
use super::media::{respond, selected};
use super::observe;
use crate::app::{BootFile, Door, Requester};
use crate::report::shown_path;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use protocol::token::base64url;
use ring::digest::{SHA256, digest};

/// Target of the log's lines about boot files: which machine got how far.
const LOG: &str = "muster::boot";

/// The door of plain HTTP.
pub(crate) fn router(http: Http) -> Router {
    let refusals = from_fn(error::for_operators);
    Router::new()
        .route("/{*path}", get(file.layer(refusals.clone())))
        .fallback(error::not_found.layer(refusals.clone()))
        .method_not_allowed_fallback(error::method_not_allowed.layer(refusals))
        .layer(from_fn_with_state(http.clone(), observe::observe))
        .with_state(http)
}

/// What a path holds for the caller.
pub(crate) async fn file(
    State(http): State<Http>,
    caller: Caller,
    Path(path): Path<String>,
    parts: Parts,
) -> Result<Response, HttpError> {
    let reached = caller.peer.reached.map(|address| address.ip());
    let requester = Requester { door: Door::Http, address: caller.source, reached };
    let found = http.app.boot_file(requester, &path).await;
    let known = found.is_ok();
    tracing::info!(target: LOG, path = shown_path(&path), source = %caller.source, known, "boot file");
    Ok(answer(&path, found?, &parts))
}

fn answer(path: &str, file: BootFile, parts: &Parts) -> Response {
    match file {
        BootFile::Text(text) => rendered(text, parts),
        BootFile::Elsewhere(url) => (StatusCode::FOUND, [(header::LOCATION, url)]).into_response(),
        BootFile::Tree(download) => respond(path, *download, parts),
    }
}

/// A rendered text: another one as soon as a byte of it is, so that nobody keeps a token that was for
/// one fetch.
fn rendered(text: String, parts: &Parts) -> Response {
    let text = Bytes::from(text);
    let etag = format!("\"{}\"", base64url(digest(&SHA256, &text).as_ref()));
    let mut response = selected(text.len() as u64, &etag, parts, |first, count| {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let last = first.saturating_add(usize::try_from(count).unwrap_or(usize::MAX));
        Body::from(text.get(first..last).map(|part| text.slice_ref(part)).unwrap_or_default())
    });
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
