//! `muster media customize`: for media that are made without a server at hand.

use crate::print;
use anyhow::{Context, Result, bail};
use image_builder::CustomizeRequest;
use protocol::cmdline::TOKEN;
use protocol::config::{AgentConfig, MAX_CONFIG_LEN, ServerUrl};
use protocol::ids::SpkiPin;
use protocol::net::NetPlan;
use protocol::token::redact;
use std::io::Read;
use std::path::{Path, PathBuf};

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
    /// Configuration as JSON, replacing the one in the image; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "ca_hash", "net"])]
    config: Option<PathBuf>,
    /// Server that machines shall contact; repeat it for several, tried in order
    #[arg(long, value_name = "URL", requires = "ca_hash")]
    server: Vec<ServerUrl>,
    /// Pin of the server's CA, as sha256:...; repeat it for the next CA
    #[arg(long, value_name = "PIN", requires = "server")]
    ca_hash: Vec<SpkiPin>,
    /// Network as in muster.net=, such as addr=10.0.0.5/24,gw=10.0.0.1,dns=10.0.0.53; blanks between several devices
    #[arg(long, value_name = "SPEC", requires = "server")]
    net: Option<NetPlan>,
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
    let config = match &args.config {
        Some(path) => Some(read_config(path)?),
        None if args.server.is_empty() => None,
        None => Some(
            AgentConfig {
                server: args.server,
                ca_hash: args.ca_hash,
                net: args.net.map(|plan| plan.to_string()),
                ..AgentConfig::unpersonalised()
            }
            .render()?,
        ),
    };
    let request =
        CustomizeRequest { image: args.image, config, kernel_args: args.kernel_args, out: args.out };
    let length = image_builder::customize(&request)?;
    print::note(&format!("wrote {}, {}", request.out.display(), print::bytes(length)))
}

fn read_config(path: &Path) -> Result<Vec<u8>> {
    let told = || format!("the configuration {} cannot be read", path.display());
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_CONFIG_LEN).unwrap_or(u64::MAX).saturating_add(1);
    if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_end(&mut bytes).with_context(told)?;
    } else {
        let file = std::fs::File::open(path).with_context(told)?;
        let length = file.metadata().with_context(told)?.len();
        if length >= limit {
            bail!(
                "the configuration {} has {length} bytes, at most {MAX_CONFIG_LEN} are read; shorten it",
                path.display()
            );
        }
        file.take(limit).read_to_end(&mut bytes).with_context(told)?;
    }
    if bytes.is_empty() {
        bail!("the configuration {} is empty", path.display());
    }
    Ok(bytes)
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
