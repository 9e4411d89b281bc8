//! What the operator's plan says about each device: which links belong together, and what is
//! put on top of them. Pure.

use super::link::{Kind, Sighting};
use protocol::ids::MacAddr;
use protocol::net::{Bond, MAX_LINK_NAME, NetPlan, NetSpec};

/// One spec and where it is carried out.
#[derive(Debug)]
pub(super) struct Job {
    /// What is asked for.
    pub(super) spec: NetSpec,
    /// Name of its bond, when it has one.
    bond: Option<String>,
    /// The link or bond that it is carried out on.
    pub(super) base: Option<u32>,
}

impl Job {
    /// Whether any link may take it: the first with a carrier does.
    pub(super) fn is_for_anybody(&self) -> bool {
        self.spec.link.is_none() && self.bond.is_none()
    }

    /// Whether it is meant for this link or bond.
    pub(super) fn names(&self, name: &str, macs: &[MacAddr]) -> bool {
        match &self.bond {
            Some(bond) => bond == name,
            None => self.spec.link.as_deref().is_some_and(|link| is_called(link, name, macs)),
        }
    }

    /// Name of the VLAN device on a link: `LINK.VLAN` where the kernel takes it.
    pub(super) fn vlan_name(base: &str, vlan: u16) -> String {
        let name = format!("{base}.{vlan}");
        if name.len() <= MAX_LINK_NAME { name } else { format!("vlan{vlan}") }
    }
}

/// A bond of the plan.
#[derive(Debug)]
pub(super) struct BondJob {
    /// Name of the device.
    pub(super) name: String,
    /// What it is made of.
    pub(super) bond: Bond,
    /// Whether the kernel was asked to make it.
    pub(super) is_begun: bool,
}

/// The plan, taken apart.
#[derive(Debug)]
pub(super) struct Blueprint {
    /// Whether every link is configured by itself.
    pub(super) is_automatic: bool,
    /// What is asked for otherwise.
    pub(super) jobs: Vec<Job>,
    /// Bonds to make.
    pub(super) bonds: Vec<BondJob>,
}

impl Blueprint {
    /// Takes a plan apart. While a person is asked, links are set up and nothing else.
    pub(super) fn new(plan: NetPlan) -> Self {
        let (is_automatic, specs) = match plan {
            NetPlan::Automatic => (true, Vec::new()),
            NetPlan::Ask => (false, Vec::new()),
            NetPlan::Static(specs) => (false, specs),
        };
        let (mut jobs, mut bonds): (Vec<Job>, Vec<BondJob>) = (Vec::new(), Vec::new());
        for spec in specs {
            let name = spec.bond.as_ref().map(|bond| match bonds.iter().find(|known| known.bond == *bond) {
                Some(known) => known.name.clone(),
                None => {
                    let name = format!("bond{}", bonds.len());
                    bonds.push(BondJob { name: name.clone(), bond: bond.clone(), is_begun: false });
                    name
                }
            });
            jobs.push(Job { spec, bond: name, base: None });
        }
        Self { is_automatic, jobs, bonds }
    }

    /// The bond that a piece of hardware is a member of.
    pub(super) fn bond_of(&self, name: &str, macs: &[MacAddr]) -> Option<&BondJob> {
        self.bonds.iter().find(|job| job.bond.members.iter().any(|member| is_called(member, name, macs)))
    }

    /// Whether the device is hardware, or something this plan has made.
    pub(super) fn knows(&self, seen: &Sighting) -> bool {
        match seen.kind {
            Kind::Hardware => true,
            // One that was there before we asked is the kernel's own.
            Kind::Bond => self.bonds.iter().any(|job| job.is_begun && job.name == seen.name),
            Kind::Vlan { .. } => self.job_of_vlan(seen.kind).is_some(),
        }
    }

    /// The spec of a VLAN device.
    pub(super) fn job_of_vlan(&self, kind: Kind) -> Option<&Job> {
        let Kind::Vlan { id, base } = kind else { return None };
        self.jobs.iter().find(|job| job.base == Some(base) && job.spec.vlan == Some(id))
    }

    /// Whether routers are listened to on a device from the start.
    pub(super) fn wants_adverts(&self, seen: &Sighting) -> bool {
        let is_automatic = |job: &Job| job.spec.addresses.is_empty();
        match seen.kind {
            Kind::Hardware if self.is_automatic => true,
            Kind::Hardware | Kind::Bond => {
                let untagged = self.jobs.iter().filter(|job| job.spec.vlan.is_none());
                untagged.filter(|job| job.names(&seen.name, &seen.macs())).any(is_automatic)
            }
            Kind::Vlan { .. } => self.job_of_vlan(seen.kind).is_some_and(is_automatic),
        }
    }

    /// Claims the jobs of a link or bond that has a carrier: those that name it, or else the
    /// first that is for anybody. What it claimed before stays its own, and what another holds
    /// (`is_held`) the other's: two cards may have one hardware address, no two one address.
    pub(super) fn claim(&mut self, index: u32, name: &str, macs: &[MacAddr], is_held: impl Fn(u32) -> bool) {
        let mut is_named = false;
        for job in self.jobs.iter_mut().filter(|job| job.names(name, macs)) {
            if !job.base.is_some_and(|base| base != index && is_held(base)) {
                job.base = Some(index);
            }
            is_named = true;
        }
        let has_one = self.jobs.iter().any(|job| job.base == Some(index));
        if !is_named && !has_one {
            let free = self.jobs.iter_mut().find(|job| job.is_for_anybody() && job.base.is_none());
            if let Some(job) = free {
                job.base = Some(index);
            }
        }
    }

    /// Gives back what a link had claimed, and tells which VLANs then have no place there.
    pub(super) fn release(&mut self, index: u32) -> Vec<u16> {
        let mut vlans = Vec::new();
        for job in self.jobs.iter_mut().filter(|job| job.base == Some(index) && job.is_for_anybody()) {
            job.base = None;
            vlans.extend(job.spec.vlan);
        }
        vlans
    }

    /// Links that the plan names, as it names them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let links = self.jobs.iter().filter_map(|job| job.spec.link.as_deref());
        links.chain(self.bonds.iter().flat_map(|job| job.bond.members.iter().map(String::as_str)))
    }
}

/// Whether a link goes by this name or hardware address.
pub(super) fn is_called(wanted: &str, name: &str, macs: &[MacAddr]) -> bool {
    wanted.eq_ignore_ascii_case(name) || wanted.parse().is_ok_and(|mac| macs.contains(&mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blueprint(plan: &str) -> Blueprint {
        Blueprint::new(plan.parse().unwrap())
    }

    #[test]
    fn same_members_are_one_bond_and_others_another() {
        let plan = blueprint("bond=eth0+eth1,vlan=5 bond=eth0+eth1,vlan=6 bond=eth2+eth3,mode=802.3ad");
        let names: Vec<&str> = plan.bonds.iter().map(|bond| bond.name.as_str()).collect();
        assert_eq!(names, ["bond0", "bond1"]);
        assert_eq!(plan.bond_of("eth3", &[]).unwrap().name, "bond1");
        assert!(plan.bond_of("eth4", &[]).is_none());
        assert!(plan.jobs.iter().filter(|job| job.names("bond0", &[])).count() == 2);
    }

    #[test]
    fn named_job_goes_before_one_for_anybody() {
        let mut plan = blueprint("addr=10.0.0.5/24 if=eth1,addr=10.0.0.6/24");
        plan.claim(1, "eth1", &[], |_| true);
        plan.claim(2, "eth2", &[], |_| true);
        plan.claim(3, "eth3", &[], |_| true);
        plan.claim(2, "eth2", &[], |_| true);
        let bases: Vec<Option<u32>> = plan.jobs.iter().map(|job| job.base).collect();
        assert_eq!(bases, [Some(2), Some(1)]);
        assert!(plan.release(2).is_empty() && plan.release(1).is_empty());
        assert_eq!(plan.jobs.iter().map(|job| job.base).collect::<Vec<_>>(), [None, Some(1)]);
    }

    #[test]
    fn long_link_name_makes_room_for_its_vlan() {
        assert_eq!(Job::vlan_name("eth0", 120), "eth0.120");
        assert_eq!(Job::vlan_name("enp129s0f1np1", 4094), "vlan4094");
    }
}
