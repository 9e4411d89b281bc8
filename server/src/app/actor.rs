//! Who calls, and what they may do: the first line of every use case asks. What the server does by
//! itself (`sweep`) has no caller.

use super::error::{AppError, AppErrorKind};
use crate::keys::MachineCaller;
use engine::change::Cause;
use engine::claims::Claims;
use engine::time::Timestamp;
use protocol::ids::{KeyThumbprint, MachineId};
use protocol::model::Kind;
use std::net::IpAddr;
use uuid::Uuid;

/// What a machine's token changes of its machine: what the machine itself knows best. A task that
/// changes more, such as profiles or the workflow, is given the claim (`ExtraClaims`).
const CHANGED_BY_MACHINES: [&str; 8] =
    ["/Runnable", "/Address", "/OS", "/HardwareAddrs", "/Params", "/Description", "/Meta", "/Fingerprint"];
/// Of these, what decides where a machine is shown and where its tasks run.
const NOT_BY_MACHINES: [&str; 2] = ["/Meta/machine-role", "/Meta/BaseContext"];
/// How names of Muster's own params begin in pointers. They say what a machine is told and made of, with the values of
/// all secrets (`muster/cloud-init`), and what protects it, so none is written by what runs on it: no task of ours does.
const OWN_PARAMS: &str = "/Params/muster~1";
/// Collections whose objects a machine's token reads by key.
const READ_BY_MACHINES: [Kind; 6] =
    [Kind::Stages, Kind::Tasks, Kind::BootEnvs, Kind::Templates, Kind::Params, Kind::Profiles];

/// What the use cases outside of the machine model ask for.
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
    /// Watch events.
    EventsWatch,
    /// Make an event.
    EventsPost,
    /// Read what this server is.
    InfoRead,
    /// See which keys the server has, never the keys.
    KeyRead,
    /// Replace the server's keys.
    KeyRoll,
    /// Heartbeat as oneself.
    MachineSelf,
}

impl Action {
    /// Scope and action of the claim that allows it; none for what no claim does.
    const fn claim(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::BootstrapLookup => ("bootstrap", "lookup"),
            Self::BootstrapList => ("bootstrap", "list"),
            Self::BootstrapApprove => ("bootstrap", "approve"),
            Self::BootstrapTokenCreate => ("bootstrap", "token"),
            Self::BootstrapTokenList => ("bootstrap", "token-list"),
            Self::BootstrapTokenRevoke => ("bootstrap", "token-revoke"),
            Self::EventsWatch => ("events", "watch"),
            Self::EventsPost => ("events", "post"),
            Self::InfoRead => ("info", "get"),
            Self::KeyRead => ("keys", "list"),
            Self::KeyRoll => ("keys", "roll"),
            Self::MachineSelf => return None,
        })
    }
}

/// A person, or a program that acts for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserActor {
    /// User name.
    pub name: String,
    /// What the user may do.
    pub claims: Claims,
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

/// Whoever holds a machine's token: its tasks and templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachineTokenActor {
    /// The machine.
    pub machine: MachineId,
    /// User who made the token; empty for the server itself.
    pub grantor: String,
    /// What the task that runs now may do beside.
    pub extra: Claims,
    /// Address of the peer.
    pub source: IpAddr,
    /// Id of the request in the log.
    pub request_id: String,
}

impl MachineTokenActor {
    /// What a machine's token may do by itself (`spec/machine-model.md` 5.2, `spec/security.md` 5).
    fn allows(&self, scope: &str, action: &str, key: &str) -> bool {
        match (scope, action) {
            ("machines", "get" | "token") => self.is_own(key),
            ("info", "get") | ("events", "watch" | "post") => true,
            (scope, "get") => READ_BY_MACHINES.iter().any(|kind| kind.prefix() == scope),
            _ => false,
        }
    }

    fn is_own(&self, key: &str) -> bool {
        key.parse() == Ok(self.machine)
    }

    fn allows_change(&self, scope: &str, key: &str, path: &str) -> bool {
        let below = |name: &str| path.strip_prefix(name).is_some_and(is_end_of_name);
        scope == Kind::Machines.prefix()
            && self.is_own(key)
            && CHANGED_BY_MACHINES.into_iter().any(below)
            && path != "/Params"
            && !NOT_BY_MACHINES.into_iter().any(below)
            && !path.starts_with(OWN_PARAMS)
    }
}

/// Whether a name of a pointer ends here.
fn is_end_of_name(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A user.
    User(UserActor),
    /// A registered machine, about itself only.
    Machine(MachineActor),
    /// A machine's token: the machine's tasks.
    MachineToken(MachineTokenActor),
}

impl Actor {
    /// Refuses whatever the caller may not do.
    ///
    /// # Errors
    /// `forbidden`, with the missing right in words.
    pub(crate) fn require(&self, action: Action) -> Result<(), AppError> {
        match action.claim() {
            Some((scope, action)) => self.may(scope, action, ""),
            None if matches!(self, Self::Machine(_)) => Ok(()),
            None => Err(without("machines", "self", "")),
        }
    }

    /// Refuses an action on an object that the caller may not do. An empty key stands for the
    /// collection itself.
    ///
    /// # Errors
    /// `forbidden`, with the missing right in words.
    pub(crate) fn may(&self, scope: &str, action: &str, key: &str) -> Result<(), AppError> {
        let allowed = match self {
            Self::User(user) => user.claims.allow(scope, action, key),
            Self::Machine(_) => false,
            Self::MachineToken(token) => {
                token.allows(scope, action, key) || token.extra.allow(scope, action, key)
            }
        };
        if allowed { Ok(()) } else { Err(without(scope, action, key)) }
    }

    /// Refuses a change of an object at these JSON pointers, as [`engine::claims::changed`] finds
    /// them. Who changes nothing must be able to read.
    ///
    /// # Errors
    /// `forbidden`, with the first missing right in words.
    pub(crate) fn may_change(&self, scope: &str, key: &str, paths: &[String]) -> Result<(), AppError> {
        if paths.is_empty() {
            return self.may(scope, "get", key);
        }
        for path in paths {
            let action = if path.is_empty() { "update".to_owned() } else { format!("update:{path}") };
            let own = matches!(self, Self::MachineToken(token) if token.allows_change(scope, key, path));
            if !own {
                self.may(scope, &action, key)
                    .map_err(|refused| self.of_own_param(path).unwrap_or(refused))?;
            }
        }
        Ok(())
    }

    /// Why a machine's token does not change one of Muster's own params.
    fn of_own_param(&self, path: &str) -> Option<AppError> {
        let named = path.strip_prefix(OWN_PARAMS).filter(|_| matches!(self, Self::MachineToken(_)))?;
        let name = named.split('/').next().unwrap_or_default();
        let message = format!(
            "param muster/{} is not for machines to write; let a user, or a task whose ExtraClaims have \
             update:{OWN_PARAMS}{name} on machines, do it",
            name.replace("~1", "/").replace("~0", "~")
        );
        Some(AppError::new(AppErrorKind::Forbidden, message))
    }

    /// Refuses an action on a job of this machine. A machine's token does everything with jobs of its
    /// own but see a list of them and delete them.
    ///
    /// # Errors
    /// `forbidden`, with the missing right in words.
    pub(crate) fn may_job(&self, action: &str, job: Uuid, machine: Uuid) -> Result<(), AppError> {
        let own = matches!(self, Self::MachineToken(token) if token.machine.0 == machine);
        if own && !matches!(action, "list" | "delete") {
            return Ok(());
        }
        self.may(Kind::Jobs.prefix(), action, &job.to_string())
    }

    /// Refuses to hand on what the caller may not do.
    ///
    /// # Errors
    /// `forbidden`, with the claim that the caller lacks.
    pub(crate) fn may_grant(&self, granted: &Claims) -> Result<(), AppError> {
        let held = match self {
            Self::User(user) => user.claims.clone(),
            Self::Machine(_) => Claims::default(),
            Self::MachineToken(token) => token.extra.clone(),
        };
        let Some(beyond) = held.first_uncovered(granted.each()) else { return Ok(()) };
        let message = format!(
            "nobody grants what they may not do themselves: the caller does not have all of {}:{}:{}",
            beyond.scope, beyond.action, beyond.specific
        );
        Err(AppError::new(AppErrorKind::Forbidden, message))
    }

    /// Whether the caller holds this machine's token.
    pub(crate) fn is_token_of(&self, machine: MachineId) -> bool {
        matches!(self, Self::MachineToken(token) if token.machine == machine)
    }

    /// Whether a user calls: what others do, `Locked` does not concern.
    pub(crate) fn is_user(&self) -> bool {
        matches!(self, Self::User(_))
    }

    /// The user's name; empty for machines.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::User(user) => &user.name,
            Self::Machine(_) | Self::MachineToken(_) => "",
        }
    }

    /// As events and the audit log name the caller.
    pub(crate) fn principal(&self) -> String {
        match self {
            Self::User(user) => format!("user:{}", user.name),
            Self::Machine(machine) => format!("machine:{}", machine.id),
            Self::MachineToken(token) => format!("machine:{}", token.machine),
        }
    }

    /// The caller as the reason for a change.
    pub(crate) fn cause(&self, at: Timestamp) -> Cause {
        let (source, request_id) = match self {
            Self::User(user) => (user.source, &user.request_id),
            Self::Machine(machine) => (machine.source, &machine.request_id),
            Self::MachineToken(token) => (token.source, &token.request_id),
        };
        Cause { principal: self.principal(), source: Some(source), request_id: request_id.clone(), at }
    }
}

fn without(scope: &str, action: &str, key: &str) -> AppError {
    let of = if key.is_empty() { String::new() } else { format!(":{key}") };
    let message = format!("this needs the right {scope}:{action}{of}, which the caller does not have");
    AppError::new(AppErrorKind::Forbidden, message)
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

/// Claims that allow these actions and nothing else.
#[cfg(test)]
pub(super) fn only(actions: &[Action]) -> Claims {
    let claim = |(scope, action): (&str, &str)| protocol::model::Claim {
        scope: scope.to_owned(),
        action: action.to_owned(),
        specific: "*".to_owned(),
    };
    Claims::of_list(actions.iter().filter_map(|action| action.claim()).map(claim).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::model::Claim;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const OWN: &str = "00000000-0000-0000-0000-000000000001";
    const OTHER: &str = "00000000-0000-0000-0000-000000000002";

    fn user(claims: Claims) -> Actor {
        Actor::User(UserActor { name: "eve".into(), claims, source: HERE, request_id: String::new() })
    }

    fn token(extra: Claims) -> Actor {
        Actor::MachineToken(MachineTokenActor {
            machine: OWN.parse().unwrap(),
            grantor: String::new(),
            extra,
            source: HERE,
            request_id: String::new(),
        })
    }

    #[test]
    fn narrow_user_is_told_which_right_is_missing() {
        let eve = user(only(&[Action::KeyRead]));
        assert!(eve.require(Action::KeyRead).is_ok());
        assert_eq!(
            eve.require(Action::KeyRoll).unwrap_err().to_string(),
            "this needs the right keys:roll, which the caller does not have"
        );
        assert_eq!(
            eve.may("machines", "get", OWN).unwrap_err().to_string(),
            format!("this needs the right machines:get:{OWN}, which the caller does not have")
        );
    }

    #[test]
    fn machine_speaks_for_itself_only_and_no_user_speaks_as_a_machine() {
        let machine = Actor::Machine(MachineActor {
            id: MachineId(Uuid::nil()),
            key: KeyThumbprint([0; 32]),
            source: HERE,
            request_id: String::new(),
        });
        assert!(machine.require(Action::MachineSelf).is_ok());
        assert!(machine.require(Action::InfoRead).is_err());
        assert!(user(Claims::all()).require(Action::MachineSelf).is_err());
        assert!(token(Claims::default()).require(Action::MachineSelf).is_err());
    }

    #[test]
    fn machines_token_reads_itself_and_what_its_tasks_need() {
        let token = token(Claims::default());
        for (scope, action, key) in [
            ("machines", "get", OWN),
            ("machines", "token", OWN),
            ("tasks", "get", "install"),
            ("profiles", "get", "global"),
            ("info", "get", ""),
            ("events", "post", ""),
            ("events", "watch", ""),
        ] {
            assert!(token.may(scope, action, key).is_ok(), "{scope} {action} {key}");
        }
        for (scope, action, key) in [
            ("machines", "get", OTHER),
            ("machines", "token", OTHER),
            ("machines", "list", ""),
            ("machines", "create", OWN),
            ("machines", "delete", OWN),
            ("tasks", "list", ""),
            ("tasks", "update", "install"),
            ("users", "get", "admin"),
            ("roles", "get", "superuser"),
            ("preferences", "get", ""),
            ("workflows", "get", "w"),
            ("jobs", "list", ""),
            ("bootstrap", "token", ""),
            ("keys", "list", ""),
            ("info", "update", ""),
        ] {
            assert!(token.may(scope, action, key).is_err(), "{scope} {action} {key}");
        }
    }

    #[test]
    fn machines_token_changes_its_machine_but_not_who_it_is() {
        let change = |actor: &Actor, key, path: &str| actor.may_change("machines", key, &[path.to_owned()]);
        let plain = token(Claims::default());
        for path in
            ["/Runnable", "/Params/a~1b", "/Params/musters", "/Address", "/Meta/icon", "/Fingerprint/SSNHash"]
        {
            assert!(change(&plain, OWN, path).is_ok(), "{path}");
            assert!(change(&plain, OTHER, path).is_err(), "{path}");
        }
        for path in [
            "",
            "/Name",
            "/Profiles",
            "/Secret",
            "/Locked",
            "/Pool",
            "/Workflow",
            "/Stage",
            "/BootEnv",
            "/Tasks",
            "/CurrentTask",
            "/Context",
            "/Meta/machine-role",
            "/Meta/BaseContext",
            "/Paramset",
            "/Params/muster~1cloud-init",
            "/Params/muster~1disk/Serial",
        ] {
            assert!(change(&plain, OWN, path).is_err(), "{path}");
        }
        let paths = ["/Runnable".to_owned(), "/Secret".to_owned()];
        assert!(plain.may_change("machines", OWN, &paths).is_err(), "one of several");
        let claim =
            Claim { scope: "machines".into(), action: "update:/Profiles".into(), specific: "*".into() };
        let granted = token(Claims::of_list(vec![claim]));
        assert!(change(&granted, OWN, "/Profiles").is_ok() && change(&granted, OWN, "/Secret").is_err());
    }

    #[test]
    fn machines_token_works_on_jobs_of_its_own() {
        let (own, other) = (OWN.parse().unwrap(), OTHER.parse().unwrap());
        let token = token(Claims::default());
        for action in ["create", "get", "update", "log", "actions"] {
            assert!(token.may_job(action, Uuid::nil(), own).is_ok(), "{action}");
            assert!(token.may_job(action, Uuid::nil(), other).is_err(), "{action}");
        }
        assert!(token.may_job("delete", Uuid::nil(), own).is_err());
        assert!(user(Claims::all()).may_job("delete", Uuid::nil(), own).is_ok());
    }

    #[test]
    fn nobody_grants_more_than_they_have() {
        let eve = user(only(&[Action::KeyRead, Action::KeyRoll]));
        assert!(eve.may_grant(&only(&[Action::KeyRead])).is_ok());
        assert_eq!(
            eve.may_grant(&Claims::all()).unwrap_err().to_string(),
            "nobody grants what they may not do themselves: the caller does not have all of *:*:*"
        );
        assert!(token(Claims::default()).may_grant(&only(&[Action::KeyRead])).is_err());
    }
}
