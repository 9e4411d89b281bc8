//! `muster media customize`: for media that are made without a server at hand.

use super::config::ConfigArgs;
use crate::print;
use anyhow::Result;
use image_builder::CustomizeRequest;
use protocol::cmdline::TOKEN;
use protocol::token::redact;
use std::path::PathBuf;

/// Arguments of `muster media customize`
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["config", "server", "kernel_args"]))]
pub(crate) struct Args {
    /// The image to start from, such as muster.iso
    image: PathBuf,
    /// The copy; it may be the image itself
    #[arg(short = 'o', long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    /// Kernel arguments added to every menu entry
    #[arg(long, value_name = "ARGS", value_parser = without_secrets)]
    kernel_args: Option<String>,
}

/// A command line is readable by everyone on the machine, so secrets have no place on ours.
fn without_secrets(args: &str) -> Result<String, String> {
    if args.contains(TOKEN) || redact(args) != args {
        return Err(format!(
            "{TOKEN} and a proxy's password are secrets and everyone here can read this line; put them into \
             --config FILE"
        ));
    }
    Ok(args.to_owned())
}

/// Writes the copy.
pub(crate) fn run(args: Args) -> Result<()> {
    let request = CustomizeRequest {
        image: args.image,
        config: args.config.json()?,
        kernel_args: args.kernel_args,
        out: args.out,
    };
    let length = image_builder::customize(&request)?;
    print::note(&format!("wrote {}, {}", request.out.display(), print::bytes(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_taken_from_the_command_line() {
        for args in ["quiet muster.token=eyJ", "muster.proxy=http://ann:s3cret@proxy:3128"] {
            assert!(without_secrets(args).unwrap_err().contains("into --config FILE"), "{args}");
        }
        for args in ["console=ttyS1", "muster.proxy=http://proxy:3128"] {
            assert_eq!(without_secrets(args).unwrap(), args);
        }
    }
}
