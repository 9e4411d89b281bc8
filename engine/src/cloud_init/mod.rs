//! The configuration of a machine that is installed: its roles' cloud-init templates, rendered for it and
//! merged by priority, with what its own settings say, as a seed for cloud-init's data source NoCloud
//! (`spec/bootstrap-and-dashboard.md` 5.2 and 7.1, `docs/roles.md`).
//!
//! - `yaml`, `write`: configuration from text and to text, within limits
//! - `merge`: several configurations as one
//! - `network`: the network as cloud-init wants it
//! - `draft`: all of it for one machine, with everything that is wrong

mod draft;
mod merge;
mod network;
#[cfg(test)]
mod tests;
mod write;
mod yaml;

pub use draft::{Draft, draft, hostname, preview};
pub use merge::{Fault, Layer, Merged, merge};
pub use write::document;
pub use yaml::{MAX_DEPTH, MAX_DOCUMENT, MAX_VALUES, YamlError, read};
