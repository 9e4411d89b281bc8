//! The agent in the installed system: the program that is process 1 here, as a service there, with a key of its
//! own that the machine's present key speaks for.

use super::super::target::Tree;
use super::ConfigureError;
use crate::handover;
use nix::sys::stat::{Mode, fchmod};
use protocol::install::AgentOrder;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The program of the boot image.
const PROGRAM: &str = "/proc/1/exe";
/// This very program: what the system's agent has no use for but terminals, as its helper.
const HELPER: &str = "/proc/self/exe";
/// Folder of configuration and key.
const FOLDER: &str = "/etc/muster";
/// Where images have systemd.
const SYSTEMD: [&str; 2] = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
/// Where systemd looks for what it starts.
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants";

/// Puts it in the tree. `apart` is a folder outside of the target where the new key is made.
///
/// # Errors
/// [`ConfigureError`].
pub(super) fn put(tree: &Tree, agent: &AgentOrder, apart: &Path) -> Result<(), ConfigureError> {
    let open = |path: &str| File::open(path).map_err(|error| ConfigureError::Program(path.into(), error));
    service(tree, agent, &mut open(PROGRAM)?)?;
    tree.put_from(handover::HELPER_FILE, &mut open(HELPER)?, 0o755)?;
    handover::succession(apart)?;
    key(tree, apart)
}

/// Program, units and configuration.
pub(super) fn service(
    tree: &Tree,
    agent: &AgentOrder,
    program: &mut impl io::Read,
) -> Result<(), ConfigureError> {
    let mut has_systemd = false;
    for path in SYSTEMD {
        has_systemd |= tree.has(path)?;
    }
    if !has_systemd {
        return Err(ConfigureError::NoSystemd);
    }
    let folder = tree.folder_of_mode(FOLDER, Mode::S_IRWXU)?;
    let protect = |error: nix::Error| ConfigureError::Program(FOLDER.into(), error.into());
    fchmod(&folder, Mode::S_IRWXU).map_err(protect)?;
    tree.put_from(handover::PROGRAM_FILE, program, 0o755)?;
    tree.put(handover::CONFIG_FILE, agent.config.as_bytes(), 0o600)?;
    let units = [(handover::UNIT_FILE, handover::UNIT), (handover::MESH_UNIT_FILE, handover::MESH_UNIT)];
    for (path, text) in units {
        tree.put(path, text.as_bytes(), 0o644)?;
        let name = path.rsplit('/').next().unwrap_or(path);
        tree.link(&format!("{ENABLED}/{name}"), path)?;
    }
    Ok(())
}

/// Moves key and statement from `apart` into the tree: by the tree, which no link leads out of.
pub(super) fn key(tree: &Tree, apart: &Path) -> Result<(), ConfigureError> {
    for path in [handover::KEY_FILE, handover::STATEMENT_FILE] {
        let name = path.rsplit('/').next().unwrap_or(path);
        let made = apart.join(name);
        let bytes = fs::read(&made).map_err(|error| ConfigureError::Program(made.clone(), error))?;
        tree.put(path, &bytes, 0o600)?;
    }
    fs::remove_dir_all(apart).map_err(|error| ConfigureError::Program(apart.to_owned(), error))
}
