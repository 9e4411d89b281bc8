//! `muster-installer mesh guard`: the dead ends of the network that an installed system was in when it was last told,
//! set before its other networks come up (`muster-mesh.service`), so that nothing of it leaves in the clear until the
//! member begins.
//!
//! systemd-networkd takes routes and rules away that are not its own, unreachable ones too (networkd.conf(5),
//! `ManageForeignRoutes=`): where systemd is, it is told to leave them, until the next boot.

use super::network::{Network, NetworkError};
use super::plan;
use super::state::{Folder, StateError};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Made by systemd as process 1 (sd_booted(3)).
const SYSTEMD: &str = "run/systemd/system";
/// Ours among the settings of systemd-networkd for this boot.
const NETWORKD: &str = "run/systemd/networkd.conf.d/50-muster-mesh.conf";
const LEAVES_ALONE: &str = "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n";

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
pub(super) enum GuardError {
    /// What the machine was in cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The kernel says no.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// systemd-networkd is not told.
    #[error("cannot write {path}: systemd-networkd takes the mesh network's routes away when it starts")]
    Networkd {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Sets the dead ends of what the folder tells, and has systemd-networkd beneath `root` leave them alone.
///
/// # Errors
/// [`GuardError`]; what could be done is done.
pub(super) async fn raise(root: &Path, folder: &Folder, mut network: Network) -> Result<(), GuardError> {
    let told = leave_alone(root);
    network.guard(&plan::layout(&folder.known()?, &[])).await?;
    told
}

/// Has systemd-networkd beneath `root` leave routes and rules of others alone.
///
/// # Errors
/// [`GuardError::Networkd`].
pub(super) fn leave_alone(root: &Path) -> Result<(), GuardError> {
    if !root.join(SYSTEMD).is_dir() {
        return Ok(());
    }
    let path = root.join(NETWORKD);
    let write = || {
        if fs::read(&path).is_ok_and(|there| there == LEAVES_ALONE.as_bytes()) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
            // It runs as a user of its own.
            fs::set_permissions(folder, Permissions::from_mode(0o755))?;
        }
        fs::write(&path, LEAVES_ALONE)?;
        fs::set_permissions(&path, Permissions::from_mode(0o644))
    };
    write().map_err(|source| GuardError::Networkd { path: path.clone(), source })
}

/// Takes that back: the machine is in no mesh network any more.
///
/// # Errors
/// [`GuardError::Networkd`].
pub(super) fn lower(root: &Path) -> Result<(), GuardError> {
    let path = root.join(NETWORKD);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(GuardError::Networkd { path, source }),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::forwarding::Forwarding;
    use crate::mesh::plan::tests::{known, own, peer};
    use crate::net::tests::wire::run;

    #[test]
    fn networkd_is_told_where_systemd_is_and_not_longer_than_needed() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(NETWORKD);
        leave_alone(root.path()).unwrap();
        assert!(!file.exists(), "no systemd");
        fs::create_dir_all(root.path().join(SYSTEMD)).unwrap();
        for _ in 0..2 {
            leave_alone(root.path()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), LEAVES_ALONE);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
        }
        lower(root.path()).unwrap();
        lower(root.path()).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn what_a_machine_was_in_is_shut_before_it_has_tunnels() {
        run("mesh::guard::tests::what_a_machine_was_in_is_shut_before_it_has_tunnels", async |wire| {
            let root = tempfile::tempdir().unwrap();
            let folder = Folder::new(root.path().join("mesh"));
            let settings = root.path().join("settings");
            fs::create_dir_all(settings.join("ipv6")).unwrap();
            let network = || {
                let forwarding = Forwarding::new(&settings, settings.join("note"), "muster0");
                Network::open("muster0", forwarding).unwrap()
            };
            let routes = || wire.here("ip route show proto 183; ip -6 route show proto 183");
            raise(root.path(), &folder, network()).await.unwrap();
            assert_eq!(routes(), "", "it was in none");
            folder.keep(&known(own(), &[peer(2)])).unwrap();
            for _ in 0..2 {
                raise(root.path(), &folder, network()).await.unwrap();
                let there = routes();
                assert!(
                    there.contains("unreachable 10.20.0.0/16") && there.contains("unreachable fd00:20::/64"),
                    "{there}"
                );
                assert_eq!(there.lines().count(), 2, "{there}");
            }
            assert!(!wire.can("ip link show muster0"), "the interface is the member's");
        });
    }
}
