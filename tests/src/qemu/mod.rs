//! Virtual machines: QEMU with real firmware, booted from the media under test.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use tests::qemu::{Boot, Firmware, Vm};
//! # fn main() -> anyhow::Result<()> {
//! let mut vm = Vm::builder("uefi-cd").firmware(Firmware::Uefi).boot(Boot::Cd("muster.iso".into())).start()?;
//! let code = vm.wait_for_code(Duration::from_secs(90))?;
//! assert_eq!(vm.screen()?.find_code(), Some(code));
//! # Ok(())
//! # }
//! ```
//!
//! KVM is used where a probe machine really ran under it, TCG elsewhere. The serial console
//! goes to a file, is read while it grows, and every failed wait shows its last lines and
//! where a screenshot was saved. Dropping a [`Vm`] kills its QEMU by pid.

mod accel;
mod builder;
mod disk;
mod font;
mod qmp;
mod serial;
mod shell;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use protocol::code::BootstrapCode;
use protocol::ids::MachineId;
use serde_json::json;
use tempfile::TempDir;

pub use accel::{Accel, accel};
pub use builder::{Boot, Firmware, Idle, Network, Nic, VmBuilder};
pub use disk::Disk;
pub use font::font;
pub use serial::SerialReader;
pub use shell::{SIT_DOWN, Said, Shell};

use crate::lab::{Cable, Port};
use crate::output;
use crate::pcap::{self, Capture, Frame};
use crate::process::Process;
use crate::screen::Screen;
use crate::wait;
use qmp::Qmp;

/// Address at which a machine on QEMU's user network reaches the host's loopback.
pub const HOST_FROM_GUEST: &str = "10.0.2.2";
/// What stands before the code on the serial console (`architecture.md` 3).
pub const CODE_LINE: &str = "Bootstrap code: ";
/// What stands before name and UUID after approval.
pub const REGISTERED_LINE: &str = "Registered as ";
/// Lines of the serial console that a failure shows.
const SHOWN_LINES: usize = 40;

/// Who a machine says it became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uuid: MachineId,
}

/// A running virtual machine.
#[derive(Debug)]
pub struct Vm {
    name: String,
    process: Process,
    qmp: Qmp,
    folder: PathBuf,
    serial: SerialReader,
    lines: Vec<String>,
    /// First line that waits look at: those of the current boot.
    cursor: usize,
    started: Instant,
    capture: Option<PathBuf>,
    /// Network cards in a lab's sockets.
    cards: usize,
    /// Socket of the serial console, where somebody sits at it.
    keyboard: Option<PathBuf>,
    typing: Option<UnixStream>,
    /// Socket of the second serial line, where there is one.
    second_line: Option<PathBuf>,
    /// Holds the QMP socket and the firmware variables.
    _private: TempDir,
}

impl Vm {
    /// Describes a machine; `name` also names its folder under `target/e2e-output/`.
    #[must_use]
    pub fn builder(name: &str) -> VmBuilder {
        VmBuilder::new(name)
    }

    /// Process id of its QEMU.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Folder with its serial log and screenshots.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// When it was powered on.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// A reader of its own over the serial console, from power-on: for showing it to people.
    #[must_use]
    pub fn serial_reader(&self) -> SerialReader {
        SerialReader::new(self.serial.path())
    }

    /// Every complete line the serial console printed since the last (re)boot, without
    /// control sequences.
    ///
    /// # Errors
    /// When the serial log cannot be read.
    pub fn lines(&mut self) -> Result<&[String]> {
        self.lines.extend(self.serial.new_lines()?);
        Ok(self.lines.get(self.cursor..).unwrap_or_default())
    }

    /// Waits for a line that `pick` accepts.
    ///
    /// # Errors
    /// After `within`, or when QEMU ends: with the last serial lines and a screenshot's path.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        within: Duration,
        pick: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let found = wait::until(what, within, || {
            if let Some(found) = self.lines()?.iter().find_map(|line| pick(line)) {
                return Ok(Some(found));
            }
            if let Some(status) = self.process.ended()? {
                bail!("{what}: QEMU ended with {status}");
            }
            Ok(None)
        });
        found.map_err(|error| self.failed(&error))
    }

    /// Waits for a line that contains `text` and gives it back.
    ///
    /// # Errors
    /// As [`Vm::wait_for`].
    pub fn wait_for_text(&mut self, text: &str, within: Duration) -> Result<String> {
        let what = format!("{text:?} on the console of {}", self.name);
        self.wait_for(&what, within, |line| line.contains(text).then(|| line.to_owned()))
    }

    /// Everything on the serial console since the last (re)boot or [`Vm::look_from_here`] as one line
    /// with single blanks: sentences are whole, wherever the console broke them.
    ///
    /// # Errors
    /// When the serial log cannot be read.
    pub fn said(&mut self) -> Result<String> {
        let words: Vec<&str> = self.lines()?.iter().flat_map(|line| line.split_whitespace()).collect();
        Ok(words.join(" "))
    }

    /// Waits until the serial console has said `text`, wherever it broke it.
    ///
    /// # Errors
    /// As [`Vm::wait_for`].
    pub fn wait_for_words(&mut self, text: &str, within: Duration) -> Result<()> {
        let what = format!("{text:?} on the console of {}", self.name);
        let found = wait::until(&what, within, || {
            if let Some(status) = self.process.ended()? {
                bail!("{what}: QEMU ended with {status}");
            }
            Ok(self.said()?.contains(text).then_some(()))
        });
        found.map_err(|error| self.failed(&error))
    }

    /// Waits until the serial console has printed `text` since power-on, also in a line that has not ended: a prompt.
    ///
    /// # Errors
    /// As [`Vm::wait_for`].
    pub fn wait_for_prompt(&mut self, text: &str, within: Duration) -> Result<()> {
        let what = format!("the prompt {text:?} on the console of {}", self.name);
        let (mut reader, mut printed) = (self.serial_reader(), Vec::new());
        let found = wait::until(&what, within, || {
            if let Some(status) = self.process.ended()? {
                bail!("{what}: QEMU ended with {status}");
            }
            printed.extend(reader.new_bytes()?);
            Ok(String::from_utf8_lossy(&printed).contains(text).then_some(()))
        });
        found.map_err(|error| self.failed(&error))
    }

    /// Waits look only at what the serial console prints from now on.
    ///
    /// # Errors
    /// When the serial log cannot be read.
    pub fn look_from_here(&mut self) -> Result<()> {
        self.lines.extend(self.serial.new_lines()?);
        self.cursor = self.lines.len();
        Ok(())
    }

    /// Waits for the bootstrap code on the serial console: the newest, when it was replaced.
    ///
    /// # Errors
    /// As [`Vm::wait_for`].
    pub fn wait_for_code(&mut self, within: Duration) -> Result<BootstrapCode> {
        let what = format!("a bootstrap code on the console of {}", self.name);
        self.wait_for(&what, within, code_of)?;
        let newest = self.lines()?.iter().rev().find_map(|line| code_of(line));
        newest.context("the code's line went away")
    }

    /// Waits until the console says whom the machine became.
    ///
    /// # Errors
    /// As [`Vm::wait_for`].
    pub fn wait_for_registration(&mut self, within: Duration) -> Result<Registered> {
        let what = format!("{REGISTERED_LINE:?} on the console of {}", self.name);
        self.wait_for(&what, within, registered_of)
    }

    /// What the machine's screen shows now.
    ///
    /// # Errors
    /// When QEMU does not answer or draws no picture.
    pub fn screen(&mut self) -> Result<Screen> {
        let file = self.folder.join("screen.ppm");
        self.qmp.execute("screendump", json!({ "filename": file }))?;
        let bytes = std::fs::read(&file).context("QEMU left no screenshot")?;
        std::fs::remove_file(&file).context("cannot remove the raw screenshot")?;
        Screen::from_ppm(&bytes)
    }

    /// Saves what the screen shows as `LABEL.png` in the machine's folder.
    ///
    /// # Errors
    /// As [`Vm::screen`], or when the file cannot be written.
    pub fn save_screenshot(&mut self, label: &str) -> Result<PathBuf> {
        let path = self.folder.join(format!("{label}.png"));
        let png = self.screen()?.to_png();
        std::fs::write(&path, png).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Waits until the screen shows a code in large letters, and saves it as `code.png`.
    ///
    /// # Errors
    /// After `within`, with the last serial lines and a screenshot's path.
    pub fn wait_for_code_on_screen(&mut self, within: Duration) -> Result<BootstrapCode> {
        let what = format!("a code in large letters on the screen of {}", self.name);
        let found = wait::until(&what, within, || Ok(self.screen()?.find_code()));
        let code = found.map_err(|error| self.failed(&error))?;
        self.save_screenshot("code")?;
        Ok(code)
    }

    /// Presses the reset button. Waits look only at what comes after it.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn reset(&mut self) -> Result<()> {
        self.qmp.execute("system_reset", json!({}))?;
        self.look_from_here()
    }

    /// Presses Ctrl-Alt-Del: the running system decides what to do. Waits look only at what
    /// comes after it.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn reset_by_keyboard(&mut self) -> Result<()> {
        self.press_keys(&["ctrl", "alt", "delete"])?;
        self.look_from_here()
    }

    /// Waits until the screen shows `text`, wherever it broke it, and saves it as `LABEL.png`. For
    /// screens in VGA's text mode: BIOS machines.
    ///
    /// # Errors
    /// After `within`, with what the screen shows, the last serial lines and a screenshot's path.
    pub fn wait_for_words_on_screen(&mut self, text: &str, label: &str, within: Duration) -> Result<()> {
        let what = format!("{text:?} on the screen of {}", self.name);
        let mut shown = String::new();
        let found = wait::until(&what, within, || {
            let rows = self.screen()?.text(font()?);
            shown = rows.join("\n");
            // A QR code stands beside the text, not in it.
            let words = rows.iter().flat_map(|row| row.split_whitespace());
            let words: Vec<&str> = words.filter(|word| !word.contains(char::REPLACEMENT_CHARACTER)).collect();
            Ok(words.join(" ").contains(text).then_some(()))
        });
        let found = found.with_context(|| format!("the screen shows:\n{shown}"));
        found.map_err(|error| self.failed(&error))?;
        self.save_screenshot(label).map(drop)
    }

    /// Pulls the cable of card number `card`, or plugs it in again.
    ///
    /// # Errors
    /// When QEMU does not answer, or there is no such card.
    pub fn set_cable(&mut self, card: usize, plugged: bool) -> Result<()> {
        self.qmp.execute("set_link", json!({ "name": format!("nic{card}"), "up": plugged })).map(drop)
    }

    /// Puts another card into the running machine, in a socket of its lab; its number is the next.
    ///
    /// # Errors
    /// When the socket is no plain tap, or QEMU refuses.
    pub fn hotplug(&mut self, port: &Port) -> Result<()> {
        let Cable::Tap(tap) = &port.cable else { bail!("a trunk cannot be plugged into a running machine") };
        let (cable, card) = (format!("net{}", self.cards), format!("nic{}", self.cards));
        let arguments =
            json!({ "type": "tap", "id": cable, "ifname": tap, "script": "no", "downscript": "no" });
        self.qmp.execute("netdev_add", arguments)?;
        let arguments = json!({ "driver": Nic::Virtio.model(), "id": card, "netdev": cable, "mac": port.mac, "romfile": "" });
        self.qmp.execute("device_add", arguments)?;
        self.cards += 1;
        Ok(())
    }

    /// Types on the serial console, and Enter.
    ///
    /// # Errors
    /// When nobody sits there ([`VmBuilder::typed_at`]), or QEMU takes nothing.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        self.type_text(&format!("{line}\r"))
    }

    /// Types on the serial console.
    ///
    /// # Errors
    /// As [`Vm::type_line`].
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        if self.typing.is_none() {
            let path = self.keyboard.as_ref().context("nobody sits at this serial console")?;
            let socket = UnixStream::connect(path).context("cannot reach the serial console")?;
            let mut output = socket.try_clone().context("no handle")?;
            // What it prints is read from the log; unread here, it would hold the console up.
            std::thread::spawn(move || {
                let mut buffer = [0; 4_096];
                while matches!(output.read(&mut buffer), Ok(count) if count > 0) {}
            });
            self.typing = Some(socket);
        }
        let socket = self.typing.as_mut().context("nobody sits at this serial console")?;
        socket.write_all(text.as_bytes()).context("the serial console takes nothing")
    }

    /// The shell that sits at the second serial line ([`SIT_DOWN`]).
    ///
    /// # Errors
    /// When there is no such line ([`VmBuilder::second_line`]).
    pub fn shell(&self) -> Result<Shell> {
        Shell::connect(self.second_line.as_deref().context("this machine has no second serial line")?)
    }

    /// Presses the power button (ACPI).
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn press_power_button(&mut self) -> Result<()> {
        self.qmp.execute("system_powerdown", json!({})).map(drop)
    }

    /// Presses keys together, by QEMU's names: `["ctrl", "alt", "delete"]`.
    ///
    /// # Errors
    /// When QEMU does not answer or does not know a key.
    pub fn press_keys(&mut self, keys: &[&str]) -> Result<()> {
        let keys: Vec<_> = keys.iter().map(|key| json!({ "type": "qcode", "data": key })).collect();
        self.qmp.execute("send-key", json!({ "keys": keys })).map(drop)
    }

    /// Pulls the plug: QEMU is killed. Files stay.
    ///
    /// # Errors
    /// When QEMU cannot be killed.
    pub fn cut_power(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Whether QEMU still runs; a guest that powers off ends it.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.ended()?.is_none())
    }

    /// Waits until the machine has powered itself off.
    ///
    /// # Errors
    /// After `within`, with the last serial lines and a screenshot's path.
    pub fn wait_for_power_off(&mut self, within: Duration) -> Result<()> {
        let ended = self.process.wait(within);
        ended.map(drop).map_err(|error| self.failed(&error))
    }

    /// What went over its network so far; only after [`VmBuilder::capture_network`].
    ///
    /// # Errors
    /// When nothing was captured.
    pub fn network(&self) -> Result<Capture> {
        pcap::read(self.capture.as_deref().context("this machine's network is not captured")?)
    }

    /// Every frame that went over its network so far; only after [`VmBuilder::capture_network`].
    ///
    /// # Errors
    /// When nothing was captured.
    pub fn frames(&self) -> Result<Vec<Frame>> {
        pcap::frames(self.capture.as_deref().context("this machine's network is not captured")?)
    }

    /// Adds to an error what people need to see: the end of the serial log and a screenshot.
    pub fn failed(&mut self, error: &anyhow::Error) -> anyhow::Error {
        let picture = match self.save_screenshot("failed") {
            Ok(path) => path.display().to_string(),
            Err(why) => format!("none ({why:#})"),
        };
        let lines = match self.lines() {
            Ok(lines) => output::tail(&lines.join("\n"), SHOWN_LINES),
            Err(why) => format!("    {why:#}\n"),
        };
        let log = self.serial.path().display().to_string();
        let qemu = std::fs::read_to_string(self.process.stderr()).unwrap_or_default();
        anyhow!(
            "{error:#}\n  serial console ({log}):\n{lines}  screenshot: {picture}\n  QEMU said: {}",
            output::tail(&qemu, 5).trim_start()
        )
    }
}

fn code_of(line: &str) -> Option<BootstrapCode> {
    let (_, text) = line.split_once(CODE_LINE)?;
    text.get(..7)?.parse().ok()
}

fn registered_of(line: &str) -> Option<Registered> {
    let (_, rest) = line.split_once(REGISTERED_LINE)?;
    let (name, rest) = rest.rsplit_once(" (")?;
    let uuid = rest.split(')').next()?.parse().ok()?;
    Some(Registered { name: name.to_owned(), uuid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_lines_are_read_with_and_without_a_time_stamp() {
        let code = "K7P-3XB".parse().unwrap();
        assert_eq!(code_of("Bootstrap code: K7P-3XB"), Some(code));
        assert_eq!(code_of("[  3.41] Bootstrap code: K7P-3XB "), Some(code));
        assert_eq!(code_of("Bootstrap code: K7P-3X"), None);
        assert_eq!(code_of("Bootstrap code expired"), None);
    }

    #[test]
    fn a_registration_names_machine_and_uuid() {
        let line = "Registered as web (1).example (0e8ffb0d-44b1-4a3a-9d1c-3f2f2d1a9b11)";
        let registered = registered_of(line).unwrap();
        assert_eq!(registered.name, "web (1).example");
        assert_eq!(registered.uuid.to_string(), "0e8ffb0d-44b1-4a3a-9d1c-3f2f2d1a9b11");
        assert_eq!(registered_of("Registered as web"), None);
    }
}
