//! Objects of every collection in the same way (`spec/machine-model.md` 5.3): the path says which.

use super::Http;
use super::ask::{Body, Collection, Has, KeyAndRest, Pairs, PatchBody};
use super::error::HttpError;
use super::extract::{Key, Operator};
use super::jobs::Lease;
use crate::app::{Deleted, Listed, Shown};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Objects in the answer.
const COUNT: HeaderName = HeaderName::from_static("x-drp-list-count");
/// Objects for which the filters hold.
const FILTER_COUNT: HeaderName = HeaderName::from_static("x-drp-list-filter-count");
/// Where the next part of the list begins, for `after`.
const NEXT: HeaderName = HeaderName::from_static("x-muster-list-next");
/// Objects in the collection.
const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-drp-list-total-count");

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let mut response = Json(self.value).into_response();
        if let Ok(etag) = HeaderValue::try_from(self.etag) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}

impl IntoResponse for Listed {
    fn into_response(self) -> Response {
        let counts = [
            (COUNT, HeaderValue::from(self.count)),
            (FILTER_COUNT, HeaderValue::from(self.filtered)),
            (TOTAL_COUNT, HeaderValue::from(self.total)),
        ];
        let mut response = ([(header::CONTENT_TYPE, JSON)], counts, self.json).into_response();
        if let Some(next) = self.next.and_then(|next| HeaderValue::try_from(next).ok()) {
            response.headers_mut().insert(NEXT, next);
        }
        response
    }
}

impl IntoResponse for Deleted {
    fn into_response(self) -> Response {
        match self {
            Self::Now(object) => Json(object).into_response(),
            Self::Later(object) => (StatusCode::ACCEPTED, Json(object)).into_response(),
        }
    }
}

/// Done, and nothing to show: clients want JSON all the same.
pub(crate) fn nothing() -> Response {
    (StatusCode::NO_CONTENT, [(header::CONTENT_TYPE, JSON)]).into_response()
}

/// A list.
pub(crate) async fn list(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    Pairs(pairs): Pairs,
) -> Result<Listed, HttpError> {
    Ok(http.app.list(operator.actor(), kind, &pairs).await?)
}

/// A new object.
pub(crate) async fn create(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    Pairs(pairs): Pairs,
    Body(body): Body,
) -> Result<impl IntoResponse, HttpError> {
    Ok((StatusCode::CREATED, http.app.create(operator.actor(), kind, &pairs, body).await?))
}

/// One object; with what the caller has of it, only when it is another one.
pub(crate) async fn show(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    Key(key): Key,
    Pairs(pairs): Pairs,
    Has(known): Has,
) -> Result<Response, HttpError> {
    let shown = http.hold(http.app.get(operator.actor(), kind, &key, &pairs, &known)).await?;
    Ok(shown.map_or_else(|| StatusCode::NOT_MODIFIED.into_response(), Shown::into_response))
}

/// An object in place of the one there is.
pub(crate) async fn replace(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    Key(key): Key,
    Pairs(pairs): Pairs,
    Lease(lease): Lease,
    Body(body): Body,
) -> Result<Shown, HttpError> {
    Ok(http.app.replace(operator.actor(), kind, &key, &pairs, lease, body).await?)
}

/// A change.
pub(crate) async fn patch(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    Key(key): Key,
    Pairs(pairs): Pairs,
    Lease(lease): Lease,
    PatchBody(patch): PatchBody,
) -> Result<Shown, HttpError> {
    Ok(http.app.patch(operator.actor(), kind, &key, &pairs, lease, &patch).await?)
}

/// The end of an object; its body, which some clients send, is not looked at.
pub(crate) async fn delete(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    Key(key): Key,
    Pairs(pairs): Pairs,
) -> Result<Deleted, HttpError> {
    Ok(http.app.delete(operator.actor(), kind, &key, &pairs).await?)
}

/// What plugins can do with an object: there are no plugins.
pub(crate) async fn actions(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    Key(key): Key,
) -> Result<Json<Vec<Value>>, HttpError> {
    Ok(Json(http.app.actions_of(operator.actor(), kind, &key).await?))
}

/// One thing that plugins can do: not found, since there are none.
pub(crate) async fn action(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    KeyAndRest(key, command): KeyAndRest,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.action_of(operator.actor(), kind, &key, &command).await?))
}
