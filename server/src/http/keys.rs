//! `/api/v3/keys`: the server's own keys.

use super::Http;
use super::error::HttpError;
use super::extract::{Json, Operator};
use axum::extract::State;
use protocol::rest::{CaRoll, CaRolled};

/// The next CA takes over.
pub(crate) async fn roll_ca(
    State(http): State<Http>,
    operator: Operator,
    Json(request): Json<CaRoll>,
) -> Result<axum::Json<CaRolled>, HttpError> {
    Ok(axum::Json(http.app.roll_ca(operator.actor(), request).await?))
}
