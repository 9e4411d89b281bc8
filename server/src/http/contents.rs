//! `/contents`: bundles of content.

use super::Http;
use super::ask::{Document, Pairs};
use super::error::HttpError;
use super::extract::{Key, Operator};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::Value;

/// All bundles in short.
pub(crate) async fn list(
    State(http): State<Http>,
    operator: Operator,
) -> Result<Json<Vec<Value>>, HttpError> {
    Ok(Json(http.app.bundles(operator.actor()).await?))
}

/// One bundle, whole.
pub(crate) async fn show(
    State(http): State<Http>,
    operator: Operator,
    Key(name): Key,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.bundle(operator.actor(), &name).await?))
}

/// A new bundle.
pub(crate) async fn create(
    State(http): State<Http>,
    operator: Operator,
    Pairs(pairs): Pairs,
    Document(document): Document,
) -> Result<impl IntoResponse, HttpError> {
    let summary = http.app.import_bundle(operator.actor(), document, None, &pairs).await?;
    Ok((StatusCode::CREATED, Json(summary)))
}

/// A bundle in place of the one of its name, if there is one.
pub(crate) async fn replace(
    State(http): State<Http>,
    operator: Operator,
    Key(name): Key,
    Pairs(pairs): Pairs,
    Document(document): Document,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.import_bundle(operator.actor(), document, Some(name), &pairs).await?))
}

/// A bundle goes.
pub(crate) async fn delete(
    State(http): State<Http>,
    operator: Operator,
    Key(name): Key,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.withdraw_bundle(operator.actor(), &name).await?))
}
