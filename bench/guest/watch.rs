//! Tells what memory the agent uses: starts a watcher and becomes the agent, which so is PID 1
//! as in every boot. The watcher prints `/proc/1/status` to the serial port every two seconds.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// Where the harness puts this program.
const SELF: &str = "/bench-watch";
const EVERY: Duration = Duration::from_secs(2);

fn main() {
    if std::process::id() != 1 {
        watch();
    }
    let error = match Command::new(SELF).spawn() {
        Ok(_) => Command::new("/init").exec(),
        Err(error) => error,
    };
    panic!("the agent does not start: {error}");
}

fn watch() -> ! {
    loop {
        sleep(EVERY);
        if let Err(error) = tell() {
            // The agent mounts /proc and /dev at its own time; the next look may do better.
            drop(error);
        }
    }
}

fn tell() -> io::Result<()> {
    let status = fs::read_to_string("/proc/1/status")?;
    let fields: Vec<String> = status
        .lines()
        .filter(|line| line.starts_with("Vm") || line.starts_with("Rss"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let mut serial = OpenOptions::new().write(true).open("/dev/ttyS0")?;
    write!(serial, "\r\nbench: memory {}\r\n", fields.join(" "))
}
