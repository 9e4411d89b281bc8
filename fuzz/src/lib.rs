//! Fuzz targets: one plain function each, which asserts what must hold for every byte from outside
//! (totality, limits, round trips, agreement with a second way to decide).
//!
//! Everybody runs them: `cargo test` replays every committed seed and finding, and `make fuzz` hands
//! the same functions to libFuzzer. A finding becomes a file `finding-WHAT` in `corpus/TARGET/` and
//! is replayed from then on.

mod archives;
mod boot;
mod bounds;
mod calls;
mod cloud_init;
mod dhcp;
mod disks;
mod documents;
mod imaging;
mod objects;
pub mod seeds;
mod templates;
mod text;
mod tftp;
mod urls;
mod wire;

pub use archives::{cpio, iso9660};
pub use boot::boot_render;
pub use bounds::{MAX_MEMORY, MAX_TIME, bounded};
pub use calls::{enrollment, jwe, mesh, terminal};
pub use cloud_init::cloud_init;
pub use dhcp::dhcp_server;
pub use disks::{gpt, permit, superblock};
pub use documents::{config, inventory, manifest, module_index};
pub use imaging::{block_map, compress, oci_manifest, qcow2_header, tar_like};
pub use objects::{filter, patch};
pub use templates::template;
pub use text::{cmdline, code, net, proof, token};
pub use tftp::{tftp_packet, tftp_session};
pub use urls::url_guard;
pub use wire::{dhcp4, dhcp6, lldp, router, smbios};

use std::path::PathBuf;

/// What a target is: it panics when a property does not hold for the bytes, and answers whether they
/// were understood.
pub type Property = fn(&[u8]) -> bool;

/// A target's name, which is also that of its corpus and of its libFuzzer program, and its function.
pub type Target = (&'static str, Property);

/// Every target.
pub const TARGETS: [Target; 37] = [
    ("cmdline", cmdline),
    ("code", code),
    ("token", token),
    ("net", net),
    ("proof", proof),
    ("config", config),
    ("inventory", inventory),
    ("module_index", module_index),
    ("manifest", manifest),
    ("cpio", cpio),
    ("iso9660", iso9660),
    ("compress", compress),
    ("tar_like", tar_like),
    ("qcow2_header", qcow2_header),
    ("oci_manifest", oci_manifest),
    ("block_map", block_map),
    ("url_guard", url_guard),
    ("dhcp4", dhcp4),
    ("dhcp6", dhcp6),
    ("dhcp_server", dhcp_server),
    ("tftp_packet", tftp_packet),
    ("tftp_session", tftp_session),
    ("router", router),
    ("lldp", lldp),
    ("smbios", smbios),
    ("gpt", gpt),
    ("superblock", superblock),
    ("permit", permit),
    ("enrollment", enrollment),
    ("jwe", jwe),
    ("terminal", terminal),
    ("mesh", mesh),
    ("template", template),
    ("boot_render", boot_render),
    ("cloud_init", cloud_init),
    ("patch", patch),
    ("filter", filter),
];

/// Runs a target on one input in an optimised build, within what an input may cost.
pub fn hit(target: Property, data: &[u8]) -> bool {
    bounded(target, data, MAX_TIME)
}

/// Where the committed seeds and findings of all targets lie.
pub fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}
