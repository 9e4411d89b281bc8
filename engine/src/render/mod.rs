//! Rendering: boot files, task scripts and texts for a machine, by the templates of the content
//! (`spec/machine-model.md` 7). Syntax and functions are crate `template`'s; here is what `.Machine`,
//! `.Param`, `.Env` and the others mean.
//!
//! Nothing is kept but parsed templates: whatever a file depends on, the next request sees it.

mod args;
mod asked;
mod check;
mod env;
mod expand;
mod files;
mod kexec;
mod library;
mod limits;
mod machine;
mod plain;
mod repos;
mod root;
mod scene;
mod seed;
mod work;

#[cfg(test)]
mod tests;
mod url;

pub use files::{Body, File, RenderError};
pub use library::{Parsed, info_errors, syntax_errors};
pub use limits::{MAX_FILE, file_path};
pub use scene::{Addresses, INFINITE, Nowhere, Outside, Scene, TokenWanted};
pub use seed::{Facts, Peer, Surroundings};
