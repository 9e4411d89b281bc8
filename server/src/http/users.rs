//! Tokens and passwords: `/api/v3/users/{name}/token`, `/api/v3/users/{name}/password`,
//! `/api/v3/machines/{uuid}/token`.

use super::Http;
use super::ask::Pairs;
use super::body::LOGIN_BODY;
use super::error::HttpError;
use super::extract::{Json, Key, NoForeignPage, Operator};
use super::pages::about;
use crate::app::{ApiTokenWish, AppErrorKind};
use axum::extract::State;
use axum::http::request::Parts;
use protocol::rest::{ApiToken, MachineToken, NewPassword};
use serde_json::Value;

/// Makes an API token: `?ttl=600&roles=a,b`. It is a GET that changes something, hence no foreign
/// page.
pub(crate) async fn token(
    State(http): State<Http>,
    operator: Operator,
    _own: NoForeignPage,
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

/// What is asked for. The package drppy-client 4.17 forgets to fill the path in, and names the user
/// in the query.
fn wish<'a>(name: &'a str, pairs: &'a [(String, String)]) -> ApiTokenWish<'a> {
    ApiTokenWish {
        user: if name == "{name}" { named(pairs, "name").unwrap_or(name) } else { name },
        ttl: named(pairs, "ttl"),
        roles: named(pairs, "roles").unwrap_or_default(),
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

/// Makes a token for a machine: `?ttl=1h`. It is a GET that hands out a secret, hence no foreign
/// page.
pub(crate) async fn machine_token(
    State(http): State<Http>,
    operator: Operator,
    _own: NoForeignPage,
    Key(key): Key,
    Pairs(pairs): Pairs,
) -> Result<axum::Json<MachineToken>, HttpError> {
    Ok(axum::Json(http.app.create_machine_token(operator.actor(), &key, named(&pairs, "ttl")).await?))
}

fn named<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
