//! `/X/{key}/params`: the params of machines, profiles and stages (`spec/machine-model.md` 3.9).
//! A param's name may have slashes, written as they are or encoded.

use super::Http;
use super::ask::{Body, Collection, KeyAndRest, Pairs, PatchBody};
use super::error::HttpError;
use super::extract::{Key, Operator};
use axum::Json;
use axum::extract::State;
use serde_json::Value;

/// All params, or those that are asked for.
pub(crate) async fn all(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    Key(key): Key,
    Pairs(pairs): Pairs,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.params(operator.actor(), kind, &key, &pairs).await?))
}

/// These params in place of all.
pub(crate) async fn replace(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    Key(key): Key,
    Body(body): Body,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.replace_params(operator.actor(), kind, &key, body).await?))
}

/// A change of the params, which are the root of its paths.
pub(crate) async fn patch(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    Key(key): Key,
    PatchBody(patch): PatchBody,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.patch_params(operator.actor(), kind, &key, &patch).await?))
}

/// One param; null when it is not set.
pub(crate) async fn one(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    KeyAndRest(key, name): KeyAndRest,
    Pairs(pairs): Pairs,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.param(operator.actor(), kind, &key, &name, &pairs).await?))
}

/// A value for one param.
pub(crate) async fn set(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    KeyAndRest(key, name): KeyAndRest,
    Body(value): Body,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.set_param(operator.actor(), kind, &key, &name, value).await?))
}

/// The end of one param; its value.
pub(crate) async fn unset(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    KeyAndRest(key, name): KeyAndRest,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.unset_param(operator.actor(), kind, &key, &name).await?))
}

/// The key to seal secure params to: there are no such params.
pub(crate) async fn public_key(
    State(http): State<Http>,
    operator: Operator,
    Collection(kind): Collection,
    Key(key): Key,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.public_key(operator.actor(), kind, &key).await?))
}
