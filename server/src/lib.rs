//! Muster's server: use cases, REST, store, keys, media, dashboard.
//!
//! Arrows run down: `serve` -> `http` -> `app` -> `engine`, `store`, `keys`, `hub`. Nobody sees
//! `http`; `http` never sees `store`.

mod app;
mod hub;
pub mod keys;
mod limits;
mod liveness;
mod store;
