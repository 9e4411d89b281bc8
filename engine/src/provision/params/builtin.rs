//! The params of Muster's own, with what each may hold.

use super::{
    AGENT_HOSTS, CLOUD_INIT, DEFAULT_PRIORITY, DISK, DISK_LAYOUT, FIRMWARE_ORDER, IMAGE, INJECT_AGENT,
    KERNEL_ARGS, MAX_HOSTS, MAX_KERNEL_ARGS, MAX_KEY, MAX_KEYS, MAX_STEP_SECONDS, MERGE_PRIORITY,
    MESH_ENDPOINT, MESH_PORT, MESH_RELAY, NETWORK, REQUIRES_MESH, RUN, SSH_KEYS, STEP_DEADLINES,
    WRITE_PROTECTED,
};
use crate::content::built_in;
use protocol::install::{MAX_RAID, MAX_VOLUMES, Step};
use protocol::mesh::DEFAULT_PORT;
use protocol::model::Param;
use serde_json::{Map, Value, json};

/// Longest cloud-init template, in bytes.
pub(crate) const MAX_TEMPLATE: usize = 1_024 * 1_024;

/// All of them.
pub fn builtin() -> Vec<Param> {
    what_is_installed().into_iter().chain(where_to()).chain(how()).chain(mesh()).chain(what_runs()).collect()
}

fn param(name: &str, schema: Value, description: &str, documentation: &str) -> Param {
    Param {
        name: name.to_owned(),
        documentation: documentation.to_owned(),
        secure: false,
        schema,
        envelope: built_in(description),
    }
}

fn flag(name: &str, default: Option<bool>, description: &str, documentation: &str) -> Param {
    let mut schema = json!({"type": "boolean"});
    if let Some(default) = default {
        schema["default"] = default.into();
    }
    param(name, schema, description, documentation)
}

fn what_is_installed() -> Vec<Param> {
    vec![
        param(
            IMAGE,
            json!({"type": "string"}),
            "Name of the image to install",
            "Of a machine, else of its roles from the highest merge priority down, else the preference \
             defaultImage. Empty says nothing.",
        ),
        param(
            CLOUD_INIT,
            json!({"type": "string", "maxLength": MAX_TEMPLATE}),
            "Template of cloud-init configuration",
            "A text/template that yields YAML. Templates of a machine's roles are rendered for it and merged, \
             see docs/roles.md. One among the machine's own params is merged last.",
        ),
        param(
            MERGE_PRIORITY,
            json!({"type": "integer", "minimum": -1_000_000, "maximum": 1_000_000, "default": DEFAULT_PRIORITY}),
            "Merge priority of a role: the higher wins",
            "",
        ),
        flag(REQUIRES_MESH, Some(false), "Whether machines of a role need a mesh network", ""),
        param(
            SSH_KEYS,
            json!({"type": "array", "maxItems": MAX_KEYS, "items": {"type": "string", "maxLength": MAX_KEY}}),
            "Public SSH keys that may log in to the installed system",
            "Those of the machine, its roles, its profiles and the profile global, all together.",
        ),
    ]
}

fn where_to() -> Vec<Param> {
    let size = || json!({"type": "integer", "minimum": 0});
    let text = || json!({"type": "string", "maxLength": 255});
    let filesystem = || json!({"enum": ["ext4", "xfs", "btrfs"]});
    let volume = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["Name", "Mount"],
        "properties": {"Name": text(), "Mount": text(), "Filesystem": filesystem(), "SizeMib": size()},
    });
    vec![
        param(
            DISK,
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "ById": text(), "Wwn": text(), "Serial": text(), "Model": text(),
                    "MinSize": size(), "MaxSize": size(),
                    "Pick": {"enum": ["only", "smallest", "largest", "first-nvme"]},
                },
            }),
            "Which disk is the system disk",
            "Everything that is said must hold, and exactly one disk must be left unless Pick chooses. Sizes \
             are in bytes.",
        ),
        param(
            DISK_LAYOUT,
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "EspMib": size(), "Filesystem": filesystem(), "RootMib": size(), "SwapMib": size(),
                    "Volumes": {"type": "array", "maxItems": MAX_VOLUMES, "items": volume},
                    "Lvm": {
                        "type": ["object", "null"],
                        "additionalProperties": false,
                        "properties": {"Group": text()},
                    },
                    "Raid1": {"type": "integer", "minimum": 0, "maximum": MAX_RAID},
                    "Luks": {"type": "boolean"},
                },
            }),
            "How the system disk is divided",
            "What it does not say is the default: an ESP, a partition for GRUB under BIOS, and the rest as one \
             ext4. Sizes are in MiB. Disk images bring their own.",
        ),
        flag(
            WRITE_PROTECTED,
            None,
            "Whether no disk of the machine may be erased",
            "Machines that came by the one-line command are protected until their own param says false: they \
             have a system already.",
        ),
    ]
}

fn how() -> Vec<Param> {
    vec![
        param(
            NETWORK,
            json!({"type": "string", "maxLength": 4_096}),
            "Network of the installed system",
            "As muster.net= on the kernel command line, one word a device: dhcp, or \
             if=MAC,vlan=120,addr=10.0.0.5/24,gw=10.0.0.1,dns=10.0.0.2,search=example.com and \
             bond=MAC+MAC,mode=802.3ad. Empty leaves it to the image.",
        ),
        param(
            KERNEL_ARGS,
            json!({"type": "string", "maxLength": MAX_KERNEL_ARGS}),
            "Kernel arguments of the installed system",
            "Beside those that its disks need, such as console=ttyS0,115200n8.",
        ),
        flag(FIRMWARE_ORDER, Some(true), "Whether the disk comes first in the firmware's boot order", ""),
        flag(INJECT_AGENT, Some(true), "Whether the installed system gets Muster's agent", ""),
        param(
            AGENT_HOSTS,
            json!({"type": "array", "maxItems": MAX_HOSTS, "items": {"type": "string", "maxLength": 300}}),
            "Where the installed agent finds the server",
            "Addresses such as https://10.0.0.2:8092. Empty for those that every machine is told.",
        ),
    ]
}

fn mesh() -> Vec<Param> {
    vec![
        flag(
            MESH_RELAY,
            Some(false),
            "Whether the machine forwards between others of its mesh network",
            "Machines that cannot reach each other go by the online relay with the lowest UUID. Mark one that all \
             others reach.",
        ),
        param(
            MESH_ENDPOINT,
            json!({"type": "string", "maxLength": 64, "pattern": "^(|[0-9.]+:[0-9]+|\\[[0-9a-fA-F:.]+\\]:[0-9]+)$"}),
            "Where other machines of the mesh network reach this one",
            "An address and a port, such as 203.0.113.7:51820 or [2001:db8::7]:51820: where a NAT forwards to it. \
             Without it they try what they see of it, and its own addresses.",
        ),
        param(
            MESH_PORT,
            json!({"type": "integer", "minimum": 1, "maximum": 65_535, "default": DEFAULT_PORT}),
            "UDP port that the machine listens on for its mesh network",
            "",
        ),
    ]
}

fn what_runs() -> Vec<Param> {
    let seconds = json!({"type": "integer", "minimum": 1, "maximum": MAX_STEP_SECONDS});
    let steps: Map<String, Value> =
        Step::ALL.iter().map(|step| (step.word().to_owned(), seconds.clone())).collect();
    vec![
        param(
            RUN,
            json!({"type": "string", "maxLength": 64}),
            "The provision run that the machine is in",
            "Set by the server when a run begins.",
        ),
        param(
            STEP_DEADLINES,
            json!({"type": "object", "additionalProperties": false, "properties": steps}),
            "How many seconds each step of an installation may take",
            "A step that takes longer ends the run as timeout. Steps that are not said have their usual time.",
        ),
    ]
}
