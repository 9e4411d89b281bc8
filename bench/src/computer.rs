//! The computer that measures: what it is, how busy it is, what day it is there.

use std::fs;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::record::Machine;

const DAY: u64 = 86_400;
/// Clock ticks a second in `/proc` (`USER_HZ`, 100 on every Linux).
const TICKS: f64 = 100.0;

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

/// Processor time that everything here has used so far, in seconds, all processors together.
pub(crate) fn busy() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    busy_ticks(&text).map(|ticks| ticks / TICKS).context("/proc/stat")
}

/// Of the line `cpu`: user, nice, system, and after idle and waiting for disks, interrupts and what
/// other guests of a host took.
fn busy_ticks(stat: &str) -> Option<f64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<f64> = fields.map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _waiting, hard, soft, stolen, ..] = ticks.as_slice() else { return None };
    Some(user + nice + system + hard + soft + stolen)
}

/// Begin of a time in which somebody else may use the processors too.
#[derive(Debug)]
pub(crate) struct Watch {
    begun: Instant,
    busy: f64,
}

impl Watch {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { begun: Instant::now(), busy: busy()? })
    }
}

/// Processors that others kept busy while something was measured.
#[derive(Debug, Default)]
pub(crate) struct Others {
    /// Seconds of processor time.
    cpu: f64,
    /// Seconds on the wall.
    wall: f64,
}

impl Others {
    /// Adds the time since `watch`, in which the measured took this much processor time.
    pub(crate) fn add(&mut self, watch: &Watch, measured: f64) -> Result<()> {
        self.wall += watch.begun.elapsed().as_secs_f64();
        // The kernel's count has ticks: what is measured exactly may be a little more.
        self.cpu += busy()? - watch.busy - measured;
        Ok(())
    }

    /// How many processors they kept busy on average.
    pub(crate) fn share(&self) -> f64 {
        if self.wall > 0.0 { (self.cpu / self.wall).max(0.0) } else { 0.0 }
    }
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
    fn idling_is_not_being_busy() {
        let stat = "cpu  10 20 30 4000 500 6 7 8 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_ticks(stat), Some(81.0));
        assert_eq!(busy_ticks("cpu 1 2"), None);
    }

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
