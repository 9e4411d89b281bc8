//! Virtual disks, also such as fail, and such as note what is written in which order.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A virtual disk (virtio) with a raw image that the machine writes.
#[derive(Debug, Clone)]
pub struct Disk {
    image: PathBuf,
    serial: String,
    fault: Option<Fault>,
    log: Option<PathBuf>,
}

/// How a disk fails (QEMU's `blkdebug`).
#[derive(Debug, Clone, Copy)]
struct Fault {
    errno: i32,
    sector: Option<u64>,
}

impl Disk {
    /// A disk with an image and the serial number that the machine sees.
    #[must_use]
    pub fn new(image: &Path, serial: &str) -> Self {
        Self { image: image.to_path_buf(), serial: serial.to_owned(), fault: None, log: None }
    }

    /// Writes fail with this error number: all of them, or those that touch a sector.
    #[must_use]
    pub fn failing(mut self, errno: i32, sector: Option<u64>) -> Self {
        self.fault = Some(Fault { errno, sector });
        self
    }

    /// Every write and flush is noted in a file, in order (`blklogwrites`, the format of dm-log-writes). The
    /// file is made.
    #[must_use]
    pub fn noted_in(mut self, log: &Path) -> Self {
        self.log = Some(log.to_path_buf());
        self
    }

    /// QEMU's arguments: what follows the boot medium in the order of booting.
    pub(super) fn args(&self, index: usize) -> Vec<OsString> {
        let mut args = Vec::new();
        let mut top =
            json!({ "driver": "file", "filename": self.image, "node-name": format!("file{index}") });
        if let Some(fault) = self.fault {
            let mut rule = json!({ "event": "write_aio", "iotype": "write", "errno": fault.errno });
            if let Some(sector) = fault.sector {
                rule["sector"] = Value::from(sector);
            }
            top = json!({ "driver": "blkdebug", "node-name": format!("fault{index}"), "image": top, "inject-error": [rule] });
        }
        if let Some(log) = &self.log {
            let log = json!({ "driver": "file", "filename": log, "node-name": format!("notes{index}") });
            top = json!({ "driver": "blklogwrites", "node-name": format!("noted{index}"), "file": top, "log": log });
        }
        let whole = json!({ "driver": "raw", "node-name": format!("disk{index}"), "file": top });
        args.extend(["-blockdev".into(), whole.to_string().into()]);
        let device = format!(
            "virtio-blk-pci,drive=disk{index},serial={},bootindex={},werror=report,rerror=report",
            self.serial,
            index + 1
        );
        args.extend(["-device".into(), device.into()]);
        args
    }
}
