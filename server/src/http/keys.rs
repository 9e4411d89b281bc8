//! `/api/v3/keys`: the server's own keys.

use super::Http;
use super::error::HttpError;
use super::extract::{Json, Operator};
use axum::extract::State;
use protocol::rest::{CaRoll, CaRolled, TokenKey};

/// The next CA takes over.
pub(crate) async fn roll_ca(
    State(http): State<Http>,
    operator: Operator,
    Json(request): Json<CaRoll>,
) -> Result<axum::Json<CaRolled>, HttpError> {
    Ok(axum::Json(http.app.roll_ca(operator.actor(), request).await?))
}

/// The keys that seal and open bootstrap tokens.
pub(crate) async fn list_token_keys(
    State(http): State<Http>,
    operator: Operator,
) -> Result<axum::Json<Vec<TokenKey>>, HttpError> {
    Ok(axum::Json(http.app.token_keys(operator.actor()).await?))
}

/// A new key seals bootstrap tokens from now on.
pub(crate) async fn roll_token_key(
    State(http): State<Http>,
    operator: Operator,
) -> Result<axum::Json<TokenKey>, HttpError> {
    Ok(axum::Json(http.app.roll_token_key(operator.actor()).await?))
}
