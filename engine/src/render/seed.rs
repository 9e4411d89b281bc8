//! What templates of cloud-init know beside everything else: `.machine`, `.peers`, `.secrets` and `.vars`,
//! in small letters (`spec/bootstrap-and-dashboard.md` 7.1). No other template knows them: boot files are
//! served without a log-in.

use super::RenderError;
use super::library::{Library, delimiters};
use super::limits::options;
use super::root::Root;
use super::scene::{Data, Scene};
use crate::machine::Machine;
use crate::mesh::Membership;
use crate::provision::params::role_names;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use template::{CallError, Limits, Map, MissingKey, Options, Receiver, Rendering, Value};

/// What a preview shows for the value of a secret: a text wherever it stands in YAML.
const HIDDEN: &str = "(hidden)";

/// What only the server knows, asked when a template really asks.
pub trait Surroundings: Debug + Send + Sync {
    /// The value of a secret.
    ///
    /// # Errors
    /// Why there is none, as a fragment.
    fn secret(&self, name: &str) -> Result<String, String>;

    /// The other machines of the machine's mesh network, by name; none where it is in none.
    ///
    /// # Errors
    /// Why they are not known, as a fragment.
    fn peers(&self) -> Result<Vec<Peer>, String>;
}

/// Another machine of the same mesh network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its UUID.
    pub uuid: String,
    /// Its host name.
    pub hostname: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// Addresses that it was seen with.
    pub addresses: Vec<String>,
    /// Its mesh network.
    pub mesh_network: String,
    /// Its place there.
    pub membership: Membership,
}

/// What templates of cloud-init know of a machine's surroundings.
#[derive(Debug)]
pub struct Facts {
    outside: Arc<dyn Surroundings>,
    peers: OnceLock<Result<Vec<Peer>, String>>,
    /// What was opened, each once.
    opened: Mutex<BTreeMap<String, String>>,
    /// Whether templates get [`HIDDEN`] for every secret.
    hide: bool,
}

impl Facts {
    /// Nothing is asked yet.
    pub fn new(outside: Arc<dyn Surroundings>) -> Arc<Self> {
        Arc::new(Self { outside, peers: OnceLock::new(), opened: Mutex::default(), hide: false })
    }

    /// The same, with the value of every secret hidden.
    pub(crate) fn hidden(&self) -> Arc<Self> {
        let (outside, peers) = (Arc::clone(&self.outside), self.peers.clone());
        Arc::new(Self { outside, peers, opened: Mutex::default(), hide: true })
    }

    /// Whether a template asked for the value of a secret, and got it.
    pub(crate) fn have_opened(&self) -> bool {
        !self.opened.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn secret(&self, name: &str) -> Result<String, String> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = opened.get(name) {
            return Ok(value.clone());
        }
        let value = self.outside.secret(name)?;
        let value = if self.hide { HIDDEN.to_owned() } else { value };
        opened.insert(name.to_owned(), value.clone());
        Ok(value)
    }

    /// One of the four.
    pub(super) fn value(self: &Arc<Self>, name: &str, scene: &Scene) -> Result<Value, CallError> {
        match name {
            "machine" => {
                Ok(scene.machine.as_deref().map_or(Value::Nil, |machine| of_machine(scene, machine)))
            }
            "peers" => match self.peers.get_or_init(|| self.outside.peers()) {
                Ok(peers) => Ok(peers.iter().map(of_peer).collect()),
                Err(why) => Err(CallError::failed(why.clone())),
            },
            "secrets" => Ok(Value::receiver(Vault(Arc::clone(self)))),
            _ => Ok(Value::receiver(Variables::of(scene))),
        }
    }
}

fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(pairs.into_iter().collect::<Map>())
}

fn texts(list: impl IntoIterator<Item = String>) -> Value {
    list.into_iter().map(Value::from).collect()
}

/// The mesh network, and the address of each family that it has there.
fn mesh(name: &str, membership: &Membership) -> Value {
    let text = |address: Option<IpAddr>| Value::from(address.map(|ip| ip.to_string()).unwrap_or_default());
    map([("name", Value::from(name)), ("ip", text(membership.v4())), ("ip6", text(membership.v6()))])
}

fn of_machine(scene: &Scene, machine: &Machine) -> Value {
    let addresses = machine.inventory.links.iter().flat_map(|link| link.addresses.iter().cloned());
    map([
        ("uuid", Value::from(machine.id.to_string())),
        ("hostname", Value::from(crate::cloud_init::hostname(machine))),
        ("name", Value::from(machine.name.as_str())),
        ("arch", Value::from(machine.fields.arch.as_str())),
        ("roles", texts(role_names(&scene.content, machine))),
        ("discovered_ip_addresses", texts(addresses)),
        ("hardware_addresses", texts(machine.fields.hardware_addrs.iter().cloned())),
        ("mesh", mesh(&machine.placement.mesh_network, &machine.membership)),
    ])
}

fn of_peer(peer: &Peer) -> Value {
    map([
        ("uuid", Value::from(peer.uuid.as_str())),
        ("hostname", Value::from(peer.hostname.as_str())),
        ("roles", texts(peer.roles.iter().cloned())),
        ("discovered_ip_addresses", texts(peer.addresses.iter().cloned())),
        ("mesh", mesh(&peer.mesh_network, &peer.membership)),
    ])
}

/// `.secrets`: each by its name, never all of them.
#[derive(Debug)]
struct Vault(Arc<Facts>);

impl Receiver for Vault {
    fn type_name(&self) -> &str {
        "secrets"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn call(&self, name: &str, _: &[Value], _: &mut Rendering) -> Option<Result<Value, CallError>> {
        Some(self.0.secret(name).map(Value::from).map_err(CallError::failed))
    }
}

/// `.vars`.
#[derive(Debug)]
struct Variables(BTreeMap<String, String>);

impl Variables {
    fn of(scene: &Scene) -> Self {
        let all = scene.content.variables.iter();
        Self(all.map(|variable| (variable.name.clone(), variable.value.clone())).collect())
    }
}

impl Receiver for Variables {
    fn type_name(&self) -> &str {
        "vars"
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.0.get(name).map(|value| Value::from(value.as_str()))
    }

    fn call(&self, name: &str, _: &[Value], _: &mut Rendering) -> Option<Result<Value, CallError>> {
        Some(Err(CallError::failed(format!("variable {name} does not exist"))))
    }

    fn plain(&self) -> Option<Value> {
        Some(Value::Map(
            self.0.iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str()))).collect(),
        ))
    }
}

impl Scene {
    /// A template of cloud-init configuration, rendered for the machine. `name` is what messages call it.
    ///
    /// # Errors
    /// When it is no template, or fails, or yields more than a document may have.
    pub fn cloud_init(&self, name: &str, text: &str, facts: &Arc<Facts>) -> Result<String, RenderError> {
        let mut templates = Library::of(&self.content).templates().clone();
        templates.add(name, text, &delimiters("", "")).map_err(RenderError::alone)?;
        let data = Data { facts: Some(Arc::clone(facts)), ..Data::of(self) };
        let options = options(MissingKey::Error);
        let limits = Limits { output: crate::cloud_init::MAX_DOCUMENT, ..options.limits };
        let options = Options { limits, ..options };
        templates.render(name, Root::value(&Arc::new(data)), &options).map_err(RenderError::alone)
    }
}
