//! Texts and templates rendered for a machine, on request.

use super::Http;
use super::ask::KeyAndRest;
use super::body;
use super::error::HttpError;
use super::extract::{Key, Operator};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use protocol::rest::BootPreview;

/// Most bytes of a text to render: what a template may have.
const MAX_TEXT: usize = 1_024 * 1_024;

/// A template as it came, whatever its body says it is.
#[derive(Debug)]
pub(crate) struct TemplateText(Bytes);

impl FromRequest<Http> for TemplateText {
    type Rejection = HttpError;

    async fn from_request(request: Request, _http: &Http) -> Result<Self, HttpError> {
        body::read(request, MAX_TEXT).await.map(Self)
    }
}

/// What a machine would boot.
pub(crate) async fn boot(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
) -> Result<Json<BootPreview>, HttpError> {
    Ok(Json(http.app.boot_preview(operator.actor(), &key).await?))
}

/// The body, rendered for a machine.
pub(crate) async fn machine_text(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
    TemplateText(text): TemplateText,
) -> Result<Response, HttpError> {
    let text = String::from_utf8(text.into()).map_err(|_| body::bad_request("the body is no UTF-8 text"))?;
    Ok(plain(http.app.render_text(operator.actor(), &key, text).await?))
}

/// A template, rendered for a machine.
pub(crate) async fn template(
    State(http): State<Http>,
    operator: Operator,
    KeyAndRest(id, machine): KeyAndRest,
) -> Result<Response, HttpError> {
    Ok(plain(http.app.render_template(operator.actor(), &id, &machine).await?))
}

fn plain(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
