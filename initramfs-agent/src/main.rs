//! `muster-agent`: see the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    initramfs_agent::run()
}
