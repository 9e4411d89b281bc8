//! `/api/v3/machines/{key}/terminal` and what is beside it: whether terminals are allowed, the one that is
//! open, recordings. The websockets of the two sides are next door.

mod machine;
mod operator;

pub(crate) use machine::connect as machine_side;
pub(crate) use operator::connect;

use super::Http;
use super::error::HttpError;
use super::extract::{Json, Key, Operator};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use protocol::rest::{Terminal, TerminalState, TerminalSwitch};
use std::time::Duration;

/// How often a side is pinged.
const PING: Duration = Duration::from_secs(20);
/// Longest silence of a side: three pings unanswered.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest time one message may take to leave.
const SEND: Duration = Duration::from_secs(30);

/// How a machine's terminal stands.
pub(crate) async fn state(
    State(http): State<Http>,
    operator: Operator,
    Key(machine): Key,
) -> Result<axum::Json<TerminalState>, HttpError> {
    Ok(axum::Json(http.app.terminal_state(operator.actor(), &machine).await?))
}

/// Allows or forbids terminals.
pub(crate) async fn switch(
    State(http): State<Http>,
    operator: Operator,
    Key(machine): Key,
    Json(wanted): Json<TerminalSwitch>,
) -> Result<axum::Json<TerminalState>, HttpError> {
    Ok(axum::Json(http.app.switch_terminal(&operator.login, &machine, wanted).await?))
}

/// Ends the one that is open.
pub(crate) async fn stop(
    State(http): State<Http>,
    operator: Operator,
    Key(machine): Key,
) -> Result<axum::Json<TerminalState>, HttpError> {
    Ok(axum::Json(http.app.stop_terminal(operator.actor(), &machine).await?))
}

/// Those that were open.
pub(crate) async fn list(
    State(http): State<Http>,
    operator: Operator,
    Key(machine): Key,
) -> Result<axum::Json<Vec<Terminal>>, HttpError> {
    Ok(axum::Json(http.app.terminals(operator.actor(), &machine).await?))
}

/// A recording.
pub(crate) async fn recording(
    State(http): State<Http>,
    operator: Operator,
    Key(terminal): Key,
) -> Result<impl IntoResponse, HttpError> {
    let text = http.app.terminal_recording(operator.actor(), &terminal).await?;
    Ok(([(header::CONTENT_TYPE, "application/x-asciicast")], text))
}
