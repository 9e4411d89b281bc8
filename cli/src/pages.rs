//! Pages made from the command line itself: completions, manual pages, the help in `docs/`.

use crate::{Cli, print};
use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `muster completions`
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `muster man` and `muster docs`
#[derive(Debug, clap::Args)]
pub(crate) struct Folder {
    /// Folder to write into; it is made if missing
    folder: PathBuf,
}

/// Prints a completion script.
pub(crate) fn completions(args: &Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "muster", &mut script);
    print::line(String::from_utf8(script).context("the script is not UTF-8")?.trim_end())
}

/// Writes one manual page for each command.
pub(crate) fn man(args: &Folder) -> Result<()> {
    make(&args.folder)?;
    clap_mangen::generate_to(Cli::command(), &args.folder)
        .with_context(|| format!("{} cannot be written", args.folder.display()))
}

/// Writes the help of each verb group to `cli/` below the folder, and the API's description.
pub(crate) fn docs(args: &Folder) -> Result<()> {
    let pages = args.folder.join("cli");
    make(&pages)?;
    let mut root = Cli::command();
    root.build();
    for group in
        root.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
    {
        let mut page = format!("# muster {}\n", group.get_name());
        append_help(&mut page, group);
        write(&pages.join(format!("{}.md", group.get_name())), page.as_bytes())?;
    }
    write(&args.folder.join("openapi.json"), format!("{}\n", server::openapi_json().trim_end()).as_bytes())
}

/// The help of a command and of everything below it, in the order of the command line.
fn append_help(page: &mut String, command: &clap::Command) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.clone().term_width(100).render_long_help().to_string();
    let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    // Writing to a String cannot fail.
    write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n")).unwrap_or_default();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        append_help(page, verb);
    }
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_group_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        docs(&Folder { folder: folder.path().to_owned() }).unwrap();
        let page = fs::read_to_string(folder.path().join("cli/bootstrap.md")).unwrap();
        assert!(page.contains("## muster bootstrap approve\n"), "{page}");
        assert!(page.contains("--fingerprint <CHECK>"), "{page}");
        assert!(!page.contains("MUSTER_ENDPOINT="), "a value of the environment leaked into the page");
        assert!(!folder.path().join("cli/docs.md").exists());
    }
}
