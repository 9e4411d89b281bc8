//! `muster media overlay`: the configuration alone, for boot servers that hand out our kernel and
//! initrd and are made without a server at hand.

use super::config::ConfigArgs;
use crate::print;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Arguments of `muster media overlay`
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("contents").required(true).multiple(true).args(["config", "server"]))]
pub(crate) struct Args {
    /// The archive; boot loaders load it after initrd
    #[arg(short = 'o', long, value_name = "FILE", default_value = "overlay.cpio")]
    out: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Writes the archive.
pub(crate) fn run(args: Args) -> Result<()> {
    let json = args.config.json()?.context("give --config or --server")?;
    let length = image_builder::overlay(&json, &args.out)?;
    print::note(&format!("wrote {}, {}", args.out.display(), print::bytes(length)))
}
