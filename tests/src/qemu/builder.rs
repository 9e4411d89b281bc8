//! Describes a virtual machine and starts QEMU for it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Accel, Disk, SerialReader, Vm, accel, qmp::Qmp};
use crate::lab::{Cable, Port};
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
    /// What the network of its first card tells the firmware to boot, then its first disk. Under BIOS
    /// that is the card's ROM, iPXE; under UEFI the firmware's own network stack.
    Network(Network),
    /// Its first disk: there is no medium.
    Disk,
}

/// How UEFI firmware boots from the network; a BIOS knows PXE alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// PXE: DHCP tells a file, which is loaded by TFTP.
    Pxe,
    /// HTTP Boot: DHCP tells a URL. PXE comes first in OVMF's own order and is switched off.
    Http,
}

/// A network card's model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nic {
    /// Paravirtual.
    Virtio,
    /// Intel 82574L, as on real boards.
    E1000e,
}

/// What a machine whose clock counts instructions does while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Its clock jumps to the next timer: the same boot takes the same time on every run, and
    /// whatever answers from outside the machine answers too late.
    Skipped,
    /// Its clock goes on with the real one, so that a server outside can answer.
    Real,
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
    ports: Vec<Port>,
    typed_at: bool,
    second_line: bool,
    serial_number: Option<String>,
    clock: Option<String>,
    disks: Vec<Disk>,
    instruction_clock: Option<Idle>,
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
            ports: Vec::new(),
            typed_at: false,
            second_line: false,
            serial_number: None,
            clock: None,
            disks: Vec::new(),
            instruction_clock: None,
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

    /// Adds a network card in a lab's socket, instead of one on QEMU's user network. Cards are
    /// numbered in this order, from 0.
    #[must_use]
    pub fn plug(mut self, port: Port) -> Self {
        self.nic = None;
        self.ports.push(port);
        self
    }

    /// Somebody sits at its serial console: [`Vm::type_line`].
    #[must_use]
    pub fn typed_at(mut self) -> Self {
        self.typed_at = true;
        self
    }

    /// It has a second serial line, where a shell may sit: [`Vm::shell`].
    #[must_use]
    pub fn second_line(mut self) -> Self {
        self.second_line = true;
        self
    }

    /// Hardware address of the network card on QEMU's user network.
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

    /// Adds a virtio disk: what is booted after the medium, in this order.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// This disk instead of those that it has.
    #[must_use]
    pub fn only_disk(mut self, disk: Disk) -> Self {
        self.disks = vec![disk];
        self
    }

    /// Its clock counts executed instructions, one a nanosecond (QEMU's `-icount`): what it says
    /// about its boot does not depend on how busy this computer is. Without KVM.
    #[must_use]
    pub fn instruction_clock(mut self, idle: Idle) -> Self {
        self.instruction_clock = Some(idle);
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
        let has_network = self.nic.is_some() || !self.ports.is_empty();
        let capture = (self.capture && has_network).then(|| folder.join("network.pcap"));
        let mut args = self.machine_args(private.path())?;
        args.extend(self.boot_args()?);
        args.extend(self.device_args(capture.as_deref()));
        let keyboard = private.path().join("serial");
        args.extend(self.serial_args(&serial, &keyboard));
        let second_line = self.second_line.then(|| private.path().join("second"));
        args.extend(second_line.iter().flat_map(|path| second_line_args(path)));
        args.push("-qmp".into());
        args.push(joined("unix:", &socket));
        if let Some(last) = args.last_mut() {
            last.push(",server=on,wait=off");
        }
        args.push("-pidfile".into());
        args.push(folder.join("qemu.pid").into());

        let started = Instant::now();
        let mut spec = Spec::new(Path::new("qemu-system-x86_64"), &folder, "qemu").args(args);
        if let Some(port) = self.ports.first() {
            spec = spec.in_network(&port.namespace);
        }
        let mut process = spec.start()?;
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
            cards: self.ports.len(),
            keyboard: self.typed_at.then_some(keyboard),
            typing: None,
            second_line,
            _private: private,
        })
    }

    fn machine_args(&self, private: &Path) -> Result<Vec<OsString>> {
        let mut args = words(&["-nodefaults", "-no-user-config", "-display", "none", "-vga", "std"]);
        match self.instruction_clock {
            None => args.extend(words(&accel().args())),
            Some(idle) => {
                let sleep = if idle == Idle::Real { "on" } else { "off" };
                args.extend(words(&Accel::Tcg.args()));
                args.extend(words(&["-icount", &format!("shift=0,sleep={sleep}")]));
            }
        }
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
            Boot::Network(_) if self.ports.is_empty() => {
                bail!("{} is plugged into no network that it could boot from", self.name)
            }
            Boot::Network(Network::Pxe) | Boot::Disk => Ok(Vec::new()),
            Boot::Network(Network::Http) => Ok(["IPv4PXESupport", "IPv6PXESupport"]
                .iter()
                .flat_map(|name| words(&["-fw_cfg", &format!("name=opt/org.tianocore/{name},string=n")]))
                .collect()),
        }
    }

    /// The serial console always ends in a file; a keyboard makes it a socket as well.
    fn serial_args(&self, log: &Path, keyboard: &Path) -> Vec<OsString> {
        let mut device = if self.typed_at {
            let mut device = joined("socket,id=serial0,server=on,wait=off,path=", keyboard);
            device.push(",logfile=");
            device
        } else {
            "file,id=serial0,path=".into()
        };
        device.push(log);
        vec!["-chardev".into(), device, "-serial".into(), "chardev:serial0".into()]
    }

    fn device_args(&self, capture: Option<&Path>) -> Vec<OsString> {
        let mut args = Vec::new();
        if let Some(nic) = self.nic {
            // Without a ROM the card cannot take part in booting: one medium, one path.
            let device = format!("{},netdev=net0,mac={},romfile=", nic.model(), self.mac);
            args.extend(words(&["-netdev", "user,id=net0", "-device", &device]));
        } else if self.ports.is_empty() {
            args.extend(words(&["-nic", "none"]));
        }
        let by_network = matches!(self.boot, Some(Boot::Network(_)));
        for (index, port) in self.ports.iter().enumerate() {
            // QEMU notes a capture's frames with the header of the card's offloads, where it has one.
            let offloads = if capture.is_some() { ",vnet_hdr=off" } else { "" };
            args.extend(port_args(index, port, offloads, self.part_in_boot(index, by_network)));
        }
        if let Some(path) = capture {
            args.push("-object".into());
            args.push(joined("filter-dump,id=dump0,netdev=net0,maxlen=256,file=", path));
        }
        args.extend(self.disks.iter().enumerate().flat_map(|(index, disk)| disk.args(index)));
        args
    }

    /// What a card's device says of booting. Without a ROM a card cannot take part in it, but by the
    /// network stack that UEFI firmware has itself.
    fn part_in_boot(&self, card: usize, by_network: bool) -> &'static str {
        match (by_network && card == 0, self.firmware) {
            (false, _) => ",romfile=",
            (true, Firmware::Bios) => ",bootindex=0",
            (true, Firmware::Uefi | Firmware::SecureBoot) => ",romfile=,bootindex=0",
        }
    }
}

impl Nic {
    /// QEMU's name of the model.
    pub(super) fn model(self) -> &'static str {
        match self {
            Self::Virtio => "virtio-net-pci",
            Self::E1000e => "e1000e",
        }
    }
}

/// A card in a lab's socket: `netN` is its cable, `nicN` the card.
fn port_args(index: usize, port: &Port, offloads: &str, boot: &str) -> Vec<OsString> {
    let tap = |id: &str, name: &str| format!("tap,id={id},ifname={name},script=no,downscript=no{offloads}");
    let mut args = vec![OsString::from("-netdev")];
    match &port.cable {
        Cable::Tap(name) => args.push(tap(&format!("net{index}"), name).into()),
        Cable::Trunk { tap: name, guest, lab } => {
            let stream = |id: &str, path: &Path| {
                joined(&format!("stream,id={id}{index},server=off,addr.type=unix,addr.path="), path)
            };
            args.push(stream("net", guest));
            args.extend(["-netdev".into(), stream("far", lab)]);
            args.extend(["-netdev".into(), tap(&format!("tap{index}"), name).into()]);
            for end in ["far", "tap"] {
                let hub = format!("hubport,id=hub{end}{index},hubid={index},netdev={end}{index}");
                args.extend(["-netdev".into(), hub.into()]);
            }
        }
    }
    let model = Nic::Virtio.model();
    let device = format!("{model},id=nic{index},netdev=net{index},mac={}{boot}", port.mac);
    args.extend(["-device".into(), device.into()]);
    args
}

fn second_line_args(socket: &Path) -> [OsString; 4] {
    let device = joined("socket,id=serial1,server=on,wait=off,path=", socket);
    ["-chardev".into(), device, "-serial".into(), "chardev:serial1".into()]
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
