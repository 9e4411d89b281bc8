//! nginx 1.22: how fast a plain file can be served here at all, over HTTPS and over plain HTTP.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use harness::process::{Process, Spec};
use harness::wait;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::room::{Plan, Room};
use crate::stage::{Stage, write};

const ROOM: Plan = Plan { name: "nginx", packages: "nginx-light" };
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running nginx; ended with all its workers when dropped.
#[derive(Debug)]
pub(crate) struct Nginx {
    process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) version: String,
    /// Its certificate, which nobody else signed; empty where it speaks plain HTTP.
    pub(crate) certificate: Vec<u8>,
}

impl Nginx {
    /// Why it cannot run here.
    pub(crate) fn available() -> Result<(), String> {
        ROOM.available()
    }

    /// Serves one file over HTTPS on a loopback address, as [`Nginx::url`], from one process.
    pub(crate) fn serve(stage: &Stage, file: &Path, folder: &Path) -> Result<Self> {
        let room = ROOM.open(stage)?;
        let (base, address) = (room.empty("/bench")?, free_address()?);
        let names = vec![address.ip().to_string()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
        write(&base.join("key.pem"), signing_key.serialize_pem())?;
        write(&base.join("cert.pem"), cert.pem())?;
        copy(file, &base.join("files/image.iso"))?;
        let config = format!(
            "user root; pid /bench/nginx.pid; error_log stderr; daemon off; master_process off;\nevents {{}}\nhttp {{\n  \
             access_log off; sendfile on;\n  server {{\n    listen {address} ssl;\n    \
             ssl_certificate /bench/cert.pem;\n    ssl_certificate_key /bench/key.pem;\n    \
             ssl_protocols TLSv1.3;\n    root /bench/files;\n  }}\n}}\n"
        );
        Self::start(&room, folder, address, &config, cert.pem().into_bytes())
    }

    /// Serves a folder's files over plain HTTP on a loopback address: Debian's own settings
    /// (`sendfile`, `tcp_nopush`), a worker for each processor, each with a queue of its own.
    pub(crate) fn serve_plain(stage: &Stage, files: &Path, folder: &Path) -> Result<Self> {
        let room = ROOM.open(stage)?;
        let (base, address) = (room.empty("/bench")?, free_address()?);
        for entry in fs::read_dir(files).with_context(|| format!("cannot read {}", files.display()))? {
            let entry = entry?;
            copy(&entry.path(), &base.join("files").join(entry.file_name()))?;
        }
        let config = format!(
            "user root; pid /bench/nginx.pid; error_log stderr; daemon off; worker_processes auto;\n\
             events {{ worker_connections 768; }}\nhttp {{\n  access_log off; sendfile on; tcp_nopush on;\n  \
             keepalive_requests 1000000;\n  \
             server {{\n    listen {address} reuseport;\n    root /bench/files;\n  }}\n}}\n"
        );
        Self::start(&room, folder, address, &config, Vec::new())
    }

    fn start(
        room: &Room,
        folder: &Path,
        address: SocketAddr,
        config: &str,
        certificate: Vec<u8>,
    ) -> Result<Self> {
        write(&room.file("/bench/nginx.conf"), config)?;
        let version = room.version("nginx-light", folder)?;
        // In a process namespace of its own: the workers end with the first process, however it ends.
        let spec = Spec::new(Path::new("unshare"), folder, "nginx");
        let spec = spec.args(["--pid", "--fork", "--kill-child=KILL", "chroot"]).args([room.file("/")]);
        let mut process = spec.args(["/usr/sbin/nginx", "-c", "/bench/nginx.conf"]).start()?;
        wait::until("nginx to listen", READY_WITHIN, || {
            if let Some(status) = process.ended()? {
                anyhow::bail!("nginx ended with {status}: see {}", process.stderr().display());
            }
            Ok(TcpStream::connect(address).is_ok().then_some(()))
        })?;
        Ok(Self { process, address, version, certificate })
    }

    /// Where the file is that it serves over HTTPS.
    pub(crate) fn url(&self) -> String {
        format!("https://{}/image.iso", self.address)
    }

    /// The process that all of it descends from.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    listener.local_addr().context("no free port")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
