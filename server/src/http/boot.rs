//! Boot files for firmware and loaders: GET and HEAD of any path, without a log-in, at a listener of
//! its own and below `/boot/` of the one with TLS. Nothing else is served there.

use super::Http;
use super::error::{self, HttpError};
use super::extract::Caller;
use super::media::respond;
use super::observe;
use crate::app::{BootFile, Requester};
use crate::report::shown_path;
use axum::Router;
use axum::extract::{Path, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

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
    let found = http.app.boot_file(Requester { address: caller.source, reached }, &path).await;
    let known = found.is_ok();
    tracing::info!(target: LOG, path = shown_path(&path), source = %caller.source, known, "boot file");
    Ok(answer(&path, found?, &parts))
}

fn answer(path: &str, file: BootFile, parts: &Parts) -> Response {
    match file {
        BootFile::Text(text) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response(),
        BootFile::Elsewhere(url) => (StatusCode::FOUND, [(header::LOCATION, url)]).into_response(),
        BootFile::Tree(download) => respond(path, *download, parts),
    }
}
