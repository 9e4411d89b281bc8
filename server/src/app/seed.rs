//! What machines get of their roles: seeds for installations, and previews of them.
//!
//! Values of secrets are opened only while a seed is rendered, and only those that templates ask for. A
//! preview shows what is made of hidden ones.

use super::App;
use super::actor::Actor;
use super::boot::AtRest;
use super::error::{AppError, AppErrorKind};
use super::objects::Pair;
use super::secrets;
use crate::keys::Sealer;
use crate::report::chain;
use engine::cloud_init::{self, Draft};
use engine::content::Content;
use engine::machine::Machine;
use engine::provision::params;
use engine::render::{Facts, Peer, Scene, Surroundings};
use protocol::install::{Seed, SeedPreview};
use std::fmt;
use std::sync::Arc;

/// Most machines of one mesh network that a template can look at.
const MAX_PEERS: usize = 4_096;
/// Machines that are read at once.
const PAGE: u32 = 256;

/// What templates ask the server for.
struct FromServer {
    sealer: Arc<Sealer>,
    content: Arc<Content>,
    peers: Result<Vec<Peer>, String>,
}

impl fmt::Debug for FromServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromServer").finish_non_exhaustive()
    }
}

impl Surroundings for FromServer {
    fn secret(&self, name: &str) -> Result<String, String> {
        secrets::value(&self.sealer, &self.content, name)
    }

    fn peers(&self) -> Result<Vec<Peer>, String> {
        self.peers.clone()
    }
}

impl App {
    /// What a machine gets of its roles and settings. `instance` tells one installation from the next.
    ///
    /// # Errors
    /// Everything that keeps it from being rendered; never with the value of a secret in it.
    pub(crate) async fn render_seed(&self, machine: &Machine, instance: &str) -> Result<Seed, Vec<String>> {
        let told = |error: AppError| vec![error.to_string()];
        let draft = self.draft_seed(machine, instance, cloud_init::draft).await.map_err(told)?;
        if draft.errors.is_empty() { Ok(draft.seed) } else { Err(draft.errors) }
    }

    /// What the machine of this key would get now, or would get with other roles.
    ///
    /// # Errors
    /// As every reading of a machine; `AUTH` for machines themselves. What is wrong with the seed is in the answer.
    pub(crate) async fn preview_seed(
        &self,
        actor: &Actor,
        key: &str,
        query: &[Pair],
    ) -> Result<SeedPreview, AppError> {
        if !actor.is_user() {
            let message = "previews are for users: a machine gets its configuration with its installation";
            return Err(AppError::new(AppErrorKind::Forbidden, message));
        }
        let mut machine = self.machine_for(actor, key, "get").await?;
        let roles: Vec<String> =
            query.iter().filter(|(name, _)| name == "role").map(|(_, role)| role.clone()).collect();
        if !roles.is_empty() {
            let content = self.content();
            let own = params::roles(&content, &machine);
            machine.fields.profiles.retain(|profile| !own.iter().any(|role| role.name == *profile));
            machine.placement.roles = roles;
        }
        let Draft { seed, sources, errors } =
            self.draft_seed(&machine, &machine.id.to_string(), cloud_init::preview).await?;
        let Seed { meta_data, user_data, network_config, .. } = seed;
        Ok(SeedPreview { meta_data, user_data, network_config, errors, sources })
    }

    async fn draft_seed(
        &self,
        machine: &Machine,
        instance: &str,
        make: fn(&Scene, &Arc<Facts>, &str) -> Draft,
    ) -> Result<Draft, AppError> {
        let content = self.content();
        let peers = self.peers_of(machine).await;
        let facts = Facts::new(Arc::new(FromServer {
            sealer: self.keys.sealer(),
            content: Arc::clone(&content),
            peers,
        }));
        let scene = Scene {
            machine: Some(Arc::new(params::with_roles(&content, machine))),
            content,
            addresses: self.addresses(None),
            outside: Arc::new(AtRest::of(self)),
        };
        let instance = instance.to_owned();
        let done = tokio::task::spawn_blocking(move || make(&scene, &facts, &instance));
        done.await.map_err(AppError::internal)
    }

    /// The other machines of its mesh network.
    async fn peers_of(&self, machine: &Machine) -> Result<Vec<Peer>, String> {
        let mesh = &machine.placement.mesh_network;
        let mut peers = Vec::new();
        if mesh.is_empty() {
            return Ok(peers);
        }
        let content = self.content();
        let mut after = 0;
        loop {
            let page = self.store.machines_of_mesh(mesh, after, PAGE).await.map_err(|error| {
                tracing::error!(error = %chain(&error), "the peers of a machine cannot be read");
                "the machines of its mesh network cannot be read".to_owned()
            })?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let others = page.iter().filter(|(_, other)| other.id != machine.id);
            peers.extend(others.map(|(_, other)| peer(&content, other)));
            if peers.len() > MAX_PEERS {
                return Err(format!("mesh network {mesh} has more than {MAX_PEERS} machines"));
            }
        }
        peers.sort_by(|one, other| one.hostname.cmp(&other.hostname));
        Ok(peers)
    }
}

fn peer(content: &Content, machine: &Machine) -> Peer {
    Peer {
        uuid: machine.id.to_string(),
        hostname: cloud_init::hostname(machine),
        roles: params::role_names(content, machine),
        mesh_network: machine.placement.mesh_network.clone(),
        membership: machine.membership.clone(),
        addresses: machine.inventory.links.iter().flat_map(|link| link.addresses.iter().cloned()).collect(),
    }
}
