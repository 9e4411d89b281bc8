//! The order to install: what `GET /provisions/{Uuid}/order` gives the job that works on the run. It holds
//! secrets (seed, registry passwords, keys), so it is never printed: `Debug` tells nothing of them.

use super::{DiskPlan, Layout, Reboot};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// Everything that the installer needs.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct InstallOrder {
    /// The run.
    pub run: Uuid,
    /// The machine.
    pub machine: Uuid,
    /// Its name, which becomes its hostname.
    pub hostname: String,
    /// What is written.
    pub image: ImageOrder,
    /// What becomes of each disk, as it was permitted.
    pub plan: DiskPlan,
    /// A job of this run may have written to the disks before: what is on them need not be as planned.
    pub touched: bool,
    /// How the system disk is divided; disk images bring their own.
    pub layout: Layout,
    /// Configuration for cloud-init.
    pub seed: Seed,
    /// What the installed system boots with.
    pub boot: BootOrder,
    /// The agent in the installed system; none when it is not wanted.
    pub agent: Option<AgentOrder>,
    /// The wipe permit (JWS, compact) for the job that asked; empty for a job that may not write.
    pub permit: String,
}

/// An image, resolved to digests.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageOrder {
    /// How it is written.
    pub way: Way,
    /// Digest of the whole (`sha256:...`): manifest of an OCI image, file of the others.
    pub digest: String,
    /// Files to fetch in order: layers from the lowest on, or the one file.
    pub layers: Vec<Layer>,
}

/// How an image is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Layers of an OCI image, one over another, into file systems of the layout.
    #[default]
    Layers,
    /// A tar of the root, into file systems of the layout.
    Tar,
    /// A disk image in our form (`imaging::blockmap`), over the whole disk.
    BlockMap,
}

/// One file of an image.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Layer {
    /// Digest of the file as it is downloaded.
    pub digest: String,
    /// Its length in bytes; 0 when not known.
    pub size: u64,
    /// Digest of a block map's head and index, by which its blocks are known before the file is there as
    /// a whole; empty for other files.
    pub index: String,
    /// OCI media type, or empty: the compression is seen from the first bytes.
    pub media_type: String,
    /// Where to get it, best first.
    pub sources: Vec<Source>,
}

/// Where a file is to be had.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Source {
    /// A path on our server (`/api/v3/...`, under the job's token and the pins) or an https URL.
    pub url: String,
    /// `Authorization` header for a foreign URL; a secret, empty for none.
    pub authorization: String,
    /// PEM of the CA to trust there; empty for our server.
    pub ca: String,
}

/// The NoCloud seed: contents of its four files.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Seed {
    /// `meta-data`.
    pub meta_data: String,
    /// `user-data`.
    pub user_data: String,
    /// `vendor-data`; empty for none.
    pub vendor_data: String,
    /// `network-config` (version 2); empty for none.
    pub network_config: String,
}

/// How the installed system is booted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct BootOrder {
    /// How the machine gets there.
    pub reboot: Reboot,
    /// Kernel arguments beside those that the layout needs, by the allowlist of `spec/security.md` 3.5.
    pub kernel_args: String,
    /// Put the disk first in the firmware's boot order.
    pub set_firmware_order: bool,
    /// Id of this server, under which the boot entry is found by its media.
    pub server_id: String,
}

/// The agent in the installed system.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentOrder {
    /// Its configuration file (`protocol::config`), as text: servers and pins.
    pub config: String,
}

/// Tells which run, and nothing of what is in it.
impl fmt::Debug for InstallOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstallOrder").field("run", &self.run).finish_non_exhaustive()
    }
}

impl fmt::Debug for ImageOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageOrder")
            .field("way", &self.way)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer")
            .field("digest", &self.digest)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed").finish_non_exhaustive()
    }
}

impl fmt::Debug for AgentOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentOrder").finish_non_exhaustive()
    }
}
