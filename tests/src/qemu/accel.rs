//! Which accelerator works here: found out by running a machine, not by looking at a device
//! file (`/dev/kvm` exists on many hosts that refuse to run anything).

use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::Spec;
use crate::wait;

/// How QEMU runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The processor does.
    Kvm,
    /// QEMU translates them.
    Tcg,
}

impl Accel {
    /// QEMU's arguments.
    #[must_use]
    pub fn args(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg", "-cpu", "max"],
        }
    }
}

static FOUND: LazyLock<Accel> = LazyLock::new(|| match probe() {
    Ok(true) => Accel::Kvm,
    // A probe that cannot even start means no KVM; a broken QEMU shows at the first boot.
    Ok(false) | Err(_) => Accel::Tcg,
});

/// The accelerator that works here, probed once.
#[must_use]
pub fn accel() -> Accel {
    *FOUND
}

/// What UEFI firmware needs under a working KVM is a second or two; a broken one never speaks.
const FIRMWARE_SPEAKS_WITHIN: Duration = Duration::from_secs(6);

/// Boots UEFI firmware under KVM until it prints something. A boot sector proves less: there
/// are hosts whose KVM runs real mode and hangs in the firmware's long mode.
fn probe() -> Result<bool> {
    if !Path::new("/dev/kvm").exists() {
        return Ok(false);
    }
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let serial = folder.path().join("serial.log");
    let mut args: Vec<OsString> = Accel::Kvm.args().iter().map(OsString::from).collect();
    args.extend(
        ["-machine", "q35", "-m", "128", "-nodefaults", "-display", "none", "-drive"].map(OsString::from),
    );
    args.push("if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd".into());
    args.push("-serial".into());
    args.push(format!("file:{}", serial.display()).into());
    let mut qemu = Spec::new(Path::new("qemu-system-x86_64"), folder.path(), "qemu").args(args).start()?;
    let spoke = wait::until("the KVM probe", FIRMWARE_SPEAKS_WITHIN, || {
        let spoke = std::fs::metadata(&serial).is_ok_and(|metadata| metadata.len() > 0);
        if spoke || qemu.ended()?.is_some() { Ok(Some(spoke)) } else { Ok(None) }
    });
    // Silence until the deadline is an answer too.
    Ok(spoke.unwrap_or(false))
}
