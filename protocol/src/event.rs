//! Events: what changed, for websocket clients (`spec/machine-model.md` 6).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One change, published after its commit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    /// RFC 3339.
    pub time: String,
    /// Object prefix: `machines`, `enrollments`; `websocket` for acknowledgements.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `create`, `update`, `save`, `delete`.
    pub action: String,
    /// Key of the object.
    pub key: String,
    /// `user:NAME`, `machine:UUID` or `system`.
    pub principal: String,
    /// The object as REST lists it.
    pub object: Value,
    /// The object as it was before, if it was.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub original: Value,
}

/// Longest pattern that is looked at, in bytes.
pub const MAX_PATTERN: usize = 512;
/// Most patterns of one connection.
pub const MAX_PATTERNS: usize = 64;
/// Type by which a pattern chooses jobs by their machine, whose id is its key then.
pub const MACHINE_JOBS: &str = "machine_jobs";

/// What a pattern looks at in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic<'a> {
    /// As [`Event::kind`].
    pub kind: &'a str,
    /// As [`Event::action`].
    pub action: &'a str,
    /// As [`Event::key`].
    pub key: &'a str,
    /// The machine whose job the object is.
    pub job_of: Option<&'a str>,
}

/// What a websocket client asks for: `T.A.K`, each `*` or a comma list. Escapes inside names:
/// `\1` dot, `\2` comma, `\3` star. The key may contain dots; but since newer clients write a
/// filter behind it, `T.A.K.FILTER`, a key up to its first dot counts too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPattern {
    kinds: Choice,
    actions: Choice,
    keys: Choice,
    keys_before_filter: Option<Choice>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Any,
    OneOf(Vec<String>),
}

impl Choice {
    fn parse(text: &str) -> Self {
        if text == "*" {
            return Self::Any;
        }
        Self::OneOf(text.split(',').map(unescape).collect())
    }

    fn admits(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(values) => values.iter().any(|allowed| allowed == value),
        }
    }

    fn names(&self, value: &str) -> bool {
        match self {
            Self::Any => false,
            Self::OneOf(_) => self.admits(value),
        }
    }
}

fn unescape(text: &str) -> String {
    text.replace("\\1", ".").replace("\\2", ",").replace("\\3", "*")
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an event pattern is TYPE.ACTION.KEY with * or comma lists, at most {MAX_PATTERN} bytes, such as machines.*.*"
)]
pub struct PatternError;

impl std::str::FromStr for EventPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN {
            return Err(PatternError);
        }
        let mut parts = text.splitn(3, '.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(action), Some(key))
                if !kind.is_empty() && !action.is_empty() && !key.is_empty() =>
            {
                Ok(Self {
                    kinds: Choice::parse(kind),
                    actions: Choice::parse(action),
                    keys: Choice::parse(key),
                    keys_before_filter: key.split_once('.').map(|(key, _)| Choice::parse(key)),
                })
            }
            _ => Err(PatternError),
        }
    }
}

impl EventPattern {
    /// Whether an event falls under the pattern.
    pub fn admits(&self, topic: Topic<'_>) -> bool {
        let of_machine =
            || self.kinds.names(MACHINE_JOBS) && topic.job_of.is_some_and(|machine| self.admits_key(machine));
        self.actions.admits(topic.action)
            && (self.kinds.admits(topic.kind) && self.admits_key(topic.key) || of_machine())
    }

    fn admits_key(&self, key: &str) -> bool {
        self.keys.admits(key) || self.keys_before_filter.as_ref().is_some_and(|keys| keys.admits(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic<'a>(kind: &'a str, action: &'a str, key: &'a str) -> Topic<'a> {
        Topic { kind, action, key, job_of: None }
    }

    #[test]
    fn patterns_choose_by_type_action_and_key() {
        let pattern: EventPattern = "machines,jobs.update.*".parse().unwrap();
        assert!(pattern.admits(topic("jobs", "update", "a.b")));
        assert!(!pattern.admits(topic("jobs", "delete", "a")));
        let escaped: EventPattern = "profiles.*.a\\2b.c".parse().unwrap();
        assert!(escaped.admits(topic("profiles", "save", "a,b.c")));
        for text in ["", "machines", "machines.*", "..", &"a".repeat(600)] {
            assert!(text.parse::<EventPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn filter_behind_the_key_is_ignored() {
        let one: EventPattern = "machines.update.m1.Runnable=true".parse().unwrap();
        assert!(one.admits(topic("machines", "update", "m1")));
        assert!(!one.admits(topic("machines", "update", "m2")));
        let all: EventPattern = "machines.update.*.Runnable=true".parse().unwrap();
        assert!(all.admits(topic("machines", "update", "m2")));
    }

    #[test]
    fn jobs_are_chosen_by_their_machine() {
        let job = Topic { job_of: Some("m1"), ..topic("jobs", "update", "j1") };
        for (pattern, admitted) in [
            ("machine_jobs.*.m1", true),
            ("machine_jobs.*.*", true),
            ("machine_jobs.create.m1", false),
            ("machine_jobs.*.m2", false),
            ("machine_jobs.*.j1", false),
            ("*.*.m1", false),
            ("jobs.*.m1", false),
            ("jobs.*.j1", true),
        ] {
            assert_eq!(pattern.parse::<EventPattern>().unwrap().admits(job), admitted, "{pattern}");
        }
        let any: EventPattern = "machine_jobs.*.*".parse().unwrap();
        assert!(!any.admits(topic("machines", "update", "m1")));
    }

    #[test]
    fn event_without_a_past_says_nothing_of_one() {
        let event = Event { kind: "machines".into(), ..Event::default() };
        let json = serde_json::to_string(&event).unwrap();
        assert!(!json.contains("Original"), "{json}");
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }
}
