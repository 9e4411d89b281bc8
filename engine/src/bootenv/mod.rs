//! What follows from a boot environment alone: its operating system's family, where its files lie
//! in the boot tree, which architectures it boots (`spec/machine-model.md` 2.2, 7.3).

mod builtin;
mod os;
mod tree;

pub use builtin::{DISCOVERY, IGNORE, LOCAL, MUSTER, builtin};
pub use os::{family, family_type, family_version, version_eq};
pub(crate) use tree::DEFAULT_ARCH;
pub use tree::{
    MEDIA_FOLDER, boot_params_for, initrds_for, is_install, is_netbootable, kernel_for, missing,
    needed_files, supports, tree_path,
};
