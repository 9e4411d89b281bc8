//! `muster-installer survey`: looks at the disks once more and holds them against the plan that somebody saw.
//! Nothing is written.

use super::Install;
use super::fail::InstallError;
use super::{boot, configure, say};
use crate::inventory::disks_now;
use protocol::install::{Contents, DiskPlan, Fate, LayoutError, PermittedDisk, PlannedDisk, Shared, apart};
use protocol::inventory::Disk;

/// Why the plan does not fit the machine.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SurveyError {
    /// There is no plan.
    #[error("there is no disk plan: {0}")]
    NoPlan(String),
    /// A disk of the plan has gone.
    #[error("the disk {0} of the plan is not there; look at the disks and start the run again")]
    Gone(String),
    /// Two are the same.
    #[error("two disks are {0} of the plan; start the run again with another disk rule")]
    Twins(String),
    /// It became something that is never erased.
    #[error("{0} is {1} now; start the run again with another disk rule")]
    Unfit(String, &'static str),
    /// Something else is on it.
    #[error(
        "{name} holds something else than when the run was started: {now}; look at it and start the run again"
    )]
    Changed {
        /// The disk.
        name: String,
        /// What it holds now.
        now: String,
    },
    /// The layout cannot be.
    #[error("the disk layout cannot be: {0}")]
    Layout(#[from] LayoutError),
    /// A part of something that is on a kept disk as well.
    #[error(transparent)]
    Shared(#[from] Shared),
}

/// The verb.
///
/// # Errors
/// [`SurveyError`] and what keeps it from order and server.
pub(super) fn survey(install: &Install) -> Result<(), InstallError> {
    let order = install.fetch_order()?;
    install.progress.tell(20, "looking at the disks")?;
    let present = disks_now();
    for disk in &present {
        say(&disk.summary());
    }
    order.layout.check().map_err(SurveyError::from)?;
    // As long as the old system is there.
    configure::check(&order)?;
    boot::check(&order)?;
    let erased = hold(&order.plan, &present, order.touched)?;
    for (planned, disk) in order.plan.erased().zip(erased) {
        say(&format!("{} will be erased: {}", disk.name, planned.reason));
    }
    for planned in order.plan.disks.iter().filter(|planned| planned.fate == Fate::Keep) {
        say(&format!("{} is kept: {}", planned.disk.name, planned.reason));
    }
    Ok(install.progress.tell(100, "the disks are as in the plan")?)
}

/// The disks that the plan erases, as they are now. `touched` says that this run wrote to them before.
pub(super) fn hold<'a>(
    plan: &DiskPlan,
    present: &'a [Disk],
    touched: bool,
) -> Result<Vec<&'a Disk>, SurveyError> {
    let mut found = Vec::new();
    for planned in plan.erased() {
        let disk = same(planned, present)?;
        let unfit = [
            (disk.boot_medium, "the boot medium"),
            (disk.removable, "removable"),
            (disk.read_only, "read-only"),
        ];
        if let Some((_, what)) = unfit.into_iter().find(|(is_so, _)| *is_so) {
            return Err(SurveyError::Unfit(disk.name.clone(), what));
        }
        if !touched && is_news(&planned.disk.contents, &disk.contents) {
            return Err(SurveyError::Changed { name: disk.name.clone(), now: disk.summary() });
        }
        found.push(disk);
    }
    if found.is_empty() {
        return Err(SurveyError::NoPlan(plan.error.clone()));
    }
    // Nothing in the boot image assembles arrays, so that the kernel does not tell.
    apart(&found, present.iter().filter(|disk| !found.contains(disk)))?;
    Ok(found)
}

fn same<'a>(planned: &PlannedDisk, present: &'a [Disk]) -> Result<&'a Disk, SurveyError> {
    let named = PermittedDisk::of(&planned.disk);
    let mut same = present.iter().filter(|disk| named.as_ref().is_some_and(|named| named.is(disk)));
    let disk = same.next().ok_or_else(|| SurveyError::Gone(planned.disk.summary()))?;
    if same.next().is_some() { Err(SurveyError::Twins(planned.disk.summary())) } else { Ok(disk) }
}

/// Whether something is on a disk that was not when somebody confirmed the plan. An empty disk never is news, and
/// neither is what changes with every mount; a plan that said that it does not know all was confirmed as such.
fn is_news(planned: &Contents, now: &Contents) -> bool {
    let lasting = |contents: &Contents| {
        let mut contents = contents.clone();
        for partition in &mut contents.partitions {
            partition.used = None;
            partition.last_mounted.clear();
        }
        contents
    };
    !now.is_empty() && planned.error.is_empty() && lasting(planned) != lasting(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::install::{BootOrder, DiskRule, InstallOrder, Layout, PartitionFound, plan};

    fn disk(name: &str, serial: &str) -> Disk {
        let root = PartitionFound {
            filesystem: "ext4".to_owned(),
            used: Some(5),
            last_mounted: "/".to_owned(),
            ..PartitionFound::default()
        };
        let contents = Contents { table: "gpt".to_owned(), partitions: vec![root], ..Contents::default() };
        let (name, serial) = (name.to_owned(), serial.to_owned());
        Disk { name, serial, size_bytes: 480_000_000_000, contents, ..Disk::default() }
    }

    fn planned() -> DiskPlan {
        let rule = DiskRule { serial: "S1".to_owned(), ..DiskRule::default() };
        plan(&[disk("sda", "S1"), disk("sdb", "S2")], &rule, &Layout::default()).unwrap()
    }

    #[test]
    fn disk_is_found_under_another_name_and_with_other_use() {
        let mut moved = disk("sdc", "S1");
        let root = moved.contents.partitions.first_mut().unwrap();
        (root.used, root.last_mounted) = (Some(9), "/mnt".to_owned());
        let present = [disk("sda", "S2"), moved];
        let found = hold(&planned(), &present, false).unwrap();
        assert_eq!(found.iter().map(|disk| disk.name.as_str()).collect::<Vec<_>>(), ["sdc"]);
    }

    #[test]
    fn what_is_no_more_as_it_was_shown_stops_the_run() {
        let refused = |present: &[Disk]| hold(&planned(), present, false).unwrap_err().to_string();
        assert!(refused(&[disk("sda", "S2")]).starts_with("the disk sda: 480 GB, S/N S1, GPT"));
        assert!(refused(&[disk("sda", "S1"), disk("sdb", "S1")]).starts_with("two disks are sda"));
        assert_eq!(
            refused(&[Disk { read_only: true, ..disk("sda", "S1") }]),
            "sda is read-only now; start the run again with another disk rule"
        );
        let mut other = disk("sda", "S1");
        other.contents.partitions.first_mut().unwrap().filesystem = "xfs".to_owned();
        assert!(refused(std::slice::from_ref(&other)).starts_with("sda holds something else"));
        assert!(hold(&planned(), std::slice::from_ref(&other), true).is_ok(), "the run itself wrote it");
        other.contents = Contents::default();
        assert!(hold(&planned(), &[other], false).is_ok(), "nothing more can be lost");
    }

    #[test]
    fn an_array_that_is_on_a_kept_disk_as_well_stops_the_run() {
        let half = |name: &str, serial: &str| {
            let mut half = disk(name, serial);
            let part = half.contents.partitions.first_mut().unwrap();
            (part.filesystem, part.uuid) = ("linux_raid_member".to_owned(), "1:2:3:4".to_owned());
            half
        };
        let present = [half("sda", "S1"), half("sdb", "S2")];
        // Whether a plan of another day, or of another server, said so or not.
        let error = hold(&planned(), &present, true).unwrap_err().to_string();
        assert!(
            error.starts_with("the array 1:2:3:4 is on sda, which would be erased, and on sdb"),
            "{error}"
        );
    }

    #[test]
    fn an_order_that_no_image_could_fulfil_is_refused_while_the_old_system_is_there() {
        let (server, install) = crate::install::tests::install();
        let told = |hostname: &str, kernel_args: &str| {
            let order = InstallOrder {
                run: install.settings.run,
                machine: install.settings.runner.machine,
                hostname: hostname.to_owned(),
                boot: BootOrder { kernel_args: kernel_args.to_owned(), ..BootOrder::default() },
                ..InstallOrder::default()
            };
            server.give("/order", serde_json::to_vec(&order).unwrap());
            crate::report::chain(&survey(&install).unwrap_err())
        };
        let named = told("rack 4", "");
        assert!(named.starts_with("the machine's name \"rack 4\" cannot be a host name"), "{named}");
        let quoted = told("db-07", "quiet;");
        assert!(quoted.contains("kernel arguments hold ';'"), "{quoted}");
        assert!(told("db-07", "quiet").starts_with("there is no disk plan"), "and nothing else is amiss");
    }

    #[test]
    fn plan_that_erases_nothing_is_none() {
        let plan = DiskPlan::none(&[disk("sda", "S1")], "no disk fits".to_owned());
        assert_eq!(
            hold(&plan, &[disk("sda", "S1")], false).unwrap_err().to_string(),
            "there is no disk plan: no disk fits"
        );
    }
}
