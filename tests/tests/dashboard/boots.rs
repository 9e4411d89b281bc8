//! The two ways of a machine into the list, with virtual machines that boot what the browser downloaded: by
//! the code that is read from their console, and by the token that is on their kernel's command line.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tests::browser::{Question, Script};
use tests::media::{Media, Profile};
use tests::muster::Server;
use tests::qemu::{Boot, Disk, Vm};

use crate::world::{SCRIPT_WITHIN, World, read};

/// Power-on to a code or a name: 15 s when quiet, much more beside other machines and compilers.
const BOOTED_WITHIN: Duration = Duration::from_secs(150);
/// From what happens to its line on the console.
const SAID_WITHIN: Duration = Duration::from_secs(20);
/// Bytes of an empty disk.
const DISK: u64 = 6 << 30;

#[derive(Deserialize)]
struct Medium {
    iso: PathBuf,
}

/// What one of the machines is waited for to say.
#[derive(Deserialize)]
struct Words {
    machine: String,
    words: String,
}

#[derive(Deserialize)]
struct Files {
    kernel: PathBuf,
    initrd: PathBuf,
    /// What the boot menu passes to the kernel.
    arguments: String,
}

/// The machines of this test; the world is for everything else.
struct Machines {
    world: World,
    by_iso: Option<Vm>,
    by_pxe: Option<Vm>,
    disk: tempfile::TempDir,
}

impl Machines {
    fn answer(&mut self, question: &Question) -> Result<Value> {
        match question.what.as_str() {
            "a machine boots the ISO" => {
                let disk = self.disk.path().join("disk.raw");
                File::create(&disk).and_then(|file| file.set_len(DISK)).context("cannot make a disk")?;
                let builder = Vm::builder("dashboard-iso")
                    .boot(Boot::Cd(read::<Medium>(question)?.iso))
                    .mac("52:54:00:da:5b:01")
                    .serial_number("BOOTED-BY-ISO")
                    .disk(Disk::new(&disk, "SYSTEM-1"));
                self.by_iso = Some(builder.start()?);
                Ok(Value::Null)
            }
            "a machine boots the kernel" => {
                let Files { kernel, initrd, arguments } = read(question)?;
                let append = format!("quiet console=ttyS0 console=tty0 {arguments}");
                let builder = Vm::builder("dashboard-pxe")
                    .boot(Boot::Kernel { kernel, initrd, append })
                    .mac("52:54:00:da:5b:02")
                    .serial_number("BOOTED-BY-PXE");
                self.by_pxe = Some(builder.start()?);
                Ok(Value::Null)
            }
            "what the console shows" => self.console(),
            "the name on the console" => {
                let registered = self.vm(&read::<String>(question)?)?.wait_for_registration(BOOTED_WITHIN)?;
                Ok(json!({ "name": registered.name, "uuid": registered.uuid.to_string() }))
            }
            "the console says" => {
                let Words { machine, words } = read(question)?;
                self.vm(&machine)?.wait_for_words(&words, SAID_WITHIN).map(|()| Value::Null)
            }
            _ => self.world.answer(question),
        }
    }

    fn vm(&mut self, machine: &str) -> Result<&mut Vm> {
        let vm = match machine {
            "iso" => self.by_iso.as_mut(),
            "pxe" => self.by_pxe.as_mut(),
            _ => bail!("which machine is {machine}?"),
        };
        vm.context("it was not powered on")
    }

    /// Code and check, as somebody reads them in front of the machine.
    fn console(&mut self) -> Result<Value> {
        let vm = self.vm("iso")?;
        let code = vm.wait_for_code(BOOTED_WITHIN)?.to_string();
        let check = vm.wait_for_text("Check: ", BOOTED_WITHIN)?;
        let check = check.rsplit("Check: ").next().unwrap_or_default().trim().to_owned();
        Ok(json!({ "code": code, "check": check }))
    }
}

#[test]
fn machines_come_by_iso_and_by_network() {
    let media = Media::of(Profile::Cloud).unwrap();
    let world = World::of(Server::builder("dashboard-boots").media(media.folder()).movable_clock());
    let script = Script::of(&world.server, "real/boots.mjs").unwrap();
    let disk = tempfile::tempdir().unwrap();
    let mut machines = Machines { world, by_iso: None, by_pxe: None, disk };
    script.play(SCRIPT_WITHIN, |question| machines.answer(question)).unwrap();
}
