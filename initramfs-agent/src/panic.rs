//! When PID 1 panics the kernel would stop with a screen of hexadecimal. Instead: the message
//! where people look, a countdown they can read by, a reboot (`panic=0` on the command line is
//! honoured by waiting for ever).
//!
//! The release build aborts after the hook, so the hook never returns. It uses nothing that
//! may be what panicked: plain files, plain sleeps.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::PanicHookInfo;
use std::thread::sleep;
use std::time::Duration;

const COUNTDOWN: u32 = 10;
const TERMINALS: [&str; 2] = ["/dev/tty0", "/dev/ttyS0"];

/// Takes over panics. For PID 1 only: it ends in a reboot.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        tell(&message(info));
        let stays = std::fs::read_to_string("/proc/cmdline")
            .is_ok_and(|line| line.split_ascii_whitespace().any(|word| word == "panic=0"));
        if stays {
            loop {
                sleep(Duration::from_secs(3_600));
            }
        }
        for left in (1..=COUNTDOWN).rev() {
            tell(&format!("Restarting in {left} s\r\n"));
            sleep(Duration::from_secs(1));
        }
        loop {
            // The direct way: nothing of ours is running that could be asked nicely.
            let Err(error) = nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_AUTOBOOT);
            tell(&format!("The kernel refuses to restart ({error}). Switch the machine off by hand.\r\n"));
            sleep(Duration::from_secs(60));
        }
    }));
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let said = info.payload_as_str().unwrap_or("no message");
    let mut text = format!("\r\n\r\nMuster agent {} stopped: {said}\r\n", env!("CARGO_PKG_VERSION"));
    if let Some(place) = info.location() {
        text.push_str(&format!("at {}:{}\r\n", place.file(), place.line()));
    }
    text.push_str("This is a defect. Please report these lines.\r\n");
    protocol::token::redact(&text)
}

/// Says it wherever it can be said; a terminal that is not there has no reader either.
fn tell(text: &str) {
    for terminal in TERMINALS {
        let opened = OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(terminal);
        if let Ok(mut file) = opened {
            drop(file.write_all(text.as_bytes()));
        }
    }
}
