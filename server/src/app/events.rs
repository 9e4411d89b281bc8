//! Watching events: what a websocket client asks for and is told
//! (`spec/machine-model.md` 6.1).

use super::{Action, Actor, App, AppError};
use crate::hub::{Received, Subscription};
use protocol::event::{Event, EventPattern, MAX_PATTERN, MAX_PATTERNS};
use serde_json::{Value, json};
use std::sync::Arc;

/// `Type` of events about the connection itself.
const WEBSOCKET: &str = "websocket";

/// One client's view of the events. Until it registers a pattern it is told nothing.
#[derive(Debug)]
pub(crate) struct Watch {
    subscription: Subscription,
    patterns: Vec<(String, EventPattern)>,
    principal: String,
}

impl App {
    /// Begins to watch.
    ///
    /// # Errors
    /// `Forbidden` without the right to.
    pub(crate) fn watch(&self, actor: &Actor) -> Result<Watch, AppError> {
        actor.require(Action::EventsWatch)?;
        Ok(Watch { subscription: self.hub.subscribe(), patterns: Vec::new(), principal: actor.principal() })
    }

    /// An event about the connection itself.
    pub(crate) fn websocket_event(&self, watch: &Watch, action: &str, key: &str, object: Value) -> Event {
        Event {
            time: self.clock.now().to_string(),
            kind: WEBSOCKET.to_owned(),
            action: action.to_owned(),
            key: key.chars().take(MAX_PATTERN).collect(),
            principal: watch.principal.clone(),
            object,
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

    /// The next thing to tell: an event that a pattern admits, or that events were lost and
    /// everything should be read again. `None` when the server stops.
    pub(crate) async fn next_event(&self, watch: &mut Watch) -> Option<Arc<Event>> {
        loop {
            match watch.subscription.next().await? {
                Received::Event(event) if watch.admits(&event) => return Some(event),
                Received::Event(_) => {}
                Received::Resync => {
                    let message = json!({ "Message": "events were lost; read everything again" });
                    return Some(Arc::new(self.websocket_event(watch, "resync", "", message)));
                }
            }
        }
    }
}

impl Watch {
    fn admits(&self, event: &Event) -> bool {
        self.patterns.iter().any(|(_, pattern)| pattern.admits(event))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Hub;

    fn watch(hub: &Hub) -> Watch {
        Watch { subscription: hub.subscribe(), patterns: Vec::new(), principal: "user:admin".into() }
    }

    fn event(kind: &str) -> Event {
        Event {
            time: String::new(),
            kind: kind.into(),
            action: "update".into(),
            key: "k".into(),
            principal: "system".into(),
            object: Value::Null,
        }
    }

    #[test]
    fn nothing_is_admitted_before_it_is_registered_nor_after_it_is_deregistered() {
        let mut watch = watch(&Hub::new());
        assert!(!watch.admits(&event("machines")));
        watch.obey("register", "machines.*.*").unwrap();
        assert!(watch.admits(&event("machines")) && !watch.admits(&event("enrollments")));
        watch.obey("deregister", "machines.*.*").unwrap();
        assert!(!watch.admits(&event("machines")));
    }

    #[test]
    fn patterns_are_bounded_and_mistakes_are_told() {
        let mut watch = watch(&Hub::new());
        for number in 0..MAX_PATTERNS {
            watch.obey("register", &format!("machines.*.{number}")).unwrap();
        }
        assert_eq!(watch.obey("register", "machines.*.0"), Ok(()), "known already");
        assert!(watch.obey("register", "machines.*.x").unwrap_err().contains("at most 64 patterns"));
        assert!(watch.obey("register", "machines").unwrap_err().contains("TYPE.ACTION.KEY"));
        assert!(watch.obey("subscribe", "a.b.c").unwrap_err().contains("register T.A.K"));
    }
}
