//! grub-mkrescue: the usual way to a hybrid ISO, with kernel and ramdisk of ours inside.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::contest::Driver;
use crate::measure::Call;
use crate::record::{Metric, Sample};
use crate::room::{Plan, Room};
use crate::stage::{Stage, Subject, number, read, write};

const ROOM: Plan =
    Plan { name: "grub-mkrescue", packages: "grub-common,grub-pc-bin,grub-efi-amd64-bin,xorriso,mtools" };
const TREE: &str = "/bench/tree";
const IMAGE: &str = "/bench/image.iso";
const MENU: &str = "menuentry Muster { linux /boot/vmlinuz quiet\n initrd /boot/initrd.img }\n";

/// Makes an ISO with grub-mkrescue.
#[derive(Debug)]
pub(crate) struct GrubMkrescue<'a> {
    stage: &'a Stage,
    subject: &'a Subject,
    room: Option<Room>,
    folder: PathBuf,
}

impl<'a> GrubMkrescue<'a> {
    pub(crate) fn new(stage: &'a Stage, subject: &'a Subject) -> Self {
        Self { stage, subject, room: None, folder: PathBuf::new() }
    }
}

impl Driver for GrubMkrescue<'_> {
    fn name(&self) -> &str {
        ROOM.name
    }

    fn available(&self) -> Result<(), String> {
        ROOM.available()
    }

    fn setup(&mut self) -> Result<()> {
        self.folder = self.stage.folder(ROOM.name)?;
        let room = ROOM.open(self.stage)?;
        let tree = room.empty(TREE)?;
        let copy = |from: &str, to: &str| write(&tree.join(to), read(&self.subject.path(from))?);
        copy(image_builder::KERNEL_FILE, "boot/vmlinuz")?;
        copy(image_builder::INITRD_FILE, "boot/initrd.img")?;
        write(&tree.join("boot/grub/grub.cfg"), MENU)?;
        self.room = Some(room);
        Ok(())
    }

    fn version(&self) -> Result<Option<String>> {
        self.room.as_ref().context("the room is not open")?.version("grub-common", &self.folder).map(Some)
    }

    fn run(&mut self) -> Result<Sample> {
        let room = self.room.as_ref().context("the room is not open")?;
        let call = room.call("grub-mkrescue").args(["--output", IMAGE, TREE]);
        let mut sample = call.measured(&self.folder, "grub-mkrescue")?;
        sample.insert(Metric::Overhead, overhead(&room.file(IMAGE), self.subject, &self.folder)?);
        Ok(sample)
    }
}

/// Bytes of a hybrid image beside our kernel and ramdisk, once xorriso finds it bootable by BIOS
/// and UEFI.
pub(crate) fn overhead(image: &Path, subject: &Subject, folder: &Path) -> Result<f64> {
    let call = Call::new("xorriso").arg("-indev").arg(image).args(["-report_el_torito", "plain"]);
    let report = call.output(folder, "xorriso")?;
    let boots =
        |platform: &str| report.lines().any(|line| line.contains("boot img") && line.contains(platform));
    ensure!(boots(" BIOS ") && boots(" UEFI "), "xorriso finds {} not bootable:\n{report}", image.display());
    let len = image.metadata().with_context(|| format!("cannot read {}", image.display()))?.len();
    let payload = subject.size(image_builder::KERNEL_FILE)? + subject.size(image_builder::INITRD_FILE)?;
    Ok(number(len) - number(payload))
}
