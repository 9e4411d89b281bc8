//! HTTP: extract, one call into `app`, reply. Routes are in [`routes`], status codes in
//! [`error`], who may call in [`extract`]. Nothing here decides anything about machines.

mod agent;
mod ask;
mod audit;
pub(crate) mod body;
mod boot;
mod bootstrap;
mod contents;
mod error;
mod extract;
mod images;
mod jobs;
pub(crate) mod json;
mod keys;
mod machines;
mod media;
mod mesh;
mod model;
mod objects;
mod observe;
pub(crate) mod openapi;
mod pages;
mod params;
mod provisions;
mod range;
mod render;
mod routes;
mod session;
mod terminals;
mod tokens;
mod users;
mod ws;

pub(crate) use boot::router as boot_router;
pub use routes::{Door, RouteInfo, routes};

use crate::app::{AppError, SharedApp};
use crate::metrics::Metrics;
use crate::places::Places;
use axum::Router;
use axum::handler::Handler;
use axum::middleware::{from_fn, from_fn_with_state};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Bodies that are read before their proof is complete, altogether and for one source: 64 KiB
/// each, so 64 MiB and 16 MiB; four times that only if every one came with a machine's access token.
const UNPROVEN_BODIES: usize = 1_024;
const UNPROVEN_BODIES_PER_SOURCE: usize = 256;

/// What handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// Use cases.
    pub(crate) app: SharedApp,
    /// Places for bodies of machines that are not proven yet.
    pub(crate) unproven: Arc<Places>,
    /// Numbers.
    pub(crate) metrics: Arc<Metrics>,
    /// The server stops: answer what is held.
    pub(crate) stopping: CancellationToken,
    /// Port of the listener, for addresses told to machines.
    pub(crate) port: u16,
    /// First part of request ids: tells runs of the server apart in the log.
    pub(crate) start: u32,
}

impl Http {
    /// The places for unproven bodies.
    pub(crate) fn unproven_bodies() -> Arc<Places> {
        Places::new(UNPROVEN_BODIES, UNPROVEN_BODIES_PER_SOURCE)
    }

    /// Waits for a held call, and not while the server stops: then all that wait are let go
    /// and answer at once.
    pub(crate) async fn hold<T>(
        &self,
        call: impl Future<Output = Result<T, AppError>>,
    ) -> Result<T, AppError> {
        let mut call = std::pin::pin!(call);
        tokio::select! {
            answer = &mut call => answer,
            () = self.stopping.cancelled() => {
                self.app.hub.let_go();
                call.await
            }
        }
    }
}

/// The whole surface.
pub(crate) fn router(http: Http) -> Router {
    let refusals = from_fn(error::for_operators);
    routes::router(&http)
        .fallback(pages::dashboard.layer(refusals.clone()))
        .method_not_allowed_fallback(error::method_not_allowed.layer(refusals))
        .layer(from_fn_with_state(http.clone(), observe::observe))
        .with_state(http)
}
