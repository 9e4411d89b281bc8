//! Speaking to a server: where it is, who we are, what it answers.

mod client;
mod credentials;
mod refusal;
mod socket;

pub(crate) use client::{Client, decode, encode};
pub(crate) use credentials::Credentials;
pub(crate) use refusal::Refused;
pub(crate) use socket::Socket;

use crate::print::Output;
use anyhow::Result;
use clap::Args;
use protocol::config::ServerUrl;
use serde_json::Value;
use std::path::PathBuf;

/// Where `muster` looks for a server when it is told nothing.
const DEFAULT_ENDPOINT: &str = "https://127.0.0.1:8092";

/// Which server to speak to, and how to recognise it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The server's address; else that of the last login, else https://127.0.0.1:8092
    #[arg(long, env = "MUSTER_ENDPOINT", value_name = "URL", hide_env_values = true)]
    pub(crate) endpoint: Option<ServerUrl>,
    /// PEM file of the CA that signed the server's certificate; else that of the login
    #[arg(long, env = "MUSTER_CA", value_name = "FILE", hide_env_values = true)]
    pub(crate) ca: Option<PathBuf>,
}

/// A call with a result: which server it goes to, and how the answer is printed
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Call {
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

impl Call {
    /// The server that is meant, with the identity we have there.
    pub(crate) fn client(&self) -> Result<Client> {
        Client::open(&self.connection)
    }

    /// Prints the answer as asked; `table` draws it for people.
    pub(crate) fn show(&self, answer: &Value, table: impl FnOnce() -> Result<String>) -> Result<()> {
        self.output.show(answer, table)
    }
}
