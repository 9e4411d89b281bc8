//! The agent of an installed Linux: where its files are, and its unit. Written by the installer of the boot image
//! and by the one-line command, read by the agent.

/// The program, of mode 0755.
pub const PROGRAM_FILE: &str = "/usr/local/sbin/muster-agent";
/// Its helper, of mode 0755, which terminals take: `muster-installer` of the boot image's tools.
pub const HELPER_FILE: &str = "/usr/local/sbin/muster-installer";
/// Its configuration, of mode 0600: the document of [`crate::config`].
pub const CONFIG_FILE: &str = "/etc/muster/agent.json";
/// Its key, of mode 0600: a PKCS#8 document.
pub const KEY_FILE: &str = "/etc/muster/machine.key";
/// The earlier key's statement about that one ([`crate::succession`]), until it was used.
pub const STATEMENT_FILE: &str = "/etc/muster/succession";
/// Folder of the machine's key in a mesh network and of what it knew last of that, of mode 0700.
pub const MESH_FOLDER: &str = "/var/lib/muster/mesh";
/// Its unit, enabled by a link of the same name in `multi-user.target.wants` beside it.
pub const UNIT_FILE: &str = "/etc/systemd/system/muster-agent.service";
/// Text of the unit.
pub const UNIT: &str = include_str!("installed/muster-agent.service");
/// The unit that sets the dead ends of a mesh network before other networks are up (systemd.special(7),
/// `network-pre.target`), enabled in the same way.
pub const MESH_UNIT_FILE: &str = "/etc/systemd/system/muster-mesh.service";
/// Text of that unit.
pub const MESH_UNIT: &str = include_str!("installed/muster-mesh.service");
