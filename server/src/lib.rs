//! Muster's server: use cases, REST, store, keys, media, dashboard.
//!
//! Arrows run down: `serve` -> `http` -> `app` -> `engine`, `store`, `keys`, `hub`. Nobody sees
//! `http`; `http` never sees `store`.

mod app;
mod comebacks;
mod dashboard;
mod dhcp;
pub mod fuzzing;
mod habits;
mod http;
mod hub;
mod images;
mod keys;
mod limits;
mod listener;
mod liveness;
mod metrics;
mod places;
mod report;
mod serve;
mod store;
mod tftp;

use engine::change::Cause;
use engine::content;
use engine::time::Timestamp;

pub use app::AppError;
pub use dhcp::{DhcpError, DhcpOptions};
pub use engine::content::Checked;
pub use http::{Door, RouteInfo, routes};
pub use keys::KeysError;
pub use listener::{ConnectionLimits, from_address};
pub use pxe::dhcp::Range as DhcpRange;
pub use serve::{DEFAULT_BOOT_DOWNLOADS, ServeError, ServeOptions, Server, serve, start};
pub use store::StoreError;

/// The OpenAPI document of this build, as JSON: what is served and what the documentation keeps.
pub fn openapi_json() -> String {
    http::openapi::json()
}

/// Checks a document of content against what is built in, as an import on a fresh server would.
pub fn check_content(document: &serde_json::Value) -> Checked {
    content::check(document, &Cause::system(Timestamp::EPOCH))
}
