//! Pages and documents: the dashboard, health, metrics, OpenAPI, what this server is.

use super::error::{HttpError, not_found};
use super::extract::Operator;
use super::{Http, openapi};
use crate::app::AppError;
use crate::dashboard;
use crate::listener::Peer;
use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::rest::Info;
use std::sync::Arc;
use std::time::Instant;

/// What the dashboard may do: its own files and this server, nothing inline.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const NOT_BUILT: &str = "<!doctype html><title>Muster</title><h1>Muster</h1>\
    <p>This server was built without its dashboard. Run <code>make media</code> in the source tree, \
    which builds both. The API, the agents and <code>muster</code> work without it.</p>";

/// A page or file of the dashboard; everything else is nothing.
pub(crate) async fn dashboard(parts: Parts) -> Result<Response, HttpError> {
    let path = parts.uri.path();
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    if !reads || path.starts_with("/api/") || path.starts_with("/media/") {
        return Err(not_found().await);
    }
    let Some(asset) = dashboard::find(path) else {
        return if path == "/" { Ok(not_built()) } else { Err(not_found().await) };
    };
    let cache = if asset.immutable { IMMUTABLE } else { "no-store" };
    let headers = [(header::CONTENT_TYPE, asset.mime), (header::CACHE_CONTROL, cache)];
    Ok(with_policy((headers, asset.bytes.into_owned()).into_response()))
}

fn not_built() -> Response {
    let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    with_policy((StatusCode::SERVICE_UNAVAILABLE, html, NOT_BUILT).into_response())
}

fn with_policy(mut response: Response) -> Response {
    let policy = HeaderValue::from_static(PAGE_POLICY);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// The process runs.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Requests can be served, and the server is not about to stop.
pub(crate) async fn readyz(State(http): State<Http>) -> Result<&'static str, HttpError> {
    if http.stopping.is_cancelled() {
        return Err(HttpError::of_http(StatusCode::SERVICE_UNAVAILABLE, "the server stops"));
    }
    http.app.ready().await?;
    Ok("ready\n")
}

/// Numbers in OpenMetrics text.
pub(crate) async fn metrics(State(http): State<Http>) -> Result<impl IntoResponse, HttpError> {
    let figures = http.metrics.figures(Instant::now(), http.app.figures()).await?;
    let text = http.metrics.render(figures, http.app.media.running()).map_err(AppError::internal)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}

/// The OpenAPI document.
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::json())
}

/// What this server is and what there is to download.
pub(crate) async fn info(
    State(http): State<Http>,
    operator: Operator,
    parts: Parts,
) -> Result<Json<Info>, HttpError> {
    about(&http, &operator, &parts).await.map(Json)
}

/// What this server is, as this caller sees it.
pub(crate) async fn about(http: &Http, operator: &Operator, parts: &Parts) -> Result<Info, HttpError> {
    let advertise = http.app.media.servers(super::media::called_by(parts), http.port);
    let app = Arc::clone(&http.app);
    let files = tokio::task::spawn_blocking(move || app.media.list()).await.map_err(AppError::internal)?;
    let reached = parts.extensions.get::<Peer>().and_then(|peer| peer.reached);
    let reached = reached.map(|address| address.ip().to_canonical());
    Ok(http.app.info(operator.actor(), &advertise, reached, files).await?)
}
