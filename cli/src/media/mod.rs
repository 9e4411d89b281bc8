//! `muster media`: what machines boot. Building, inspecting and customising call the library and
//! need no server; a download comes from one, personalised.

mod build;
mod config;
mod customize;
mod download;
mod inspect;
mod overlay;

use anyhow::Result;
use clap::Subcommand;

/// Verbs of `muster media`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build the boot media from Debian's packages
    Build(build::Args),
    /// Verify a media directory; say what an image holds and whom it would contact
    Inspect(inspect::Args),
    /// Write a copy of an image with another configuration or kernel arguments
    Customize(customize::Args),
    /// Write a configuration as an archive that boot servers hand out beside the initrd
    Overlay(overlay::Args),
    /// Download a file from a server; muster.iso and overlay.cpio come personalised for it
    Download(download::Args),
}

/// Runs one verb.
pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Build(args) => build::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Customize(args) => customize::run(args),
        Command::Overlay(args) => overlay::run(args),
        Command::Download(args) => crate::wait_for(download::run(args)),
    }
}
