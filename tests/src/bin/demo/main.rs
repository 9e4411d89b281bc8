//! `make demo` and `make run`: a server, one virtual machine booted from that server's own ISO,
//! and what happens between power-on and the installed system.
//!
//! Unattended (`demo`), it approves the machine with `muster bootstrap approve` as a person
//! would, installs a Debian on it with `muster machine provision`, boots that, checks what the
//! server says, and prints when everything happened. Attended
//! (`demo --attended`), it shows the machine's console and leaves the rest to the person at the
//! dashboard, until Ctrl-C.

mod install;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{SigSet, Signal};
use protocol::rest::{Machine, ProvisionState};
use tests::media::{Media, Profile};
use tests::muster::Server;
use tests::output;
use tests::process::{Process, Spec};
use tests::qemu::{Accel, Boot, Firmware, Vm, VmBuilder, accel};

/// Longest way from power-on to a code: translated instructions on a busy computer.
const CODE_WITHIN: Duration = Duration::from_secs(300);
/// Longest way from approval to the console saying so.
const REGISTERED_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks at the console.
const PAUSE: Duration = Duration::from_millis(100);
/// Milestones of the agent that the timeline shows, and what it calls them.
const MILESTONES: [(&str, &str); 4] =
    [("init", "/init"), ("modules", "drivers"), ("network", "network"), ("code", "code")];
const OVMF: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] => demo(),
        ["--attended"] => attended(),
        _ => {
            return tell("usage: demo [--attended]").map_or(ExitCode::FAILURE, |()| ExitCode::from(2));
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // When even this cannot be written, the exit code still tells.
            drop(tell(&format!("\nfailed: {error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn tell(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Downloads the server's personalised ISO and powers a machine on with it.
fn boot(machine: VmBuilder, server: &Server) -> Result<Vm> {
    let iso = server.folder().join("muster.iso");
    let length = server.operator()?.download("muster.iso", &iso)?;
    tell(&format!("downloaded muster.iso, personalised for {}: {length} bytes", server.guest_url()))?;
    let (firmware, word) = match Path::new(OVMF).is_file() {
        true => (Firmware::Uefi, "UEFI"),
        false => (Firmware::Bios, "BIOS"),
    };
    let how = match accel() {
        Accel::Kvm => "KVM",
        Accel::Tcg => "without KVM, so slower than iron",
    };
    tell(&format!("power on: one virtual machine, {word}, {how}"))?;
    machine.firmware(firmware).boot(Boot::Cd(iso)).start()
}

/// Everything, unattended.
fn demo() -> Result<()> {
    let media = Media::of(Profile::Generic)?;
    let mut server = Server::builder("demo").media(media.folder()).start()?;
    tell(&format!("server ready at {} on embedded SQLite", server.url()))?;
    install::import(&server)?;
    let mut vm = boot(install::machine(&server)?, &server)?;
    let mut timeline = Timeline::new(vm.started());

    let code = vm.wait_for_code(CODE_WITHIN)?;
    timeline.read_console(vm.lines()?);
    tell(&format!("the console shows the code {code}"))?;
    let operator = server.operator()?;
    let heard = listen(&server)?;
    let fingerprint = operator.lookup(&code.to_string())?.fingerprint.to_string();
    let approved = approve(&server, &code.to_string(), &fingerprint)?;
    timeline.mark("approved", "muster bootstrap approve");
    let registered = vm.wait_for_registration(REGISTERED_WITHIN)?;
    timeline.mark("registered", &registered.name);

    ensure!(
        registered.uuid == approved.uuid,
        "the console names {}, the server {}",
        registered.uuid,
        approved.uuid
    );
    let machine = operator.machine(&approved.uuid.to_string())?;
    ensure!(
        machine.own.provision_state == ProvisionState::Discovery,
        "it is not in Discovery mode: {}",
        machine.own.provision_state
    );
    tests::wait::until("the machine to be online", REGISTERED_WITHIN, || {
        let machine = operator.machine(&approved.uuid.to_string())?;
        Ok(machine.own.online.then_some(()))
    })?;
    timeline.mark("online", "Discovery mode");
    let event = format!("\"{}\"", approved.uuid);
    tests::wait::until("the registration among the events", REGISTERED_WITHIN, || {
        let events = std::fs::read_to_string(heard.stdout()).context("cannot read the events")?;
        Ok(events.contains(&event).then_some(()))
    })?;
    let registered_picture = vm.save_screenshot("registered")?;
    install::install(&server, &operator, &mut vm, &approved, &mut timeline)?;
    tell(&timeline.draw())?;
    tell(&format!("\nscreenshots: {}", registered_picture.display()))?;
    tell(&format!("             {}", vm.save_screenshot("installed")?.display()))?;
    vm.cut_power()?;
    server.stop()
}

/// `muster events` in the background, once it hears.
fn listen(server: &Server) -> Result<Process> {
    let spec =
        Spec::new(&output::muster_binary()?, server.folder(), "events").args(["events", "machines.*.*"]);
    let process =
        server.as_admin()?.into_iter().fold(spec, |spec, (key, value)| spec.env(key, value)).start()?;
    Ok(process)
}

/// Approves with the command line, as a person at a terminal would.
fn approve(server: &Server, code: &str, fingerprint: &str) -> Result<Machine> {
    let output = Command::new(output::muster_binary()?)
        .args(["bootstrap", "approve", code, "--fingerprint", fingerprint, "-o", "json"])
        .envs(server.as_admin()?)
        .output()
        .context("muster did not start")?;
    if !output.status.success() {
        bail!("approving failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("muster printed no machine")
}

/// The machine's console, until Ctrl-C.
fn attended() -> Result<()> {
    let interrupted = interrupts()?;
    let media = Media::of(Profile::Generic)?;
    let kept = output::target_dir().join("run");
    let data = kept.join("data");
    let mut server = Server::builder("run").media(media.folder()).data_dir(&data).start()?;
    // The machine keeps its key in a firmware variable: at the next run it is the same machine.
    let machine = Vm::builder("run-machine").variables(&kept.join("firmware-variables.fd"));
    let machine = machine.memory_mib(install::MEMORY).disk(install::disk(&kept.join("disk.raw"))?);
    let mut vm = boot(machine, &server)?;
    tell(&what_next(&server)?)?;
    show_console(&mut vm, &interrupted)?;
    tell("\nstopping the machine and the server")?;
    if vm.is_running()? {
        vm.cut_power()?;
    }
    server.stop()
}

fn what_next(server: &Server) -> Result<String> {
    let data = server.data_dir().display();
    Ok(format!(
        "\n  Dashboard   {url}\n  User        admin\n  Password    {password}   (kept in {data}/admin-password)\n\n\
         \u{20} The browser does not know this server's CA yet: import {data}/ca.pem, or accept the warning.\n\
         \u{20} In half a minute the machine shows a bootstrap code below. Log in, press Bootstrap, choose ISO Image and\n\
         \u{20} type the code; or run\n\n\
         \u{20}   MUSTER_ENDPOINT={url} MUSTER_CA={data}/ca.pem MUSTER_USERNAME=admin \\\n\
         \u{20}   MUSTER_PASSWORD=$(cat {data}/admin-password) target/release/muster bootstrap approve CODE\n\n\
         \u{20} A machine approved in an earlier run is known and shows no code.\n\
         \u{20} Ctrl-C ends the machine and the server. What the machine says:\n",
        url = server.url(),
        password = server.admin_password()?,
    ))
}

/// Copies the serial console's lines to the terminal, without what would clear it, until somebody presses Ctrl-C or the machine ends.
fn show_console(vm: &mut Vm, interrupted: &Receiver<()>) -> Result<()> {
    let mut serial = vm.serial_reader();
    loop {
        for line in serial.new_lines()? {
            tell(&line)?;
        }
        match interrupted.recv_timeout(PAUSE) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if !vm.is_running()? {
            return Ok(());
        }
    }
}

/// Ctrl-C as a message. Children get the signal too: the server stops as it should, QEMU ends.
fn interrupts() -> Result<Receiver<()>> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.thread_block().context("Ctrl-C cannot be caught")?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || while signals.wait().is_ok() && sender.send(()).is_ok() {});
    Ok(receiver)
}

/// What happened when, by the wall clock since power-on and by the agent's own.
struct Timeline {
    begun: Instant,
    marks: Vec<Mark>,
}

struct Mark {
    at: Duration,
    what: String,
    detail: String,
}

impl Timeline {
    fn new(begun: Instant) -> Self {
        Self { begun, marks: Vec::new() }
    }

    /// Something happens now.
    fn mark(&mut self, what: &str, detail: &str) {
        let at = self.begun.elapsed();
        self.marks.push(Mark { at, what: what.to_owned(), detail: detail.to_owned() });
    }

    /// Places the agent's milestones, `[  3.41] network: ...` in seconds since the kernel began,
    /// on the wall clock: that of the code gives the difference.
    fn read_console(&mut self, lines: &[String]) {
        let found: Vec<(Duration, &str, &str)> = lines.iter().filter_map(|line| milestone(line)).collect();
        let Some((code, _, _)) = found.iter().find(|(_, name, _)| *name == "code") else { return };
        let kernel = self.begun.elapsed().saturating_sub(*code);
        let firmware =
            Mark { at: Duration::ZERO, what: "firmware".to_owned(), detail: "power on".to_owned() };
        let detail = "firmware and boot loader are done".to_owned();
        self.marks.extend([firmware, Mark { at: kernel, what: "kernel".to_owned(), detail }]);
        for (name, what) in MILESTONES {
            if let Some((at, _, detail)) = found.iter().find(|(_, known, _)| *known == name) {
                self.marks.push(Mark {
                    at: kernel + *at,
                    what: what.to_owned(),
                    detail: (*detail).to_owned(),
                });
            }
        }
    }

    fn draw(&self) -> String {
        let mut out = format!("\n{:>8}  {:>8}  what\n", "s", "+s");
        let mut before = Duration::ZERO;
        for mark in &self.marks {
            let (at, step) = (mark.at.as_secs_f64(), mark.at.saturating_sub(before).as_secs_f64());
            out.push_str(&format!("{at:8.1}  {step:8.1}  {:20} {}\n", mark.what, mark.detail));
            before = mark.at;
        }
        out.trim_end().to_owned()
    }
}

/// Reads `[  3.41] network: 10.0.2.15/24 (eth0)`; other lines of the console are no milestones.
fn milestone(line: &str) -> Option<(Duration, &str, &str)> {
    let (seconds, text) = line.strip_prefix('[')?.split_once("] ")?;
    let (name, detail) = text.trim_end().split_once(": ")?;
    let seconds: f64 = seconds.trim().parse().ok()?;
    let at = Duration::try_from_secs_f64(seconds).ok()?;
    Some((at, name, detail))
}

#[cfg(test)]
mod tests_of_the_timeline {
    use super::*;

    #[test]
    fn milestones_are_read_off_the_console() {
        assert_eq!(
            milestone("[  3.41] network: 10.0.2.15/24 (eth0)"),
            Some((Duration::from_millis(3_410), "network", "10.0.2.15/24 (eth0)"))
        );
        for line in
            ["", "[x] a: b", "[3.41]", "[  3.41] phase network (6/7)", "Bootstrap code: K7P-3XB", "[-1] a: b"]
        {
            assert_eq!(milestone(line), None, "{line}");
        }
    }

    #[test]
    fn the_agents_clock_is_laid_on_the_wall_clock() {
        let begun = Instant::now().checked_sub(Duration::from_secs(12)).unwrap();
        let mut timeline = Timeline::new(begun);
        timeline.read_console(&["[  2.00] init: 0.1.0".to_owned(), "[  5.00] code: shown".to_owned()]);
        let told: Vec<_> =
            timeline.marks.iter().map(|mark| (mark.at.as_secs(), mark.what.as_str())).collect();
        assert_eq!(told, [(0, "firmware"), (7, "kernel"), (9, "/init"), (12, "code")]);
        assert!(timeline.draw().contains("    12.0       3.0  code"), "{}", timeline.draw());
    }
}
