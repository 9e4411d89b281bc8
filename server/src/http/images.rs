//! `/api/v3/images`: what images have beside the routes of every object: their files, by ranges, and
//! imports.

use super::Http;
use super::body::Pace;
use super::error::HttpError;
use super::extract::{Caller, Key, Operator};
use super::media;
use crate::app::ImageFile;
use crate::images::Growing;
use crate::places::Place;
use axum::Json;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use protocol::install::ImportState;
use std::io;

const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Sends a file of an image, or the part that was asked for. With `Cache-Control: no-cache` our copy is
/// held against its digest before.
pub(crate) async fn blob(
    State(http): State<Http>,
    operator: Operator,
    caller: Caller,
    Key(key): Key,
    parts: Parts,
) -> Result<Response, HttpError> {
    let verify = parts.headers.get(header::CACHE_CONTROL).is_some_and(|value| value == "no-cache");
    Ok(match http.app.image_file(operator.actor(), &key, verify, caller.source).await? {
        ImageFile::Whole(download) => media::respond(&key, *download, &parts),
        ImageFile::Growing { file, len, etag, place } => growing(file, len, &etag, place, &parts),
    })
}

/// Imports an image: the body's file, or without a body that of the image's URL.
pub(crate) async fn import(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
    request: Request,
) -> Result<(StatusCode, Json<ImportState>), HttpError> {
    let sent = request.into_body();
    let state = if sent.is_end_stream() {
        http.app.import_image(operator.actor(), &key).await?
    } else {
        receive(&http, &operator, &key, sent).await?
    };
    Ok((StatusCode::ACCEPTED, Json(state)))
}

/// Cancels an import.
pub(crate) async fn cancel(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
) -> Result<Json<ImportState>, HttpError> {
    Ok(Json(http.app.cancel_import(operator.actor(), &key).await?))
}

async fn receive(
    http: &Http,
    operator: &Operator,
    key: &str,
    mut sent: Body,
) -> Result<ImportState, HttpError> {
    let mut upload = http.app.begin_upload(operator.actor(), key, sent.size_hint().exact()).await?;
    let mut pace = Pace::begin();
    while let Some(bytes) = pace.next(&mut sent).await? {
        upload = http.app.go_on_with_upload(upload, bytes).await?;
    }
    Ok(http.app.end_upload(upload).await?)
}

/// A file that is still coming, sent as it comes.
fn growing(file: Growing, len: u64, etag: &str, place: Place, parts: &Parts) -> Response {
    let mut response = media::selected(len, etag, parts, |first, count| {
        let file = Growing { at: first, left: count, ..file };
        Body::from_stream(stream::try_unfold((file, place), next))
    });
    response.headers_mut().insert(header::CONTENT_TYPE, BYTES);
    response
}

async fn next((mut file, place): (Growing, Place)) -> io::Result<Option<(Bytes, (Growing, Place))>> {
    Ok(file.next().await?.map(|chunk| (chunk, (file, place))))
}
