//! `muster`: the server, the media builder and a command line over the REST API in one program.
//!
//! Exit codes are part of the interface: 0 done, 1 refused or failed, 2 wrong usage.

mod audit;
mod bootstrap;
mod content;
#[cfg(test)]
mod documents;
mod events;
mod image;
mod info;
mod job;
mod key;
mod login;
mod machine;
mod media;
mod mesh;
mod object;
mod pages;
mod pref;
mod print;
mod prompt;
mod provision;
mod rest;
mod role;
mod secret;
mod serve;
mod token;
mod user;
mod vip;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use object::Collection;
use protocol::model::Kind;
use rest::Call;
use std::future::Future;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Brings bare metal to duty: boots machines from one small image, registers them, shows them
#[derive(Debug, Parser)]
#[command(name = "muster", version, help_expected = true, max_term_width = 100)]
#[command(arg_required_else_help = true, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: dashboard, REST and the machines' calls on one HTTPS port
    Serve(serve::Args),
    /// Build, inspect, customise and download what machines boot
    #[command(subcommand)]
    Media(media::Command),
    /// Log in and keep an API token for the commands below
    Login(login::Args),
    /// End the login that is kept here, at the server too
    Logout,
    /// Show who the commands below speak for
    Whoami(Call),
    /// Approve or deny machines that show a bootstrap code
    #[command(subcommand)]
    Bootstrap(bootstrap::Command),
    /// Make, list and revoke bootstrap tokens for kernel command lines
    #[command(subcommand)]
    Token(token::Command),
    /// See registered machines, and say what they are to do
    #[command(subcommand)]
    Machine(machine::Command),
    /// Runs that install machines, and how far they have come
    #[command(subcommand)]
    Provision(provision::Command),
    /// Workflows: lists of stages
    #[command(subcommand)]
    Workflow(object::Command),
    /// Stages: lists of tasks, and the boot environment they run in
    #[command(subcommand)]
    Stage(object::Command),
    /// Tasks: files and scripts for machines
    #[command(subcommand)]
    Task(object::Command),
    /// Boot environments: what machines boot
    #[command(subcommand)]
    Bootenv(object::Command),
    /// Templates: texts that are rendered for machines
    #[command(subcommand)]
    Template(object::Command),
    /// Profiles: params under a name
    #[command(subcommand)]
    Profile(object::Command),
    /// Machine roles: profiles that say what a machine is for
    #[command(subcommand)]
    Role(role::Command),
    /// Secrets: values for cloud-init templates that nobody is shown
    #[command(subcommand)]
    Secret(secret::Command<secret::Set>),
    /// Variables: values for cloud-init templates
    #[command(subcommand)]
    Variable(object::Command),
    /// Images of operating systems, and their import
    #[command(subcommand)]
    Image(image::Command),
    /// What opens the registries that images come from
    #[command(subcommand, visible_alias = "credential")]
    RegistryCredential(secret::Command<secret::SetCredential>),
    /// Mesh networks, and the machines that are in them
    #[command(subcommand)]
    Mesh(mesh::Command),
    /// Virtual addresses and routes in mesh networks, and who holds them
    #[command(subcommand)]
    Vip(vip::Command),
    /// Params: what they may hold
    #[command(subcommand)]
    Param(object::Command),
    /// Contexts: where tasks run when it is not the machine itself
    #[command(subcommand)]
    Context(object::Command),
    /// Pools: groups of machines
    #[command(subcommand)]
    Pool(object::Command),
    /// Jobs: runs of tasks, and their logs
    #[command(subcommand)]
    Job(job::Command),
    /// Preferences of the server
    #[command(subcommand)]
    Pref(pref::Command),
    /// Users: who may log in
    #[command(subcommand)]
    User(user::Command),
    /// Access roles: what users may do
    #[command(subcommand)]
    AccessRole(object::Command),
    /// Content bundles: import, export and check folders of objects
    #[command(subcommand)]
    Content(content::Command),
    /// See and replace the server's own keys
    #[command(subcommand)]
    Key(key::Command),
    /// What the server is, and what there is to download from it
    Info(Call),
    /// The audit log: who did what, and when
    #[command(subcommand)]
    Audit(audit::Command),
    /// Print what changes, as it changes: one JSON object a line
    Events(events::Args),
    /// Print a shell's completion script
    Completions(pages::Completions),
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man(pages::Folder),
    /// Write the help of every command and the API's description into a folder
    #[command(hide = true)]
    Docs(pages::Folder),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            let code = u8::try_from(usage.exit_code()).unwrap_or(2);
            return if usage.print().is_ok() { ExitCode::from(code) } else { ExitCode::from(2) };
        }
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has read enough: `muster events | head -1`.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let told = writeln!(std::io::stderr(), "muster: {error:#}");
            ExitCode::from(if told.is_ok() { 1 } else { 2 })
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(args) => serve::run(args),
        Command::Media(command) => media::run(command),
        Command::Login(args) => wait_for(login::run(args)),
        Command::Logout => wait_for(login::logout()),
        Command::Whoami(call) => wait_for(login::whoami(call)),
        Command::Bootstrap(command) => wait_for(bootstrap::run(command)),
        Command::Token(command) => wait_for(token::run(command)),
        Command::Machine(command) => wait_for(machine::run(command)),
        Command::Provision(command) => wait_for(provision::run(command)),
        Command::Workflow(command) => objects(Kind::Workflows, command),
        Command::Stage(command) => objects(Kind::Stages, command),
        Command::Task(command) => objects(Kind::Tasks, command),
        Command::Bootenv(command) => objects(Kind::BootEnvs, command),
        Command::Template(command) => objects(Kind::Templates, command),
        Command::Profile(command) => objects(Kind::Profiles, command),
        Command::Role(command) => wait_for(role::run(command)),
        Command::Secret(command) => wait_for(secret::run(command)),
        Command::Variable(command) => objects(Kind::Variables, command),
        Command::Image(command) => wait_for(image::run(command)),
        Command::RegistryCredential(command) => wait_for(secret::run(command)),
        Command::Mesh(command) => wait_for(mesh::run(command)),
        Command::Vip(command) => wait_for(vip::run(command)),
        Command::Param(command) => objects(Kind::Params, command),
        Command::Context(command) => objects(Kind::Contexts, command),
        Command::Pool(command) => objects(Kind::Pools, command),
        Command::Job(command) => wait_for(job::run(command)),
        Command::Pref(command) => wait_for(pref::run(command)),
        Command::User(command) => wait_for(user::run(command)),
        Command::AccessRole(command) => wait_for(object::run(Collection::ACCESS_ROLES, command)),
        Command::Content(command) => wait_for(content::run(command)),
        Command::Key(command) => wait_for(key::run(command)),
        Command::Info(call) => wait_for(info::run(call)),
        Command::Audit(command) => wait_for(audit::run(command)),
        Command::Events(args) => wait_for(events::run(args)),
        Command::Completions(args) => pages::completions(&args),
        Command::Man(folder) => pages::man(&folder),
        Command::Docs(folder) => pages::docs(&folder),
    }
}

fn objects(kind: Kind, command: object::Command) -> Result<()> {
    wait_for(object::run(Collection::of(kind), command))
}

/// Runs a command that speaks to a server.
fn wait_for(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime did not start")?
        .block_on(work)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_documented() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_code_is_refused_before_anyone_is_asked() {
        let told = |line: &[&str]| Cli::try_parse_from(line).unwrap_err();
        let error = told(&["muster", "bootstrap", "approve", "K7P-3XO"]);
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("a bootstrap code never contains 'O'"), "{error}");
        let error = told(&["muster", "bootstrap", "aprove", "K7P-3XB"]);
        assert!(error.to_string().contains("a similar subcommand exists: 'approve'"), "{error}");
        let error = told(&["muster", "token", "create", "--lifetime", "2d"]);
        assert!(error.to_string().contains("10m, 1d, 7d, 30d, 90d, 365d"), "{error}");
        let error = told(&["muster", "machine", "list", "--endpoint", "http://10.0.0.5"]);
        assert!(error.to_string().contains("must begin with https://"), "{error}");
    }
}
