//! Turning the machine off and on: what asks for it, and how it is done.
//!
//! Asked for by Ctrl-Alt-Del (the kernel is told to send SIGINT to PID 1 instead of rebooting at
//! once), by the power button (`KEY_POWER` from any input device), by busybox's `reboot`,
//! `poweroff` and `halt` (SIGTERM, SIGUSR2, SIGUSR1) and by SIGPWR.

use crate::kexec;
use crate::sys;
use crate::uevents::{Heard, Listener, UeventError};
use futures_util::FutureExt;
use futures_util::future::{pending, select_all};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::reboot::{RebootMode, reboot, set_cad_enabled};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};

/// Input devices as sysfs knows them.
const INPUTS: &str = "/sys/class/input";
/// `EV_KEY` of `include/uapi/linux/input-event-codes.h`.
const EV_KEY: u16 = 1;
/// `KEY_POWER` of the same file.
const KEY_POWER: u16 = 116;
/// Size of `struct input_event` on 64-bit machines, in bytes.
const EVENT_LEN: usize = 24;
/// How long processes have to end before they are killed.
const GRACE: Duration = Duration::from_millis(500);
/// How long dirty data may take to reach the disks; a dead disk must not hold the reboot.
const SYNC_DEADLINE: Duration = Duration::from_secs(10);

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// Start again.
    Reboot,
    /// Switch off.
    Off,
    /// Stop and stay.
    Halt,
}

/// Why power requests are not all heard, or not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PowerError {
    /// A signal handler cannot be had.
    #[error("cannot hear signals; Ctrl-Alt-Del and reboot do nothing")]
    Signals(#[source] io::Error),
    /// Device events cannot be heard.
    #[error("cannot find power buttons that appear later")]
    Buttons(#[source] UeventError),
    /// The kernel does not do it.
    #[error("the kernel refuses to change power; switch the machine off by hand")]
    Refused(#[source] Errno),
}

/// Makes Ctrl-Alt-Del a request (SIGINT) instead of an immediate reset. Only PID 1 may.
///
/// # Errors
/// [`PowerError::Refused`].
pub(crate) fn take_ctrl_alt_del() -> Result<(), PowerError> {
    set_cad_enabled(false).map_err(PowerError::Refused)
}

/// Hears every request for power.
#[derive(Debug)]
pub(crate) struct Requests {
    signals: Vec<(tokio::signal::unix::Signal, Power)>,
    /// None in an installed system, which has somebody of its own for them.
    buttons: Option<Buttons>,
}

impl Requests {
    /// Begins to listen. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// [`PowerError`]; without it the machine still has its power switch.
    pub(crate) fn listen() -> Result<Self, PowerError> {
        let power_failure = SignalKind::from_raw(Signal::SIGPWR as i32);
        Ok(Self {
            signals: vec![
                on(SignalKind::interrupt(), Power::Reboot)?,
                on(SignalKind::terminate(), Power::Reboot)?,
                on(SignalKind::user_defined2(), Power::Off)?,
                on(SignalKind::user_defined1(), Power::Halt)?,
                on(power_failure, Power::Off)?,
            ],
            buttons: Some(Buttons::find()?),
        })
    }

    /// Those to a service: to stop.
    ///
    /// # Errors
    /// [`PowerError::Signals`].
    pub(crate) fn of_service() -> Result<Self, PowerError> {
        let signals =
            vec![on(SignalKind::interrupt(), Power::Halt)?, on(SignalKind::terminate(), Power::Halt)?];
        Ok(Self { signals, buttons: None })
    }

    /// Waits for the next request. Cancel safe.
    pub(crate) async fn next(&mut self) -> Power {
        let waits = self.signals.iter_mut().map(|(signal, power)| {
            async move {
                match signal.recv().await {
                    Some(()) => *power,
                    None => pending().await,
                }
            }
            .boxed()
        });
        tokio::select! {
            (power, ..) = select_all(waits) => power,
            () = async {
                match &mut self.buttons {
                    Some(buttons) => buttons.pressed().await,
                    None => pending().await,
                }
            } => Power::Off,
        }
    }
}

fn on(kind: SignalKind, power: Power) -> Result<(tokio::signal::unix::Signal, Power), PowerError> {
    Ok((signal(kind).map_err(PowerError::Signals)?, power))
}

/// Power buttons of the machine, those that appear later included.
#[derive(Debug)]
struct Buttons {
    listener: Listener,
    devices: Vec<(String, AsyncFd<File>)>,
    broken: BTreeSet<String>,
}

/// What woke [`Buttons::pressed`].
enum Woken {
    Pressed,
    Gone(usize),
    LookAgain,
}

impl Buttons {
    fn find() -> Result<Self, PowerError> {
        // Listen first, then look: what appears in between is heard.
        let listener = Listener::open().map_err(PowerError::Buttons)?;
        let mut buttons = Self { listener, devices: Vec::new(), broken: BTreeSet::new() };
        buttons.look();
        Ok(buttons)
    }

    /// Opens the power buttons that are there and not open yet.
    fn look(&mut self) {
        for name in devices_with_power_key(Path::new(INPUTS)) {
            if self.broken.contains(&name) || self.devices.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(nix::libc::O_NONBLOCK)
                .open(Path::new("/dev/input").join(&name));
            match file.and_then(sys::watch) {
                Ok(file) => self.devices.push((name, file)),
                // Without a device file there is nothing to hear; do not try at every event.
                Err(_cause) => {
                    self.broken.insert(name);
                }
            }
        }
    }

    /// Waits until a power button is pressed. Cancel safe: an event is read whole or not at all.
    async fn pressed(&mut self) {
        loop {
            match self.woken().await {
                Woken::Pressed => return,
                Woken::Gone(position) => drop(self.devices.swap_remove(position)),
                Woken::LookAgain => self.look(),
            }
        }
    }

    async fn woken(&mut self) -> Woken {
        let presses = self
            .devices
            .iter()
            .enumerate()
            .map(|(position, (_, file))| {
                async move {
                    match pressed_on(file).await {
                        Ok(()) => Woken::Pressed,
                        Err(_unplugged) => Woken::Gone(position),
                    }
                }
                .boxed()
            })
            // An endless one, since select_all wants at least one.
            .chain([pending().boxed()]);
        let listener = &mut self.listener;
        let appears = async move {
            loop {
                match listener.next().await {
                    Ok(Heard::Event(event)) if event.subsystem == "input" => return,
                    Ok(Heard::Overrun) => return,
                    Ok(Heard::Event(_)) => {}
                    // Buttons that are open still work.
                    Err(_no_more_events) => pending().await,
                }
            }
        };
        tokio::select! {
            (woken, ..) = select_all(presses) => woken,
            () = appears => Woken::LookAgain,
        }
    }
}

/// Waits until this device says that its power key went down.
async fn pressed_on(device: &AsyncFd<File>) -> io::Result<()> {
    let mut buffer = [0; EVENT_LEN * 16];
    loop {
        let mut ready = device.readable().await?;
        match ready.try_io(|file| file.get_ref().read(&mut buffer)) {
            Err(_would_block) => {}
            Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(len)) => {
                let events = buffer.get(..len).unwrap_or_default();
                if events.chunks_exact(EVENT_LEN).any(is_power_press) {
                    return Ok(());
                }
            }
            Ok(Err(error)) => return Err(error),
        }
    }
}

/// Whether an input event is the power key going down. Layout: 16 bytes of time, then type,
/// code and value.
fn is_power_press(event: &[u8]) -> bool {
    let word =
        |at: usize| event.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let value = event.get(20..24).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    (word(16), word(18), value) == (Some(EV_KEY), Some(KEY_POWER), Some(1))
}

/// Event devices whose key bitmap has the power key.
fn devices_with_power_key(inputs: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(inputs) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("event"))
        .filter(|name| {
            fs::read_to_string(inputs.join(name).join("device/capabilities/key"))
                .is_ok_and(|bitmap| has_bit(&bitmap, KEY_POWER))
        })
        .collect();
    names.sort();
    names
}

/// Whether a sysfs bitmap (64-bit words in hexadecimal, highest first) has a bit set.
fn has_bit(bitmap: &str, bit: u16) -> bool {
    bitmap
        .split_whitespace()
        .rev()
        .nth(usize::from(bit / 64))
        .and_then(|word| u64::from_str_radix(word, 16).ok())
        .is_some_and(|word| word >> (bit % 64) & 1 == 1)
}

/// Does it: ends processes, writes what is dirty, lets go of disks, and tells the kernel. Blocks
/// for at most about eleven seconds; the screen must have its last words before.
///
/// # Errors
/// [`PowerError::Refused`]: it came back, so the machine still runs.
pub(crate) fn carry_out(power: Power) -> Result<Infallible, PowerError> {
    end_processes();
    sync_within(SYNC_DEADLINE);
    release_disks();
    let mode = match power {
        // A job left a kernel there to be started.
        Power::Reboot if kexec::is_loaded() => RebootMode::RB_KEXEC,
        Power::Reboot => RebootMode::RB_AUTOBOOT,
        Power::Off => RebootMode::RB_POWER_OFF,
        Power::Halt => RebootMode::RB_HALT_SYSTEM,
    };
    reboot(mode).map_err(PowerError::Refused)
}

/// Ends every process but this one, politely first. ESRCH means that there is none.
fn end_processes() {
    let everybody = Pid::from_raw(-1);
    if kill(everybody, Signal::SIGTERM).is_ok() {
        std::thread::sleep(GRACE);
        if kill(everybody, Signal::SIGKILL).is_ok() {
            std::thread::sleep(GRACE);
        }
    }
}

fn sync_within(deadline: Duration) {
    let (done, wait) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("sync".to_owned()).spawn(move || {
        nix::unistd::sync();
        // Nobody listens any more after the deadline.
        done.send(()).unwrap_or(());
    });
    // Either outcome leads to the reboot: written, or a disk that does not answer.
    if thread.is_ok() && wait.recv_timeout(deadline).is_err() {
        note("disks do not take their data, going on without");
    }
}

/// Leaves a line in the kernel log, which pstore may carry over the reboot.
fn note(text: &str) {
    // Without a kernel log there is nobody left to tell.
    crate::kmsg::say(text).unwrap_or(());
}

/// Unmounts every file system on a disk, the deepest first; what is busy becomes read-only.
fn release_disks() {
    let Ok(table) = fs::read_to_string("/proc/self/mountinfo") else { return };
    for target in disk_mounts(&table).iter().rev() {
        if umount2(target.as_str(), MntFlags::empty()).is_err() {
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            // The data was synced before; a file system that stays writable is checked next time.
            if mount(None::<&str>, target.as_str(), None::<&str>, flags, None::<&str>).is_err() {
                note(&format!("{target} is still in use"));
            }
        }
    }
}

/// Mount points of file systems whose source is a device file, in the order of the table
/// (`proc(5)`, mountinfo).
fn disk_mounts(mountinfo: &str) -> Vec<String> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let target = left.split(' ').nth(4)?;
            let source = right.split(' ').nth(1)?;
            source.starts_with("/dev/").then(|| target.replace("\\040", " "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(code.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes
    }

    #[test]
    fn only_the_power_key_going_down_counts() {
        assert!(is_power_press(&event(EV_KEY, KEY_POWER, 1)));
        for other in
            [event(EV_KEY, KEY_POWER, 0), event(EV_KEY, 30, 1), event(0, KEY_POWER, 1), vec![1; 8], vec![]]
        {
            assert!(!is_power_press(&other), "{other:?}");
        }
    }

    #[test]
    fn power_buttons_are_known_by_their_key_bitmap() {
        let folder = tempfile::tempdir().unwrap();
        for (name, keys) in [
            ("event0", "10000000000000 0"),
            ("event1", "402000000 12803078f800d1 feffffdfffefffff"),
            ("event2", "1f0000 0 0 0 0"),
            ("input0", "10000000000000 0"),
        ] {
            let directory = folder.path().join(name).join("device/capabilities");
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("key"), format!("{keys}\n")).unwrap();
        }
        assert_eq!(devices_with_power_key(folder.path()), ["event0", "event1"]);
        assert!(!has_bit("zz", KEY_POWER) && !has_bit("", KEY_POWER));
    }

    #[test]
    fn only_file_systems_on_disks_are_let_go() {
        let table = "22 1 0:20 / /proc rw - proc proc rw\n\
            30 1 8:1 / /mnt/my\\040disk rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            31 30 8:2 / /mnt/my\\040disk/boot rw - vfat /dev/sda2 rw\nbroken line\n";
        assert_eq!(disk_mounts(table), ["/mnt/my disk", "/mnt/my disk/boot"]);
    }

    #[tokio::test]
    async fn requests_can_be_listened_for_without_being_pid_1() {
        let mut requests = Requests::listen().unwrap();
        let quiet = tokio::time::timeout(Duration::ZERO, requests.next()).await;
        assert!(quiet.is_err(), "nobody pressed anything");
    }
}
