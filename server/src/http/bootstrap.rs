//! `/api/v3/bootstrap`: how machines ask to be registered, and how operators decide.

use super::Http;
use super::error::HttpError;
use super::extract::{EnrollmentPath, Json, Operator, Proven, Wait};
use axum::extract::State;
use axum::http::StatusCode;
use protocol::agent_api::{Approved, EnrollmentAnswer, EnrollmentRequest, RegisterRequest};
use protocol::rest::{ApproveRequest, DenyRequest, EnrollmentPreview, LookupRequest, Machine};
use serde::Deserialize;
use serde_json::{Value, json};

/// A body without members. What a client sends beyond is passed over.
#[derive(Debug, Deserialize)]
pub(crate) struct Nothing {}

type Answer<T> = Result<axum::Json<T>, HttpError>;
type AnswerWith<T> = Result<(StatusCode, axum::Json<T>), HttpError>;

/// A machine asks to be registered: 201, or 200 when it waits already.
pub(crate) async fn enroll(
    State(http): State<Http>,
    proven: Proven<EnrollmentRequest>,
) -> AnswerWith<EnrollmentAnswer> {
    let enrolled = http.app.enroll(&proven.caller, proven.body).await?;
    let status = if enrolled.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(enrolled.answer)))
}

/// A machine asks whether it is registered yet: 202 while it waits, then 200.
pub(crate) async fn poll(
    State(http): State<Http>,
    EnrollmentPath(id): EnrollmentPath,
    Wait(wait): Wait,
    proven: Proven<Nothing>,
) -> AnswerWith<EnrollmentAnswer> {
    let answer = http.hold(http.app.poll(&proven.caller, id, wait)).await?;
    let status = match answer {
        EnrollmentAnswer::AuthorizationPending(_) => StatusCode::ACCEPTED,
        EnrollmentAnswer::Approved(_) => StatusCode::OK,
    };
    Ok((status, axum::Json(answer)))
}

/// A machine takes its request back.
pub(crate) async fn cancel(
    State(http): State<Http>,
    EnrollmentPath(id): EnrollmentPath,
    proven: Proven<Nothing>,
) -> Answer<Value> {
    http.app.cancel(&proven.caller, id).await?;
    Ok(axum::Json(json!({})))
}

/// A machine registers itself by a bootstrap token.
pub(crate) async fn register(
    State(http): State<Http>,
    proven: Proven<RegisterRequest>,
) -> AnswerWith<Approved> {
    let approved = http.app.register(&proven.caller, proven.body).await?;
    Ok((StatusCode::CREATED, axum::Json(approved)))
}

/// An operator looks a code up.
pub(crate) async fn lookup(
    State(http): State<Http>,
    operator: Operator,
    Json(request): Json<LookupRequest>,
) -> Answer<EnrollmentPreview> {
    Ok(axum::Json(http.app.lookup(operator.actor(), &request.code).await?))
}

/// The waiting machines.
pub(crate) async fn list(State(http): State<Http>, operator: Operator) -> Answer<Vec<EnrollmentPreview>> {
    Ok(axum::Json(http.app.enrollments(operator.actor()).await?))
}

/// An operator approves a machine.
pub(crate) async fn approve(
    State(http): State<Http>,
    EnrollmentPath(id): EnrollmentPath,
    operator: Operator,
    Json(request): Json<ApproveRequest>,
) -> Answer<Machine> {
    Ok(axum::Json(http.app.approve(operator.actor(), id, request).await?))
}

/// An operator denies a machine.
pub(crate) async fn deny(
    State(http): State<Http>,
    EnrollmentPath(id): EnrollmentPath,
    operator: Operator,
    Json(request): Json<DenyRequest>,
) -> Answer<EnrollmentPreview> {
    Ok(axum::Json(http.app.deny(operator.actor(), id, request).await?))
}
