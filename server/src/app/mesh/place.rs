//! Machines that join mesh networks and leave them, and how many are in each. The rules are
//! `engine::mesh`'s.

use crate::app::App;
use crate::app::error::AppError;
use crate::app::events::{Did, Happening};
use crate::app::turns::Turn;
use crate::store::StoreError;
use engine::change::{Change, Changes};
use engine::content::Content;
use engine::machine::Machine;
use engine::mesh::{self, NoPlace};
use engine::problem::{Problem, ProblemKind};
use protocol::model::Kind;
use serde_json::Value;

/// What a machine's way between mesh networks brings about, to be committed while it is kept: nobody
/// else joins the same network meanwhile.
#[derive(Debug, Default)]
pub(in crate::app) struct Placed<'a> {
    changes: Vec<Change>,
    /// Networks that have one machine more or less.
    concerned: Vec<String>,
    refused: Option<NoPlace>,
    _turn: Option<Turn<'a>>,
}

impl Placed<'_> {
    /// The changes with which the machine is stored, and what its place asks for.
    pub(in crate::app) fn with(&self, mut changes: Changes) -> Changes {
        changes.list.extend(self.changes.iter().cloned());
        changes
    }

    /// That the network that somebody chose has no place.
    ///
    /// # Errors
    /// When it has none.
    pub(in crate::app) fn or_refuse(&self, machine: &Machine) -> Result<(), AppError> {
        match &self.refused {
            None => Ok(()),
            Some(refused) => {
                let message = format!("MeshNetwork: {refused}; take machines out of it, or make another one");
                let key = machine.id.to_string();
                Err(Problem::new(ProblemKind::Invalid, Kind::Machines, key, message).into())
            }
        }
    }

    /// What is told of it.
    pub(in crate::app) fn told(&self, app: &App, principal: &str) -> Vec<Happening> {
        self.concerned.iter().filter_map(|mesh| app.mesh_happening(mesh, principal)).collect()
    }
}

impl App {
    /// Gives a machine its place in the mesh network that it names, and takes the one that it had.
    /// `before` is none for a new machine.
    pub(in crate::app) async fn place(
        &self,
        before: Option<&Machine>,
        machine: &mut Machine,
        content: &Content,
    ) -> Result<Placed<'_>, StoreError> {
        let mut placed = Placed::default();
        if let Some(before) = before
            && let Some(change) = mesh::leave(before, machine)
        {
            placed.changes.push(change);
            placed.concerned.push(before.placement.mesh_network.clone());
        }
        let Some(name) = mesh::wants(before, machine).map(str::to_owned) else { return Ok(placed) };
        placed._turn = Some(self.mesh_turns.of(&name).await);
        let standing = self.store.mesh_standing(&name).await?;
        match mesh::join(machine, content, standing) {
            Ok(change) => {
                placed.changes.push(change);
                placed.concerned.push(name);
            }
            Err(refused) => placed.refused = Some(refused),
        }
        Ok(placed)
    }

    /// Another number of machines is in a mesh network.
    pub(in crate::app) fn mesh_happening(&self, name: &str, principal: &str) -> Option<Happening> {
        let shown = self.content().show(Kind::Meshes, name)?;
        Some(Happening::content(Did::Save, principal, Kind::Meshes, name, shown, None))
    }

    /// All mesh networks as REST shows them.
    pub(in crate::app) async fn list_meshes(&self) -> Result<Vec<Value>, AppError> {
        let content = self.content();
        let mut meshes = content.list(Kind::Meshes);
        let members = self.store.mesh_members().await?;
        for mesh in &mut meshes {
            let name = mesh["Name"].as_str().unwrap_or_default().to_owned();
            count(&content, &name, members.get(&name).copied().unwrap_or(0), mesh);
        }
        Ok(meshes)
    }

    /// Says of a mesh network how many machines are in it.
    pub(in crate::app) async fn show_members(
        &self,
        content: &Content,
        name: &str,
        shown: &mut Value,
    ) -> Result<(), AppError> {
        let members = self.store.members_of_mesh(name).await?;
        count(content, name, members, shown);
        Ok(())
    }
}

fn count(content: &Content, name: &str, members: u64, shown: &mut Value) {
    let capacity = content.mesh(name).map_or(0, |network| u64::from(network.capacity()));
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("Members".to_owned(), members.into());
        shown.insert("FreeAddresses".to_owned(), capacity.saturating_sub(members).into());
    }
}
