//! `/api/v3/agent`: registered machines.

use super::Http;
use super::error::HttpError;
use super::extract::{AgentCall, Proven, Wait};
use axum::Json;
use axum::extract::State;
use protocol::agent_api::{
    Approved, HeartbeatAnswer, HeartbeatRequest, KeyChange, RunnerRequest, RunnerTicket, TokenAnswer,
    TokenRequest,
};

/// A registered key gets an access token. The first one acknowledges the registration.
pub(crate) async fn token(
    State(http): State<Http>,
    proven: Proven<TokenRequest>,
) -> Result<Json<TokenAnswer>, HttpError> {
    Ok(Json(http.app.access_token(&proven.caller).await?))
}

/// A machine is alive. The answer may be held until there is something to tell.
pub(crate) async fn heartbeat(
    State(http): State<Http>,
    Wait(wait): Wait,
    call: AgentCall<HeartbeatRequest>,
) -> Result<Json<HeartbeatAnswer>, HttpError> {
    Ok(Json(http.hold(http.app.heartbeat(&call.actor, call.body, wait)).await?))
}

/// What a runner of the machine's jobs needs.
pub(crate) async fn runner(
    State(http): State<Http>,
    call: AgentCall<RunnerRequest>,
) -> Result<Json<RunnerTicket>, HttpError> {
    Ok(Json(http.app.runner_ticket(&call.actor).await?))
}

/// A machine changes its key; both keys sign.
pub(crate) async fn change_key(
    State(http): State<Http>,
    call: AgentCall<KeyChange>,
) -> Result<Json<Approved>, HttpError> {
    Ok(Json(http.app.change_key(&call.actor, call.body).await?))
}
