//! Which columns hold what lists are filtered and ordered by.

use std::net::IpAddr;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Text, compared byte by byte.
    Text,
    /// A number: of a boolean 0 or 1, of a time milliseconds since 1970.
    Number,
}

/// A column of the small rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// The index of `engine::index` that it is.
    pub index: &'static str,
    /// Its name in the table.
    pub sql: &'static str,
    /// What it holds.
    pub form: Form,
    /// How many rows one value selects, as a rank: fewest for the lowest. None: it has no index.
    pub selects: Option<u8>,
}

const fn text(index: &'static str, sql: &'static str, selects: u8) -> Column {
    Column { index, sql, form: Form::Text, selects: Some(selects) }
}

const fn number(index: &'static str, sql: &'static str, selects: u8) -> Column {
    Column { index, sql, form: Form::Number, selects: Some(selects) }
}

impl Column {
    const fn without_index(mut self) -> Self {
        self.selects = None;
        self
    }
}

/// Of machines.
pub(super) const MACHINE: &[Column] = &[
    text("Key", "id", 0),
    text("Uuid", "id", 0),
    text("Name", "name", 1),
    text("NaturalName", "natural_name", 1),
    text("Address", "address", 2),
    number("CreatedAt", "created_at", 10),
    number("LastModifiedAt", "modified_at", 11),
    text("Workflow", "workflow", 20),
    text("Stage", "stage", 21),
    text("BootEnv", "bootenv", 22),
    text("ProvisionState", "provision_state", 29),
    text("JobState", "job_state", 30),
    text("OS", "os", 31),
    text("Context", "context", 32),
    text("Pool", "pool", 33),
    text("Arch", "arch", 34),
    text("MeshNetwork", "mesh", 35),
    number("Locked", "locked", 40),
    number("Available", "available", 41),
    number("Runnable", "runnable", 42),
    number("WorkflowComplete", "workflow_complete", 43),
    text("CreatedBy", "created_by", 0).without_index(),
    text("CurrentJob", "current_job", 0).without_index(),
    number("CurrentTask", "current_task", 0).without_index(),
    text("JobExitState", "job_exit_state", 0).without_index(),
    text("LastModifiedBy", "modified_by", 0).without_index(),
    number("PoolAllocated", "pool_allocated", 0).without_index(),
    text("PoolStatus", "pool_status", 0).without_index(),
    // Those that its token gave, then its profiles: which of these are roles, only the content says.
    text("Roles", "roles", 0).without_index(),
];

/// Of jobs.
pub(super) const JOB: &[Column] = &[
    text("Key", "id", 0),
    text("Uuid", "id", 0),
    text("Previous", "previous", 1),
    text("Machine", "machine", 5),
    number("StartTime", "start_time", 10),
    number("EndTime", "end_time", 11),
    text("Task", "task", 20),
    text("Workflow", "workflow", 21),
    text("Stage", "stage", 22),
    text("BootEnv", "bootenv", 23),
    text("State", "state", 30),
    text("ExitState", "exit_state", 31),
    text("Context", "context", 32),
    number("Current", "is_current", 40),
    number("Archived", "archived", 0).without_index(),
    number("Available", "available", 0).without_index(),
    number("CreatedAt", "created_at", 0).without_index(),
    text("CreatedBy", "created_by", 0).without_index(),
    number("CurrentIndex", "current_index", 0).without_index(),
    number("LastModifiedAt", "modified_at", 0).without_index(),
    text("LastModifiedBy", "modified_by", 0).without_index(),
    number("NextIndex", "next_index", 0).without_index(),
];

/// The server's own machine is marked in this one.
pub(super) const ITSELF: Column = Column { index: "", sql: "is_self", form: Form::Number, selects: None };

/// An address as its column holds it, in the order of addresses: none, then IPv4, then IPv6.
pub(in super::super) fn address_key(address: Option<IpAddr>) -> String {
    match address {
        None => String::new(),
        Some(IpAddr::V4(address)) => format!("4:{:08x}", u32::from(address)),
        Some(IpAddr::V6(address)) => format!("6:{:032x}", u128::from(address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::index;
    use protocol::model::Kind;

    #[test]
    fn every_column_is_an_index_of_its_kind() {
        for (kind, columns) in [(Kind::Machines, MACHINE), (Kind::Jobs, JOB)] {
            for column in columns {
                assert!(index::find(kind, column.index).is_some(), "{kind} {}", column.index);
            }
        }
    }

    #[test]
    fn addresses_keep_their_order_as_text() {
        let addresses = ["0.0.0.0", "10.0.0.9", "10.0.0.10", "192.168.0.1", "::", "fe80::1"];
        let keys: Vec<_> = addresses.iter().map(|text| address_key(text.parse().ok())).collect();
        assert!(address_key(None) < keys[0] && keys.is_sorted(), "{keys:?}");
    }
}
