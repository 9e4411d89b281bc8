//! A folder over plain HTTP by Debian's nginx, as it was unpacked by `scripts/setup`.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Host;
use crate::process::Process;
use crate::{output, wait};

/// Longest start.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// A web server on port 80 of a host. Ended when dropped.
#[derive(Debug)]
pub struct Nginx {
    server: Process,
}

impl Nginx {
    /// Serves `folder`.
    ///
    /// # Errors
    /// When it does not start; with what it said.
    pub fn start(host: &Host, folder: &Path) -> Result<Self> {
        let program = output::cache_dir()?.join("daemons/usr/sbin/nginx");
        let private = folder.with_extension("nginx");
        fs::create_dir_all(&private).context("cannot make a folder")?;
        let config = private.join("nginx.conf");
        let address = SocketAddr::from((host.address(), 80));
        fs::write(&config, configuration(&private, address, folder))
            .context("cannot write a configuration")?;
        let server = host.program(&program, "nginx");
        let mut server =
            server.args(["-e", "stderr", "-p"]).args([&private]).args(["-c"]).args([&config]).start()?;
        wait::until("nginx", READY_WITHIN, || {
            if let Some(status) = server.ended()? {
                let said = fs::read_to_string(server.stderr()).context("cannot read nginx's log")?;
                bail!("nginx ended with {status} (run scripts/setup):\n{}", output::tail(&said, 10));
            }
            Ok(host.namespace().inside(move || TcpStream::connect(address).is_ok())?.then_some(()))
        })?;
        Ok(Self { server })
    }

    /// The lines of its access log: the request's first line, the status, the bytes sent.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn requests(&self) -> Result<Vec<String>> {
        let log = fs::read_to_string(self.server.stdout()).context("cannot read nginx's access log")?;
        Ok(log.lines().map(str::to_owned).collect())
    }
}

fn configuration(private: &Path, address: SocketAddr, folder: &Path) -> String {
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {}/{name};\n", private.display()))
        .collect();
    format!(
        "daemon off; master_process off; pid {}/pid; error_log stderr;\nevents {{}}\n\
         http {{\n{paths}log_format plain '$request $status $body_bytes_sent';\n\
         access_log /dev/stdout plain;\nserver {{ listen {address}; root {}; }}\n}}\n",
        private.display(),
        folder.display()
    )
}
