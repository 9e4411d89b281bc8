//! Debian's `docker-registry`, as it was unpacked by `scripts/setup`, on the loopback address, with a user and a password.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::run;
use crate::process::{Process, Spec};
use crate::{output, wait};

/// Who may pull and push.
const USER: &str = "puller";
/// Longest start.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A registry. Ended when dropped.
#[derive(Debug)]
pub struct Registry {
    server: Process,
    address: SocketAddr,
    password: String,
}

impl Registry {
    /// Starts an empty one whose files lie in `folder`.
    ///
    /// # Errors
    /// When it does not start; with what it said.
    pub fn start(folder: &Path, password: &str) -> Result<Self> {
        fs::create_dir_all(folder).context("cannot make a folder")?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = address.context("no free port")?;
        let users = folder.join("htpasswd");
        fs::write(&users, htpasswd(password)?).context("cannot write the users")?;
        let config = folder.join("config.yml");
        fs::write(&config, configuration(folder, address, &users)).context("cannot write a configuration")?;
        let program = output::cache_dir()?.join("daemons/usr/bin/docker-registry");
        let mut server = Spec::new(&program, folder, "registry").args(["serve"]).args([&config]).start()?;
        wait::until("docker-registry", READY_WITHIN, || {
            if let Some(status) = server.ended()? {
                let said = fs::read_to_string(server.stderr()).context("cannot read the registry's log")?;
                bail!(
                    "docker-registry ended with {status} (run scripts/setup):\n{}",
                    output::tail(&said, 10)
                );
            }
            Ok(TcpStream::connect(address).is_ok().then_some(()))
        })?;
        Ok(Self { server, address, password: password.to_owned() })
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The user that may pull and push.
    #[must_use]
    pub fn user(&self) -> &'static str {
        USER
    }

    /// Pushes an image of an OCI layout with skopeo; gives its reference.
    ///
    /// # Errors
    /// When skopeo fails; with what it said.
    pub fn push(&self, layout: &Path, tag: &str, name: &str) -> Result<String> {
        let reference = format!("{}/{name}", self.host());
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]);
        command.arg(format!("--dest-creds={USER}:{}", self.password));
        run(command.arg(format!("oci:{}:{tag}", layout.display())).arg(format!("docker://{reference}")))?;
        Ok(reference)
    }

    /// The lines of its access log.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn requests(&self) -> Result<Vec<String>> {
        let log = fs::read_to_string(self.server.stdout()).context("cannot read the registry's log")?;
        Ok(log
            .lines()
            .filter(|line| line.contains("\"GET ") || line.contains("\"HEAD "))
            .map(str::to_owned)
            .collect())
    }
}

/// A line of a password file, in bcrypt: the registry knows nothing else.
fn htpasswd(password: &str) -> Result<Vec<u8>> {
    let mut child = Command::new("htpasswd")
        .args(["-n", "-i", "-B", "-C", "4", USER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run htpasswd (run scripts/setup)")?;
    child.stdin.take().context("no pipe")?.write_all(password.as_bytes()).context("cannot tell htpasswd")?;
    let output = child.wait_with_output().context("htpasswd did not end")?;
    if !output.status.success() {
        bail!("htpasswd ended with {}", output.status);
    }
    Ok(output.stdout)
}

fn configuration(folder: &Path, address: SocketAddr, users: &Path) -> String {
    format!(
        "version: 0.1\nlog:\n  accesslog:\n    disabled: false\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
         http:\n  addr: {address}\nauth:\n  htpasswd:\n    realm: test\n    path: {}\n",
        folder.join("storage").display(),
        users.display()
    )
}
