//! What lies on several disks at once, by the superblocks that every one of them has: erasing one of the disks takes a
//! part of it away, and the other disks are no longer what they were.

use crate::inventory::Disk;
use thiserror::Error;

/// Something that is on an erased disk and on a kept one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{what} is on {erased}, which would be erased, and on {kept}, which is kept: choose both (Raid1 of the disk layout), or \
     first take one of them out of it, or wipe what {kept} holds of it with wipefs"
)]
pub struct Shared {
    /// The array, group or file system.
    what: String,
    /// The disk that is chosen.
    erased: String,
    /// The disk that is not.
    kept: String,
}

/// Finds what is on a disk of both lists.
///
/// # Errors
/// [`Shared`] names the first such thing and its disks.
pub fn apart<'a>(erased: &[&'a Disk], kept: impl IntoIterator<Item = &'a Disk>) -> Result<(), Shared> {
    for kept in kept {
        let here = parts(kept);
        let on_both = |disk: &&Disk| parts(disk).into_iter().find(|part| here.contains(part));
        if let Some((disk, what)) = erased.iter().find_map(|disk| Some((disk, on_both(disk)?))) {
            return Err(Shared { what, erased: disk.name.clone(), kept: kept.name.clone() });
        }
    }
    Ok(())
}

/// Everything that may have a part on another disk, in words that are the same on each.
fn parts(disk: &Disk) -> Vec<String> {
    let contents = &disk.contents;
    let whole = (&contents.filesystem, &contents.uuid, &contents.label);
    let partitions = contents.partitions.iter().map(|part| (&part.filesystem, &part.uuid, &part.label));
    std::iter::once(whole)
        .chain(partitions)
        .filter_map(|(filesystem, uuid, label)| {
            let (what, id) = match filesystem.as_str() {
                "linux_raid_member" => ("the array", uuid),
                "btrfs" => ("the Btrfs file system", uuid),
                "zfs_member" => ("the ZFS pool", uuid),
                // The UUID is the physical volume's, and the label the group's name.
                "LVM2_member" => ("the volume group", label),
                _ => return None,
            };
            (!id.is_empty()).then(|| format!("{what} {id}"))
        })
        .collect()
}
