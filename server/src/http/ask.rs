//! What a request about an object asks, beside who asks: which collection, the pairs of its query,
//! its body, and what the caller has of the object already.

use super::Http;
use super::body::{self, CONTENT_BODY, OPERATOR_BODY, bad_request};
use super::error::HttpError;
use super::json::{self, CONTENT, OBJECT};
use crate::app::Known;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use engine::patch::Patch;
use protocol::model::Kind;
use serde_json::Value;
use std::convert::Infallible;
use std::time::Duration;

/// Longest wait for a change of an object.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The collection that the route is of: the first part of its path below `/api/v3/`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Collection(pub(crate) Kind);

impl FromRequestParts<Http> for Collection {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _http: &Http) -> Result<Self, HttpError> {
        let below = parts.uri.path().strip_prefix("/api/v3/").unwrap_or_default();
        let prefix = below.split('/').next().unwrap_or_default();
        prefix
            .parse()
            .map(Self)
            .map_err(|_| HttpError::of_http(StatusCode::NOT_FOUND, "there is no such collection"))
    }
}

/// The pairs of the query, decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

impl FromRequestParts<Http> for Pairs {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, HttpError> {
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, http).await;
        pairs.map(|Query(pairs)| Self(pairs)).map_err(|_| bad_request("the query is not readable text"))
    }
}

/// Two parameters of a path, decoded: an object's key and what of it.
#[derive(Debug, Clone)]
pub(crate) struct KeyAndRest(pub(crate) String, pub(crate) String);

impl FromRequestParts<Http> for KeyAndRest {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, HttpError> {
        let path = Path::<(String, String)>::from_request_parts(parts, http).await;
        path.map(|Path((key, rest))| Self(key, rest))
            .map_err(|_| bad_request("the address is not readable text"))
    }
}

/// JSON of any sort, at most `LIMIT` bytes, each member once. Comes after who calls, so that
/// strangers' bodies are not read.
#[derive(Debug)]
pub(crate) struct Body<const LIMIT: usize = OPERATOR_BODY>(pub(crate) Value);

impl<const LIMIT: usize> FromRequest<Http> for Body<LIMIT> {
    type Rejection = HttpError;

    async fn from_request(request: Request, _http: &Http) -> Result<Self, HttpError> {
        check_json(request.headers())?;
        let bytes = body::read(request, LIMIT).await?;
        json::parse_value(&bytes, OBJECT).map(Self)
    }
}

/// A bundle of content. Comes after who calls, so that strangers' bodies are not read.
#[derive(Debug)]
pub(crate) struct Document(pub(crate) Value);

impl FromRequest<Http> for Document {
    type Rejection = HttpError;

    async fn from_request(request: Request, _http: &Http) -> Result<Self, HttpError> {
        check_json(request.headers())?;
        let bytes = body::read(request, CONTENT_BODY).await?;
        json::parse_value(&bytes, CONTENT).map(Self)
    }
}

/// The body of a change: RFC 6902, or an object of fields to set.
#[derive(Debug)]
pub(crate) struct PatchBody(pub(crate) Patch);

impl FromRequest<Http> for PatchBody {
    type Rejection = HttpError;

    async fn from_request(request: Request, http: &Http) -> Result<Self, HttpError> {
        let Body(value) = Body::<OPERATOR_BODY>::from_request(request, http).await?;
        Patch::parse(value).map(Self).map_err(|error| bad_request(error.to_string()))
    }
}

/// Refuses a body that says it is something else than JSON. One that says nothing is taken.
fn check_json(headers: &HeaderMap) -> Result<(), HttpError> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let message = "the body must be JSON, with Content-Type: application/json";
    Err(HttpError::of_http(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// What the caller has of the object, and how long it waits for something else:
/// `If-None-Match: ETAG` and `Prefer: wait=SECONDS`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Has(pub(crate) Known);

impl FromRequestParts<Http> for Has {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _http: &Http) -> Result<Self, Infallible> {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let etag = text("if-none-match").map(|etag| etag.trim().trim_start_matches("W/").to_owned());
        let wait = text("prefer").into_iter().flat_map(|preferences| preferences.split([',', ';']));
        let wait = wait.filter_map(|preference| preference.trim().strip_prefix("wait=")).find_map(duration);
        Ok(Self(Known { etag, wait: wait.unwrap_or_default().min(LONGEST_WAIT) }))
    }
}

/// Seconds, or a number with one of Go's units.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim().trim_matches('"');
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "" | "s" => Some(Duration::from_secs(number)),
        "ms" => Some(Duration::from_millis(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3_600).map(Duration::from_secs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_type(kind: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        headers
    }

    #[test]
    fn body_is_json_or_says_nothing() {
        assert!(check_json(&HeaderMap::new()).is_ok());
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/json-patch+json"] {
            assert!(check_json(&with_type(kind)).is_ok(), "{kind}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream", ""] {
            assert!(check_json(&with_type(kind)).is_err(), "{kind}");
        }
    }

    #[test]
    fn waits_are_seconds_or_have_a_unit() {
        assert_eq!(duration("25"), Some(Duration::from_secs(25)));
        assert_eq!(duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        for wrong in ["", "-1", "5 parsecs", "99999999999999999999", "18446744073709551615h"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
