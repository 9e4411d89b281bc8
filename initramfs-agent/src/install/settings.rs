//! What a verb is told by its environment: whose machine, which server, which run, which job.

use crate::runner::settings::{Settings as Runner, SettingsError};
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use uuid::Uuid;

const RUN: &str = "MUSTER_RUN";
const JOB: &str = "RS_JOB_UUID";
const EPOCH: &str = "RS_JOB_EPOCH";
/// Where the installer works, for trials beside the boot image.
const FOLDER: &str = "MUSTER_INSTALL_DIR";
const DEFAULT_FOLDER: &str = "/run/muster";

/// What a verb is told. No `Debug`: it holds a token.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The machine, its token, and the way to the server.
    pub(crate) runner: Runner,
    /// The run.
    pub(crate) run: Uuid,
    /// The job that the verb is called by.
    pub(crate) job: Uuid,
    /// Its lease.
    pub(crate) epoch: i64,
    /// Holds `install/` (orders and state) and `target/` (mounts).
    pub(crate) folder: PathBuf,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub(crate) fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, SettingsError> {
        let runner = Runner::read([], &variable)?;
        let folder = variable(FOLDER).filter(|folder| !folder.is_empty());
        Ok(Self {
            runner,
            run: parsed(RUN, &variable)?,
            job: parsed(JOB, &variable)?,
            epoch: parsed(EPOCH, &variable)?,
            folder: folder.map_or_else(|| DEFAULT_FOLDER.into(), PathBuf::from),
        })
    }
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(
    name: &'static str,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<T, SettingsError> {
    let text = variable(name).unwrap_or_default();
    let text = text.into_string().map_err(|_| SettingsError::Unusable(name, "it is not text".to_owned()))?;
    if text.is_empty() {
        return Err(SettingsError::Missing(name));
    }
    text.parse().map_err(|error: T::Err| SettingsError::Unusable(name, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::tests::environment;

    #[test]
    fn a_verb_knows_run_job_and_lease() {
        let told = environment("https://10.0.2.2:8092", "sha256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE");
        let settings = Settings::read(|name| told.get(name).map(OsString::from)).unwrap();
        assert_eq!((settings.run, settings.job), (Uuid::from_u128(1), Uuid::from_u128(2)));
        assert_eq!((settings.epoch, settings.folder), (3, PathBuf::from("/run/muster")));
    }

    #[test]
    fn what_is_missing_is_named() {
        let told = environment("https://10.0.2.2:8092", "sha256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE");
        for name in [RUN, JOB, EPOCH, "RS_TOKEN"] {
            let read = Settings::read(|asked| told.get(asked).filter(|_| asked != name).map(OsString::from));
            assert!(read.err().unwrap().to_string().starts_with(name));
        }
        let read = Settings::read(|name| {
            if name == EPOCH { Some("soon".into()) } else { told.get(name).map(OsString::from) }
        });
        let error = read.err().unwrap().to_string();
        assert!(error.starts_with("RS_JOB_EPOCH in the environment cannot be used"), "{error}");
    }
}
