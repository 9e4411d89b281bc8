//! Which disks an installation erases and which it keeps: pure, so that the server shows before what
//! the installer holds to afterwards.

use super::{DiskRule, Layout, LayoutError, PermittedDisk, Pick};
use crate::inventory::Disk;
use serde::{Deserialize, Serialize};
use thiserror::Error;

mod shared;
mod words;

pub use shared::{Shared, apart};

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
    /// The layout itself is wrong.
    #[error("the disk layout cannot be: {0}")]
    Layout(#[from] LayoutError),
    /// The machine told of no disk.
    #[error("the machine has told of no disk")]
    NoDisks,
    /// No disk fits; why each does not.
    #[error("no disk of the machine fits the disk rule: {0}")]
    NoDisk(String),
    /// Too few fit for a mirror.
    #[error("{wanted} disks are to mirror each other, and {} the disk rule: {told}", fits(*.found))]
    TooFew {
        /// How many there must be.
        wanted: usize,
        /// How many there are.
        found: usize,
        /// Every disk and why it does not fit.
        told: String,
    },
    /// Too many fit.
    #[error(
        "{0} disks fit the disk rule ({1}): name one by serial number, WWN or by-id, or say which to pick"
    )]
    Ambiguous(usize, String),
    /// Nothing tells the disk from another.
    #[error("{0} has neither WWN nor serial number nor place, so no permit can name it")]
    Nameless(String),
    /// Two disks go by one name.
    #[error("{0} and {1} go by the same WWN or serial number: nothing tells which is which")]
    Twins(String, String),
    /// A chosen disk holds a part of something that is on a kept disk as well.
    #[error(transparent)]
    Shared(#[from] Shared),
}

fn fits(count: usize) -> String {
    match count {
        0 => "none fits".to_owned(),
        1 => "only 1 fits".to_owned(),
        count => format!("only {count} fit"),
    }
}

impl DiskPlan {
    /// No plan, and why: every disk is kept.
    pub fn none(disks: &[Disk], error: String) -> Self {
        let kept = |disk: &Disk| PlannedDisk {
            disk: disk.clone(),
            fate: Fate::Keep,
            reason: "no disk is chosen".to_owned(),
        };
        Self { disks: disks.iter().map(kept).collect(), error }
    }

    /// The disks that are erased.
    pub fn erased(&self) -> impl Iterator<Item = &PlannedDisk> {
        self.disks.iter().filter(|planned| planned.fate == Fate::Erase)
    }

    /// Whether something that somebody may miss is on a disk that is erased.
    pub fn loses_something(&self) -> bool {
        self.erased().any(|planned| !planned.disk.contents.is_empty())
    }

    /// What will be lost, a line for each disk that is erased; for who is asked to confirm.
    pub fn losses(&self) -> Vec<String> {
        self.erased().map(|planned| words::disk(&planned.disk)).collect()
    }
}

impl Disk {
    /// The disk and all that it holds in one line, such as `sda: 480 GB SAMSUNG MZ7LH480, S/N S45NNA0M, GPT,
    /// 2 partitions: vfat 'ESP', ext4 'root' 12 GB used, last mounted at /`.
    pub fn summary(&self) -> String {
        words::disk(self)
    }
}

/// Chooses the system disk (or disks, for RAID 1) among those of a machine.
///
/// # Errors
/// [`PlanError`].
pub fn plan(disks: &[Disk], rule: &DiskRule, layout: &Layout) -> Result<DiskPlan, PlanError> {
    let chosen = choose(disks, rule, layout)?;
    let erased: Vec<&Disk> = chosen.iter().filter_map(|index| disks.get(*index)).collect();
    let kept = disks.iter().enumerate().filter(|(index, _)| !chosen.contains(index));
    apart(&erased, kept.map(|(_, disk)| disk))?;
    let described = words::rule(rule);
    let planned = |(index, disk): (usize, &Disk)| {
        let is_chosen = chosen.contains(&index);
        let (fate, reason) = match (is_chosen, unfit(disk, rule, layout)) {
            (true, _) => (Fate::Erase, format!("it is the system disk by the disk rule: {described}")),
            (false, Some(reason)) => (Fate::Keep, reason),
            (false, None) => (Fate::Keep, format!("another disk is picked: {described}")),
        };
        PlannedDisk { disk: disk.clone(), fate, reason }
    };
    Ok(DiskPlan { disks: disks.iter().enumerate().map(planned).collect(), error: String::new() })
}

/// The plan, or every disk kept and why there is none: for who looks.
pub fn shown(disks: &[Disk], rule: &DiskRule, layout: &Layout) -> DiskPlan {
    plan(disks, rule, layout).unwrap_or_else(|error| {
        let mut plan = DiskPlan::none(disks, error.to_string());
        for planned in &mut plan.disks {
            if let Some(reason) = unfit(&planned.disk, rule, layout) {
                planned.reason = reason;
            }
        }
        plan
    })
}

/// Places of the chosen disks in the list.
fn choose(disks: &[Disk], rule: &DiskRule, layout: &Layout) -> Result<Vec<usize>, PlanError> {
    layout.check()?;
    if disks.is_empty() {
        return Err(PlanError::NoDisks);
    }
    let wanted = layout.disks();
    let mut fit: Vec<(usize, &Disk)> =
        disks.iter().enumerate().filter(|(_, disk)| unfit(disk, rule, layout).is_none()).collect();
    // Whatever order the machine told them in, the choice is the same.
    fit.sort_by(|(_, a), (_, b)| (rank(a, rule.pick), place(a)).cmp(&(rank(b, rule.pick), place(b))));
    if fit.len() < wanted {
        let told =
            disks.iter().filter_map(|disk| Some(format!("{}: {}", disk.name, unfit(disk, rule, layout)?)));
        let told = told.collect::<Vec<_>>().join("; ");
        return Err(match wanted {
            1 => PlanError::NoDisk(told),
            wanted => PlanError::TooFew { wanted, found: fit.len(), told },
        });
    }
    let (chosen, others) = fit.split_at(wanted);
    if let (Some((_, last)), Some((_, next))) = (chosen.last(), others.first())
        && rank(last, rule.pick) == rank(next, rule.pick)
    {
        let names = fit.iter().map(|(_, disk)| words::name(disk)).collect::<Vec<_>>().join(", ");
        return Err(PlanError::Ambiguous(fit.len(), names));
    }
    for (index, disk) in chosen {
        let named = PermittedDisk::of(disk).ok_or_else(|| PlanError::Nameless(disk.name.clone()))?;
        let twin = disks.iter().enumerate().find(|(other, disk)| other != index && named.is(disk));
        if let Some((_, twin)) = twin {
            return Err(PlanError::Twins(disk.name.clone(), twin.name.clone()));
        }
    }
    Ok(chosen.iter().map(|(index, _)| *index).collect())
}

/// What a pick goes by, the least first; disks of one rank cannot be told apart.
fn rank(disk: &Disk, pick: Pick) -> (u64, (&str, &str)) {
    match pick {
        Pick::Only => (0, ("", "")),
        Pick::Smallest => (disk.size_bytes, ("", "")),
        Pick::Largest => (u64::MAX - disk.size_bytes, ("", "")),
        Pick::FirstNvme => (0, place(disk)),
    }
}

/// A disk's place on the bus.
fn place(disk: &Disk) -> (&str, &str) {
    (&disk.path, &disk.name)
}

/// Why a disk cannot be the system disk; `None` when it can.
fn unfit(disk: &Disk, rule: &DiskRule, layout: &Layout) -> Option<String> {
    let least = layout.smallest_disk().max(rule.min_size);
    let differs = |wanted: &str, has: &str| !wanted.is_empty() && !wanted.eq_ignore_ascii_case(has);
    if disk.boot_medium {
        Some("the machine booted from it".to_owned())
    } else if disk.removable {
        Some("it is removable".to_owned())
    } else if disk.read_only {
        Some("it is read-only".to_owned())
    } else if disk.size_bytes < least {
        Some(format!("it is smaller than {}", words::bytes(least)))
    } else if rule.max_size != 0 && disk.size_bytes > rule.max_size {
        Some(format!("it is larger than {}", words::bytes(rule.max_size)))
    } else if !rule.by_id.is_empty() && !disk.by_id.contains(&rule.by_id) {
        Some(format!("it is not {}", rule.by_id))
    } else if differs(&rule.wwn, &disk.wwn) && differs(&rule.wwn, words::bare_wwn(&disk.wwn)) {
        Some(format!("its WWN is not {}", rule.wwn))
    } else if differs(&rule.serial, &disk.serial) {
        Some(format!("its serial number is not {}", rule.serial))
    } else if differs(&rule.model, &disk.model) {
        Some(format!("its model is not {}", rule.model))
    } else if rule.pick == Pick::FirstNvme && disk.transport != "nvme" {
        Some("it is no NVMe disk".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
