//! `/api/v3/session`: logging in and out, and entering the password once more.

use super::Http;
use super::body::LOGIN_BODY;
use super::error::HttpError;
use super::extract::{Caller, Json, NoForeignPage, Operator, SESSION_COOKIE};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use protocol::rest::{LoginRequest, PasswordProof, Session};

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

/// Takes the password once more: for five minutes it counts as entered just now.
pub(crate) async fn confirm(
    State(http): State<Http>,
    caller: Caller,
    operator: Operator,
    Json(request): Json<PasswordProof, LOGIN_BODY>,
) -> Result<StatusCode, HttpError> {
    http.app.confirm(&operator.login, &request.password, caller.origin()).await?;
    Ok(StatusCode::NO_CONTENT)
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

fn session_cookie(secret: &str, lifetime: u64) -> String {
    format!("{SESSION_COOKIE}={secret}; Path=/; Max-Age={lifetime}; Secure; HttpOnly; SameSite=Strict")
}
