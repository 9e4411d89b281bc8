//! Boots: a kernel and a ramdisk handed to QEMU, until the console shows a mark.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::qemu::{Boot, Idle, Vm};

use crate::contest::Driver;
use crate::record::{Metric, Sample};
use crate::stage::read;

/// Longest boot: translated instructions on a busy computer.
const WITHIN: Duration = Duration::from_secs(400);
/// From the code on the serial console to the same on the screen.
const SCREEN_WITHIN: Duration = Duration::from_secs(30);
/// Ticks a second of the times in `/proc/PID/stat` (`USER_HZ`).
const TICKS: f64 = 100.0;
/// What the kernel says before it starts the first program, at log level 7.
const RUN_INIT: &str = "Run /init as init process";
/// What the agent's log says when it has a code.
const CODE_LINE: &str = "] code:";

/// When a boot is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The kernel starts `/init`.
    Init,
    /// Somebody wrote this line.
    Line(&'static str),
    /// The agent shows a code, on the serial console and on the screen.
    Code,
}

/// Which clock says how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The machine's own, which counts its instructions.
    Machine(Idle),
    /// The one on the wall, and the processor time that QEMU took.
    Wall,
}

/// One contender: kernel, ramdisk, arguments.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) kernel: PathBuf,
    pub(crate) ramdisk: PathBuf,
    pub(crate) args: String,
    pub(crate) mark: Mark,
    pub(crate) clock: Clock,
}

impl Machine {
    fn power_on(&self) -> Result<Vm> {
        let folder: String = self
            .name
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
            .collect();
        let boot = Boot::Kernel {
            kernel: self.kernel.clone(),
            initrd: self.ramdisk.clone(),
            append: self.args.clone(),
        };
        let machine = Vm::builder(&format!("bench-boot-{folder}")).boot(boot);
        match self.clock {
            Clock::Machine(idle) => machine.instruction_clock(idle).start(),
            Clock::Wall => machine.start(),
        }
    }

    /// Waits for the mark and gives back the machine's own time of it, where the line has one.
    fn wait(&self, vm: &mut Vm) -> Result<Option<f64>> {
        let time_of = |text: &'static str| move |line: &str| line.contains(text).then(|| stamp(line));
        match self.mark {
            Mark::Init => vm.wait_for(RUN_INIT, WITHIN, time_of(RUN_INIT)),
            Mark::Line(text) => vm.wait_for(text, WITHIN, time_of(text)),
            Mark::Code => {
                let time = vm.wait_for("the agent's code", WITHIN, time_of(CODE_LINE))?;
                vm.wait_for_code(WITHIN)?;
                Ok(time)
            }
        }
    }
}

impl Driver for Machine {
    fn name(&self) -> &str {
        self.name
    }

    fn available(&self) -> Result<(), String> {
        match crate::measure::has_program("qemu-system-x86_64") {
            true => Ok(()),
            false => Err("qemu-system-x86_64 is missing: run `make setup`".to_owned()),
        }
    }

    fn setup(&mut self) -> Result<()> {
        ensure!(self.ramdisk.is_file(), "there is no ramdisk {}", self.ramdisk.display());
        Ok(())
    }

    fn run(&mut self) -> Result<Sample> {
        let mut vm = self.power_on()?;
        let time = self.wait(&mut vm)?;
        let (wall, cpu) = (vm.started().elapsed().as_secs_f64(), cpu_of(vm.pid())?);
        if self.mark == Mark::Code {
            let shown = vm.wait_for_code_on_screen(SCREEN_WITHIN)?;
            let printed = vm.wait_for_code(SCREEN_WITHIN)?;
            ensure!(shown == printed, "the screen shows {shown}, the serial console {printed}");
        }
        vm.cut_power()?;
        match self.clock {
            Clock::Wall => Ok(Sample::from([(Metric::Wall, wall), (Metric::Cpu, cpu)])),
            Clock::Machine(_) => {
                let time = time.context("the line has no time in front")?;
                let metric = if self.mark == Mark::Init { Metric::ToInit } else { Metric::ToSign };
                Ok(Sample::from([(metric, time)]))
            }
        }
    }
}

/// Seconds of processor time of a running process, all its threads together.
pub(crate) fn cpu_of(pid: u32) -> Result<f64> {
    let stat = read(Path::new(&format!("/proc/{pid}/stat")))?;
    ticks_of(&String::from_utf8_lossy(&stat))
        .map(|ticks| ticks / TICKS)
        .with_context(|| format!("/proc/{pid}/stat has no times"))
}

/// User and system time in `/proc/PID/stat`: the 12th and 13th field behind the name, which
/// stands in parentheses and may hold anything.
fn ticks_of(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some(user + system)
}

/// The time in front of a line of the kernel or the agent: `[    1.749245] text`.
fn stamp(line: &str) -> Option<f64> {
    line.trim_start().strip_prefix('[')?.split(']').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_in_front_of_lines() {
        assert_eq!(stamp("[    1.749245] Run /init as init process"), Some(1.749_245));
        assert_eq!(stamp("[   3.37] code: type it into the dashboard"), Some(3.37));
        assert_eq!(stamp("Bootstrap code: XPD-VV2"), None);
        assert_eq!(stamp("[ OK ] Started"), None);
    }

    #[test]
    fn processor_times_are_found_behind_any_name() {
        let stat = "42 (qemu (x) 1) S 1 42 42 0 -1 4194304 5 0 0 0 250 50 0 0 20 0 3 0 100";
        assert_eq!(ticks_of(stat), Some(300.0));
        assert_eq!(ticks_of("42 (qemu) S 1"), None);
    }
}
