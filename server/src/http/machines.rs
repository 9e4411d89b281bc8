//! What only machines can do, beside what every object can (`objects`).

use super::Http;
use super::ask::{Body, Pairs, PatchBody};
use super::error::HttpError;
use super::extract::{Key, Operator};
use crate::app::{Deleted, Shown};
use axum::Json;
use axum::extract::State;
use protocol::install::{DiskPlan, SeedPreview, Setup};
use serde_json::Value;

/// Starts the machine's workflow, the same or the one in the patch, from its beginning.
pub(crate) async fn start(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
    Pairs(pairs): Pairs,
    PatchBody(patch): PatchBody,
) -> Result<Shown, HttpError> {
    Ok(http.app.start_machine(operator.actor(), &key, &pairs, &patch).await?)
}

/// Deletes the machine, after its last workflow when it has one.
pub(crate) async fn cleanup(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
) -> Result<Deleted, HttpError> {
    Ok(http.app.cleanup_machine(operator.actor(), &key).await?)
}

/// What an installation would erase, and what it would keep.
pub(crate) async fn disk_plan(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
) -> Result<Json<DiskPlan>, HttpError> {
    Ok(Json(http.app.show_disk_plan(operator.actor(), &key).await?))
}

/// What it would get of its roles.
pub(crate) async fn cloud_init(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
    Pairs(pairs): Pairs,
) -> Result<Json<SeedPreview>, HttpError> {
    Ok(Json(http.app.preview_seed(operator.actor(), &key, &pairs).await?))
}

/// What an installation would be made of.
pub(crate) async fn setup(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
) -> Result<Json<Setup>, HttpError> {
    Ok(Json(http.app.show_setup(operator.actor(), &key).await?))
}

/// The same after a change that is not made.
pub(crate) async fn rehearse(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
    PatchBody(patch): PatchBody,
) -> Result<Json<Setup>, HttpError> {
    Ok(Json(http.app.rehearse_setup(operator.actor(), &key, &patch).await?))
}

/// Gives the machine back to its pool.
pub(crate) async fn release_to_pool(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.release_to_pool(operator.actor(), &key).await?))
}

/// Which machine the evidence points at. Never a token.
pub(crate) async fn whoami(
    State(http): State<Http>,
    operator: Operator,
    Body(evidence): Body,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(http.app.whoami(operator.actor(), evidence).await?))
}
