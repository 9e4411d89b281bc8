//! Describes a virtual machine and starts QEMU for it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{SerialReader, Vm, accel, qmp::Qmp};
use crate::process::{Process, Spec};
use crate::{output, wait};

/// Debian's folder of UEFI firmware (package `ovmf`).
const OVMF: &str = "/usr/share/OVMF";

/// What starts the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS on an i440FX board.
    Bios,
    /// OVMF on a Q35 board.
    Uefi,
    /// OVMF with Secure Boot on and Microsoft's keys, on a Q35 board with SMM.
    SecureBoot,
}

/// What the machine boots.
#[derive(Debug, Clone)]
pub enum Boot {
    /// An ISO in an optical drive.
    Cd(PathBuf),
    /// An ISO written to a USB stick (xHCI); writes to it are thrown away.
    Usb(PathBuf),
    /// A kernel handed over by QEMU, as a network boot loader would.
    Kernel {
        /// Kernel image.
        kernel: PathBuf,
        /// Initial RAM disk.
        initrd: PathBuf,
        /// Command line; QEMU hangs beyond 2,047 bytes, so longer ones are refused.
        append: String,
    },
}

/// A network card's model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nic {
    /// Paravirtual.
    Virtio,
    /// Intel 82574L, as on real boards.
    E1000e,
}

/// A virtual disk beside the boot medium.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Raw image, opened for writing.
    pub image: PathBuf,
    /// Serial number the guest sees.
    pub serial: String,
}

/// A machine to be.
#[derive(Debug, Clone)]
pub struct VmBuilder {
    name: String,
    firmware: Firmware,
    variables: Option<PathBuf>,
    boot: Option<Boot>,
    memory_mib: u32,
    cpus: u32,
    nic: Option<Nic>,
    mac: String,
    serial_number: Option<String>,
    clock: Option<String>,
    disks: Vec<Disk>,
    capture: bool,
}

impl VmBuilder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            firmware: Firmware::Bios,
            variables: None,
            boot: None,
            memory_mib: 1_024,
            cpus: 1,
            nic: Some(Nic::Virtio),
            mac: "52:54:00:12:34:56".to_owned(),
            serial_number: None,
            clock: None,
            disks: Vec::new(),
            capture: false,
        }
    }

    /// Firmware; BIOS unless given.
    #[must_use]
    pub fn firmware(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self
    }

    /// File that keeps the UEFI firmware's variables when the machine is gone, made when missing;
    /// a fresh set unless given.
    #[must_use]
    pub fn variables(mut self, file: &Path) -> Self {
        self.variables = Some(file.to_path_buf());
        self
    }

    /// What it boots. Without it the machine does not start.
    #[must_use]
    pub fn boot(mut self, boot: Boot) -> Self {
        self.boot = Some(boot);
        self
    }

    /// Memory in MiB; 1,024 unless given.
    #[must_use]
    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// Processors; 1 unless given.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Network card on QEMU's user network; virtio unless given.
    #[must_use]
    pub fn nic(mut self, nic: Nic) -> Self {
        self.nic = Some(nic);
        self
    }

    /// No network card at all.
    #[must_use]
    pub fn without_network(mut self) -> Self {
        self.nic = None;
        self
    }

    /// Hardware address of the network card.
    #[must_use]
    pub fn mac(mut self, mac: &str) -> Self {
        self.mac = mac.to_owned();
        self
    }

    /// SMBIOS serial number.
    #[must_use]
    pub fn serial_number(mut self, serial: &str) -> Self {
        self.serial_number = Some(serial.to_owned());
        self
    }

    /// What its real-time clock says at power-on, such as `1970-01-01T00:00:00`.
    #[must_use]
    pub fn clock(mut self, utc: &str) -> Self {
        self.clock = Some(utc.to_owned());
        self
    }

    /// Adds a virtio disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Keeps every frame for [`Vm::network`].
    #[must_use]
    pub fn capture_network(mut self) -> Self {
        self.capture = true;
        self
    }

    /// Powers it on.
    ///
    /// # Errors
    /// When a file is missing, or QEMU does not start: with what it said.
    pub fn start(self) -> Result<Vm> {
        let folder = output::folder(&self.name)?;
        let private =
            tempfile::Builder::new().prefix("muster-vm").tempdir().context("cannot make a folder")?;
        let serial = folder.join("serial.log");
        let socket = private.path().join("qmp");
        let capture = (self.capture && self.nic.is_some()).then(|| folder.join("network.pcap"));
        let mut args = self.machine_args(private.path())?;
        args.extend(self.boot_args()?);
        args.extend(self.device_args(capture.as_deref()));
        args.extend(words(&["-chardev"]));
        args.push(joined("file,id=serial0,path=", &serial));
        args.extend(words(&["-serial", "chardev:serial0", "-qmp"]));
        args.push(joined("unix:", &socket));
        if let Some(last) = args.last_mut() {
            last.push(",server=on,wait=off");
        }
        args.push("-pidfile".into());
        args.push(folder.join("qemu.pid").into());

        let started = Instant::now();
        let mut process = Spec::new(Path::new("qemu-system-x86_64"), &folder, "qemu").args(args).start()?;
        let qmp = match Qmp::connect(&socket, || still_runs(&mut process)) {
            Ok(qmp) => qmp,
            Err(error) => {
                let said = std::fs::read_to_string(process.stderr()).unwrap_or_default();
                bail!("{}: {error:#}; QEMU said: {}", self.name, said.trim());
            }
        };
        let serial = SerialReader::new(&serial);
        Ok(Vm {
            name: self.name,
            process,
            qmp,
            folder,
            serial,
            lines: Vec::new(),
            cursor: 0,
            started,
            capture,
            _private: private,
        })
    }

    fn machine_args(&self, private: &Path) -> Result<Vec<OsString>> {
        let mut args = words(&["-nodefaults", "-no-user-config", "-display", "none", "-vga", "std"]);
        args.extend(words(&accel().args()));
        args.extend(words(&["-name", &self.name, "-m", &self.memory_mib.to_string()]));
        args.extend(words(&["-smp", &self.cpus.to_string()]));
        let variables = self.variables.clone().unwrap_or_else(|| private.join("variables.fd"));
        match self.firmware {
            Firmware::Bios => args.extend(words(&["-machine", "pc"])),
            Firmware::Uefi => {
                args.extend(words(&["-machine", "q35"]));
                args.extend(flash("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", &variables)?);
            }
            Firmware::SecureBoot => {
                args.extend(words(&["-machine", "q35,smm=on"]));
                args.extend(words(&["-global", "driver=cfi.pflash01,property=secure,value=on"]));
                args.extend(words(&["-global", "ICH9-LPC.disable_s3=1"]));
                args.extend(flash("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd", &variables)?);
            }
        }
        if let Some(utc) = &self.clock {
            args.extend(words(&["-rtc", &format!("base={utc}")]));
        }
        if let Some(serial) = &self.serial_number {
            args.push("-smbios".into());
            // A comma inside a value is written twice.
            args.push(format!("type=1,serial={}", serial.replace(',', ",,")).into());
        }
        Ok(args)
    }

    fn boot_args(&self) -> Result<Vec<OsString>> {
        let boot = self.boot.as_ref().with_context(|| format!("{} has nothing to boot", self.name))?;
        let exists = |path: &Path| match path.is_file() {
            true => Ok(()),
            false => bail!("{} cannot boot {}: no such file", self.name, path.display()),
        };
        match boot {
            Boot::Cd(iso) => {
                exists(iso)?;
                let mut args = words(&["-drive"]);
                args.push(joined("if=none,id=cd,media=cdrom,format=raw,readonly=on,file=", iso));
                args.extend(words(&["-device", "ide-cd,drive=cd,bootindex=0"]));
                Ok(args)
            }
            Boot::Usb(image) => {
                exists(image)?;
                let mut args = words(&["-device", "qemu-xhci", "-drive"]);
                args.push(joined("if=none,id=stick,format=raw,snapshot=on,file=", image));
                args.extend(words(&["-device", "usb-storage,drive=stick,bootindex=0,removable=on"]));
                Ok(args)
            }
            Boot::Kernel { kernel, initrd, append } => {
                exists(kernel)?;
                exists(initrd)?;
                if append.len() > protocol::cmdline::MAX_CMDLINE {
                    bail!("{}: a command line of {} bytes makes QEMU hang", self.name, append.len());
                }
                Ok(vec![
                    "-kernel".into(),
                    kernel.into(),
                    "-initrd".into(),
                    initrd.into(),
                    "-append".into(),
                    append.into(),
                ])
            }
        }
    }

    fn device_args(&self, capture: Option<&Path>) -> Vec<OsString> {
        let mut args = Vec::new();
        match self.nic {
            None => args.extend(words(&["-nic", "none"])),
            Some(nic) => {
                let model = match nic {
                    Nic::Virtio => "virtio-net-pci",
                    Nic::E1000e => "e1000e",
                };
                // Without a ROM the card cannot take part in booting: one medium, one path.
                let device = format!("{model},netdev=net0,mac={},romfile=", self.mac);
                args.extend(words(&["-netdev", "user,id=net0", "-device", &device]));
            }
        }
        if let Some(path) = capture {
            args.push("-object".into());
            args.push(joined("filter-dump,id=dump0,netdev=net0,maxlen=256,file=", path));
        }
        for (index, disk) in self.disks.iter().enumerate() {
            args.push("-drive".into());
            args.push(joined(&format!("if=none,id=disk{index},format=raw,file="), &disk.image));
            let device = format!("virtio-blk-pci,drive=disk{index},serial={}", disk.serial);
            args.extend(words(&["-device", &device]));
        }
        args
    }
}

fn still_runs(process: &mut Process) -> Result<()> {
    match process.ended()? {
        None => Ok(()),
        Some(status) => {
            // Its last words may still be on their way to the file.
            wait::throughout(Duration::from_millis(50), || Ok(()))?;
            bail!("QEMU ended with {status}")
        }
    }
}

/// Firmware code, and a copy of its variables that this machine may write.
fn flash(code: &str, variables: &str, copy: &Path) -> Result<Vec<OsString>> {
    let from = Path::new(OVMF).join(variables);
    if !copy.exists() {
        std::fs::copy(&from, copy)
            .with_context(|| format!("cannot copy {}: install the package ovmf", from.display()))?;
    }
    let code = Path::new(OVMF).join(code);
    Ok(vec![
        "-drive".into(),
        joined("if=pflash,unit=0,format=raw,readonly=on,file=", &code),
        "-drive".into(),
        joined("if=pflash,unit=1,format=raw,file=", copy),
    ])
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn joined(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}
