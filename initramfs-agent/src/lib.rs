//! The whole of `muster-agent`, PID 1 of the boot image. The boot is [`sequence`], the work after it
//! [`driver`], the decisions [`state`].
//!
//! A library only because the fuzz targets must reach the agent's readers of outside bytes
//! ([`fuzzing`]); the program is `main.rs`.

mod api;
mod by_hand;
mod clock;
mod console;
mod deadline;
mod disk;
mod driver;
mod efivar;
mod first_boot;
pub mod fuzzing;
pub mod handover;
mod identity;
pub mod install;
mod inventory;
mod jitter;
pub mod kexec;
mod kmsg;
mod lldp;
mod mesh;
mod modules;
mod mounts;
mod net;
mod panic;
mod power;
mod reap;
mod report;
mod runner;
mod runtime;
mod sequence;
mod service;
mod state;
mod sys;
mod terminal;
mod tools;
mod uevents;
mod view;

use std::io::Write;
use std::process::ExitCode;

const ABOUT: &str = concat!(
    "muster-agent ",
    env!("CARGO_PKG_VERSION"),
    "\n\nThis is the init program of the Muster boot image; it runs as process 1 there.\n\
     To boot a machine with it, download the ISO from your Muster dashboard, or build the\n\
     media with 'muster media build'.\n\nCommands:\n  fetch-tools  fetch mkfs, fsck, sfdisk and others from the server, within a boot image;\n               also by the name 'tools'\n  run [--context NAME] [--booted-env NAME] [--oneshot]\n               run the jobs of a machine, on any Linux. RS_ENDPOINT, RS_UUID, RS_TOKEN (a machine\n               token) and MUSTER_CA_HASH in the environment say whose; RS_CONTEXT is the context\n               unless --context is, RS_RUNNER_DIR the folder to work in. With --oneshot it ends when\n               there is nothing to do. It ends with 64, 32 or 16 when a task wants a reboot, to be\n               switched off or that it stops, with 3 when the token is refused\n  api METHOD PATH [JSON | -]\n               within a task: call the server's REST interface as the machine, such as\n               api GET /machines/$RS_UUID/params/NAME?aggregate=true\n  first-boot   within a task on a system that was just installed: tell the server how its\n               first boot ended\n  identity [--wait SECONDS]\n               who this machine is, as its agent says: as JSON, or in words once it is known\n  succession --out DIR\n               make the machine's next key, and the present key's statement about it\n  service [--root DIR]\n               the agent of an installed Linux; its unit starts it, /etc/muster/agent.json says for\n               which server\n  forget [--root DIR]\n               remove configuration and key of that agent, once it was stopped\n\nOptions:\n  --version  print the version\n  --help     print this text\n"
);

/// The program: boots the machine as process 1, and tells what it is to anybody else.
pub fn run() -> ExitCode {
    if std::process::id() == 1 {
        sequence::boot()
    }
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    match name.rsplit('/').next() {
        Some("tools") => return tools::door::ask(),
        Some(kexec::HOOK_NAME) => return kexec::shutdown_hook(arguments),
        Some("modprobe") => return modules::on_demand::run(arguments),
        Some(_) | None => {}
    }
    let (text, code) = match arguments.next().as_deref() {
        Some("--version" | "-V") => {
            (concat!("muster-agent ", env!("CARGO_PKG_VERSION"), "\n"), ExitCode::SUCCESS)
        }
        Some("--help" | "-h") => (ABOUT, ExitCode::SUCCESS),
        Some("fetch-tools") => return tools::door::ask(),
        Some("run") => return runner::run(arguments),
        Some("api") => return runner::api(arguments),
        Some("service") => return service::run(arguments),
        Some("forget") => return service::forget(arguments),
        Some("first-boot") => return first_boot::run(),
        Some("identity") => return handover::identity_command(arguments),
        Some("succession") => return handover::succession_command(arguments),
        // Nothing to do outside of a boot image, or not understood: usage.
        Some(_) | None => (ABOUT, ExitCode::from(2)),
    };
    let written = if code == ExitCode::SUCCESS {
        std::io::stdout().write_all(text.as_bytes())
    } else {
        std::io::stderr().write_all(text.as_bytes())
    };
    if written.is_ok() { code } else { ExitCode::FAILURE }
}
