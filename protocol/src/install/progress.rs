//! How far an installation has come.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The steps of an installation, in their order. Each is a task of the built-in workflow and has a deadline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The machine comes into our image, and has its tools.
    #[default]
    Prepare,
    /// Disks are looked at once more and held against plan and permit.
    Survey,
    /// Partitions and file systems are made.
    Partition,
    /// The image is written.
    Write,
    /// Seed, network, keys and agent are put in place.
    Configure,
    /// Boot loader, then firmware boot order, then the boot entry: the last write.
    Boot,
    /// The machine restarts into its disk.
    Restart,
    /// The installed system reports.
    FirstBoot,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Prepare,
        Self::Survey,
        Self::Partition,
        Self::Write,
        Self::Configure,
        Self::Boot,
        Self::Restart,
        Self::FirstBoot,
    ];

    /// Its word in JSON and on command lines.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Survey => "survey",
            Self::Partition => "partition",
            Self::Write => "write",
            Self::Configure => "configure",
            Self::Boot => "boot",
            Self::Restart => "restart",
            Self::FirstBoot => "first-boot",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Told by the installer once a second while it works, and at the end of each step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Progress {
    /// The step it is in.
    pub step: Step,
    /// How much of the step is done, in percent.
    pub percent: u8,
    /// What is done now, in words; at most 256 bytes.
    pub message: String,
    /// Bytes downloaded so far in this step.
    pub bytes: u64,
    /// Bytes to download in this step; 0 when not known.
    pub total: u64,
}

/// What the installer hears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct ProgressAnswer {
    /// The run was cancelled: stop now.
    pub cancelled: bool,
}

/// What the installed system tells after its first boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct FirstBoot {
    /// `ID-VERSION_ID` of os-release, such as `debian-12`.
    pub os: String,
    /// cloud-init's result: `done`, `degraded`, `error`, or `none` where the system has no cloud-init.
    pub cloud_init: String,
    /// What went wrong, in its words; at most 16 of 512 bytes.
    pub errors: Vec<String>,
}
