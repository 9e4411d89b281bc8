//! Names of fields as clients write them: any case is understood, and null means absent
//! (`spec/machine-model.md` 1).

use protocol::ids::MachineId;
use protocol::model::{self, Envelope, Kind, MachineFields};
use protocol::rest::{self, MachineExtras};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use uuid::Uuid;

/// Fields of every object that only the server sets.
pub(crate) const SERVER_SET: [&str; 11] = [
    "Available",
    "Bundle",
    "CreatedAt",
    "CreatedBy",
    "Endpoint",
    "Errors",
    "LastModifiedAt",
    "LastModifiedBy",
    "Partial",
    "ReadOnly",
    "Validated",
];

type Names = BTreeMap<String, String>;

/// Lower-case name to the name, for each kind.
static NAMES: LazyLock<BTreeMap<Kind, Names>> =
    LazyLock::new(|| Kind::ALL.into_iter().map(|kind| (kind, names(kind))).collect());

/// A body that gives one field twice, in different cases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body has {0:?} twice, in different letters; give it once")]
pub struct TwiceError(String);

/// A machine with nothing but defaults: the shape of the object.
pub fn blank_machine() -> rest::Machine {
    rest::Machine {
        uuid: MachineId(Uuid::nil()),
        name: String::new(),
        fields: MachineFields::default(),
        envelope: Envelope::default(),
        own: MachineExtras::default(),
    }
}

/// An object's fields under the names that the model has for them, without those that are null.
/// What is no field is left out.
///
/// # Errors
/// When a field comes twice.
pub fn canonical(kind: Kind, body: Map<String, Value>) -> Result<Map<String, Value>, TwiceError> {
    let Some(names) = NAMES.get(&kind) else { return Ok(body) };
    let mut fields = Map::new();
    for (written, value) in body {
        let Some(name) = names.get(&written.to_lowercase()) else { continue };
        if fields.contains_key(name) {
            return Err(TwiceError(name.clone()));
        }
        fields.insert(name.clone(), value);
    }
    fields.retain(|_, value| !value.is_null());
    Ok(fields)
}

/// The name that the model has for a field; none when it is no field of the kind.
pub fn name(kind: Kind, written: &str) -> Option<&'static str> {
    NAMES.get(&kind)?.get(&written.to_lowercase()).map(String::as_str)
}

fn names(kind: Kind) -> Names {
    match kind {
        Kind::BootEnvs => names_of(&model::BootEnv::default()),
        Kind::Contexts => names_of(&model::Context::default()),
        Kind::Images => names_of(&model::Image::default()),
        Kind::Jobs => names_of(&model::Job::default()),
        Kind::Machines => names_of(&blank_machine()),
        Kind::Meshes => names_of(&model::MeshNetwork::default()),
        Kind::Params => names_of(&model::Param::default()),
        Kind::Pools => names_of(&model::Pool::default()),
        Kind::Profiles => names_of(&model::Profile::default()),
        Kind::RegistryCredentials => names_of(&model::RegistryCredential::default()),
        Kind::Roles => names_of(&model::Role::default()),
        Kind::Secrets => names_of(&model::Secret::default()),
        Kind::Stages => names_of(&model::Stage::default()),
        Kind::Tasks => names_of(&model::Task::default()),
        Kind::Templates => names_of(&model::Template::default()),
        Kind::Users => names_of(&model::User::default()),
        Kind::Variables => names_of(&model::Variable::default()),
        Kind::Vips => names_of(&model::Vip::default()),
        Kind::Workflows => names_of(&model::Workflow::default()),
    }
}

/// Our objects have no field without a default that is written, so their defaults name them all.
fn names_of<T: Serialize>(blank: &T) -> Names {
    match serde_json::to_value(blank) {
        Ok(Value::Object(fields)) => {
            fields.into_iter().map(|(name, _)| (name.to_lowercase(), name)).collect()
        }
        Ok(_) | Err(_) => Names::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn any_case_is_understood_and_null_is_absent() {
        let body = map(json!({"name": "a", "BOOTENV": "b", "Os": "c", "Workflow": null, "Colour": "red"}));
        let fields = canonical(Kind::Machines, body).unwrap();
        assert_eq!(Value::Object(fields), json!({"Name": "a", "BootEnv": "b", "OS": "c"}));
        assert_eq!(name(Kind::Templates, "id"), Some("ID"));
        assert_eq!(name(Kind::Pools, "ID"), Some("Id"));
    }

    #[test]
    fn field_comes_once() {
        assert!(canonical(Kind::Stages, map(json!({"Name": "a", "name": "a"}))).is_err());
    }

    #[test]
    fn every_kind_has_its_key_among_its_fields() {
        for kind in Kind::ALL {
            assert_eq!(name(kind, &kind.key_field().to_lowercase()), Some(kind.key_field()));
        }
    }
}
