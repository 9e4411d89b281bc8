//! The one table of status codes, and the two bodies that tell a refusal: `ErrorBody` to
//! operators, `Refusal` to machines (`spec/security.md` 2.5, `spec/machine-model.md` 5.6).
//!
//! Handlers and extractors return [`HttpError`]; which body it becomes is decided by the
//! route's door, in one place each.

use super::Http;
use super::observe::RequestId;
use crate::app::{AppError, AppErrorKind};
use crate::report::chain;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use protocol::agent_api::{Refusal, RefusalKind};
use protocol::proof::NONCE_HEADER;
use protocol::rest::ErrorBody;
use std::sync::Arc;

/// How long a job's log is, in bytes.
pub(crate) const LOG_LENGTH_HEADER: HeaderName = HeaderName::from_static("x-muster-log-length");

/// A refusal on its way out.
#[derive(Debug, Clone)]
pub(crate) struct HttpError {
    /// Where the table does not decide: refusals of HTTP itself.
    status: Option<StatusCode>,
    error: Arc<AppError>,
}

impl From<AppError> for HttpError {
    fn from(error: AppError) -> Self {
        Self { status: None, error: Arc::new(error) }
    }
}

impl HttpError {
    /// A refusal of HTTP itself, such as 405 or 408.
    pub(crate) fn of_http(status: StatusCode, message: impl Into<String>) -> Self {
        let error = AppError::new(AppErrorKind::BadRequest, message);
        Self { status: Some(status), error: Arc::new(error) }
    }

    /// Whether it is a use case's no of this sort.
    pub(crate) fn is(&self, kind: AppErrorKind) -> bool {
        self.status.is_none() && self.error.kind == kind
    }

    fn operator_status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| status(self.error.kind))
    }

    fn machine_status(&self) -> StatusCode {
        // What failed on our side keeps its code; the word says to try again.
        if matches!(self.error.kind, AppErrorKind::Internal | AppErrorKind::StorageFull) {
            return self.operator_status();
        }
        self.status.unwrap_or_else(|| refusal_status(self.error.kind.refusal()))
    }
}

/// The table.
fn status(kind: AppErrorKind) -> StatusCode {
    match kind {
        AppErrorKind::Refused(refusal) => refusal_status(refusal),
        AppErrorKind::BadRequest | AppErrorKind::EmptyKey | AppErrorKind::MalformedCode => {
            StatusCode::BAD_REQUEST
        }
        AppErrorKind::Unauthenticated | AppErrorKind::StepUp => StatusCode::UNAUTHORIZED,
        AppErrorKind::Forbidden | AppErrorKind::ReadOnly => StatusCode::FORBIDDEN,
        AppErrorKind::NotFound | AppErrorKind::CodeNotFound => StatusCode::NOT_FOUND,
        AppErrorKind::BadList => StatusCode::NOT_ACCEPTABLE,
        AppErrorKind::FingerprintMismatch
        | AppErrorKind::AlreadyDecided
        | AppErrorKind::Conflict
        | AppErrorKind::Exists
        | AppErrorKind::InUse
        | AppErrorKind::PatchFailed => StatusCode::CONFLICT,
        AppErrorKind::Locked => StatusCode::LOCKED,
        AppErrorKind::MachineGone => StatusCode::GONE,
        AppErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        AppErrorKind::Invalid | AppErrorKind::InvalidValue => StatusCode::UNPROCESSABLE_ENTITY,
        AppErrorKind::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
        AppErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        AppErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        AppErrorKind::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
    }
}

fn refusal_status(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::InvalidRequest => StatusCode::BAD_REQUEST,
        RefusalKind::InvalidProof
        | RefusalKind::UseNonce
        | RefusalKind::InvalidAccessToken
        | RefusalKind::InvalidToken
        | RefusalKind::TokenExpired
        | RefusalKind::TokenRevoked => StatusCode::UNAUTHORIZED,
        RefusalKind::ConstraintFailed | RefusalKind::ApprovalRequired | RefusalKind::AccessDenied => {
            StatusCode::FORBIDDEN
        }
        RefusalKind::UnknownRequest => StatusCode::NOT_FOUND,
        RefusalKind::ExpiredToken => StatusCode::GONE,
        RefusalKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalKind::UnsupportedProtocol => StatusCode::UPGRADE_REQUIRED,
        RefusalKind::SlowDown => StatusCode::TOO_MANY_REQUESTS,
        RefusalKind::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalKind::Other => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for HttpError {
    /// An empty answer that carries the refusal to the door's layer.
    fn into_response(self) -> Response {
        let mut response = self.operator_status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The layer of routes for operators and everybody: refusals as `ErrorBody`.
pub(crate) async fn for_operators(request: Request, next: Next) -> Response {
    let (request_id, method) = (RequestId::of(&request), request.method().to_string());
    let mut response = next.run(request).await;
    let Some(refused) = response.extensions_mut().remove::<HttpError>() else { return response };
    tell_log(&refused.error, &request_id);
    tell_operator(&refused, method)
}

/// A refusal as `ErrorBody`.
pub(crate) fn tell_operator(refused: &HttpError, method: String) -> Response {
    let status = refused.operator_status();
    let word = if refused.status.is_some() { None } else { refused.error.kind.word() };
    let (model, key) = refused.error.object.as_deref().cloned().unwrap_or_default();
    let body = ErrorBody {
        model: model.to_owned(),
        key,
        kind: word.map_or(method, str::to_owned),
        messages: refused.error.messages(),
        code: status.as_u16(),
    };
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        // Not Basic: a browser would open its own dialog over the dashboard's.
        let challenge = HeaderValue::from_static("Bearer realm=\"muster\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    retry_after(&mut response, refused.error.retry_after);
    if let Some(length) = refused.error.log_length {
        response.headers_mut().insert(LOG_LENGTH_HEADER, length.into());
    }
    response
}

/// The layer of routes for machines: refusals as `Refusal`, and a fresh nonce with every answer.
pub(crate) async fn for_machines(State(http): State<Http>, request: Request, next: Next) -> Response {
    let request_id = RequestId::of(&request);
    let mut response = next.run(request).await;
    let now = http.app.now();
    let nonce = http.app.keys.nonce(now);
    if let Some(refused) = response.extensions_mut().remove::<HttpError>() {
        tell_log(&refused.error, &request_id);
        let error = refused.error.kind.refusal();
        let body = Refusal {
            error,
            message: refused.error.message.clone(),
            nonce: Some(nonce.clone()),
            interval: refused.error.interval,
            retry_after: refused.error.retry_after,
            server_time: (error == RefusalKind::UseNonce).then(|| now.as_seconds()),
        };
        response = (refused.machine_status(), Json(body)).into_response();
        retry_after(&mut response, refused.error.retry_after);
    }
    if let Ok(nonce) = HeaderValue::try_from(nonce) {
        response.headers_mut().insert(NONCE_HEADER, nonce);
    }
    response
}

/// What failed on our side belongs into the log, cause and all.
fn tell_log(error: &AppError, request_id: &str) {
    if matches!(error.kind, AppErrorKind::Internal | AppErrorKind::StorageFull | AppErrorKind::Unavailable) {
        tracing::error!(request_id, error = %chain(error), "a request failed");
    }
}

fn retry_after(response: &mut Response, seconds: Option<u64>) {
    if let Some(seconds) = seconds {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
}

/// Any path that is no route.
pub(crate) async fn not_found() -> HttpError {
    HttpError::of_http(StatusCode::NOT_FOUND, "there is nothing at this address")
}

/// A route's path with another method.
pub(crate) async fn method_not_allowed() -> HttpError {
    HttpError::of_http(StatusCode::METHOD_NOT_ALLOWED, "this address does not know this method")
}
