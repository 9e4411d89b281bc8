//! The order: what the server wants installed. It holds secrets, so nothing here prints any of it.

use super::network::Network;
use super::settings::Settings;
use crate::api::rest::Call;
use crate::runner::AskError;
use hyper::Method;
use protocol::install::InstallOrder;
use uuid::Uuid;

/// Why there is no order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    /// The server does not give it.
    #[error("the server does not give the order of run {0}")]
    Ask(Uuid, #[source] AskError),
    /// It is not what an order looks like. What is in it is not told.
    #[error(
        "the server's order is not understood (line {line}, column {column}); have server and media of one version"
    )]
    Malformed {
        /// Where it is wrong.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// It is for somebody else.
    #[error(
        "the server's order is for run {run} of machine {machine}, not for this one; start the run again"
    )]
    Foreign {
        /// Its run.
        run: Uuid,
        /// Its machine.
        machine: Uuid,
    },
}

/// Asks the server for the order of this run.
///
/// # Errors
/// [`OrderError`].
pub(super) fn fetch(network: &Network, settings: &Settings) -> Result<InstallOrder, OrderError> {
    let call = Call::new(Method::GET, format!("{}/order", path(settings.run)));
    let reply = network.ask(settings, call).map_err(|source| OrderError::Ask(settings.run, source))?;
    let order: InstallOrder = serde_json::from_slice(&reply.body)
        .map_err(|error| OrderError::Malformed { line: error.line(), column: error.column() })?;
    if (order.run, order.machine) != (settings.run, settings.runner.machine) {
        return Err(OrderError::Foreign { run: order.run, machine: order.machine });
    }
    Ok(order)
}

/// Where REST has a run.
pub(super) fn path(run: Uuid) -> String {
    format!("/api/v3/provisions/{run}")
}
