//! `/api/v3/session` and `/api/v3/users/{name}/token`: logging in.

use super::Http;
use super::body::{LOGIN_BODY, bad_request};
use super::error::HttpError;
use super::extract::{Caller, Json, Key, NoForeignPage, Operator, SESSION_COOKIE};
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use protocol::rest::{ApiToken, LoginRequest, Session};

/// Opens a session and sets its cookie.
pub(crate) async fn login(
    State(http): State<Http>,
    caller: Caller,
    _own: NoForeignPage,
    Json(request): Json<LoginRequest, LOGIN_BODY>,
) -> Result<impl IntoResponse, HttpError> {
    let opened = http.app.login(request, caller.origin()).await?;
    let cookie = session_cookie(&opened.secret, opened.lifetime);
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, cookie)], axum::Json(opened.session)))
}

/// Who the caller is.
pub(crate) async fn show(
    State(http): State<Http>,
    operator: Operator,
) -> Result<axum::Json<Session>, HttpError> {
    let csrf_token = operator.session.as_deref().map(|secret| http.app.csrf_token(secret));
    let username = operator.actor().name().to_owned();
    let expires_at = operator.login.expires_at.map(|end| end.to_string()).unwrap_or_default();
    Ok(axum::Json(Session { username, csrf_token: csrf_token.unwrap_or_default(), expires_at }))
}

/// Ends the session and takes its cookie back.
pub(crate) async fn logout(
    State(http): State<Http>,
    operator: Operator,
) -> Result<impl IntoResponse, HttpError> {
    if let Some(secret) = &operator.session {
        http.app.logout(secret).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, session_cookie("", 0))]))
}

/// Makes an API token: `?ttl=SECONDS`. It is a GET that changes something, hence no foreign page.
pub(crate) async fn api_token(
    State(http): State<Http>,
    operator: Operator,
    _own: NoForeignPage,
    caller: Caller,
    Key(name): Key,
    RawQuery(query): RawQuery,
) -> Result<axum::Json<ApiToken>, HttpError> {
    let ttl = query.as_deref().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("ttl="));
    let ttl = ttl.map(str::parse).transpose().map_err(|_| bad_request("ttl must be a number of seconds"))?;
    Ok(axum::Json(http.app.create_api_token(&operator.login, &name, ttl, caller.origin()).await?))
}

fn session_cookie(secret: &str, lifetime: u64) -> String {
    format!("{SESSION_COOKIE}={secret}; Path=/; Max-Age={lifetime}; Secure; HttpOnly; SameSite=Strict")
}
