//! The agent's configuration, from a file or from flags: what `muster media customize` puts into an
//! image and `muster media overlay` into an archive.

use anyhow::{Context, Result, bail};
use protocol::config::{AgentConfig, MAX_CONFIG_LEN, ServerUrl};
use protocol::ids::SpkiPin;
use protocol::net::NetPlan;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Flags that say what agents are told
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// Configuration as JSON, whole; - reads standard input
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
}

impl ConfigArgs {
    /// The configuration's JSON; `None` when no flag says anything.
    pub(super) fn json(self) -> Result<Option<Vec<u8>>> {
        if let Some(path) = &self.config {
            return read_config(path).map(Some);
        }
        if self.server.is_empty() {
            return Ok(None);
        }
        let config = AgentConfig {
            server: self.server,
            ca_hash: self.ca_hash,
            net: self.net.map(|plan| plan.to_string()),
            ..AgentConfig::unpersonalised()
        };
        Ok(Some(config.render()?))
    }
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
