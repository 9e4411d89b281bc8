//! Request bodies: bounded in size and time (`spec/security.md` 6); what is in them is read by
//! [`json`].

use super::error::HttpError;
use super::json;
use crate::app::{AppError, AppErrorKind};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Largest body of an operator's call, in bytes.
pub(crate) const OPERATOR_BODY: usize = 1_024 * 1_024;
/// Largest bundle of content, in bytes.
pub(crate) const CONTENT_BODY: usize = 32 * 1_024 * 1_024;
/// Largest body of a log-in, in bytes.
pub(crate) const LOGIN_BODY: usize = 4 * 1_024;
/// Largest body of a machine's call, in bytes.
pub(crate) const MACHINE_BODY: usize = 64 * 1_024;
/// Largest body of a registered machine's call, in bytes: a whole inventory and what is around it.
pub(crate) const AGENT_BODY: usize = protocol::inventory::MAX_OBSERVED + 8 * 1_024;
/// Longest silence inside a body.
const IDLE: Duration = Duration::from_secs(15);
/// Longest time for a whole body.
const TOTAL: Duration = Duration::from_secs(60);
/// Slowest upload that goes on beyond that, in bytes a second.
const SLOWEST_UPLOAD: u64 = 64 * 1_024;

/// Reads a whole body.
pub(crate) async fn read(request: Request, limit: usize) -> Result<Bytes, HttpError> {
    check_announced(request.headers(), limit)?;
    let mut bytes = Vec::new();
    each_part(request.into_body(), limit, |part| bytes.extend_from_slice(part)).await?;
    Ok(bytes.into())
}

/// Takes a body that is not wanted and keeps nothing of it: over HTTP/1 a peer whose body is left
/// lying may never see the answer.
pub(crate) async fn discard(body: Body, limit: usize) -> Result<(), HttpError> {
    each_part(body, limit, |_| {}).await
}

/// Refuses a body that says itself that it is too long.
pub(crate) fn check_announced(headers: &HeaderMap, limit: usize) -> Result<(), HttpError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    match announced.and_then(|length| length.parse::<usize>().ok()) {
        Some(length) if length > limit => Err(too_large(limit)),
        Some(_) | None => Ok(()),
    }
}

async fn each_part(mut body: Body, limit: usize, mut take: impl FnMut(&[u8])) -> Result<(), HttpError> {
    let deadline = Instant::now() + TOTAL;
    let mut len = 0_usize;
    loop {
        let frame = match timeout_at(deadline, timeout(IDLE, body.frame())).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(_)) | Err(_) => {
                return Err(HttpError::of_http(StatusCode::REQUEST_TIMEOUT, "the body came too slowly"));
            }
        };
        let Some(frame) = frame else { return Ok(()) };
        let frame = frame.map_err(|_| bad_request("the body ended early"))?;
        if let Some(data) = frame.data_ref() {
            len = len.saturating_add(data.len());
            if len > limit {
                return Err(too_large(limit));
            }
            take(data);
        }
    }
}

/// A body that is taken part by part, however long it is, while it comes fast enough.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Instant,
    len: u64,
}

impl Pace {
    /// From now on.
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), len: 0 }
    }

    /// The next part; none at the end.
    pub(crate) async fn next(&mut self, body: &mut Body) -> Result<Option<Bytes>, HttpError> {
        loop {
            let deadline = self.began + TOTAL + Duration::from_secs(self.len / SLOWEST_UPLOAD);
            let too_slow = || HttpError::of_http(StatusCode::REQUEST_TIMEOUT, "the body came too slowly");
            let frame = timeout_at(deadline, timeout(IDLE, body.frame())).await;
            let frame = frame.map_err(|_| too_slow())?.map_err(|_| too_slow())?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|_| bad_request("the body ended early"))?;
            if let Ok(bytes) = frame.into_data() {
                self.len = self.len.saturating_add(bytes.len() as u64);
                return Ok(Some(bytes));
            }
        }
    }
}

/// Reads JSON out of a body.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpError> {
    json::parse(bytes, json::FORM)
}

fn too_large(limit: usize) -> HttpError {
    AppError::new(AppErrorKind::TooLarge, format!("the body has more than {limit} bytes")).into()
}

pub(crate) fn bad_request(message: impl Into<String>) -> HttpError {
    AppError::new(AppErrorKind::BadRequest, message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn body_over_its_limit_is_refused_announced_or_not() {
        for announced in [true, false] {
            let mut request = Request::new(axum::body::Body::from(vec![b' '; 101]));
            if announced {
                request.headers_mut().insert(header::CONTENT_LENGTH, 101.into());
            }
            assert!(read(request, 100).await.is_err());
        }
        assert_eq!(read(Request::new("{}".into()), 2).await.unwrap(), "{}");
    }
}
