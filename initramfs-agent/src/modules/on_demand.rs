//! What the kernel asks for by itself: it runs `/sbin/modprobe -q -- NAME` when somebody mounts a file system,
//! makes an array, or wants a cipher whose module is not there (`kernel/module/kmod.c`). In the boot image that
//! program is our own.

use super::{LoadError, Loader, ModulesError};
use crate::report::chain;
use std::io::Write;
use std::process::ExitCode;

/// Why nothing is loaded.
#[derive(Debug, thiserror::Error)]
enum DemandError {
    /// Nothing was asked for.
    #[error("no module is named")]
    Nothing,
    /// There are no modules.
    #[error(transparent)]
    Modules(#[from] ModulesError),
    /// The module is refused, or unknown.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// The program under the name `modprobe`: loads what its last argument names, a module or an alias.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let name = arguments.filter(|argument| !argument.starts_with('-')).last();
    let loaded =
        name.ok_or(DemandError::Nothing).and_then(|name| Ok(Loader::of_running_kernel()?.load_named(&name)?));
    match loaded {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The kernel does not read it; whoever typed the command does.
            drop(writeln!(std::io::stderr(), "modprobe: {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}
