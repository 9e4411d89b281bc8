//! `muster-installer`: the program that the tasks of an installation call, one verb a step. It comes with the
//! tools, so that process 1 carries nothing of it.

use std::process::ExitCode;

/// The program.
pub fn run() -> ExitCode {
    ExitCode::from(2)
}
