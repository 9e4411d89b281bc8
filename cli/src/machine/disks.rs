//! `muster machine disks`: what an installation would erase, and what it would keep.

use super::{One, path};
use crate::print;
use crate::rest::decode;
use anyhow::Result;
use protocol::install::{DiskPlan, Fate, PartitionFound, PlannedDisk};

/// Shows the plan.
pub(crate) async fn disks(args: One) -> Result<()> {
    let client = args.call.client()?;
    let answer = client.get(&format!("{}/disk-plan", path(&args.machine))).await?;
    args.call.show(&answer, || Ok(draw(&decode(&answer)?)))
}

pub(super) fn draw(plan: &DiskPlan) -> String {
    let row = |planned: &PlannedDisk| {
        let disk = &planned.disk;
        let fate = match planned.fate {
            Fate::Keep => "keep",
            Fate::Erase => "ERASE",
        };
        let texts =
            [&disk.name, fate, &print::bytes(disk.size_bytes), &disk.model, &disk.serial, &disk.transport];
        texts.into_iter().map(str::to_owned).chain([planned.reason.clone()]).collect()
    };
    let header = ["DISK", "FATE", "SIZE", "MODEL", "SERIAL", "BUS", "WHY"];
    let mut parts =
        vec![print::table(&header, plan.disks.iter().map(row).collect(), "the machine has told of no disk")];
    let held: Vec<Vec<String>> = plan.disks.iter().flat_map(held).collect();
    if !held.is_empty() {
        let header = ["ON", "SIZE", "HOLDS", "LABEL", "USED", "LAST MOUNTED"];
        parts.push(print::table(&header, held, ""));
    }
    for planned in plan.erased().filter(|planned| !planned.disk.contents.is_empty()) {
        parts.push(format!("will be lost: {}", planned.disk.summary()));
    }
    if !plan.error.is_empty() {
        parts.push(format!("nothing can be installed: {}", plan.error));
    }
    parts.join("\n\n")
}

/// A row for each thing on a disk.
fn held(planned: &PlannedDisk) -> Vec<Vec<String>> {
    let (disk, contents) = (&planned.disk, &planned.disk.contents);
    let row = |on: String, size: u64, holds: &str, label: &str, used: Option<u64>, last: &str| {
        let used = used.map(print::bytes).unwrap_or_default();
        vec![on, print::bytes(size), holds.to_owned(), label.to_owned(), used, last.to_owned()]
    };
    let whole = (!contents.filesystem.is_empty())
        .then(|| row(disk.name.clone(), disk.size_bytes, &contents.filesystem, &contents.label, None, ""));
    let unread = (!contents.error.is_empty())
        .then(|| row(disk.name.clone(), disk.size_bytes, &contents.error, "", None, ""));
    let partition = |found: &PartitionFound| {
        let holds = if found.filesystem.is_empty() { "unknown" } else { &found.filesystem };
        let label = if found.label.is_empty() { &found.name } else { &found.label };
        let on = format!("{} part {}", disk.name, found.number);
        row(on, found.size, holds, label, found.used, &found.last_mounted)
    };
    whole.into_iter().chain(unread).chain(contents.partitions.iter().map(partition)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::install::{Contents, DiskRule, Layout, shown};
    use protocol::inventory::Disk;

    fn disk(name: &str, contents: Contents) -> Disk {
        let serial = format!("S-{name}");
        let transport = "sata".to_owned();
        Disk {
            name: name.to_owned(),
            serial,
            size_bytes: 480_000_000_000,
            transport,
            contents,
            ..Disk::default()
        }
    }

    #[test]
    fn plan_is_shown_with_what_is_lost_and_what_is_kept() {
        let root = PartitionFound {
            number: 2,
            size: 100 << 30,
            filesystem: "ext4".to_owned(),
            label: "root".to_owned(),
            used: Some(12 << 30),
            last_mounted: "/".to_owned(),
            ..PartitionFound::default()
        };
        let contents = Contents { table: "gpt".to_owned(), partitions: vec![root], ..Contents::default() };
        let disks = [disk("sda", contents), disk("sdb", Contents::default())];
        let rule = DiskRule { serial: "S-sda".to_owned(), ..DiskRule::default() };
        let told = draw(&shown(&disks, &rule, &Layout::default()));
        for line in [
            "sda   ERASE  447 GiB",
            "sdb   keep   447 GiB",
            "its serial number is not S-sda",
            "sda part 2  100 GiB  ext4   root   12 GiB  /",
            "will be lost: sda: 480 GB, S/N S-sda, GPT, 1 partition: ext4 'root'",
        ] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
        let told = draw(&shown(&disks, &DiskRule::default(), &Layout::default()));
        assert!(
            told.contains("nothing can be installed: 2 disks fit the disk rule") && !told.contains("ERASE"),
            "{told}"
        );
    }
}
