//! `/api/v3/audit`: who did what, and when.

use super::Http;
use super::ask::Pairs;
use super::error::HttpError;
use super::extract::Operator;
use axum::extract::State;
use protocol::rest::AuditEntry;

/// Rows, newest first: a part of them.
pub(crate) async fn list(
    State(http): State<Http>,
    operator: Operator,
    Pairs(pairs): Pairs,
) -> Result<axum::Json<Vec<AuditEntry>>, HttpError> {
    Ok(axum::Json(http.app.audit_log(operator.actor(), &pairs).await?))
}
