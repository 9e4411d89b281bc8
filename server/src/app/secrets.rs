//! What is written and never shown: values of secrets and passwords of registries. They are sealed here on
//! their way in, before any decision sees them, and opened here for who renders and who pulls.

use super::App;
use super::error::{AppError, AppErrorKind};
use super::objects::Fields;
use crate::keys::Sealer;
use engine::content::Content;
use engine::problem::{Problem, ProblemKind};
use protocol::model::Kind;
use serde_json::Value;
use std::fmt;

/// Largest value that is sealed, in bytes.
const MAX_SECRET: usize = 64 * 1_024;

/// The credential of a registry, opened.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    /// The host that it is for.
    pub(crate) registry: String,
    /// User name.
    pub(crate) username: String,
    /// Password or token.
    pub(crate) password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("registry", &self.registry)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The field of a kind that is sealed.
const fn sealed_field(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::RegistryCredentials => Some("Password"),
        Kind::Secrets => Some("Value"),
        Kind::BootEnvs
        | Kind::Contexts
        | Kind::Images
        | Kind::Jobs
        | Kind::Machines
        | Kind::Meshes
        | Kind::Params
        | Kind::Pools
        | Kind::Profiles
        | Kind::Roles
        | Kind::Stages
        | Kind::Tasks
        | Kind::Templates
        | Kind::Users
        | Kind::Variables
        | Kind::Vips
        | Kind::Workflows => None,
    }
}

/// What a sealed value is bound to.
fn about(kind: Kind, key: &str) -> String {
    format!("{kind}/{key}")
}

impl App {
    /// Seals what a client wrote and nobody is shown. What is wrong with it is told without saying it.
    ///
    /// # Errors
    /// When it is no text, or longer than [`MAX_SECRET`].
    pub(super) fn seal_fields(&self, kind: Kind, key: &str, wanted: &mut Fields) -> Result<(), AppError> {
        let Some(field) = sealed_field(kind) else { return Ok(()) };
        let invalid = |message: String| Problem::new(ProblemKind::Invalid, kind, key, message);
        let plain = match wanted.get_mut(field) {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::String(text)) => std::mem::take(text),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                return Err(invalid(format!("{field}: must be a text")).into());
            }
        };
        if plain.is_empty() {
            return Ok(());
        }
        if plain.len() > MAX_SECRET {
            let message = format!("{field}: has {} bytes, at most {MAX_SECRET} are allowed", plain.len());
            return Err(invalid(message).into());
        }
        let sealed = self.keys.sealer().seal(&about(kind, key), plain.as_bytes());
        wanted.insert(field.to_owned(), sealed.map_err(AppError::internal)?.into());
        Ok(())
    }

    /// The credential of a registry; none when there is none of this name.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn registry_credential(&self, name: &str) -> Result<Option<Credential>, AppError> {
        let content = self.content();
        let Some(stored) = content.registry_credentials.get(name) else { return Ok(None) };
        let kind = Kind::RegistryCredentials;
        let refused = |why: String| AppError::new(AppErrorKind::Conflict, why).about(kind.prefix(), name);
        Ok(Some(Credential {
            registry: stored.registry.clone(),
            username: stored.username.clone(),
            password: opened(&self.keys.sealer(), kind, name, &stored.password).map_err(refused)?,
        }))
    }
}

/// The value of a secret.
///
/// # Errors
/// Why there is none, as a fragment.
pub(super) fn value(sealer: &Sealer, content: &Content, name: &str) -> Result<String, String> {
    let secret = content.secrets.get(name).ok_or_else(|| format!("secret {name} does not exist"))?;
    opened(sealer, Kind::Secrets, name, &secret.value)
}

fn opened(sealer: &Sealer, kind: Kind, name: &str, sealed: &str) -> Result<String, String> {
    let told = |why: &dyn fmt::Display| format!("{} {name} cannot be opened: {why}", kind.noun());
    let plain = sealer.open(&about(kind, name), sealed).map_err(|error| told(&error))?;
    String::from_utf8(plain).map_err(|_| told(&"it is no text"))
}
