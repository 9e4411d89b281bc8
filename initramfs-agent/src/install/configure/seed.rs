//! The NoCloud seed: what cloud-init reads at the first start, and nothing else.

use super::super::target::{Tree, TreeError};
use nix::sys::stat::{Mode, fchmod};
use protocol::install::Seed;
use std::io;

/// Where cloud-init looks for it (`DataSourceNoCloud.py`).
const FOLDER: &str = "/var/lib/cloud/seed/nocloud";
/// The last of its folder, so that no other file of the image says otherwise.
const DATASOURCE: &str = "/etc/cloud/cloud.cfg.d/zz-muster.cfg";
/// Read by cloud-init and, line by line, by its `ds-identify`.
const DATASOURCE_TEXT: &str =
    "# Written by Muster: the seed is in /var/lib/cloud/seed/nocloud.\ndatasource_list: [ NoCloud, None ]\n";
/// An image that has it does not run cloud-init at all.
const DISABLED: &str = "/etc/cloud/cloud-init.disabled";
/// The seed holds secrets.
const SECRET: u32 = 0o600;
const SECRET_FOLDER: Mode = Mode::S_IRWXU;

/// Puts it in the tree.
///
/// # Errors
/// [`TreeError`].
pub(super) fn put(tree: &Tree, seed: &Seed) -> Result<(), TreeError> {
    let folder = tree.folder_of_mode(FOLDER, SECRET_FOLDER)?;
    fchmod(&folder, SECRET_FOLDER)
        .map_err(|error| TreeError::of("protect", FOLDER, io::Error::from(error)))?;
    for (name, text, is_needed) in [
        ("meta-data", &seed.meta_data, true),
        ("user-data", &seed.user_data, true),
        ("vendor-data", &seed.vendor_data, false),
        ("network-config", &seed.network_config, false),
    ] {
        let path = format!("{FOLDER}/{name}");
        if is_needed || !text.is_empty() {
            tree.put(&path, text.as_bytes(), SECRET)?;
        } else {
            tree.remove(&path)?;
        }
    }
    tree.put(DATASOURCE, DATASOURCE_TEXT.as_bytes(), 0o644)?;
    tree.remove(DISABLED)
}
