//! `/api/v3/provisions`: provision runs, as operators ask for and see them, and as the run's own job asks and
//! tells.

use super::Http;
use super::ask::Pairs;
use super::error::HttpError;
use super::extract::{Json, Key, Operator};
use super::jobs::Lease;
use super::media::called_by;
use super::objects::nothing;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use protocol::install::{
    EscrowedKey, FirstBoot, InstallOrder, PermitAnswer, Progress, ProgressAnswer, Provision, ProvisionRequest,
};

/// Asks for a run of a machine.
pub(crate) async fn create(
    State(http): State<Http>,
    operator: Operator,
    Key(machine): Key,
    Json(request): Json<ProvisionRequest>,
) -> Result<(StatusCode, axum::Json<Provision>), HttpError> {
    let run = http.app.provision(operator.actor(), &machine, &request).await?;
    Ok((StatusCode::CREATED, axum::Json(run)))
}

/// Runs, newest first.
pub(crate) async fn list(
    State(http): State<Http>,
    operator: Operator,
    Pairs(pairs): Pairs,
) -> Result<axum::Json<Vec<Provision>>, HttpError> {
    Ok(axum::Json(http.app.runs(operator.actor(), &pairs).await?))
}

/// One run.
pub(crate) async fn show(
    State(http): State<Http>,
    operator: Operator,
    Key(run): Key,
) -> Result<axum::Json<Provision>, HttpError> {
    Ok(axum::Json(http.app.show_run(operator.actor(), &run).await?))
}

/// Cancels a run.
pub(crate) async fn cancel(
    State(http): State<Http>,
    operator: Operator,
    Key(run): Key,
) -> Result<axum::Json<Provision>, HttpError> {
    Ok(axum::Json(http.app.cancel_run(operator.actor(), &run).await?))
}

/// The keys of a machine's encrypted volumes.
pub(crate) async fn escrowed(
    State(http): State<Http>,
    operator: Operator,
    Key(machine): Key,
) -> Result<axum::Json<Vec<EscrowedKey>>, HttpError> {
    Ok(axum::Json(http.app.escrowed_keys(operator.actor(), &machine).await?))
}

/// What the run's job is to install.
pub(crate) async fn order(
    State(http): State<Http>,
    operator: Operator,
    Key(run): Key,
    Lease(lease): Lease,
    parts: Parts,
) -> Result<axum::Json<InstallOrder>, HttpError> {
    let servers = http.app.media.servers(called_by(&parts), http.port);
    Ok(axum::Json(http.app.install_order(operator.actor(), &run, lease, servers).await?))
}

/// The permit to erase disks.
pub(crate) async fn permit(
    State(http): State<Http>,
    operator: Operator,
    Key(run): Key,
    Lease(lease): Lease,
) -> Result<axum::Json<PermitAnswer>, HttpError> {
    Ok(axum::Json(http.app.permit(operator.actor(), &run, lease).await?))
}

/// How far the job has come.
pub(crate) async fn progress(
    State(http): State<Http>,
    operator: Operator,
    Key(run): Key,
    Lease(lease): Lease,
    Json(told): Json<Progress>,
) -> Result<axum::Json<ProgressAnswer>, HttpError> {
    Ok(axum::Json(http.app.progress(operator.actor(), &run, lease, told).await?))
}

/// The installed system runs.
pub(crate) async fn first_boot(
    State(http): State<Http>,
    operator: Operator,
    Key(run): Key,
    Lease(lease): Lease,
    Json(told): Json<FirstBoot>,
) -> Result<axum::Json<Provision>, HttpError> {
    Ok(axum::Json(http.app.first_boot(operator.actor(), &run, lease, &told).await?))
}

/// Takes the key of an encrypted volume.
pub(crate) async fn escrow(
    State(http): State<Http>,
    operator: Operator,
    Key(run): Key,
    Lease(lease): Lease,
    Json(key): Json<EscrowedKey>,
) -> Result<Response, HttpError> {
    http.app.escrow_key(operator.actor(), &run, lease, &key).await?;
    Ok(nothing())
}
