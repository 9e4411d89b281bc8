//! The Provision column: one function of machine and latest run (`spec/bootstrap-and-dashboard.md` 5.3).
//! What it needs of the run the machine keeps, so that lists read no second table.

use super::params;
use crate::content::Content;
use crate::machine::Machine;
use protocol::install::{Mode, ProvisionStatus};
use protocol::rest::ProvisionState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What a machine remembers of its latest run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatestRun {
    /// Which.
    pub id: Uuid,
    /// What it does.
    pub mode: Mode,
    /// Where it is.
    pub status: ProvisionStatus,
    /// A disk may have been written by it.
    pub touched: bool,
    /// What the machine was before it.
    pub before: ProvisionState,
    /// Digest of the settings of the last run that completed, see [`settings`]; empty for none.
    pub installed: String,
}

/// The Provision column.
pub const fn state(latest: Option<&LatestRun>) -> ProvisionState {
    let Some(latest) = latest else { return ProvisionState::Discovery };
    match latest.mode {
        Mode::Rebuild => rebuilt(latest),
        // Until it is in our image, it is what it was.
        Mode::Discover | Mode::Clear if latest.status.has_completed() => ProvisionState::Discovery,
        Mode::Discover | Mode::Clear => latest.before,
    }
}

const fn rebuilt(latest: &LatestRun) -> ProvisionState {
    match latest.status {
        ProvisionStatus::Pending => ProvisionState::Pending,
        ProvisionStatus::Preparing
        | ProvisionStatus::Partitioning
        | ProvisionStatus::Downloading
        | ProvisionStatus::Configuring
        | ProvisionStatus::Booting => ProvisionState::Installing,
        ProvisionStatus::Completed | ProvisionStatus::Degraded => ProvisionState::Installed,
        ProvisionStatus::Error | ProvisionStatus::Timeout | ProvisionStatus::RenderFailed => {
            ProvisionState::Failed
        }
        // What was installed is not there any more.
        ProvisionStatus::Canceled => match latest.before {
            ProvisionState::Installed if latest.touched => ProvisionState::Failed,
            ProvisionState::Discovery
            | ProvisionState::Pending
            | ProvisionState::Installing
            | ProvisionState::Installed
            | ProvisionState::Failed => latest.before,
        },
    }
}

/// Params that only another installation brings to a machine.
const INSTALLED: [&str; 10] = [
    params::IMAGE,
    params::CLOUD_INIT,
    params::DISK,
    params::DISK_LAYOUT,
    params::NETWORK,
    params::SSH_KEYS,
    params::INJECT_AGENT,
    params::KERNEL_ARGS,
    params::AGENT_HOSTS,
    params::REQUIRES_MESH,
];

/// The settings of a machine that an installation brings to it: a digest of them that differs from the
/// last installation's means pending changes.
pub fn settings(content: &Content, machine: &Machine) -> Value {
    let sources = params::sources(content, machine);
    let mut values = Map::new();
    for name in INSTALLED {
        // Of some, every source counts.
        let found: Vec<&Value> = sources.iter().filter_map(|(_, params)| params.get(name)).collect();
        if !found.is_empty() {
            values.insert(name.to_owned(), json!(found));
        }
    }
    let mut settings = json!({
        "Roles": machine.placement.roles,
        "Profiles": machine.fields.profiles,
        "Mesh": machine.placement.mesh_network,
        "Params": values,
    });
    if !machine.membership.addresses.is_empty()
        && let Some(settings) = settings.as_object_mut()
    {
        settings.insert("MeshAddresses".to_owned(), json!(machine.membership.addresses));
    }
    settings
}
