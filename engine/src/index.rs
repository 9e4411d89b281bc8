//! By what objects can be found and ordered: the indexes of each kind (`spec/machine-model.md`
//! 5.4). `/indexes` shows this table, filters and orders of lists are read by it.

use protocol::model::Kind;

/// What an index holds, which says how its values are read and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Text, compared byte by byte.
    Text,
    /// True or false.
    Boolean,
    /// A whole number.
    Integer,
    /// A UUID.
    Uuid,
    /// An IP address, or nothing.
    Address,
    /// A point in time, or nothing.
    Time,
    /// A list of texts, or the names of a map.
    List,
    /// A list of names that is in an order of its own: by its first name, then by the next.
    Names,
    /// Text in the order of people: `node-2` before `node-10`, upper and lower case as one.
    Natural,
}

impl ValueType {
    /// The word that clients know.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text | Self::Natural => "string",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Uuid => "UUID string",
            Self::Address => "IP Address",
            Self::Time => "dateTime",
            Self::List | Self::Names => "list",
        }
    }
}

/// One index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    /// Its name in queries.
    pub name: &'static str,
    /// Where its value is in the object, as a JSON pointer.
    pub pointer: &'static str,
    /// What it holds.
    pub values: ValueType,
    /// Whether a value selects at most one object.
    pub unique: bool,
}

impl Index {
    /// Whether it has no order: lists have none.
    pub const fn unordered(&self) -> bool {
        matches!(self.values, ValueType::List)
    }

    /// Whether it holds several values.
    pub const fn is_list(&self) -> bool {
        matches!(self.values, ValueType::List | ValueType::Names)
    }

    /// Whether regular expressions may be asked of it.
    pub const fn regex(&self) -> bool {
        matches!(self.values, ValueType::Text)
    }

    const fn new(name: &'static str, pointer: &'static str, values: ValueType) -> Self {
        Self { name, pointer, values, unique: false }
    }

    const fn unique(name: &'static str, pointer: &'static str, values: ValueType) -> Self {
        Self { name, pointer, values, unique: true }
    }
}

/// An index of the field of the same name.
macro_rules! field {
    ($name:literal, $values:ident) => {
        Index::new($name, concat!("/", $name), ValueType::$values)
    };
}

/// The indexes of one kind: its key by both names, what the kind has, and what all have.
macro_rules! indexes {
    ($key:literal, $key_values:ident; $($index:expr),* $(,)?) => {
        &[
            Index::unique("Key", concat!("/", $key), ValueType::$key_values),
            Index::unique($key, concat!("/", $key), ValueType::$key_values),
            $($index,)*
            field!("Available", Boolean),
            field!("Bundle", Text),
            field!("CreatedAt", Time),
            field!("CreatedBy", Text),
            field!("Description", Text),
            field!("Endpoint", Text),
            field!("Errors", List),
            field!("LastModifiedAt", Time),
            field!("LastModifiedBy", Text),
            field!("Meta", List),
            field!("ReadOnly", Boolean),
            Index::new("Valid", "/Validated", ValueType::Boolean),
            field!("Validated", Boolean),
        ]
    };
}

const BOOTENVS: &[Index] = indexes!["Name", Text;
    Index::new("OsName", "/OS/Name", ValueType::Text),
    field!("OnlyUnknown", Boolean),
    field!("Kernel", Text),
];

const CONTEXTS: &[Index] = indexes!["Name", Text;
    field!("Engine", Text),
    field!("Image", Text),
];

const IMAGES: &[Index] = indexes!["Name", Text;
    field!("Architecture", Text),
    field!("Credential", Text),
    field!("Digest", Text),
    field!("Format", Text),
    field!("Source", Text),
];

const JOBS: &[Index] = indexes!["Uuid", Uuid;
    field!("Archived", Boolean),
    field!("BootEnv", Text),
    field!("Context", Text),
    field!("Current", Boolean),
    field!("CurrentIndex", Integer),
    field!("EndTime", Time),
    field!("ExitState", Text),
    field!("Machine", Uuid),
    field!("NextIndex", Integer),
    field!("Previous", Uuid),
    field!("Stage", Text),
    field!("StartTime", Time),
    field!("State", Text),
    field!("Task", Text),
    field!("Workflow", Text),
];

const MACHINES: &[Index] = indexes!["Uuid", Uuid;
    Index::unique("Name", "/Name", ValueType::Text),
    field!("Address", Address),
    field!("Arch", Text),
    field!("BootEnv", Text),
    field!("Context", Text),
    field!("CurrentJob", Text),
    field!("CurrentTask", Integer),
    field!("HardwareAddrs", List),
    field!("JobExitState", Text),
    field!("JobResultErrors", List),
    field!("JobState", Text),
    field!("Locked", Boolean),
    field!("MeshNetwork", Text),
    Index::new("NaturalName", "/Name", ValueType::Natural),
    field!("OS", Text),
    field!("Online", Boolean),
    field!("Params", List),
    field!("PendingWorkOrders", Integer),
    field!("Pipeline", Text),
    field!("Pool", Text),
    field!("PoolAllocated", Boolean),
    field!("PoolStatus", Text),
    field!("Profiles", List),
    field!("ProvisionState", Text),
    field!("RetryTaskAttempt", Integer),
    field!("Roles", Names),
    field!("Runnable", Boolean),
    field!("RunningWorkOrders", Integer),
    field!("Stage", Text),
    field!("Tasks", List),
    field!("WorkOrderMode", Boolean),
    field!("Workflow", Text),
    field!("WorkflowComplete", Boolean),
];

const PARAMS: &[Index] = indexes!["Name", Text;
    field!("Secure", Boolean),
];

const POOLS: &[Index] = indexes!["Id", Text;
    field!("ParentPool", Text),
];

const PROFILES: &[Index] = indexes!["Name", Text;
    field!("Params", List),
    field!("Profiles", List),
];

const MESHES: &[Index] = indexes!["Name", Text;
    field!("Cidrs", List),
    field!("Default", Boolean),
    field!("FreeAddresses", Integer),
    field!("Hosts", Boolean),
    field!("Members", Integer),
];

const REGISTRY_CREDENTIALS: &[Index] = indexes!["Name", Text;
    field!("HasPassword", Boolean),
    field!("Registry", Text),
    field!("Username", Text),
];

const ROLES: &[Index] = indexes!["Name", Text;];

const SECRETS: &[Index] = indexes!["Name", Text;
    field!("HasValue", Boolean),
];

const STAGES: &[Index] = indexes!["Name", Text;
    field!("BootEnv", Text),
    field!("Params", List),
    field!("Profiles", List),
    field!("Reboot", Boolean),
    field!("Tasks", List),
];

const TASKS: &[Index] = indexes!["Name", Text;
    field!("Prerequisites", List),
];

const TEMPLATES: &[Index] = indexes!["ID", Text;];

const USERS: &[Index] = indexes!["Name", Text;
    field!("Roles", List),
];

const VARIABLES: &[Index] = indexes!["Name", Text;
    field!("Value", Text),
];

const VIPS: &[Index] = indexes!["Name", Text;
    field!("Enabled", Boolean),
    field!("Epoch", Integer),
    field!("Holder", Text),
    field!("MeshNetwork", Text),
    field!("Prefix", Text),
    field!("Role", Text),
    field!("State", Text),
];

const WORKFLOWS: &[Index] = indexes!["Name", Text;
    field!("Stages", List),
];

/// The indexes of a kind.
pub const fn of(kind: Kind) -> &'static [Index] {
    match kind {
        Kind::BootEnvs => BOOTENVS,
        Kind::Contexts => CONTEXTS,
        Kind::Images => IMAGES,
        Kind::Jobs => JOBS,
        Kind::Machines => MACHINES,
        Kind::Params => PARAMS,
        Kind::Pools => POOLS,
        Kind::Profiles => PROFILES,
        Kind::RegistryCredentials => REGISTRY_CREDENTIALS,
        Kind::Roles => ROLES,
        Kind::Secrets => SECRETS,
        Kind::Stages => STAGES,
        Kind::Tasks => TASKS,
        Kind::Templates => TEMPLATES,
        Kind::Users => USERS,
        Kind::Variables => VARIABLES,
        Kind::Vips => VIPS,
        Kind::Workflows => WORKFLOWS,
        Kind::Meshes => MESHES,
    }
}

/// The index of this name.
pub fn find(kind: Kind, name: &str) -> Option<&'static Index> {
    of(kind).iter().find(|index| index.name == name)
}

/// Whether objects of the kind have params of their own, so that lists can be filtered by them.
pub const fn has_params(kind: Kind) -> bool {
    matches!(kind, Kind::Machines | Kind::Profiles | Kind::Stages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::model;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn default_object(kind: Kind) -> Value {
        let json = match kind {
            Kind::BootEnvs => serde_json::to_value(model::BootEnv::default()),
            Kind::Contexts => serde_json::to_value(model::Context::default()),
            Kind::Images => serde_json::to_value(model::Image::default()),
            Kind::Jobs => serde_json::to_value(model::Job::default()),
            Kind::Machines => serde_json::to_value(crate::fields::blank_machine()),
            Kind::Params => serde_json::to_value(model::Param::default()),
            Kind::Pools => serde_json::to_value(model::Pool::default()),
            Kind::Profiles => serde_json::to_value(model::Profile::default()),
            Kind::RegistryCredentials => serde_json::to_value(model::RegistryCredential::default()),
            Kind::Roles => serde_json::to_value(model::Role::default()),
            Kind::Secrets => serde_json::to_value(model::Secret::default()),
            Kind::Stages => serde_json::to_value(model::Stage::default()),
            Kind::Tasks => serde_json::to_value(model::Task::default()),
            Kind::Templates => serde_json::to_value(model::Template::default()),
            Kind::Users => serde_json::to_value(model::User::default()),
            Kind::Variables => serde_json::to_value(model::Variable::default()),
            Kind::Vips => serde_json::to_value(model::Vip::default()),
            Kind::Workflows => serde_json::to_value(model::Workflow::default()),
            Kind::Meshes => serde_json::to_value(model::MeshNetwork::default()),
        };
        json.unwrap()
    }

    #[test]
    fn every_index_is_a_field_that_objects_have() {
        for kind in Kind::ALL {
            let object = default_object(kind);
            let names: BTreeSet<&str> = of(kind).iter().map(|index| index.name).collect();
            assert_eq!(names.len(), of(kind).len(), "{kind} names one twice");
            for index in of(kind) {
                let value = object.pointer(index.pointer);
                let fits = match (index.values, value) {
                    (_, None) => false,
                    (ValueType::Boolean, Some(value)) => value.is_boolean(),
                    (ValueType::Integer, Some(value)) => value.is_i64(),
                    (ValueType::List, Some(value)) => value.is_array() || value.is_object(),
                    (ValueType::Names, Some(value)) => value.is_array(),
                    (ValueType::Time, Some(value)) => value.is_null() || value.is_string(),
                    (ValueType::Text | ValueType::Natural, Some(value)) => value.is_string(),
                    (ValueType::Uuid | ValueType::Address, Some(value)) => value.is_string(),
                };
                assert!(fits, "{kind} {} {value:?}", index.name);
            }
            assert!(find(kind, kind.key_field()).is_some_and(|index| index.unique));
        }
    }
}
