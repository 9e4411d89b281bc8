//! The snapshot from what is stored, over what is built in.

use super::rules::{Rules, of_kind};
use super::{Content, builtin};
use crate::change::{Revision, StoredObject};
use protocol::model::{BUILTIN_BUNDLE, Envelope, Kind, WRITABLE_BUNDLE};
use std::collections::BTreeMap;

/// A stored object that cannot be read: another version wrote it, or nobody did.
#[derive(Debug, thiserror::Error)]
#[error("stored object {kind}/{key} cannot be read; restore it from a backup, or remove its row")]
pub struct LoadError {
    /// Its kind.
    pub kind: Kind,
    /// Its key.
    pub key: String,
    /// Why.
    #[source]
    pub source: Option<serde_json::Error>,
}

impl Content {
    /// What is built in, and nothing else.
    pub fn built_in() -> Self {
        let mut content = Self::default();
        builtin::fill(&mut content);
        content
    }

    /// What is built in, then what is stored, as of a revision.
    ///
    /// # Errors
    /// The first object that cannot be read.
    pub fn load(
        objects: Vec<StoredObject>,
        prefs: BTreeMap<String, String>,
        revision: Revision,
    ) -> Result<Self, LoadError> {
        let mut content = Self { revision, prefs, ..Self::built_in() };
        for object in objects {
            of_kind!(object.kind, T => content.read::<T>(object)?, {
                return Err(LoadError { kind: object.kind, key: object.key, source: None });
            });
        }
        Ok(content)
    }

    /// What is said of the imported bundles, as stored: name and JSON.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn with_bundles(
        mut self,
        bundles: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, serde_json::Error> {
        for (name, body) in bundles {
            self.bundles.insert(name, serde_json::from_str(&body)?);
        }
        Ok(self)
    }

    fn read<T: Rules>(&mut self, stored: StoredObject) -> Result<(), LoadError> {
        let StoredObject { kind, key, bundle, body } = stored;
        let mut object: T = match serde_json::from_str(&body) {
            Ok(object) => object,
            Err(error) => return Err(LoadError { kind, key, source: Some(error) }),
        };
        if object.key() != key {
            return Err(LoadError { kind, key, source: None });
        }
        belongs_to(object.envelope_mut(), &bundle);
        object.enter(self);
        Ok(())
    }
}

/// The envelope of an object that lives in this bundle: only the store of what users write is writable.
pub(super) fn belongs_to(envelope: &mut Envelope, bundle: &str) {
    let bundle = if bundle.is_empty() { WRITABLE_BUNDLE } else { bundle };
    bundle.clone_into(&mut envelope.bundle);
    envelope.read_only = bundle != WRITABLE_BUNDLE;
    envelope.validated = true;
    envelope.available = true;
    envelope.partial = false;
    envelope.errors.clear();
    envelope.endpoint.clear();
}

/// The envelope of what is built in.
pub(crate) fn built_in(description: &str) -> Envelope {
    let mut envelope = Envelope { description: description.to_owned(), ..Envelope::default() };
    belongs_to(&mut envelope, BUILTIN_BUNDLE);
    envelope
}
