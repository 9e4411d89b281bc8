//! Virtual addresses and routes: one member holds each, and never two. `engine::mesh::vip` decides; here the epoch of
//! every new holder is on disk before it is told, one decision after another. One server decides for one database:
//! leases are in its memory, and after a start it waits until the longest one that it may have granted is over.

use crate::app::error::AppError;
use crate::app::events::{Did, Happening};
use crate::app::snapshot::object_of;
use crate::app::{Actor, App, terminals};
use crate::store::StoreError;
use engine::change::{AuditKind, AuditRow, Cause, Change, Changes, Revision};
use engine::content::Content;
use engine::mesh::vip::{Arbiter, Candidate, Record, Standing};
use engine::time::Timestamp;
use protocol::ids::MachineId;
use protocol::mesh::{CheckKind, MeshReportAnswer, VipReport};
use protocol::model::{Kind, VipMember, VipState};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Records of who was granted what last. None is ever deleted: one that is made again under its name goes on
/// counting.
const VIP: &str = "vip";
/// Principal of what the server does by itself.
const SYSTEM: &str = "system";
/// Pages hear of changes of one of them this far apart.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Which commit last wrote each record.
pub(super) type Marks = HashMap<String, Revision>;

/// What pages were told of each, and when.
#[derive(Debug, Default)]
pub(super) struct ToldVips(BTreeMap<String, (Standing, Timestamp)>);

impl App {
    /// What a member holds from now on, by its report.
    ///
    /// # Errors
    /// When the store does not take the epoch of a new holder: nothing is granted then.
    pub(super) async fn arbitrate(
        &self,
        actor: &Actor,
        id: MachineId,
        reports: &[VipReport],
    ) -> Result<MeshReportAnswer, AppError> {
        if self.mesh.lock().has_no_vips() {
            return Ok(MeshReportAnswer::default());
        }
        let mut marks = self.mesh.deciding.lock().await;
        let heard = self.mesh.lock().arbiter.hear(id, reports, self.mesh.uptime());
        if !heard.store.is_empty() {
            self.store_epochs(actor, &mut marks, &heard.store).await?;
            self.mesh.lock().arbiter.stored(&heard.store);
        }
        drop(marks);
        let touched = {
            let mut boards = self.mesh.lock();
            let mut touched = boards.nudge(&heard.nudge);
            if heard.moved {
                touched.append(&mut boards.spread(self.mesh.uptime()));
            }
            touched
        };
        self.wake_members(touched);
        self.publish_vips();
        Ok(MeshReportAnswer { due: heard.due, grants: heard.grants })
    }

    /// Stores who is granted what. When somebody else wrote one of the records, all is read again, as after a start.
    async fn store_epochs(
        &self,
        actor: &Actor,
        marks: &mut Marks,
        list: &[(String, Record)],
    ) -> Result<(), AppError> {
        let mut changes = Changes::new(self.clock.now());
        for (name, record) in list {
            let body = serde_json::to_string(record).map_err(AppError::internal)?;
            let revision = marks.get(name).copied().unwrap_or_default();
            let record = engine::change::Record { kind: VIP.to_owned(), key: name.clone(), body, revision };
            changes = changes.and(Change::PutRecord(record));
        }
        match self.commit(changes, Vec::new()).await {
            Ok(revision) => {
                marks.extend(list.iter().map(|(name, _)| (name.clone(), revision)));
                tracing::info!(by = actor.principal(), vips = ?list, "virtual addresses have another holder");
                Ok(())
            }
            Err(error) if error.is_stale() => {
                self.read_marks(marks).await?;
                Err(crate::app::enroll::busy())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Who held what when the server was last here.
    pub(super) async fn load_marks(&self) -> Result<(), StoreError> {
        let mut marks = self.mesh.deciding.lock().await;
        self.read_marks(&mut marks).await
    }

    async fn read_marks(&self, marks: &mut Marks) -> Result<(), StoreError> {
        let mut records = Vec::new();
        for stored in self.store.records(VIP).await? {
            let record: Record = serde_json::from_str(&stored.body)
                .map_err(|error| StoreError::Damaged { table: "record", reason: error.to_string() })?;
            marks.insert(stored.key.clone(), stored.revision);
            records.push((stored.key, record));
        }
        let touched = self.mesh.lock().begin_again(Arbiter::load(records, self.mesh.uptime()));
        self.wake_members(touched);
        Ok(())
    }

    /// Says of a virtual address or route who holds it, and how its candidates stand.
    pub(in crate::app) fn show_standing(&self, content: &Content, name: &str, shown: &mut Value) {
        let Some(vip) = content.vips.get(name) else { return };
        let boards = self.mesh.lock();
        let standing = boards.arbiter.standing(name, self.mesh.uptime());
        let state = match standing.holder {
            Some(_) => VipState::Held,
            None if vip.enabled => VipState::Nobody,
            None => VipState::Disabled,
        };
        let member = |Candidate { machine, healthy, message }| {
            let (name, online) = boards.who(machine);
            VipMember { machine: machine.to_string(), name, online, healthy, message }
        };
        let members: Vec<VipMember> = standing.members.into_iter().map(member).collect();
        if let Some(shown) = shown.as_object_mut() {
            let holder = standing.holder.map(|holder| holder.to_string()).unwrap_or_default();
            shown.insert("Holder".to_owned(), holder.into());
            shown.insert("Epoch".to_owned(), standing.epoch.into());
            shown.insert("State".to_owned(), json!(state));
            shown.insert("Members".to_owned(), json!(members));
        }
    }

    /// All virtual addresses and routes as REST shows them.
    pub(in crate::app) fn list_vips(&self) -> Vec<Value> {
        let content = self.content();
        let mut vips = content.list(Kind::Vips);
        for vip in &mut vips {
            let name = vip["Name"].as_str().unwrap_or_default().to_owned();
            self.show_standing(&content, &name, vip);
        }
        vips
    }

    /// Tells pages of those that stand otherwise than they were told; one that changes all the time, later.
    pub(super) fn publish_vips(&self) {
        if self.hub.subscribers() == 0 {
            return;
        }
        let content = self.content();
        let (now, uptime) = (self.clock.now(), self.mesh.uptime());
        let names: Vec<String> = content.vips.iter().map(|vip| vip.name.clone()).collect();
        let changed = self.mesh.lock().vips_to_tell(names, now, uptime);
        for name in changed {
            let Some(mut shown) = content.show(Kind::Vips, &name) else { continue };
            self.show_standing(&content, &name, &mut shown);
            self.tell(Happening::content(Did::Update, SYSTEM, Kind::Vips, &name, shown, None));
        }
    }
}

/// Puts on record who writes VIPs, by whatever door. The command of a check runs as root on every machine that may hold
/// the address, now or later, so it takes the right to that on all of them.
///
/// # Errors
/// `AUTH` without it.
pub(in crate::app) fn guard_vips(
    actor: &Actor,
    after: &Content,
    mut changes: Changes,
    cause: &Cause,
) -> Result<Changes, AppError> {
    let written: Vec<_> = changes.list.iter().filter_map(object_of).collect();
    for (_, name) in written.into_iter().filter(|(kind, _)| *kind == Kind::Vips) {
        let told = match after.vips.get(&name).map(|vip| vip.check.kind) {
            None => format!("VIP {name} deleted"),
            Some(CheckKind::None) => format!("VIP {name} written, no check"),
            Some(CheckKind::Tcp) => format!("VIP {name} written, check tcp"),
            Some(CheckKind::Http) => format!("VIP {name} written, check http"),
            Some(CheckKind::Exec) => {
                actor.may(Kind::Machines.prefix(), terminals::RIGHT, "").map_err(|refused| {
                    let message = format!("the check exec of VIP {name} runs as root on machines: {refused}");
                    AppError::new(refused.kind, message).about(Kind::Vips.prefix(), name.as_str())
                })?;
                format!("VIP {name} written, check exec")
            }
        };
        changes = changes.audit(AuditRow::new(AuditKind::VipChanged, cause).reason(told));
    }
    Ok(changes)
}

impl ToldVips {
    /// Whether pages are to be told how it stands now.
    pub(super) fn is_news(&mut self, name: &str, standing: Standing, now: Timestamp) -> bool {
        if let Some((told, at)) = self.0.get(name)
            && (*told == standing || now.since(*at) < TELL_EVERY)
        {
            return false;
        }
        self.0.insert(name.to_owned(), (standing, now));
        true
    }

    /// Those that are there no more are forgotten.
    pub(super) fn keep(&mut self, names: &[String]) {
        self.0.retain(|name, _| names.contains(name));
    }
}
