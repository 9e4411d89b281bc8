//! What the model is made of: collections, indexes, labels, preferences, pools.

use super::Http;
use super::ask::{Body, KeyAndRest, Pairs, PatchBody};
use super::error::HttpError;
use super::extract::{Key, Operator};
use crate::app::Listed;
use axum::Json;
use axum::extract::State;
use serde_json::Value;

/// Names of all collections.
pub(crate) async fn collections(
    State(http): State<Http>,
    operator: Operator,
) -> Result<Json<Vec<&'static str>>, HttpError> {
    Ok(Json(http.app.collections(operator.actor())?))
}

/// All indexes of all collections.
pub(crate) async fn indexes(State(http): State<Http>, operator: Operator) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.indexes(operator.actor())?))
}

/// The indexes of one collection.
pub(crate) async fn indexes_of(
    State(http): State<Http>,
    operator: Operator,
    Key(prefix): Key,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.indexes_of(operator.actor(), &prefix)?))
}

/// One index.
pub(crate) async fn index(
    State(http): State<Http>,
    operator: Operator,
    KeyAndRest(prefix, name): KeyAndRest,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.index(operator.actor(), &prefix, &name)?))
}

/// Labels of an object.
pub(crate) async fn meta(
    State(http): State<Http>,
    operator: Operator,
    KeyAndRest(prefix, key): KeyAndRest,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.meta(operator.actor(), &prefix, &key).await?))
}

/// A change of an object's labels, which are the root of its paths.
pub(crate) async fn patch_meta(
    State(http): State<Http>,
    operator: Operator,
    KeyAndRest(prefix, key): KeyAndRest,
    PatchBody(patch): PatchBody,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.patch_meta(operator.actor(), &prefix, &key, &patch).await?))
}

/// Preferences.
pub(crate) async fn prefs(State(http): State<Http>, operator: Operator) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.prefs(operator.actor())?))
}

/// Sets some preferences; all of them.
pub(crate) async fn set_prefs(
    State(http): State<Http>,
    operator: Operator,
    Body(wanted): Body,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.set_prefs(operator.actor(), wanted).await?))
}

/// A collection that is always empty: Muster leases no addresses.
pub(crate) async fn subnets(State(http): State<Http>, operator: Operator) -> Result<Listed, HttpError> {
    Ok(http.app.subnets(operator.actor())?)
}

/// Machines of a pool by their place in it.
pub(crate) async fn pool_status(
    State(http): State<Http>,
    operator: Operator,
    Key(pool): Key,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.pool_status(operator.actor(), &pool).await?))
}

/// Names of pools that machines are in.
pub(crate) async fn active_pools(
    State(http): State<Http>,
    operator: Operator,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.active_pools(operator.actor()).await?))
}

/// `addMachines`, `removeMachines`, `allocateMachines`, `releaseMachines`.
pub(crate) async fn move_in_pool(
    State(http): State<Http>,
    operator: Operator,
    KeyAndRest(pool, how): KeyAndRest,
    Pairs(pairs): Pairs,
    Body(wanted): Body,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.move_in_pool(operator.actor(), &pool, &how, &pairs, wanted).await?))
}
