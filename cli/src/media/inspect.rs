//! `muster media inspect`.

use crate::print::{self, Output};
use anyhow::{Context, Result, bail};
use image_builder::{FileState, ISO_FILE, Inspection, Verification};
use std::path::PathBuf;

/// Arguments of `muster media inspect`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A media directory, whose files are verified, or an image such as muster.iso
    path: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// Prints what an image holds and whether a directory is as it was built; a difference is exit code 1.
/// Tokens are not shown.
pub(crate) fn run(args: Args) -> Result<()> {
    let inspect = |image: PathBuf| {
        let told = || format!("{} cannot be inspected", image.display());
        image_builder::inspect(&image).with_context(told)
    };
    if !args.path.is_dir() {
        let inspection = inspect(args.path)?;
        let value = serde_json::to_value(&inspection)?;
        return args.output.show(&value, || Ok(describe(&inspection)));
    }
    let told = || format!("{} is no readable media directory", args.path.display());
    let verification = image_builder::verify(&args.path).with_context(told)?;
    let differing = verification.differing();
    // What differs is not looked into.
    let image = if differing == 0 { Some(inspect(args.path.join(ISO_FILE))?) } else { None };
    let mut value = serde_json::to_value(&verification)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("Image".to_owned(), serde_json::to_value(&image)?);
    }
    args.output.show(&value, || {
        let image = image.as_ref().map(describe).unwrap_or_default();
        Ok(format!("{image}\n\n{}", describe_files(&verification)).trim_start().to_owned())
    })?;
    if differing > 0 {
        bail!(
            "{differing} of {} files in {} are not as they were built; build the media again",
            verification.files.len(),
            args.path.display()
        );
    }
    Ok(())
}

fn describe_files(verification: &Verification) -> String {
    let rows = verification.files.iter().map(|file| {
        let state = match file.state {
            FileState::Ok => "ok",
            FileState::Differs => "differs",
            FileState::Missing => "missing",
            FileState::Unlisted => "not listed",
        };
        let told = file.problem.as_ref().map(|problem| format!("{state}: {problem}"));
        vec![file.name.clone(), told.unwrap_or_else(|| state.to_owned()), file.sha256.clone()]
    });
    print::table(&["FILE", "STATE", "SHA-256"], rows.collect(), "no files")
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
