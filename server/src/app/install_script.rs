//! `/install.sh`: the script behind the one-line command, which brings the agent onto a Linux that runs already
//! (`spec/security.md` 3.5).
//!
//! The token comes in a header, which the command's heredoc gives to curl, and goes out inside the script, which
//! is piped into a shell: it is in no argument list, environment or log. What speaks against it is answered with
//! a script that says so and fails, since a pipe ends as its last program does.

use super::App;
use super::media::{AGENT_FILE, HELPER_FILE as HELPER_OF_MEDIA};
use super::tokens::marks;
use crate::keys::Opened;
use crate::report::chain;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::admission::{Refused, check_holds};
use protocol::agent_api::Origin;
use protocol::config::{AgentConfig, ServerUrl};
use protocol::installed::{HELPER_FILE, MESH_UNIT, MESH_UNIT_FILE, PROGRAM_FILE, UNIT, UNIT_FILE};
use protocol::rest::MediaFile;
use protocol::token::BootstrapToken;
use std::net::IpAddr;

const TEMPLATE: &str = include_str!("install_script.sh");

/// Why the script installs nothing: a sentence for who ran the command.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem(String);

impl App {
    /// The command that installs the agent, to be pasted into a shell: the token is in its heredoc alone.
    pub(super) fn install_command(&self, token: &BootstrapToken) -> String {
        let told = self.settings.advertise.first().map(ToString::to_string);
        let (server, pin) = (told.unwrap_or_else(|| self.addresses(None).https()), self.leaf_pin());
        format!(
            "curl -fsS -k --pinnedpubkey '{pin}' -K - {server}/install.sh <<'T' | sudo sh\n\
             header = \"Authorization: Bearer {}\"\nT\n",
            token.reveal()
        )
    }

    /// The script for a caller with this token, who reached this server by that name. Without a token that
    /// registers it only takes the agent away.
    pub(crate) async fn install_script(
        &self,
        source: IpAddr,
        token: Option<&str>,
        reached: Option<ServerUrl>,
        port: u16,
    ) -> String {
        let servers = self.media.servers(reached.clone(), port);
        let made = match self.check_install(source, token).await {
            Ok(token) => self.filled(token, &servers),
            Err(problem) => Err(problem),
        };
        let server = reached.or_else(|| servers.first().cloned()).map(|url| url.to_string());
        let Filled { config, agent, helper, arch, problem } = made.unwrap_or_else(|Problem(problem)| {
            tracing::info!(%source, problem, "an install script that installs nothing");
            Filled { problem, ..Filled::default() }
        });
        [
            ("@SERVER@", quoted(&server.unwrap_or_default())),
            ("@SERVER_ID@", quoted(self.keys.server_id())),
            ("@PIN@", quoted(&self.leaf_pin())),
            ("@ARCH@", quoted(&arch)),
            ("@SHA256@", quoted(&agent.sha256)),
            ("@HELPER_SHA256@", quoted(&helper.sha256)),
            ("@HELPER@", quoted(HELPER_FILE)),
            ("@PROBLEM@", quoted(&problem)),
            ("@PROGRAM@", quoted(PROGRAM_FILE)),
            ("@UNIT_FILE@", quoted(UNIT_FILE)),
            ("@UNIT@", UNIT.trim_end().to_owned()),
            ("@MESH_UNIT_FILE@", quoted(MESH_UNIT_FILE)),
            ("@MESH_UNIT@", MESH_UNIT.trim_end().to_owned()),
            ("@CONFIG@", config),
        ]
        .into_iter()
        .fold(TEMPLATE.to_owned(), |script, (name, value)| script.replace(name, &value))
    }

    /// What curl calls the key of this server's certificate, which stays when the certificate is renewed.
    fn leaf_pin(&self) -> String {
        format!("sha256//{}", STANDARD.encode(self.keys.shown().leaf_pin.0))
    }

    /// The token, if it still registers machines. Whether this one is for the machine shows when it registers.
    async fn check_install<'a>(&self, source: IpAddr, token: Option<&'a str>) -> Result<&'a str, Problem> {
        let now = self.clock.now();
        self.limits.register(source, now).map_err(|limited| {
            Problem(format!("too many machines at once; run this again in {} s", limited.retry_after.max(1)))
        })?;
        let text = token.ok_or_else(|| {
            Problem(
                "there is no bootstrap token; run the whole command that 'muster token create' prints".into(),
            )
        })?;
        let Opened { claims, kid } = self.keys.open_token(text).map_err(|_same_for_all| {
            Problem("the bootstrap token is damaged or not one of this server's; make another".into())
        })?;
        let revoked = self.how_revoked(&marks(&claims, &kid)).await.map_err(|error| {
            Problem(format!(
                "the server cannot look at the token now; run this again in a moment ({})",
                chain(&error)
            ))
        })?;
        check_holds(&claims, self.keys.server_id(), revoked, now).map_err(|refused| match refused {
            Refused::Revoked(_) => Problem("the bootstrap token was revoked; make another".into()),
            Refused::Expired => Problem("the bootstrap token expired; make another".into()),
            Refused::Foreign | Refused::Constraint(_) | Refused::NeedsApproval => {
                Problem(refused.to_string())
            }
        })?;
        Ok(text)
    }

    fn filled(&self, token: &str, servers: &[ServerUrl]) -> Result<Filled, Problem> {
        let program = |name| self.media.program(name).map_err(|error| Problem(chain(&error)));
        let agent = program(AGENT_FILE)?;
        let helper = program(HELPER_OF_MEDIA)?.map(|(_, helper)| helper).unwrap_or_default();
        let (arch, agent) = agent.ok_or_else(|| {
            Problem(
                "the server has no agent to hand out; have its media built with 'muster media build'".into(),
            )
        })?;
        if servers.is_empty() {
            return Err(Problem(
                "the server does not know where machines reach it; start it with --advertise".into(),
            ));
        }
        let config = AgentConfig {
            server: servers.to_vec(),
            ca_hash: self.keys.pins(),
            token: Some(token.to_owned()),
            origin: Some(Origin::Cli),
            ..AgentConfig::unpersonalised()
        };
        let config = config.render().map_err(|error| Problem(chain(&error)))?;
        let config = String::from_utf8_lossy(&config).into_owned();
        Ok(Filled { config, agent, helper, arch, problem: String::new() })
    }
}

/// What the script is made of.
#[derive(Default)]
struct Filled {
    config: String,
    agent: MediaFile,
    /// Empty where the media have none.
    helper: MediaFile,
    arch: String,
    problem: String,
}

/// A word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted("a b'; rm -rf $HOME"), r"'a b'\''; rm -rf $HOME'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn template_has_every_placeholder_and_ends_in_its_only_call() {
        for name in [
            "SERVER",
            "SERVER_ID",
            "PIN",
            "ARCH",
            "SHA256",
            "HELPER_SHA256",
            "HELPER",
            "PROBLEM",
            "PROGRAM",
            "UNIT_FILE",
            "UNIT",
            "MESH_UNIT_FILE",
            "MESH_UNIT",
            "CONFIG",
        ] {
            assert_eq!(TEMPLATE.matches(&format!("@{name}@")).count(), 1, "{name}");
        }
        assert!(TEMPLATE.ends_with("\n{ main \"$@\"; }\n"));
    }
}
