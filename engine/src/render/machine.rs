//! `.Machine`: fields of the machine, and what boot files derive from them.

use super::args::Args;
use super::plain;
use super::scene::Data;
use crate::machine::{Machine, Presence};
use crate::provision::params::role_names;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use template::{CallError, Receiver, Rendering, Value};

/// What a heartbeat changes is not for files.
const UNSEEN: [&str; 2] = ["Online", "LastSeenAt"];
/// What is called and no field: it is not worth writing out the whole machine to find that out.
const METHODS: [&str; 6] = ["ShortName", "Path", "Url", "HexAddress", "MacAddr", "HasProfile"];

/// The machine of a rendering.
#[derive(Debug)]
pub(super) struct MachineView {
    data: Arc<Data>,
    machine: Arc<Machine>,
    /// All fields by name, made when one is asked for that is not at hand.
    all: OnceLock<BTreeMap<String, Value>>,
}

impl MachineView {
    /// The machine of a scene, or nil.
    pub(super) fn value(data: &Arc<Data>) -> Value {
        match &data.scene.machine {
            Some(machine) => Value::receiver(Self {
                data: Arc::clone(data),
                machine: Arc::clone(machine),
                all: OnceLock::new(),
            }),
            None => Value::Nil,
        }
    }

    fn all(&self) -> &BTreeMap<String, Value> {
        self.all.get_or_init(|| {
            let mut shown = self.machine.view(Presence::default());
            shown.own.roles = role_names(&self.data.scene.content, &self.machine);
            let mut fields = plain::fields(&shown).unwrap_or_default();
            fields.retain(|name, _| !UNSEEN.contains(&name.as_str()));
            fields
        })
    }

    fn path(&self) -> String {
        format!("machines/{}", self.machine.id)
    }

    fn hex_address(&self) -> String {
        match self.machine.fields.address.parse::<Ipv4Addr>() {
            Ok(address) => format!("{:08X}", u32::from(address)),
            Err(_) => String::new(),
        }
    }

    /// The hardware address as a loader writes it.
    fn mac_address(&self, args: Args) -> Result<Value, CallError> {
        let format = match args.texts()?.as_slice() {
            [] => "raw",
            [format] => *format,
            [_, _, ..] => return Err(CallError::failed("takes one format")),
        };
        let mac = self.data.mac();
        self.data.asked.hardware_address(mac.is_some());
        let mac = mac.unwrap_or_default();
        Ok(match format {
            "raw" | "ipxe" | "grub" => Value::from(mac),
            "pxelinux" => Value::from(format!("01-{}", mac.replace(':', "-"))),
            "rpi4" => Value::from(mac.replace(':', "-")),
            stranger => {
                let known = "raw, ipxe, grub, pxelinux or rpi4";
                return Err(CallError::failed(format!("format {stranger:?} is not known; use {known}")));
            }
        })
    }
}

impl Receiver for MachineView {
    fn type_name(&self) -> &str {
        "Machine"
    }

    fn field(&self, name: &str) -> Option<Value> {
        let machine = &self.machine;
        match name {
            "Uuid" | "UUID" => Some(Value::from(machine.id.to_string())),
            "Name" => Some(Value::from(machine.name.as_str())),
            "Address" => {
                self.data.asked.address(!machine.fields.address.is_empty());
                Some(Value::from(machine.fields.address.as_str()))
            }
            "Arch" => Some(Value::from(machine.fields.arch.as_str())),
            "BootEnv" => Some(Value::from(machine.fields.boot_env.as_str())),
            "Stage" => Some(Value::from(machine.fields.stage.as_str())),
            "OS" => Some(Value::from(machine.fields.os.as_str())),
            method if METHODS.contains(&method) => None,
            _ => self.all().get(name).cloned(),
        }
    }

    fn call(&self, name: &str, args: &[Value], _: &mut Rendering) -> Option<Result<Value, CallError>> {
        let args = Args::new(args);
        let alone = |value: String| args.none().map(|()| Value::from(value));
        Some(match name {
            "ShortName" => alone(self.machine.name.as_str().split('.').next().unwrap_or_default().to_owned()),
            "Path" => alone(self.path()),
            "Url" => alone(format!("{}/{}", self.data.scene.addresses.http(), self.path())),
            "HexAddress" => {
                let hex = self.hex_address();
                self.data.asked.address(!hex.is_empty());
                alone(hex)
            }
            "MacAddr" => self.mac_address(args),
            "HasProfile" => args
                .text()
                .map(|profile| Value::from(self.machine.fields.profiles.iter().any(|own| own == profile))),
            _ => return None,
        })
    }

    fn plain(&self) -> Option<Value> {
        let shown = self.all().iter().filter(|(name, _)| *name != "Secret");
        Some(Value::Map(shown.map(|(name, value)| (name.as_str(), value.clone())).collect()))
    }
}
