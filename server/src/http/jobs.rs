//! `/api/v3/jobs`: what jobs have beside the routes of every object.

use super::Http;
use super::ask::{Body, Has, Pairs};
use super::body;
use super::error::{HttpError, LOG_LENGTH_HEADER};
use super::extract::{Key, Operator};
use super::objects::nothing;
use crate::app::{CleanUp, LogPart, retry_after};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::run::{MAX_APPEND, Outcome};
use protocol::model::JobAction;
use uuid::Uuid;

/// The lease under which a runner speaks: the `Epoch` of the job as it got it.
const LEASE: HeaderName = HeaderName::from_static("x-muster-lease");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The caller's lease, where it has one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease(pub(crate) Option<i64>);

impl FromRequestParts<Http> for Lease {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _http: &Http) -> Result<Self, HttpError> {
        let Some(lease) = parts.headers.get(LEASE) else { return Ok(Self(None)) };
        let number = lease.to_str().ok().and_then(|text| text.parse().ok());
        let wrong = || body::bad_request("X-Muster-Lease must be the job's Epoch, a number");
        number.map(|number| Self(Some(number))).ok_or_else(wrong)
    }
}

/// Bytes for a log, whatever they say they are.
#[derive(Debug)]
pub(crate) struct LogBytes(pub(crate) Bytes);

impl FromRequest<Http> for LogBytes {
    type Rejection = HttpError;

    async fn from_request(request: Request, _http: &Http) -> Result<Self, HttpError> {
        body::read(request, MAX_APPEND).await.map(Self)
    }
}

/// `?offset=`, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offset(pub(crate) Option<u64>);

impl FromRequestParts<Http> for Offset {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, HttpError> {
        let Pairs(pairs) = Pairs::from_request_parts(parts, http).await?;
        let offset = pairs.iter().find(|(name, _)| name == "offset").map(|(_, value)| value.parse());
        let offset = offset.transpose().map_err(|_| body::bad_request("offset must be a number of bytes"))?;
        Ok(Self(offset))
    }
}

impl IntoResponse for LogPart {
    fn into_response(self) -> Response {
        let headers = [(header::CONTENT_TYPE, BYTES), (LOG_LENGTH_HEADER, self.length.into())];
        (headers, self.bytes).into_response()
    }
}

/// Hands the next job out: 201 a new one, 202 the one that was incomplete, 204 none.
pub(crate) async fn create(
    State(http): State<Http>,
    operator: Operator,
    Body(wanted): Body,
) -> Result<Response, HttpError> {
    Ok(match http.app.create_job(operator.actor(), wanted).await? {
        Outcome::Created(job) => (StatusCode::CREATED, Json(job.fields)).into_response(),
        Outcome::Resumed(job) => (StatusCode::ACCEPTED, Json(job.fields)).into_response(),
        Outcome::Nothing { again_in } => {
            let wait =
                retry_after(again_in).map(|seconds| [(header::RETRY_AFTER, HeaderValue::from(seconds))]);
            (wait, nothing()).into_response()
        }
    })
}

/// What is to be done for a job (`?os=`).
pub(crate) async fn actions(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
    Lease(lease): Lease,
    Pairs(pairs): Pairs,
) -> Result<Json<Vec<JobAction>>, HttpError> {
    let os = pairs.iter().find(|(name, value)| name == "os" && !value.is_empty());
    let os = os.map(|(_, value)| value.as_str());
    Ok(Json(http.app.job_actions(operator.actor(), &key, lease, os).await?))
}

/// A job's log (`?offset=`; with `Prefer: wait`, once there is more); asked by HEAD, its length.
pub(crate) async fn log(
    State(http): State<Http>,
    operator: Operator,
    method: Method,
    Key(key): Key,
    Offset(offset): Offset,
    Has(known): Has,
) -> Result<LogPart, HttpError> {
    if method == Method::HEAD {
        return Ok(http.app.job_log_length(operator.actor(), &key).await?);
    }
    let log = http.app.job_log(operator.actor(), &key, offset.unwrap_or(0), known.wait);
    Ok(http.hold(log).await?)
}

/// Writes at the end of a job's log (`?offset=`: what is there already is not written twice).
pub(crate) async fn append(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
    Lease(lease): Lease,
    Offset(offset): Offset,
    LogBytes(bytes): LogBytes,
) -> Result<Response, HttpError> {
    let length = http.app.append_log(operator.actor(), &key, lease, offset, &bytes).await?;
    Ok(([(LOG_LENGTH_HEADER, HeaderValue::from(length))], nothing()).into_response())
}

/// Deletes old jobs.
pub(crate) async fn clean_up(
    State(http): State<Http>,
    operator: Operator,
    Pairs(pairs): Pairs,
) -> Result<Json<Vec<Uuid>>, HttpError> {
    let wanted = CleanUp::read(&pairs)?;
    Ok(Json(http.app.clean_up_jobs(operator.actor(), &wanted).await?))
}
