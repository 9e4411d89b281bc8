//! Members of mesh networks: what a machine is told of the others, what it tells of them, and what operators see
//! of that. The wire is `protocol::mesh`'s.

use super::Http;
use super::ask::Pairs;
use super::body::{self, bad_request};
use super::error::HttpError;
use super::extract::{Key, Operator, Wait};
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use protocol::mesh::{MeshNews, MeshReport, MeshReportAnswer, read_report};
use protocol::rest::{MachinePeers, MeshMap};

/// Largest report, in bytes: as many peers as one may tell of, with room.
const MESH_BODY: usize = 2 * 1_024 * 1_024;

/// A member's report, bounded before anything is made of it.
#[derive(Debug)]
pub(crate) struct Report(MeshReport);

impl FromRequest<Http> for Report {
    type Rejection = HttpError;

    async fn from_request(request: Request, _http: &Http) -> Result<Self, HttpError> {
        let bytes = body::read(request, MESH_BODY).await?;
        read_report(&bytes).map(Self).map_err(|error| bad_request(error.to_string()))
    }
}

/// What is new for a member. The answer may be held until there is something.
pub(crate) async fn news(
    State(http): State<Http>,
    operator: Operator,
    Wait(wait): Wait,
    Pairs(pairs): Pairs,
) -> Result<Json<MeshNews>, HttpError> {
    let since = pairs.into_iter().find(|(name, _)| name == "since").map(|(_, cursor)| cursor);
    let since = since.unwrap_or_default();
    Ok(Json(http.hold(http.app.mesh_news(operator.actor(), &since, wait)).await?))
}

/// What a member sees.
pub(crate) async fn report(
    State(http): State<Http>,
    operator: Operator,
    Report(report): Report,
) -> Result<Json<MeshReportAnswer>, HttpError> {
    Ok(Json(http.app.mesh_report(operator.actor(), report).await?))
}

/// Whom a machine reaches in its mesh network.
pub(crate) async fn machine(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
) -> Result<Json<MachinePeers>, HttpError> {
    Ok(Json(http.app.machine_peers(operator.actor(), &key).await?))
}

/// A mesh network as a map.
pub(crate) async fn network(
    State(http): State<Http>,
    operator: Operator,
    Key(key): Key,
) -> Result<Json<MeshMap>, HttpError> {
    Ok(Json(http.app.mesh_map(operator.actor(), &key).await?))
}
