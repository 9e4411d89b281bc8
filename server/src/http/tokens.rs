//! `/api/v3/bootstrap/tokens`: bootstrap tokens as operators make, see and end them.

use super::Http;
use super::error::HttpError;
use super::extract::{Json, Key, Operator, Page};
use axum::extract::State;
use axum::http::StatusCode;
use protocol::rest::{Token, TokenCreate, TokenCreated, TokenRevoke, TokenRevoked};

/// Makes a token, which is shown this once.
pub(crate) async fn create(
    State(http): State<Http>,
    operator: Operator,
    Json(request): Json<TokenCreate>,
) -> Result<(StatusCode, axum::Json<TokenCreated>), HttpError> {
    let created = http.app.create_token(operator.actor(), request).await?;
    Ok((StatusCode::CREATED, axum::Json(created)))
}

/// The tokens that were issued: a page of them.
pub(crate) async fn list(
    State(http): State<Http>,
    operator: Operator,
    Page { after, limit }: Page,
) -> Result<axum::Json<Vec<Token>>, HttpError> {
    Ok(axum::Json(http.app.tokens(operator.actor(), after.as_deref(), limit).await?))
}

/// Ends one token.
pub(crate) async fn delete(
    State(http): State<Http>,
    operator: Operator,
    Key(jti): Key,
) -> Result<axum::Json<TokenRevoked>, HttpError> {
    Ok(axum::Json(http.app.revoke_token(operator.actor(), &jti).await?))
}

/// Ends many tokens.
pub(crate) async fn revoke(
    State(http): State<Http>,
    operator: Operator,
    Json(request): Json<TokenRevoke>,
) -> Result<axum::Json<TokenRevoked>, HttpError> {
    Ok(axum::Json(http.app.revoke_tokens(operator.actor(), request).await?))
}
