//! How a verb fails: one last line that begins with `error:`, and an exit code. The server keeps the line as
//! the run's error.

use super::boot::BootError;
use super::configure::ConfigureError;
use super::mount::MountError;
use super::network::NetworkError;
use super::order::OrderError;
use super::partition::PartitionError;
use super::permit::PermitError;
use super::progress::Cancelled;
use super::state::StateError;
use super::survey::SurveyError;
use super::write::WriteError;
use crate::report::{chain, printable};
use crate::runner::settings::SettingsError;
use std::io::{self, Write};
use std::process::ExitCode;

/// Longest line, in characters.
const MAX_LINE: usize = 1_000;

/// Why a verb did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    /// It was not told what it needs.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no way to the server.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// There is no order.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// What verbs leave each other is not there.
    #[error(transparent)]
    State(#[from] StateError),
    /// The disks are not as in the plan.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// No disk may be written.
    #[error(transparent)]
    Permit(#[from] PermitError),
    /// Disks are not divided.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// File systems are not mounted, or still are.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The image is not written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The system is not this machine's.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    /// The disk does not start it.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// Somebody cancelled the run.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl InstallError {
    /// The exit code: 2 where the verb was called in the wrong way.
    const fn code(&self) -> u8 {
        match self {
            Self::Settings(_) => 2,
            Self::Network(_)
            | Self::Order(_)
            | Self::State(_)
            | Self::Survey(_)
            | Self::Permit(_)
            | Self::Partition(_)
            | Self::Mount(_)
            | Self::Write(_)
            | Self::Configure(_)
            | Self::Boot(_)
            | Self::Cancelled(_) => 1,
        }
    }
}

/// Says why, as the last line.
pub(super) fn told(error: &InstallError) -> ExitCode {
    // Nobody may be left to read it; the code says it, too.
    drop(writeln!(io::stderr(), "{}", line(error)));
    ExitCode::from(error.code())
}

pub(super) fn line(error: &InstallError) -> String {
    format!("error: {}", printable(&chain(error), MAX_LINE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_that_begins_with_error() {
        let error = InstallError::from(Cancelled);
        assert_eq!(
            line(&error),
            "error: the run was cancelled, or a step took too long; nothing more is written"
        );
        assert_eq!(error.code(), 1);
        let error = InstallError::from(SettingsError::Missing("MUSTER_RUN"));
        assert!(line(&error).starts_with("error: MUSTER_RUN is not set in the environment"));
        assert_eq!(error.code(), 2);
    }
}
