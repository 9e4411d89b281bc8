//! The folder a task runs in, the files its templates become there, and how its scripts are called.

use super::outcome::SANE_FILE;
use protocol::model::JobAction;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// Functions that scripts can use.
const HELPER: &str = include_str!("helper.sh");
const HELPER_NAME: &str = "helper";
/// The task's token, renewed while it runs.
const TOKEN_NAME: &str = ".token";
/// Runs scripts that do not say what runs them.
const SHELL: &str = "/bin/sh";
/// The label of a template that says what runs its script.
const INTERPRETER: &str = "Interpreter";
/// Files are root's, as the params that may stand in them.
const FILE: u32 = 0o600;
const SCRIPT: u32 = 0o700;
const FOLDER: u32 = 0o700;

/// Why an action is not there to be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// A path that leaves the task's folder by a side door.
    #[error("the path {0:?} of {1} leads out of the task's folder; use a path below it, or an absolute one")]
    Path(String, String),
    /// The file system says no.
    #[error("cannot write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// A task's folder, gone with the value.
#[derive(Debug)]
pub(crate) struct TaskFolder {
    path: PathBuf,
}

impl TaskFolder {
    /// An empty folder of this name in `parent`, with the helper in it. What an interrupted run left
    /// there is removed.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub(crate) fn make(parent: &Path, name: &str) -> Result<Self, FolderError> {
        let path = parent.join(name);
        let failed = |source| FolderError::Write { path: path.clone(), source };
        remove(&path).map_err(failed)?;
        fs::DirBuilder::new().recursive(true).mode(FOLDER).create(&path).map_err(failed)?;
        let folder = Self { path };
        write(&folder.path.join(HELPER_NAME), HELPER, FILE)?;
        Ok(folder)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the task's token where `muster-agent api` finds it.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub(crate) fn set_token(&self, token: &str) -> Result<(), FolderError> {
        let (path, new) = (self.path.join(TOKEN_NAME), self.path.join(".token.new"));
        write(&new, token, FILE)?;
        // Whole, whenever it is read.
        fs::rename(new, &path).map_err(|source| FolderError::Write { path, source })
    }

    /// Whether a script has chosen the sane exit codes.
    pub(crate) fn is_sane(&self) -> bool {
        self.path.join(SANE_FILE).exists()
    }

    /// Puts an action in place: a file at its path, or a script with the command that runs it.
    /// `task` and the action's name make the script's file name.
    ///
    /// # Errors
    /// [`FolderError`].
    pub(crate) fn place(&self, task: &str, action: &JobAction) -> Result<Option<Command>, FolderError> {
        if action.path.is_empty() {
            let file = self.path.join(file_name(&format!("{task}-{}", action.name)));
            write(&file, &action.content, SCRIPT)?;
            return Ok(Some(command(action, &file)));
        }
        let path = Path::new(&action.path);
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if !path.is_absolute() && !path.components().all(plain) {
            return Err(FolderError::Path(action.path.clone(), action.name.clone()));
        }
        // An absolute path replaces the folder's.
        let path = self.path.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .map_err(|source| FolderError::Write { path: parent.to_owned(), source })?;
        }
        write(&path, &action.content, FILE).map(|()| None)
    }
}

/// The token of the task in this folder, as it is now; none where there is none.
pub(crate) fn token_in(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(TOKEN_NAME)).ok()
}

impl Drop for TaskFolder {
    fn drop(&mut self) {
        // What cannot be removed now is removed before the next run, or with the machine's memory.
        remove(&self.path).unwrap_or(());
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn write(path: &Path, content: &str, mode: u32) -> Result<(), FolderError> {
    let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path);
    open()
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .map_err(|source| FolderError::Write { path: path.to_owned(), source })
}

/// A name without what means something to a file system.
fn file_name(text: &str) -> String {
    text.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).take(100).collect()
}

/// What runs a script: its template's label, else its first line, else the shell.
fn command(action: &JobAction, file: &Path) -> Command {
    let interpreter = action.meta.get(INTERPRETER).map(String::as_str).unwrap_or_default();
    let mut words = interpreter.split_whitespace();
    match words.next() {
        Some(program) => {
            let mut command = Command::new(program);
            command.args(words).arg(file);
            command
        }
        None if action.content.starts_with("#!") => Command::new(file),
        None => {
            let mut command = Command::new(SHELL);
            command.arg(file);
            command
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::model::Meta;
    use std::os::unix::fs::PermissionsExt;

    fn action(path: &str, content: &str) -> JobAction {
        let (name, path, content) = ("do/it".to_owned(), path.to_owned(), content.to_owned());
        JobAction { name, path, content, meta: Meta::new() }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_land_where_their_paths_say_and_never_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let folder = TaskFolder::make(root.path(), "job").unwrap();
        for path in ["a.conf", "./sub/dir/b.conf"] {
            assert!(folder.place("t", &action(path, "text")).unwrap().is_none());
            assert_eq!(fs::read_to_string(folder.path().join(path)).unwrap(), "text");
            assert_eq!(mode(&folder.path().join(path)), 0o600);
        }
        let absolute = root.path().join("elsewhere/c.conf");
        folder.place("t", &action(absolute.to_str().unwrap(), "text")).unwrap();
        assert_eq!(fs::read_to_string(&absolute).unwrap(), "text");
        for path in ["../x", "sub/../../x", ".."] {
            let error = folder.place("t", &action(path, "text")).unwrap_err().to_string();
            assert!(error.contains("leads out of the task's folder"), "{error}");
        }
        assert!(!root.path().join("x").exists());
    }

    #[test]
    fn scripts_are_run_by_their_label_their_first_line_or_the_shell() {
        let root = tempfile::tempdir().unwrap();
        let folder = TaskFolder::make(root.path(), "job").unwrap();
        let words = |action: &JobAction| {
            let command = folder.place("t", action).unwrap().unwrap();
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            words.map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let file = folder.path().join("t-do_it");
        let file = file.to_str().unwrap();
        assert_eq!(words(&action("", "echo")), ["/bin/sh", file]);
        assert_eq!(words(&action("", "#!/usr/bin/python3\n")), [file]);
        assert_eq!(mode(Path::new(file)), 0o700);
        let mut labelled = action("", "#!/bin/sh\n");
        labelled.meta.insert("Interpreter".to_owned(), "perl -w".to_owned());
        assert_eq!(words(&labelled), ["perl", "-w", file]);
    }

    #[test]
    fn a_folder_is_empty_but_for_the_helper_and_goes_with_its_task() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("job/left/over")).unwrap();
        let folder = TaskFolder::make(root.path(), "job").unwrap();
        let names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["helper"]);
        assert_eq!(token_in(folder.path()), None);
        for token in ["mmt_first", "mmt_second"] {
            folder.set_token(token).unwrap();
            assert_eq!(token_in(folder.path()).as_deref(), Some(token));
        }
        assert_eq!(mode(&folder.path().join(".token")), 0o600);
        assert!(!folder.is_sane());
        fs::write(folder.path().join(".sane-exit-codes"), "").unwrap();
        assert!(folder.is_sane());
        drop(folder);
        assert!(!root.path().join("job").exists());
    }
}
