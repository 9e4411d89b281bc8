//! Which disks an installation erases and which it keeps: pure, so that the server shows before what
//! the installer holds to afterwards.

use super::{DiskRule, Layout};
use crate::inventory::Disk;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What becomes of every disk of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct DiskPlan {
    /// Every disk, in the order of the inventory.
    pub disks: Vec<PlannedDisk>,
    /// Why there is no plan, in words; empty when there is one.
    pub error: String,
}

/// A disk and what becomes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct PlannedDisk {
    /// The disk with its contents.
    pub disk: Disk,
    /// What becomes of it.
    pub fate: Fate,
    /// Why, in words for people.
    pub reason: String,
}

/// What becomes of a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Fate {
    /// Nothing on it is touched.
    #[default]
    Keep,
    /// Everything on it is erased.
    Erase,
}

/// Why no disk is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// No disk fits.
    #[error("no disk of the machine fits the disk rule")]
    NoDisk,
    /// Too many fit.
    #[error("{0} disks fit the disk rule ({1}): name one by serial number or WWN")]
    Ambiguous(usize, String),
}

/// Chooses the system disk (or disks, for RAID 1) among those of a machine.
///
/// # Errors
/// [`PlanError`].
pub fn plan(disks: &[Disk], rule: &DiskRule, layout: &Layout) -> Result<DiskPlan, PlanError> {
    let _wanted = (rule, layout.raid1);
    if disks.is_empty() {
        return Err(PlanError::NoDisk);
    }
    Err(PlanError::Ambiguous(disks.len(), String::new()))
}
