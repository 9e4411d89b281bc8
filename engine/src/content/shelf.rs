//! Objects of one kind by key.

use protocol::model::{
    BootEnv, Context, Envelope, Image, Kind, MeshNetwork, Param, Pool, Profile, RegistryCredential, Role,
    Secret, Stage, Task, Template, User, Variable, Vip, Workflow,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// An object of the content.
pub trait Object: Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync {
    /// Its kind.
    const KIND: Kind;
    /// Its key.
    fn key(&self) -> &str;
    /// Its common fields.
    fn envelope(&self) -> &Envelope;
    /// Its common fields, to be changed.
    fn envelope_mut(&mut self) -> &mut Envelope;
}

macro_rules! objects {
    ($($type:ident $kind:ident $key:ident,)*) => {$(
        impl Object for $type {
            const KIND: Kind = Kind::$kind;
            fn key(&self) -> &str {
                &self.$key
            }
            fn envelope(&self) -> &Envelope {
                &self.envelope
            }
            fn envelope_mut(&mut self) -> &mut Envelope {
                &mut self.envelope
            }
        }
    )*};
}

objects! {
    BootEnv BootEnvs name,
    Context Contexts name,
    Image Images name,
    MeshNetwork Meshes name,
    Param Params name,
    Pool Pools id,
    Profile Profiles name,
    RegistryCredential RegistryCredentials name,
    Role Roles name,
    Secret Secrets name,
    Stage Stages name,
    Task Tasks name,
    Template Templates id,
    User Users name,
    Variable Variables name,
    Vip Vips name,
    Workflow Workflows name,
}

/// Objects of one kind by key.
#[derive(Debug, Clone)]
pub struct Shelf<T>(BTreeMap<String, Arc<T>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Object> Shelf<T> {
    /// The object of this key.
    pub fn get(&self, key: &str) -> Option<&Arc<T>> {
        self.0.get(key)
    }

    /// Whether there is one of this key.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// All of them by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<T>> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts an object in its place.
    pub fn put(&mut self, object: T) {
        self.0.insert(object.key().to_owned(), Arc::new(object));
    }

    /// Takes an object away.
    pub fn remove(&mut self, key: &str) -> Option<Arc<T>> {
        self.0.remove(key)
    }
}
