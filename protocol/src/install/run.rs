//! Provision runs, as REST shows them: `/provisions`.

use super::{Progress, Step};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// What a run does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Installs the operating system.
    #[default]
    Rebuild,
    /// Brings the machine back to Discovery mode.
    Discover,
    /// Drops what was asked for and has not begun.
    Clear,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rebuild => "rebuild",
            Self::Discover => "discover",
            Self::Clear => "clear",
        })
    }
}

/// Where a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProvisionStatus {
    /// Asked for; the machine has not begun.
    #[default]
    Pending,
    /// The machine comes into our image and looks at its disks.
    Preparing,
    /// Partitions and file systems are made.
    Partitioning,
    /// The image is downloaded and written.
    Downloading,
    /// Seed, keys, agent and boot loader are put in place.
    Configuring,
    /// The machine restarts into its disk and reports.
    Booting,
    /// The installed system runs and its configuration was applied.
    Completed,
    /// The installed system runs; part of its configuration failed.
    Degraded,
    /// A step failed.
    Error,
    /// A step took longer than its deadline.
    Timeout,
    /// Somebody cancelled it.
    Canceled,
    /// Its documents could not be rendered; no disk was touched.
    RenderFailed,
}

impl ProvisionStatus {
    /// Whether nothing changes it any more.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Pending
            | Self::Preparing
            | Self::Partitioning
            | Self::Downloading
            | Self::Configuring
            | Self::Booting => false,
            Self::Completed
            | Self::Degraded
            | Self::Error
            | Self::Timeout
            | Self::Canceled
            | Self::RenderFailed => true,
        }
    }

    /// Whether the machine became what was asked for, perhaps not in every detail.
    pub const fn has_completed(self) -> bool {
        matches!(self, Self::Completed | Self::Degraded)
    }
}

impl fmt::Display for ProvisionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Preparing => "preparing",
            Self::Partitioning => "partitioning",
            Self::Downloading => "downloading",
            Self::Configuring => "configuring",
            Self::Booting => "booting",
            Self::Completed => "completed",
            Self::Degraded => "degraded",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::RenderFailed => "render_failed",
        })
    }
}

/// How a machine gets from our image into its system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Reboot {
    /// By its firmware.
    #[default]
    Firmware,
    /// At once, without firmware.
    Kexec,
}

/// Asks for a run: `POST /machines/{Uuid}/provision`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct ProvisionRequest {
    /// What to do.
    pub mode: Mode,
    /// Name of an Image; that of the roles, then the default one, when empty.
    pub image: String,
    /// Workflow to run; the built-in one when empty.
    pub workflow: String,
    /// How to get into the installed system.
    pub reboot: Reboot,
    /// The machine's name, typed by who saw the plan; asked for where disks that hold something are erased.
    pub confirm: String,
}

/// Longest key of a volume, in bytes.
pub const MAX_ESCROW: usize = 4_096;

/// The key of an encrypted volume: `POST /provisions/{Uuid}/escrow`, before the first write to its disk, and
/// `GET /machines/{Uuid}/escrow`. Debug hides it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct EscrowedKey {
    /// The run that made the volume; the server's to say.
    pub run: Uuid,
    /// The volume, such as the UUID of its LUKS header: letters, digits, dashes, dots, underscores.
    pub volume: String,
    /// The passphrase.
    pub key: String,
}

impl fmt::Debug for EscrowedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EscrowedKey")
            .field("run", &self.run)
            .field("volume", &self.volume)
            .finish_non_exhaustive()
    }
}

/// A run, as `/provisions` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Provision {
    /// Its id.
    pub uuid: Uuid,
    /// The machine.
    pub machine: Uuid,
    /// What it does.
    pub mode: Mode,
    /// Where it is.
    pub status: ProvisionStatus,
    /// Nothing changes it any more.
    pub is_terminal: bool,
    /// The opposite.
    pub is_active: bool,
    /// How far it has come as a whole.
    pub percent: u8,
    /// The step it is in, and how far that has come.
    pub progress: Progress,
    /// What went wrong, in words; empty when nothing did.
    pub error: String,
    /// What to do about it, in words.
    pub next_action: String,
    /// Name of the Image.
    pub image: String,
    /// The digest that its tag had when the run began.
    pub image_digest: String,
    /// Workflow that it runs.
    pub workflow: String,
    /// How the machine gets into the installed system.
    pub reboot: Reboot,
    /// Who asked for it.
    pub created_by: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339, or null before the machine began.
    pub started_at: Option<String>,
    /// RFC 3339, or null while it is active.
    pub ended_at: Option<String>,
    /// When each step began and ended.
    pub steps: Vec<StepTime>,
}

/// When a step began and ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct StepTime {
    /// The step.
    pub step: Step,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339, or null while it is under way.
    pub ended_at: Option<String>,
}
