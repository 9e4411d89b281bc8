//! The computer that measures: what it is, how busy it is, what day it is there.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::record::Machine;

const DAY: u64 = 86_400;

/// Describes this computer.
pub(crate) fn describe() -> Result<Machine> {
    let processor = field("/proc/cpuinfo", "model name")?;
    let memory = field("/proc/meminfo", "MemTotal")?;
    let kib: u64 = memory.split_whitespace().next().unwrap_or_default().parse().context("MemTotal")?;
    Ok(Machine {
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        processor,
        memory_gib: kib.div_ceil(1 << 20),
        qemu: qemu_version(),
    })
}

/// Load average of the last minute.
pub(crate) fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    text.split_whitespace().next().unwrap_or_default().parse().context("/proc/loadavg")
}

/// Today in UTC, `YYYY-MM-DD`.
pub(crate) fn today() -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(date(now.as_secs() / DAY))
}

/// Days since 1970 as a date: the calendar repeats every 400 years of 146,097 days, and a year
/// that begins in March has its leap day at the end.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + later)
}

/// `7.2.22` of `QEMU emulator version 7.2.22 (Debian ...)`.
fn qemu_version() -> String {
    let out = Command::new("qemu-system-x86_64").arg("--version").output();
    let text = out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    let version = text.split_once("version ").and_then(|(_, rest)| rest.split_whitespace().next());
    version.unwrap_or("none").to_owned()
}

fn field(path: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find(|line| line.starts_with(name)).with_context(|| format!("{path}: {name}"))?;
    Ok(line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (days, text) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_779, "2026-11-22"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(days), text);
        }
    }
}
