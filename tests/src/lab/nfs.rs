//! An NFS export (version 3) by Debian's nfs-ganesha and rpcbind, which run in user space and as they
//! were unpacked by `scripts/setup`: installed they would serve the whole computer.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Host;
use crate::process::Process;
use crate::{output, wait};

/// Longest start.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// What the server logs when it serves.
const READY: &str = "NFS SERVER INITIALIZED";
/// rpcbind and ganesha keep files in `/run` and `/var/lib`, and rpcbind wants a user of its own: they
/// see folders of their own there. Arguments: the folder of the programs, the configuration.
const SCRIPT: &str = "set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/rpcbind /run/ganesha
{ cat /etc/passwd; echo _rpc:x:0:0::/run:/bin/false; } > /run/passwd
mount --bind /run/passwd /etc/passwd
mount -t tmpfs tmpfs /var/lib
mkdir -p /var/lib/nfs/ganesha
\"$1/sbin/rpcbind\" -f &
until [ -S /run/rpcbind.sock ]; do sleep 0.1; done
exec \"$1/usr/bin/ganesha.nfsd\" -F -L /dev/stderr -f \"$2\" -p /run/ganesha/pid
";

/// A folder that others on the network can read over NFS. Ended when dropped.
#[derive(Debug)]
pub struct Export {
    /// The portmapper is in a process namespace with it and ends with it.
    _server: Process,
}

impl Export {
    /// Exports `folder`, by the same path, read-only and to everybody on the network of `host`.
    ///
    /// # Errors
    /// When it does not start; with what it said.
    pub fn start(host: &Host, folder: &Path) -> Result<Self> {
        let programs = output::cache_dir()?.join("daemons");
        let config = folder.with_extension("ganesha.conf");
        fs::write(&config, configuration(&programs, folder)).context("cannot write a configuration")?;
        let mut server = host
            .program(Path::new("unshare"), "nfs")
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT, "nfs"])
            .args([&programs, &config])
            .env("LD_LIBRARY_PATH", programs.join("usr/lib/ganesha"))
            .start()?;
        let log = server.stderr().to_path_buf();
        wait::until("the NFS server", READY_WITHIN, || {
            let said = fs::read(&log).context("cannot read the NFS server's log")?;
            let said = String::from_utf8_lossy(&said);
            if let Some(status) = server.ended()? {
                bail!("the NFS server ended with {status} (run scripts/setup):\n{}", output::tail(&said, 10));
            }
            Ok(said.contains(READY).then_some(()))
        })?;
        Ok(Self { _server: server })
    }
}

fn configuration(programs: &Path, folder: &Path) -> String {
    let (programs, folder) = (programs.display(), folder.display());
    format!(
        "NFSV4 {{ UseGetpwnam = true; DomainName = \"lab\"; }}\n\
         NFS_CORE_PARAM {{ Protocols = 3; Enable_NLM = false; Enable_RQUOTA = false; mount_path_pseudo = false; \
         NFS_Port = 2049; MNT_Port = 20048; Plugins_Dir = \"{programs}/usr/lib/x86_64-linux-gnu/ganesha\"; }}\n\
         NFS_KRB5 {{ Active_krb5 = false; }}\n\
         EXPORT {{ Export_Id = 1; Path = \"{folder}\"; Pseudo = /export; Access_Type = RO; Squash = All_Squash; \
         SecType = sys, none; Protocols = 3; PrivilegedPort = false; FSAL {{ Name = VFS; }} }}\n"
    )
}
