//! What a runner is told, by its arguments and its environment. Secrets are in the environment alone.

use crate::api::rest::Place;
use crate::api::tls::{ExtraCa, Trust};
use protocol::config::{CaCertificate, MAX_CA, MAX_CA_LEN, MAX_SERVERS, ProxyUrl, ServerUrl};
use protocol::ids::SpkiPin;
use std::ffi::OsString;
use std::path::PathBuf;
use uuid::Uuid;

const UUID: &str = "RS_UUID";
const TOKEN: &str = "RS_TOKEN";
const ENDPOINT: &str = "RS_ENDPOINT";
const CONTEXT: &str = "RS_CONTEXT";
pub(super) const FOLDER: &str = "RS_RUNNER_DIR";
const PINS: &str = "MUSTER_CA_HASH";
/// CAs of the medium as PEM, and the id of the server behind them.
const CA: &str = "MUSTER_CA";
const SERVER_ID: &str = "MUSTER_SERVER_ID";
const PROXY: &str = "MUSTER_PROXY";
/// The terminal whose machine's side this is.
pub(crate) const TERMINAL_ID: &str = "MUSTER_TERMINAL";

/// Where a member of a mesh network keeps what it keeps.
pub(crate) const MESH_FOLDER: &str = "MUSTER_MESH_DIR";

/// Why a runner cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// An argument that is none of ours.
    #[error("argument {0:?} is not understood, see muster-agent --help")]
    Argument(String),
    /// A variable is missing.
    #[error("{0} is not set in the environment, see muster-agent --help")]
    Missing(&'static str),
    /// A variable has no usable value. The value is not told: it may be a secret.
    #[error("{0} in the environment cannot be used: {1}")]
    Unusable(&'static str, String),
    /// Nobody to trust.
    #[error("no CA is known; set MUSTER_CA_HASH to the server's CA hash, as in muster.ca-hash=")]
    NobodyToTrust,
}

/// What a runner is told.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The machine.
    pub(crate) machine: Uuid,
    /// Its token.
    pub(crate) token: String,
    /// The server.
    pub(crate) place: Place,
    /// The context whose tasks it runs.
    pub(crate) context: String,
    /// The boot environment that was booted.
    pub(crate) booted_env: Option<String>,
    /// Ends when there is nothing to do.
    pub(crate) oneshot: bool,
    /// Where its folders go; a fresh one unless given.
    pub(crate) folder: Option<PathBuf>,
    /// The medium's CAs, to be passed on.
    ca: Option<(String, String)>,
}

impl Settings {
    /// Reads arguments (after `run`) and the environment.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub(crate) fn read(
        arguments: impl IntoIterator<Item = String>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SettingsError> {
        let text = |name: &'static str| -> Result<Option<String>, SettingsError> {
            let value = variable(name).map(OsString::into_string).transpose();
            let value = value.map_err(|_| SettingsError::Unusable(name, "it is not text".to_owned()))?;
            Ok(value.filter(|value| !value.is_empty()))
        };
        let wanted = |name: &'static str| text(name)?.ok_or(SettingsError::Missing(name));
        let machine = wanted(UUID)?.parse().map_err(unusable(UUID))?;
        let (place, ca) = place(&text)?;
        let mut settings = Self {
            machine,
            token: wanted(TOKEN)?,
            place,
            context: text(CONTEXT)?.unwrap_or_default(),
            booted_env: None,
            oneshot: false,
            folder: variable(FOLDER).map(PathBuf::from),
            ca,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| SettingsError::Argument(argument.clone()));
            match argument.as_str() {
                "--context" => settings.context = value()?,
                "--booted-env" => settings.booted_env = Some(value()?),
                "--oneshot" => settings.oneshot = true,
                _ => return Err(SettingsError::Argument(argument)),
            }
        }
        Ok(settings)
    }

    /// How this runner reaches the server, for other programs of ours, under `token`.
    pub(crate) fn reach<'a>(&'a self, token: &'a str) -> Reach<'a> {
        let Place { server, trust, proxy } = &self.place;
        Reach {
            machine: self.machine,
            token,
            server,
            pins: &trust.pins,
            ca: self.ca.as_ref().map(|(pem, id)| (pem.as_str(), id.as_str())),
            proxy: proxy.as_ref(),
        }
    }
}

/// How a program of ours reaches a server as one machine.
#[derive(Clone, Copy)]
pub(crate) struct Reach<'a> {
    /// The machine.
    pub(crate) machine: Uuid,
    /// Its token.
    pub(crate) token: &'a str,
    /// The server.
    pub(crate) server: &'a ServerUrl,
    /// Keys to trust.
    pub(crate) pins: &'a [SpkiPin],
    /// CAs to trust as PEM, and the id of the server behind them.
    pub(crate) ca: Option<(&'a str, &'a str)>,
    /// What connections go through.
    pub(crate) proxy: Option<&'a ProxyUrl>,
}

impl Reach<'_> {
    /// The same as environment variables.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let pins: Vec<String> = self.pins.iter().map(SpkiPin::to_string).collect();
        let mut variables = vec![
            (UUID, self.machine.to_string()),
            (TOKEN, self.token.to_owned()),
            (ENDPOINT, self.server.to_string()),
            (PINS, pins.join(",")),
        ];
        variables.extend(self.proxy.map(|proxy| (PROXY, proxy.reveal())));
        if let Some((pem, id)) = self.ca {
            variables.extend([(CA, pem.to_owned()), (SERVER_ID, id.to_owned())]);
        }
        variables
    }
}

/// Whether there is a token in the environment: what the agent starts before it reached the server has none.
pub(crate) fn has_token(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    variable(TOKEN).is_some_and(|token| !token.is_empty())
}

fn unusable<E: std::fmt::Display>(name: &'static str) -> impl Fn(E) -> SettingsError {
    move |error| SettingsError::Unusable(name, error.to_string())
}

type Ca = Option<(String, String)>;

/// Where the server is, and whom to believe there.
fn place(
    text: &impl Fn(&'static str) -> Result<Option<String>, SettingsError>,
) -> Result<(Place, Ca), SettingsError> {
    let server = text(ENDPOINT)?.ok_or(SettingsError::Missing(ENDPOINT))?;
    let server = server.parse().map_err(unusable(ENDPOINT))?;
    let pins = text(PINS)?.unwrap_or_default();
    let pins: Vec<SpkiPin> = pins
        .split([',', ' '])
        .filter(|pin| !pin.is_empty())
        .take(MAX_SERVERS)
        .map(|pin| pin.parse().map_err(unusable(PINS)))
        .collect::<Result<_, _>>()?;
    let ca = text(CA)?.zip(text(SERVER_ID)?);
    let extra = match &ca {
        Some((pem, id)) => ExtraCa::new(&certificates(pem)?, Some(id)).map_err(unusable(CA))?,
        None => None,
    };
    if pins.is_empty() && extra.is_none() {
        return Err(SettingsError::NobodyToTrust);
    }
    let proxy = text(PROXY)?.map(|url| url.parse().map_err(unusable(PROXY))).transpose()?;
    Ok((Place { server, trust: Trust { pins, extra }, proxy }, ca))
}

/// The certificates of a PEM text.
///
/// # Errors
/// [`SettingsError::Unusable`].
pub(crate) fn certificates(pem: &str) -> Result<Vec<CaCertificate>, SettingsError> {
    const END: &str = "-----END CERTIFICATE-----";
    if pem.len() > MAX_CA_LEN {
        return Err(SettingsError::Unusable(CA, format!("it has more than {MAX_CA_LEN} bytes")));
    }
    let each = pem.split_inclusive(END).filter(|text| text.contains(END)).take(MAX_CA);
    each.map(|text| CaCertificate::try_from(text.to_owned()).map_err(unusable(CA))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const MACHINE: &str = "0b4f9c9e-8f5e-4f4e-9d6e-1a2b3c4d5e6f";
    const PIN: &str = "sha256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

    fn told() -> BTreeMap<&'static str, String> {
        let told = [(UUID, MACHINE), (TOKEN, "secret"), (ENDPOINT, "https://10.0.2.2:8092"), (PINS, PIN)];
        told.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
    }

    fn read(arguments: &[&str], told: &BTreeMap<&'static str, String>) -> Result<Settings, SettingsError> {
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        Settings::read(arguments, |name| told.get(name).map(OsString::from))
    }

    #[test]
    fn what_a_runner_is_told_is_what_it_passes_on() {
        let mut told = told();
        told.insert(PROXY, "http://eve:pw@10.0.0.3:3128".to_owned());
        let settings = read(&["--context", "ctx", "--booted-env", "e1", "--oneshot"], &told).unwrap();
        assert_eq!((settings.context.as_str(), settings.booted_env.as_deref()), ("ctx", Some("e1")));
        assert!(settings.oneshot && settings.folder.is_none());
        let passed: BTreeMap<_, _> = settings.reach("another").variables().into_iter().collect();
        told.insert(TOKEN, "another".to_owned());
        assert_eq!(passed, told);
        told.insert(CONTEXT, "by variable".to_owned());
        assert_eq!(read(&[], &told).unwrap().context, "by variable");
    }

    #[test]
    fn what_cannot_be_used_is_named_and_never_shown() {
        for (name, value, expected) in [
            (UUID, "", "RS_UUID is not set in the environment, see muster-agent --help"),
            (TOKEN, "", "RS_TOKEN is not set in the environment, see muster-agent --help"),
            (PINS, "", "no CA is known; set MUSTER_CA_HASH to the server's CA hash, as in muster.ca-hash="),
            (
                ENDPOINT,
                "http://10.0.2.2",
                "RS_ENDPOINT in the environment cannot be used: server address must begin with https://, \
                 such as https://10.0.0.5:8092",
            ),
        ] {
            let mut told = told();
            told.insert(name, value.to_owned());
            assert_eq!(read(&[], &told).err().unwrap().to_string(), expected);
        }
        let mut told = told();
        told.insert(PROXY, "socks://eve:hidden@10.0.0.3:1".to_owned());
        assert!(!read(&[], &told).err().unwrap().to_string().contains("hidden"));
        told.remove(PROXY);
        for arguments in [["--context"].as_slice(), &["--help"], &["now"]] {
            assert!(read(arguments, &told).is_err(), "{arguments:?}");
        }
    }
}
