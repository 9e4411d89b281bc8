//! Who calls, and what they may do: the first line of every use case asks. What the server does by
//! itself (`sweep`) has no caller.

use super::error::{AppError, AppErrorKind};
use crate::keys::MachineCaller;
use engine::change::Cause;
use engine::time::Timestamp;
use protocol::ids::{KeyThumbprint, MachineId};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Everything a caller can be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Action {
    /// Look a code up.
    BootstrapLookup,
    /// See all waiting machines, and approve without a code.
    BootstrapList,
    /// Approve or deny a waiting machine.
    BootstrapApprove,
    /// Issue a bootstrap token.
    BootstrapTokenCreate,
    /// See which bootstrap tokens were issued.
    BootstrapTokenList,
    /// Revoke bootstrap tokens.
    BootstrapTokenRevoke,
    /// Read machines.
    MachineRead,
    /// Delete a machine.
    MachineDelete,
    /// Watch events.
    EventsWatch,
    /// Read what this server is.
    InfoRead,
    /// See which keys the server has, never the keys.
    KeyRead,
    /// Replace the server's keys.
    KeyRoll,
    /// Issue an API token for oneself.
    ApiTokenCreate,
    /// Heartbeat as oneself.
    MachineSelf,
}

impl Action {
    /// The action as messages and access roles name it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::BootstrapLookup => "bootstrap:lookup",
            Self::BootstrapList => "bootstrap:list",
            Self::BootstrapApprove => "bootstrap:approve",
            Self::BootstrapTokenCreate => "bootstrap:token",
            Self::BootstrapTokenList => "bootstrap:token-list",
            Self::BootstrapTokenRevoke => "bootstrap:token-revoke",
            Self::MachineRead => "machines:read",
            Self::MachineDelete => "machines:delete",
            Self::EventsWatch => "events:watch",
            Self::InfoRead => "info:read",
            Self::KeyRead => "keys:read",
            Self::KeyRoll => "keys:roll",
            Self::ApiTokenCreate => "users:token",
            Self::MachineSelf => "machines:self",
        }
    }
}

/// What a user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Everything an operator can do.
    All,
    /// These and nothing else.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "access roles come later; every use case is tested with a narrow user today"
        )
    )]
    Only(BTreeSet<Action>),
}

impl Rights {
    /// Whether they allow an action.
    pub(super) fn allow(&self, action: Action) -> bool {
        match self {
            Self::All => action != Action::MachineSelf,
            Self::Only(allowed) => allowed.contains(&action),
        }
    }
}

/// A person, or a program that acts for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserActor {
    /// User name.
    pub name: String,
    /// What the user may do.
    pub rights: Rights,
    /// Address of the peer.
    pub source: IpAddr,
    /// Id of the request in the log.
    pub request_id: String,
}

/// A registered machine: its proof held and its access token is this key's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachineActor {
    /// Which machine the access token speaks for.
    pub id: MachineId,
    /// The key that made the proof.
    pub key: KeyThumbprint,
    /// Address of the peer.
    pub source: IpAddr,
    /// Id of the request in the log.
    pub request_id: String,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A user.
    User(UserActor),
    /// A registered machine, about itself only.
    Machine(MachineActor),
}

impl Actor {
    /// Refuses whatever the caller may not do.
    ///
    /// # Errors
    /// `forbidden`, with the missing right in words.
    pub(crate) fn require(&self, action: Action) -> Result<(), AppError> {
        let allowed = match self {
            Self::User(user) => user.rights.allow(action),
            Self::Machine(_) => action == Action::MachineSelf,
        };
        if allowed {
            return Ok(());
        }
        let message = format!("this needs the right {}, which the caller does not have", action.word());
        Err(AppError::new(AppErrorKind::Forbidden, message))
    }

    /// As events and the audit log name the caller.
    pub(crate) fn principal(&self) -> String {
        match self {
            Self::User(user) => format!("user:{}", user.name),
            Self::Machine(machine) => format!("machine:{}", machine.id),
        }
    }

    /// The caller as the reason for a change.
    pub(crate) fn cause(&self, at: Timestamp) -> Cause {
        let (source, request_id) = match self {
            Self::User(user) => (Some(user.source), user.request_id.clone()),
            Self::Machine(machine) => (Some(machine.source), machine.request_id.clone()),
        };
        Cause { principal: self.principal(), source, request_id, at }
    }
}

/// A key that proved itself, as the reason for a change.
pub(crate) fn cause_of(caller: &MachineCaller, at: Timestamp) -> Cause {
    Cause {
        principal: format!("key:{}", caller.key),
        source: Some(caller.source),
        request_id: caller.request_id.clone(),
        at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(rights: Rights) -> Actor {
        Actor::User(UserActor {
            name: "eve".into(),
            rights,
            source: IpAddr::from([127, 0, 0, 1]),
            request_id: String::new(),
        })
    }

    #[test]
    fn narrow_user_is_told_which_right_is_missing() {
        let eve = user(Rights::Only(BTreeSet::from([Action::MachineRead])));
        assert!(eve.require(Action::MachineRead).is_ok());
        assert_eq!(
            eve.require(Action::MachineDelete).unwrap_err().to_string(),
            "this needs the right machines:delete, which the caller does not have"
        );
    }

    #[test]
    fn machine_speaks_for_itself_only_and_no_user_speaks_as_a_machine() {
        let machine = Actor::Machine(MachineActor {
            id: MachineId(uuid::Uuid::nil()),
            key: KeyThumbprint([0; 32]),
            source: IpAddr::from([127, 0, 0, 1]),
            request_id: String::new(),
        });
        assert!(machine.require(Action::MachineSelf).is_ok());
        assert!(machine.require(Action::MachineRead).is_err());
        assert!(user(Rights::All).require(Action::MachineSelf).is_err());
    }
}
