//! Log-ins and passwords: `/api/v3/users/{name}/token`, `/api/v3/users/{name}/logins`,
//! `/api/v3/users/{name}/password`, `/api/v3/machines/{uuid}/token`.

use super::Http;
use super::ask::Pairs;
use super::body::LOGIN_BODY;
use super::error::HttpError;
use super::extract::{Deliberate, Json, Key, Operator};
use super::pages::about;
use crate::app::{ApiTokenWish, AppErrorKind};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use protocol::rest::{ApiToken, ApiTokenCreate, Login, MachineToken, NewPassword};
use serde_json::Value;

/// Makes an API token: `?ttl=600&roles=a,b`.
pub(crate) async fn token(
    State(http): State<Http>,
    Deliberate(operator): Deliberate,
    Key(name): Key,
    Pairs(pairs): Pairs,
    parts: Parts,
) -> Result<axum::Json<ApiToken>, HttpError> {
    let token = http.app.create_api_token(&operator.login, wish(&name, &pairs)).await?;
    let info = match about(&http, &operator, &parts).await {
        Err(error) if error.is(AppErrorKind::Forbidden) => None,
        info => Some(Box::new(info?)),
    };
    Ok(axum::Json(ApiToken { info, ..token }))
}

/// Makes an API token, described, and lasting if that is asked for.
pub(crate) async fn create_token(
    State(http): State<Http>,
    operator: Operator,
    Key(user): Key,
    Json(body): Json<ApiTokenCreate, LOGIN_BODY>,
) -> Result<(StatusCode, axum::Json<ApiToken>), HttpError> {
    let ApiTokenCreate { ttl, roles, description, lasting } = body;
    let (roles, ttl) = (roles.join(","), Some(ttl.as_str()).filter(|ttl| !ttl.is_empty()));
    let wish = ApiTokenWish { user: &user, ttl, roles: &roles, description: &description, lasting };
    Ok((StatusCode::CREATED, axum::Json(http.app.create_api_token(&operator.login, wish).await?)))
}

/// What a user is logged in with.
pub(crate) async fn logins(
    State(http): State<Http>,
    operator: Operator,
    Key(name): Key,
) -> Result<axum::Json<Vec<Login>>, HttpError> {
    Ok(axum::Json(http.app.logins(&operator.login, &name).await?))
}

/// Ends one of them.
pub(crate) async fn end_login(
    State(http): State<Http>,
    operator: Operator,
    Path((name, id)): Path<(String, String)>,
) -> Result<axum::Json<Login>, HttpError> {
    Ok(axum::Json(http.app.end_login(&operator.login, &name, &id).await?))
}

/// What is asked for. The package drppy-client 4.17 forgets to fill the path in, and names the user
/// in the query.
fn wish<'a>(name: &'a str, pairs: &'a [(String, String)]) -> ApiTokenWish<'a> {
    ApiTokenWish {
        user: if name == "{name}" { named(pairs, "name").unwrap_or(name) } else { name },
        ttl: named(pairs, "ttl"),
        roles: named(pairs, "roles").unwrap_or_default(),
        ..ApiTokenWish::default()
    }
}

/// Sets a password.
pub(crate) async fn password(
    State(http): State<Http>,
    operator: Operator,
    Key(name): Key,
    Json(body): Json<NewPassword, LOGIN_BODY>,
) -> Result<axum::Json<Value>, HttpError> {
    Ok(axum::Json(http.app.set_password(&operator.login, &name, body.password).await?))
}

/// Makes a token for a machine: `?ttl=1h`.
pub(crate) async fn machine_token(
    State(http): State<Http>,
    Deliberate(operator): Deliberate,
    Key(key): Key,
    Pairs(pairs): Pairs,
) -> Result<axum::Json<MachineToken>, HttpError> {
    Ok(axum::Json(http.app.create_machine_token(operator.actor(), &key, named(&pairs, "ttl")).await?))
}

fn named<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
