//! nginx 1.22 over HTTPS: how fast a plain file can be served here at all.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
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

/// A running nginx; ended by its process id when dropped.
#[derive(Debug)]
pub(crate) struct Nginx {
    process: Process,
    pub(crate) url: String,
    pub(crate) version: String,
    /// Its certificate, which nobody else signed.
    pub(crate) certificate: Vec<u8>,
}

impl Nginx {
    /// Why it cannot run here.
    pub(crate) fn available() -> Result<(), String> {
        ROOM.available()
    }

    /// Serves one file over HTTPS on a loopback address.
    pub(crate) fn serve(stage: &Stage, file: &Path, folder: &Path) -> Result<Self> {
        let room = ROOM.open(stage)?;
        let port = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
            listener.local_addr().context("no free port")?.port()
        };
        let version = room.version("nginx-light", folder)?;
        let certificate = configure(&room, port, file)?;
        let args = ["-c", "/bench/nginx.conf", "-g", "daemon off; master_process off;"];
        let spec = Spec::new(Path::new("chroot"), folder, "nginx");
        let spec = spec.args([room.file("/")]).args(["/usr/sbin/nginx"]).args(args);
        let mut process = spec.start()?;
        wait::until("nginx to listen", READY_WITHIN, || {
            if let Some(status) = process.ended()? {
                anyhow::bail!("nginx ended with {status}: see {}", process.stderr().display());
            }
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(()))
        })?;
        let url = format!("https://127.0.0.1:{port}/image.iso");
        Ok(Self { process, url, version, certificate })
    }

    /// Its only process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// Writes configuration, file and certificate into the room; gives the certificate back.
fn configure(room: &Room, port: u16, file: &Path) -> Result<Vec<u8>> {
    let base = room.empty("/bench")?;
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
    write(&base.join("key.pem"), signing_key.serialize_pem())?;
    write(&base.join("cert.pem"), cert.pem())?;
    std::fs::create_dir(base.join("files")).context("cannot make a folder")?;
    std::fs::copy(file, base.join("files/image.iso")).context("cannot copy the image")?;
    let config = format!(
        "user root; pid /bench/nginx.pid; error_log stderr;\nevents {{}}\nhttp {{\n  access_log off; sendfile on;\n  \
         server {{\n    listen 127.0.0.1:{port} ssl;\n    ssl_certificate /bench/cert.pem;\n    \
         ssl_certificate_key /bench/key.pem;\n    ssl_protocols TLSv1.3;\n    root /bench/files;\n  }}\n}}\n"
    );
    write(&base.join("nginx.conf"), config)?;
    Ok(cert.pem().into_bytes())
}
