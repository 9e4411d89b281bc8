//! Disks and rules in words for people.

use super::super::{Contents, DiskRule, PartitionFound, Pick};
use crate::inventory::Disk;

/// Partitions that are told one by one; more are counted.
const MAX_TOLD: usize = 8;
/// Units of a thousand, as manufacturers print them on disks.
const UNITS: [(u64, &str); 4] =
    [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];

/// A size as it is printed on disks: `480 GB`, `1.9 TB`.
pub(super) fn bytes(bytes: u64) -> String {
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} bytes");
    };
    match (bytes / unit, bytes % unit / (unit / 10)) {
        (whole, 0) => format!("{whole} {name}"),
        (whole, tenths) if whole < 10 => format!("{whole}.{tenths} {name}"),
        (whole, _) => format!("{whole} {name}"),
    }
}

/// A world-wide name without the word that says of which sort it is.
pub(super) fn bare_wwn(wwn: &str) -> &str {
    wwn.split_once('.').map_or(wwn, |(_, bare)| bare)
}

/// `sda (480 GB, S/N S45NNA0M)`.
pub(super) fn name(disk: &Disk) -> String {
    let known = match (disk.serial.as_str(), disk.wwn.as_str()) {
        ("", "") => String::new(),
        ("", wwn) => format!(", WWN {wwn}"),
        (serial, _) => format!(", S/N {serial}"),
    };
    format!("{} ({}{known})", disk.name, bytes(disk.size_bytes))
}

/// The disk and all that it holds.
pub(super) fn disk(disk: &Disk) -> String {
    let mut parts =
        vec![format!("{}: {} {}", disk.name, bytes(disk.size_bytes), disk.model).trim_end().to_owned()];
    if !disk.serial.is_empty() {
        parts.push(format!("S/N {}", disk.serial));
    }
    parts.push(contents(&disk.contents));
    parts.join(", ")
}

fn contents(contents: &Contents) -> String {
    let mut parts = Vec::new();
    if contents.is_empty() {
        parts.push("empty".to_owned());
    }
    if !contents.table.is_empty() {
        parts.push(contents.table.to_ascii_uppercase());
    }
    if !contents.filesystem.is_empty() {
        parts.push(format!("{}{}", contents.filesystem, quoted(&contents.label)));
    }
    let count = contents.partitions.len();
    if count > 0 {
        let told: Vec<String> = contents.partitions.iter().take(MAX_TOLD).map(partition).collect();
        let more = if count > MAX_TOLD { format!(", {} more", count - MAX_TOLD) } else { String::new() };
        let noun = if count == 1 { "partition" } else { "partitions" };
        parts.push(format!("{count} {noun}: {}{more}", told.join(", ")));
    }
    if !contents.error.is_empty() {
        parts.push(format!("not all of it could be read: {}", contents.error));
    }
    parts.join(", ")
}

fn partition(partition: &PartitionFound) -> String {
    let kind = if partition.filesystem.is_empty() { "unknown" } else { &partition.filesystem };
    let label = if partition.label.is_empty() { &partition.name } else { &partition.label };
    let used = partition.used.map(|used| format!(" {} used", bytes(used))).unwrap_or_default();
    let mounted = match partition.last_mounted.as_str() {
        "" => String::new(),
        place => format!(", last mounted at {place}"),
    };
    format!("{kind}{} of {}{used}{mounted}", quoted(label), bytes(partition.size))
}

fn quoted(label: &str) -> String {
    if label.is_empty() { String::new() } else { format!(" '{label}'") }
}

/// What a rule asks for.
pub(super) fn rule(rule: &DiskRule) -> String {
    let texts = [
        ("by-id", rule.by_id.as_str()),
        ("WWN", &rule.wwn),
        ("serial number", &rule.serial),
        ("model", &rule.model),
    ];
    let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
    let mut parts: Vec<String> = texts.map(|(name, text)| format!("{name} {text}")).collect();
    if rule.min_size != 0 {
        parts.push(format!("at least {}", bytes(rule.min_size)));
    }
    if rule.max_size != 0 {
        parts.push(format!("at most {}", bytes(rule.max_size)));
    }
    parts.push(
        match rule.pick {
            Pick::Only => "the only one that fits",
            Pick::Smallest => "the smallest",
            Pick::Largest => "the largest",
            Pick::FirstNvme => "the first NVMe disk",
        }
        .to_owned(),
    );
    parts.join(", ")
}
