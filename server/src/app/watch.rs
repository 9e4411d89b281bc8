//! Watching events: what a websocket client asks for, may know and is told
//! (`spec/machine-model.md` 6.1).

use super::mesh::PEERS;
use super::sessions::may_see_logins;
use super::terminals::{RIGHT, TERMINALS};
use super::{Action, Actor, App, AppError, AppErrorKind, Happening};
use crate::hub::{Received, Subscription, Told};
use protocol::event::{Event, EventPattern, MACHINE_JOBS, MAX_PATTERN, MAX_PATTERNS, Topic};
use protocol::model::Kind;
use protocol::rest::NewEvent;
use serde_json::{Value, json};
use std::sync::Arc;

/// `Type` of events about the connection itself.
pub(super) const WEBSOCKET: &str = "websocket";
/// `Type` of events about machines that wait for approval.
pub(super) const ENROLLMENTS: &str = "enrollments";

/// `Type` of events about rows of the audit log, with their machines as keys.
pub(super) const AUDIT: &str = "audit";
/// `Type` of events about bootstrap tokens.
pub(super) const BOOTSTRAP_TOKENS: &str = "bootstrap_tokens";
/// `Type` of events about what users are logged in with, whose names are the keys.
pub(super) const USER_LOGINS: &str = "logins";

/// Types of events that nobody else makes, beside the collections.
const OURS: [&str; 11] = [
    WEBSOCKET,
    ENROLLMENTS,
    MACHINE_JOBS,
    TERMINALS,
    PEERS,
    AUDIT,
    BOOTSTRAP_TOKENS,
    USER_LOGINS,
    "prefs",
    "preferences",
    "provisions",
];
/// Longest type and action of an event that somebody makes, in bytes.
const MAX_WORD: usize = 64;

/// One client's view of the events. Until it registers a pattern it is told nothing.
#[derive(Debug)]
pub(crate) struct Watch {
    subscription: Subscription,
    patterns: Vec<(String, EventPattern)>,
    actor: Actor,
}

/// What a client is told next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum News {
    /// An event as it is written for everybody.
    Told(Arc<Told>),
    /// One for this client alone.
    Own(Box<Event>),
}

impl App {
    /// Begins to watch.
    ///
    /// # Errors
    /// `Forbidden` without the right to.
    pub(crate) fn watch(&self, actor: &Actor) -> Result<Watch, AppError> {
        actor.require(Action::EventsWatch)?;
        Ok(Watch { subscription: self.hub.subscribe(), patterns: Vec::new(), actor: actor.clone() })
    }

    /// An event about the connection itself.
    fn websocket_event(&self, watch: &Watch, action: &str, key: &str, object: Value) -> Event {
        Event {
            time: self.clock.now().to_string(),
            kind: WEBSOCKET.to_owned(),
            action: action.to_owned(),
            key: key.chars().take(MAX_PATTERN).collect(),
            principal: watch.actor.principal(),
            object,
            original: Value::Null,
        }
    }

    /// Obeys `register T.A.K` or `deregister T.A.K`. Every command is answered by one event of
    /// type `websocket`: clients wait for it.
    pub(crate) fn command(&self, watch: &mut Watch, command: &str) -> Event {
        let (verb, pattern) = command.trim().split_once(' ').unwrap_or((command, ""));
        match watch.obey(verb, pattern.trim()) {
            Ok(()) => self.websocket_event(watch, verb, pattern, Value::Null),
            Err(message) => self.websocket_event(watch, "error", pattern, json!({ "Message": message })),
        }
    }

    /// The next thing to tell: an event that a pattern admits and the caller may know of, or that
    /// events were lost and everything should be read again.
    pub(crate) async fn next_event(&self, watch: &mut Watch) -> News {
        loop {
            match watch.subscription.next().await {
                Received::Event(told) if watch.admits(told.topic()) => return News::Told(told),
                Received::Event(_) => {}
                Received::Resync => {
                    let message = json!({ "Message": "events were lost; read everything again" });
                    return News::Own(Box::new(self.websocket_event(watch, "resync", "", message)));
                }
            }
        }
    }
}

impl App {
    /// Makes an event of the caller's own, about something that is none of ours.
    ///
    /// # Errors
    /// `Forbidden` without the right to, `Invalid` for what the server itself tells of.
    pub(crate) fn post_event(&self, actor: &Actor, event: NewEvent) -> Result<(), AppError> {
        actor.require(Action::EventsPost)?;
        let invalid =
            |message: String| Err(AppError::new(AppErrorKind::Invalid, message).about("events", ""));
        for (name, text) in [("Type", &event.kind), ("Action", &event.action)] {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if text.is_empty() || text.len() > MAX_WORD || !text.chars().all(known) {
                let message =
                    format!("{name} must be 1 to {MAX_WORD} letters, digits, dashes and underscores");
                return invalid(message);
            }
        }
        if event.key.len() > MAX_PATTERN {
            return invalid(format!("Key must have at most {MAX_PATTERN} bytes"));
        }
        let ours = OURS.contains(&event.kind.as_str()) || event.kind.parse::<Kind>().is_ok();
        if ours {
            return invalid(format!("Type {} is the server's own; choose another word", event.kind));
        }
        let NewEvent { kind, action, key, object } = event;
        self.tell(Happening::other(&kind, &action, key, &actor.principal(), object));
        Ok(())
    }
}

impl Watch {
    /// The same connection for what the caller may do now.
    pub(crate) fn goes_on_as(&mut self, actor: Actor) {
        self.actor = actor;
    }

    fn admits(&self, topic: Topic<'_>) -> bool {
        self.patterns.iter().any(|(_, pattern)| pattern.admits(topic)) && may_know(&self.actor, topic)
    }

    fn obey(&mut self, verb: &str, text: &str) -> Result<(), String> {
        match verb {
            "register" => {
                let pattern: EventPattern =
                    text.parse().map_err(|error: protocol::event::PatternError| error.to_string())?;
                if self.patterns.iter().any(|(known, _)| known == text) {
                    return Ok(());
                }
                if self.patterns.len() >= MAX_PATTERNS {
                    return Err(format!("a connection registers at most {MAX_PATTERNS} patterns"));
                }
                self.patterns.push((text.to_owned(), pattern));
                Ok(())
            }
            "deregister" => {
                self.patterns.retain(|(known, _)| known != text);
                Ok(())
            }
            _ => Err("a command is `register T.A.K` or `deregister T.A.K`".to_owned()),
        }
    }
}

/// Whether the caller may read the object that an event shows.
fn may_know(actor: &Actor, topic: Topic<'_>) -> bool {
    let allowed = if topic.kind == ENROLLMENTS {
        actor.require(Action::BootstrapList)
    } else if topic.kind == Kind::Jobs.prefix() {
        let id = |text: &str| text.parse().unwrap_or_default();
        actor.may_job("get", id(topic.key), topic.job_of.map_or_else(Default::default, id))
    } else if topic.kind == TERMINALS {
        actor.may(Kind::Machines.prefix(), RIGHT, topic.key)
    } else if topic.kind == PEERS {
        actor.may(Kind::Machines.prefix(), "get", topic.key)
    } else if topic.kind == AUDIT {
        actor.may(AUDIT, "list", topic.key)
    } else if topic.kind == BOOTSTRAP_TOKENS {
        actor.require(Action::BootstrapTokenList)
    } else if topic.kind == USER_LOGINS {
        may_see_logins(actor, topic.key)
    } else {
        actor.may(topic.kind, "get", topic.key)
    };
    allowed.is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::actor::only;
    use super::super::{MachineTokenActor, UserActor};
    use super::*;
    use crate::hub::Hub;
    use engine::claims::Claims;
    use protocol::model::Claim;

    const HERE: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const OWN: &str = "00000000-0000-0000-0000-000000000001";
    const OTHER: &str = "00000000-0000-0000-0000-000000000002";

    fn watch(actor: Actor) -> Watch {
        Watch { subscription: Arc::new(Hub::new()).subscribe(), patterns: Vec::new(), actor }
    }

    fn user(claims: Claims) -> Actor {
        Actor::User(UserActor { name: "eve".into(), claims, source: HERE, request_id: String::new() })
    }

    fn topic<'a>(kind: &'a str, key: &'a str) -> Topic<'a> {
        Topic { kind, action: "update", key, job_of: None }
    }

    #[test]
    fn nothing_is_admitted_before_it_is_registered_nor_after_it_is_deregistered() {
        let mut watch = watch(user(Claims::all()));
        assert!(!watch.admits(topic("machines", "k")));
        watch.obey("register", "machines.*.*").unwrap();
        assert!(watch.admits(topic("machines", "k")) && !watch.admits(topic("enrollments", "k")));
        watch.obey("deregister", "machines.*.*").unwrap();
        assert!(!watch.admits(topic("machines", "k")));
    }

    #[test]
    fn patterns_are_bounded_and_mistakes_are_told() {
        let mut watch = watch(user(Claims::all()));
        for number in 0..MAX_PATTERNS {
            watch.obey("register", &format!("machines.*.{number}")).unwrap();
        }
        assert_eq!(watch.obey("register", "machines.*.0"), Ok(()), "known already");
        assert!(watch.obey("register", "machines.*.x").unwrap_err().contains("at most 64 patterns"));
        assert!(watch.obey("register", "machines").unwrap_err().contains("TYPE.ACTION.KEY"));
        assert!(watch.obey("subscribe", "a.b.c").unwrap_err().contains("register T.A.K"));
    }

    #[test]
    fn nobody_is_told_of_what_they_may_not_read() {
        let mut watch = watch(user(only(&[Action::BootstrapList])));
        watch.obey("register", "*.*.*").unwrap();
        assert!(watch.admits(topic("enrollments", "e")));
        assert!(!watch.admits(topic("machines", OWN)) && !watch.admits(topic("users", "admin")));
        watch.goes_on_as(user(Claims::all()));
        assert!(watch.admits(topic("machines", OWN)) && watch.admits(topic("users", "admin")));
    }

    #[test]
    fn logs_and_log_ins_are_told_of_to_those_who_may_list_them() {
        let claims = |scope: &str, action: &str, specific: &str| {
            let (scope, action, specific) = (scope.to_owned(), action.to_owned(), specific.to_owned());
            user(Claims::of_list(vec![Claim { scope, action, specific }]))
        };
        for (told, actor, topic) in [
            (true, claims("audit", "list", "*"), topic(AUDIT, "")),
            (true, claims("audit", "list", OWN), topic(AUDIT, OWN)),
            (false, claims("audit", "list", OWN), topic(AUDIT, OTHER)),
            (false, claims("audit", "list", OWN), topic(AUDIT, "")),
            (true, claims("bootstrap", "token-list", "*"), topic(BOOTSTRAP_TOKENS, "jti")),
            (false, claims("bootstrap", "token", "*"), topic(BOOTSTRAP_TOKENS, "jti")),
            (true, user(Claims::default()), topic(USER_LOGINS, "eve")),
            (false, user(Claims::default()), topic(USER_LOGINS, "admin")),
            (true, claims("users", "logins", "*"), topic(USER_LOGINS, "admin")),
        ] {
            let mut watch = watch(actor);
            watch.obey("register", "*.*.*").unwrap();
            assert_eq!(watch.admits(topic), told, "{topic:?}");
        }
    }

    #[test]
    fn machines_token_is_told_of_its_machine_its_jobs_and_readable_content() {
        let mut watch = watch(Actor::MachineToken(MachineTokenActor {
            machine: OWN.parse().unwrap(),
            grantor: String::new(),
            extra: Claims::default(),
            source: HERE,
            request_id: String::new(),
        }));
        watch.obey("register", "*.*.*").unwrap();
        let job_of = |machine| Topic { job_of: Some(machine), ..topic("jobs", OTHER) };
        for (told, topic) in [
            (true, topic("machines", OWN)),
            (true, job_of(OWN)),
            (true, topic("tasks", "t")),
            (false, topic("machines", OTHER)),
            (false, job_of(OTHER)),
            (false, topic("jobs", OTHER)),
            (false, topic("users", "admin")),
            (false, topic("enrollments", OWN)),
        ] {
            assert_eq!(watch.admits(topic), told, "{topic:?}");
        }
    }
}
