//! `muster media inspect`.

use crate::print::{self, Output};
use anyhow::{Context, Result};
use image_builder::Inspection;
use std::path::PathBuf;

/// Arguments of `muster media inspect`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image, such as muster.iso
    image: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// Prints what an image holds. Tokens are not shown.
pub(crate) fn run(args: Args) -> Result<()> {
    let inspection = image_builder::inspect(&args.image)
        .with_context(|| format!("{} cannot be inspected", args.image.display()))?;
    let value = serde_json::to_value(&inspection)?;
    args.output.show(&value, || Ok(describe(&inspection)))
}

fn describe(inspection: &Inspection) -> String {
    let identity = &inspection.identity;
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let config = &inspection.config;
    let personalised = if inspection.personalised {
        "yes"
    } else {
        "no: a machine that boots it contacts nobody and shows E11"
    };
    let fields = print::fields(&[
        ("Muster", format!("{}, {} {}", identity.version, identity.profile, identity.arch)),
        ("Kernel", identity.kernel.clone()),
        ("Size", print::bytes(inspection.size)),
        ("Personalised", personalised.to_owned()),
        ("Servers", list(config.server.iter().map(ToString::to_string).collect())),
        ("CA hashes", list(config.ca_hash.iter().map(ToString::to_string).collect())),
        ("Token", if config.token.is_some() { "carried, not shown" } else { "none" }.to_owned()),
        ("Kernel args", inspection.kernel_args.clone()),
    ]);
    let regions = inspection
        .regions
        .iter()
        .map(|region| vec![region.name.clone(), region.offset.to_string(), region.length.to_string()]);
    let files = inspection.files.iter().map(|file| vec![file.path.clone(), print::bytes(file.length)]);
    let regions = print::table(&["REGION", "OFFSET", "LENGTH"], regions.collect(), "no regions");
    let files = print::table(&["FILE", "SIZE"], files.collect(), "no files");
    format!("{fields}\n\n{regions}\n\n{files}")
}
