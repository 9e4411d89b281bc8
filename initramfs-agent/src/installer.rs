//! `muster-installer`: see `install` in the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    initramfs_agent::install::run()
}
