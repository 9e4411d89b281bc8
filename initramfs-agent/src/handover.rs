//! From one program of this machine to the next: who the machine is, and which key it will have.
//!
//! The agent, process 1 of the boot image or the service of an installed system, listens on a socket that root
//! alone may open. It tells who the machine is, and signs that a key made by somebody else is its successor
//! ([`protocol::succession`]); no secret passes the socket. Where the files of an installed
//! agent are is [`protocol::installed`]'s.

use crate::api::proof::succession as sign_succession;
use crate::identity::{Identity, IdentityError};
use crate::report::chain;
use crate::tools::door::FOLDER;
use protocol::ids::{KeyThumbprint, MachineId};
pub use protocol::installed::{
    CONFIG_FILE, HELPER_FILE, KEY_FILE, MESH_UNIT, MESH_UNIT_FILE, PROGRAM_FILE, STATEMENT_FILE, UNIT,
    UNIT_FILE,
};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream as Caller;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// Where a key lies in an initial ramdisk that is started by kexec.
pub(crate) const RAMDISK_KEY: &str = "muster/machine.key";

const SOCKET: &str = "handover.sock";
const KEY_NAME: &str = "machine.key";
const STATEMENT_NAME: &str = "succession";
/// Longest question and longest answer, in bytes.
const MAX_QUESTION: u64 = 256;
const MAX_ANSWER: u64 = 8 * 1_024;
/// How long a caller may take over its question, and the agent over its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time that `identity --wait` waits, in seconds.
const MAX_WAIT: u64 = 3_600;
/// Pause between two questions of it.
const ASK_AGAIN: Duration = Duration::from_millis(500);
const IDENTITY: &str = "identity";
const SUCCESSION: &str = "succession ";
const GOOD: char = '+';
const BAD: char = '!';

/// How the machine stands with its server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The machine's id, once it is registered.
    #[serde(rename = "uuid")]
    pub machine: Option<MachineId>,
    /// Its name, or empty.
    pub name: String,
    /// Id of the server that proved itself, or empty.
    pub server_id: String,
    /// Thumbprint of the key in use, as the server knows it.
    pub thumbprint: String,
    /// What keeps it from being registered, in words; empty while nothing does.
    pub reason: String,
    /// The bootstrap code that an operator may approve it by, or empty.
    pub code: String,
}

/// Why nothing is handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// Nobody listens, or not as expected.
    #[error("cannot ask the agent at {path}; it listens there while it runs, and answers root alone")]
    Ask {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The agent says no.
    #[error("{0}")]
    Refused(String),
    /// The answer is not what this version understands.
    #[error("the agent's answer is not understood; use the same version of both programs")]
    Odd,
    /// There is no key.
    #[error(transparent)]
    Key(#[from] IdentityError),
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Who the machine is, as its agent says.
///
/// # Errors
/// [`HandoverError`] when there is no agent.
pub fn identity() -> Result<Standing, HandoverError> {
    identity_at(Path::new(FOLDER))
}

fn identity_at(folder: &Path) -> Result<Standing, HandoverError> {
    serde_json::from_slice(ask(folder, IDENTITY)?.as_bytes()).map_err(|_| HandoverError::Odd)
}

/// Makes the machine's next key in `out`: `machine.key` and `succession`, readable by root alone. The folder is
/// made where it is missing. The key in use stays the machine's until the new one is used.
///
/// # Errors
/// [`HandoverError`]; a machine that is not registered has nothing to hand over.
pub fn succession(out: &Path) -> Result<KeyThumbprint, HandoverError> {
    succession_at(Path::new(FOLDER), out)
}

fn succession_at(folder: &Path, out: &Path) -> Result<KeyThumbprint, HandoverError> {
    let (next, _) = Identity::establish(None)?;
    let statement = ask(folder, &format!("{SUCCESSION}{}", next.thumbprint()))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        put(&path, bytes).map_err(|source| HandoverError::Write { path, source })
    };
    // The key first: a statement without it is of no use to anybody.
    write(KEY_NAME, next.secret().reveal())?;
    write(STATEMENT_NAME, statement.as_bytes())?;
    Ok(next.thumbprint())
}

/// Writes a file that root alone may read, whole or not at all, in a folder that is made where it is missing.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.try_exists()? {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

fn ask(folder: &Path, question: &str) -> Result<String, HandoverError> {
    let path = folder.join(SOCKET);
    let talk = || {
        let mut caller = Caller::connect(&path)?;
        caller.set_read_timeout(Some(PATIENCE))?;
        caller.write_all(format!("{question}\n").as_bytes())?;
        let mut answer = String::new();
        caller.take(MAX_ANSWER).read_to_string(&mut answer)?;
        Ok::<String, io::Error>(answer)
    };
    let answer = talk().map_err(|source| HandoverError::Ask { path: path.clone(), source })?;
    let answer = answer.strip_suffix('\n').ok_or(HandoverError::Odd)?;
    match (answer.strip_prefix(GOOD), answer.strip_prefix(BAD)) {
        (Some(good), _) => Ok(good.to_owned()),
        (None, Some(why)) => Err(HandoverError::Refused(why.to_owned())),
        (None, None) => Err(HandoverError::Odd),
    }
}

/// Nobody can ask who the machine is.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {path}; the machine's key cannot be handed over")]
pub(crate) struct DoorError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A socket in a folder that root alone may enter; one that another agent left there is replaced.
pub(crate) fn listen(folder: &Path, name: &str) -> io::Result<UnixListener> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    let path = folder.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => UnixListener::bind(path),
    }
}

/// Answers whoever asks, one after another. Ends with an error only.
///
/// # Errors
/// [`DoorError`].
pub(crate) async fn serve(
    folder: PathBuf,
    identity: Arc<Identity>,
    standing: watch::Receiver<Standing>,
) -> Result<(), DoorError> {
    let failed = |source| DoorError { path: folder.join(SOCKET), source };
    let listener = listen(&folder, SOCKET).map_err(failed)?;
    loop {
        let (caller, _) = listener.accept().await.map_err(failed)?;
        let now = standing.borrow().clone();
        // A caller that went away or says nothing is none of ours.
        drop(timeout(PATIENCE, answer(caller, &identity, now)).await);
    }
}

async fn answer(mut caller: UnixStream, identity: &Identity, standing: Standing) -> io::Result<()> {
    let mut question = Vec::new();
    let mut byte = [0; 1];
    let mut rest = (&mut caller).take(MAX_QUESTION);
    while rest.read(&mut byte).await? == 1 && byte != *b"\n" {
        question.extend(byte);
    }
    let answer = match reply(&String::from_utf8_lossy(&question), identity, standing) {
        Ok(good) => format!("{GOOD}{good}\n"),
        Err(why) => format!("{BAD}{}\n", why.replace('\n', " ")),
    };
    caller.write_all(answer.as_bytes()).await
}

fn reply(question: &str, identity: &Identity, standing: Standing) -> Result<String, String> {
    let standing = Standing { thumbprint: identity.thumbprint().to_string(), ..standing };
    if question == IDENTITY {
        return serde_json::to_string(&standing).map_err(|error| chain(&error));
    }
    let successor = question.strip_prefix(SUCCESSION).ok_or("the question is not understood")?;
    let successor: KeyThumbprint = successor.parse().map_err(|_| "that is no key's thumbprint")?;
    let machine = standing.machine.ok_or_else(|| {
        let why = if standing.reason.is_empty() { "it still asks" } else { &standing.reason };
        format!("this machine is not registered, so its key has no successor: {why}")
    })?;
    sign_succession(identity, &standing.server_id, machine, successor).map_err(|error| chain(&error))
}

/// `muster-agent identity`: prints how the machine stands as JSON; not well when it is not registered. With
/// `--wait SECONDS` the same in words, as soon as the machine is registered or needs a person.
pub(crate) fn identity_command(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    match (arguments.next().as_deref(), arguments.next().map(|text| text.parse::<u64>())) {
        (None, _) => match identity() {
            Ok(standing) => {
                let is_registered = standing.machine.is_some();
                let code = told(serde_json::to_string(&standing).map_err(|_| HandoverError::Odd));
                if is_registered { code } else { ExitCode::FAILURE }
            }
            Err(error) => told(Err(error)),
        },
        (Some("--wait"), Some(Ok(seconds))) => {
            told(await_standing(Duration::from_secs(seconds.min(MAX_WAIT))))
        }
        (Some(_), _) => told(Err(HandoverError::Refused("usage: identity [--wait SECONDS]".into()))),
    }
}

fn await_standing(most: Duration) -> Result<String, HandoverError> {
    let end = Instant::now() + most;
    loop {
        let outcome = identity();
        let settled =
            outcome.as_ref().is_ok_and(|standing| standing.machine.is_some() || !standing.code.is_empty());
        if settled || Instant::now() >= end {
            return outcome.and_then(in_words);
        }
        std::thread::sleep(ASK_AGAIN);
    }
}

fn in_words(standing: Standing) -> Result<String, HandoverError> {
    let Standing { machine, name, reason, code, .. } = standing;
    let reason = if reason.is_empty() { "the server did not answer yet" } else { &reason };
    match machine {
        Some(machine) => Ok(format!("Registered as {name} ({machine})")),
        None if code.is_empty() => Err(HandoverError::Refused(format!("not registered: {reason}"))),
        None => Err(HandoverError::Refused(format!(
            "not registered: {reason}; an operator can approve this machine by the code {code}"
        ))),
    }
}

/// `muster-agent succession --out DIR`: makes the machine's next key there, and prints its thumbprint.
pub(crate) fn succession_command(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let outcome = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--out"), Some(out)) => succession(Path::new(&out)).map(|thumbprint| thumbprint.to_string()),
        (_, _) => Err(HandoverError::Refused("usage: succession --out DIR".to_owned())),
    };
    told(outcome)
}

fn told(outcome: Result<String, HandoverError>) -> ExitCode {
    let written = match &outcome {
        Ok(text) => writeln!(io::stdout(), "{text}"),
        Err(error) => writeln!(io::stderr(), "muster-agent: {}", chain(error)),
    };
    if outcome.is_ok() && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::proof;
    use protocol::token::base64url;
    use ring::signature::{ED25519, UnparsedPublicKey};

    /// A folder where an agent listens that stands like this.
    async fn agent(standing: Standing) -> (tempfile::TempDir, Arc<Identity>) {
        let folder = tempfile::tempdir().unwrap();
        let identity = Arc::new(Identity::establish(None).unwrap().0);
        let listens = folder.path().join(SOCKET);
        let path = folder.path().to_owned();
        let (key, standing) = (identity.clone(), watch::channel(standing).1);
        tokio::spawn(async move { serve(path, key, standing).await });
        while !listens.exists() {
            tokio::task::yield_now().await;
        }
        (folder, identity)
    }

    fn registered() -> Standing {
        let machine = Some("0b4f9c9e-8f5e-4f4e-9d6e-1a2b3c4d5e6f".parse().unwrap());
        Standing { machine, name: "db-07".into(), server_id: "dc1".into(), ..Standing::default() }
    }

    async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    #[tokio::test]
    async fn the_agent_tells_who_the_machine_is_and_signs_for_a_key_it_never_sees() {
        let (folder, identity) = agent(registered()).await;
        let at = folder.path().to_owned();
        let standing = beside(move || identity_at(&at)).await.unwrap();
        assert_eq!(standing, Standing { thumbprint: identity.thumbprint().to_string(), ..registered() });

        let (at, out) = (folder.path().to_owned(), folder.path().join("etc/muster"));
        let made = out.clone();
        let thumbprint = beside(move || succession_at(&at, &made)).await.unwrap();
        let (next, _) = Identity::from_file(&out.join(KEY_NAME), None).unwrap();
        assert_eq!(next.thumbprint(), thumbprint);
        for (file, mode) in
            [(out.clone(), 0o700), (out.join(KEY_NAME), 0o600), (out.join(STATEMENT_NAME), 0o600)]
        {
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, mode, "{file:?}");
        }
        let statement = proof::parse(&fs::read_to_string(out.join(STATEMENT_NAME)).unwrap()).unwrap();
        UnparsedPublicKey::new(&ED25519, identity.public())
            .verify(&statement.signing_input, &statement.signature)
            .unwrap();
        let digest = base64url(&crate::identity::sha256(thumbprint.to_string().as_bytes()));
        assert_eq!(protocol::succession::machine(&statement.claims, "dc1", &digest), registered().machine);
    }

    #[test]
    fn people_are_told_in_words() {
        assert_eq!(
            in_words(registered()).unwrap(),
            "Registered as db-07 (0b4f9c9e-8f5e-4f4e-9d6e-1a2b3c4d5e6f)"
        );
        let waits = Standing { reason: "E40 expired".into(), code: "K7P-3XB".into(), ..Standing::default() };
        let told = in_words(waits).unwrap_err().to_string();
        assert_eq!(
            told,
            "not registered: E40 expired; an operator can approve this machine by the code K7P-3XB"
        );
        assert!(in_words(Standing::default()).unwrap_err().to_string().contains("did not answer"));
    }

    #[tokio::test]
    async fn a_machine_without_a_server_hands_nothing_over_and_says_why() {
        let reason = "E40 the bootstrap token expired".to_owned();
        let (folder, _) = agent(Standing { reason, ..Standing::default() }).await;
        let (at, out) = (folder.path().to_owned(), folder.path().join("out"));
        let made = out.clone();
        let refused = beside(move || succession_at(&at, &made)).await.unwrap_err();
        assert!(refused.to_string().contains("E40 the bootstrap token expired"), "{refused}");
        assert!(!out.exists());
        for question in ["", "what", "succession x"] {
            let at = folder.path().to_owned();
            assert!(matches!(beside(move || ask(&at, question)).await, Err(HandoverError::Refused(_))));
        }
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
