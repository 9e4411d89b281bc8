//! Objects as REST shows them: with what follows from the snapshot, without secrets.

use super::Content;
use super::rules::{Rules, of_kind};
use protocol::model::Kind;
use serde_json::Value;

impl Content {
    /// An object as REST shows it; none when there is no such object.
    pub fn show(&self, kind: Kind, key: &str) -> Option<Value> {
        of_kind!(kind, T => T::shelf(self).get(key).map(|object| self.shown(&**object)), None)
    }

    /// All objects of a kind by key, as REST shows them.
    pub fn list(&self, kind: Kind) -> Vec<Value> {
        of_kind!(kind, T => T::shelf(self).iter().map(|object| self.shown(&**object)).collect(), Vec::new())
    }

    /// Why an object is not available: what it refers to and is missing, or not available either.
    pub fn errors_of(&self, kind: Kind, key: &str) -> Vec<String> {
        of_kind!(kind, T => T::shelf(self).get(key).map(|object| object.errors(self)).unwrap_or_default(), Vec::new())
    }

    /// Whether there is such an object.
    pub fn has(&self, kind: Kind, key: &str) -> bool {
        of_kind!(kind, T => T::shelf(self).has(key), false)
    }

    fn shown<T: Rules>(&self, object: &T) -> Value {
        let mut object = object.clone();
        let errors = object.errors(self);
        object.derive(self);
        object.hide();
        let envelope = object.envelope_mut();
        envelope.available = errors.is_empty();
        envelope.errors = errors;
        // Objects have texts as keys and nothing that JSON does not have, so this does not fail.
        serde_json::to_value(object).unwrap_or_default()
    }
}
