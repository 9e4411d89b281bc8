//! `/api/v3/machines`. A key is a UUID, `Uuid:UUID` or `Name:NAME`.

use super::Http;
use super::error::HttpError;
use super::extract::{Key, Operator};
use axum::Json;
use axum::extract::State;
use protocol::rest::Machine;

/// All machines.
pub(crate) async fn list(
    State(http): State<Http>,
    operator: Operator,
) -> Result<Json<Vec<Machine>>, HttpError> {
    Ok(Json(http.app.machines(operator.actor()).await?))
}

/// One machine.
pub(crate) async fn show(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
) -> Result<Json<Machine>, HttpError> {
    Ok(Json(http.app.machine(operator.actor(), &key).await?))
}

/// Forgets a machine and its key.
pub(crate) async fn delete(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
) -> Result<Json<Machine>, HttpError> {
    Ok(Json(http.app.delete_machine(operator.actor(), &key).await?))
}
