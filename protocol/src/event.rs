//! Events: what changed, for websocket clients (`spec/machine-model.md` 6).

use serde::{Deserialize, Serialize};

/// One change, published after its commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// The object as REST shows it.
    pub object: serde_json::Value,
}

/// Longest pattern that is looked at, in bytes.
pub const MAX_PATTERN: usize = 512;
/// Most patterns of one connection.
pub const MAX_PATTERNS: usize = 64;

/// What a websocket client asks for: `T.A.K`, each `*` or a comma list. Escapes inside names:
/// `\1` dot, `\2` comma, `\3` star. The key may contain dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPattern {
    kinds: Choice,
    actions: Choice,
    keys: Choice,
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
                })
            }
            _ => Err(PatternError),
        }
    }
}

impl EventPattern {
    /// Whether an event falls under the pattern.
    pub fn admits(&self, event: &Event) -> bool {
        self.kinds.admits(&event.kind) && self.actions.admits(&event.action) && self.keys.admits(&event.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, action: &str, key: &str) -> Event {
        Event {
            time: String::new(),
            kind: kind.into(),
            action: action.into(),
            key: key.into(),
            principal: "system".into(),
            object: serde_json::Value::Null,
        }
    }

    #[test]
    fn patterns_choose_by_type_action_and_key() {
        let pattern: EventPattern = "machines,jobs.update.*".parse().unwrap();
        assert!(pattern.admits(&event("jobs", "update", "a.b")));
        assert!(!pattern.admits(&event("jobs", "delete", "a")));
        let escaped: EventPattern = "profiles.*.a\\2b.c".parse().unwrap();
        assert!(escaped.admits(&event("profiles", "save", "a,b.c")));
        for text in ["", "machines", "machines.*", "..", &"a".repeat(600)] {
            assert!(text.parse::<EventPattern>().is_err(), "{text}");
        }
    }
}
