//! How boards follow what is stored: each commit that writes machines or mesh networks, in the order of commits,
//! before anybody hears of it.

use super::{Mesh, polls_of};
use crate::app::App;
use crate::app::snapshot::Reader;
use crate::hub::Hub;
use crate::store::StoreError;
use engine::change::{Change, Changes, Revision, StoredObject};
use engine::content::Content;
use engine::machine::Machine;
use protocol::ids::MachineId;
use protocol::model::Kind;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Machines that are read at once when the server starts.
const PAGE: u32 = 256;

/// What a commit means for the boards.
#[derive(Debug)]
enum Step {
    Put(Box<Machine>),
    Gone(MachineId),
    Content,
}

/// What a commit means for the boards, to be done after it.
#[derive(Debug)]
pub(in crate::app) struct Steps {
    mesh: Arc<Mesh>,
    content: Reader,
    list: Vec<Step>,
}

impl Steps {
    /// Does it, and wakes whom it concerns.
    pub(in crate::app) fn take(self, revision: Revision, hub: &Hub) {
        let Self { mesh, content, list } = self;
        if list.is_empty() {
            return;
        }
        let (content, now) = (content.get(), mesh.uptime());
        let mut boards = mesh.lock();
        let mut touched = BTreeSet::new();
        for step in list {
            touched.append(&mut match step {
                Step::Put(machine) => boards.put(&machine, revision, &content),
                Step::Gone(id) => boards.remove(id),
                Step::Content => boards.follow(&content),
            });
        }
        touched.append(&mut boards.settle_terms(&content, now));
        drop(boards);
        for id in touched {
            hub.wake(polls_of(id));
        }
    }
}

impl Mesh {
    /// What a commit of these changes means for one machine's place; nothing for most.
    fn step(&self, change: &Change) -> Option<Step> {
        if let Change::InsertMachine(machine) | Change::UpdateMachine(machine) = change {
            let concerned = machine.is_member() || self.lock().knows(machine.id);
            return concerned.then(|| Step::Put(machine.clone()));
        }
        if let Change::DeleteMachine { id, .. } = change {
            return self.lock().knows(*id).then_some(Step::Gone(*id));
        }
        let (Change::PutObject(StoredObject { kind, .. }) | Change::DeleteObject { kind, .. }) = change
        else {
            return None;
        };
        matches!(kind, Kind::Meshes | Kind::Vips).then_some(Step::Content)
    }
}

impl App {
    /// What these changes mean for the boards, once they are stored.
    pub(in crate::app) fn mesh_steps(&self, changes: &Changes) -> Steps {
        let list = changes.list.iter().filter_map(|change| self.mesh.step(change)).collect();
        Steps { mesh: Arc::clone(&self.mesh), content: self.snapshot.reader(), list }
    }

    /// Puts on the boards who is stored in a mesh network: when the server starts, before anybody asks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(in crate::app) async fn load_meshes(&self) -> Result<(), StoreError> {
        self.load_marks().await?;
        let content = self.content();
        for mesh in content.meshes.iter() {
            let mut after = 0;
            loop {
                let page = self.store.machines_of_mesh(&mesh.name, after, PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                after = *last;
                let mut boards = self.mesh.lock();
                for (_, machine) in &page {
                    // Nobody polls yet.
                    drop(boards.put(machine, machine.revision, &content));
                }
            }
        }
        drop(self.mesh.lock().settle_terms(&content, self.mesh.uptime()));
        self.attend_meshes();
        Ok(())
    }

    /// Follows a content that another server wrote.
    pub(in crate::app) fn mesh_follows_content(&self) {
        let content = self.content();
        let mut boards = self.mesh.lock();
        let mut touched = boards.follow(&content);
        touched.append(&mut boards.settle_terms(&content, self.mesh.uptime()));
        drop(boards);
        self.wake_members(touched);
    }

    /// Machines whose roles or params may be others by this content.
    pub(in crate::app) fn mesh_looks_again(&self, machines: &[Machine], content: &Content) {
        let (mut touched, now) = (BTreeSet::new(), self.mesh.uptime());
        let mut boards = self.mesh.lock();
        for machine in machines {
            touched.append(&mut boards.look_again(machine, content));
        }
        touched.append(&mut boards.settle_terms(content, now));
        drop(boards);
        self.wake_members(touched);
    }

    /// Who is online, who holds what, and what pages were not told yet: as time passes.
    pub(in crate::app) fn attend_meshes(&self) {
        let now = self.clock.now();
        let (touched, untold) = {
            let mut boards = self.mesh.lock();
            let mut touched = boards.attend(now, |id| self.liveness.presence(id, now).online);
            touched.append(&mut boards.spread(self.mesh.uptime()));
            (touched, boards.untold(now))
        };
        self.wake_members(touched);
        for id in untold {
            self.publish_peers(id);
        }
        self.publish_vips();
    }
}
