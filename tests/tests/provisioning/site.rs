//! A server with media, images, roles and an operator; and machines with an empty disk in front of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use protocol::install::{Provision, ProvisionStatus};
use protocol::rest::{Machine, ProvisionState};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::media::{Media, Profile};
use tests::muster::{Server, ServerBuilder};
use tests::operator::Operator;
use tests::os_image::Registry;
use tests::process::{Process, Spec};
use tests::qemu::{Boot, Disk, Firmware, Vm, VmBuilder};
use tests::{output, wait};

/// Power-on to a code, translated and beside another machine.
pub(crate) const CODE_WITHIN: Duration = Duration::from_secs(180);
/// Approval to the console saying so.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// A whole installation of a real system, translated and beside another one.
pub(crate) const INSTALLED_WITHIN: Duration = Duration::from_secs(900);
/// Password of the registry, which must be nowhere but there.
pub(crate) const REGISTRY_PASSWORD: &str = "only-the-server-knows-9417";
/// Bytes of an empty disk.
const DISK: u64 = 6 * 1_024 * 1_024 * 1_024;
/// Most rows of the audit log that one call gives.
const ROWS: usize = 500;
/// Memory of machines that install, in MiB.
const MEMORY: u32 = 2_048;

/// Everything a test needs but a machine.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) operator: Operator,
    pub(crate) registry: Registry,
    pub(crate) folder: TempDir,
    events: Process,
}

/// Listens to every event of a server from now on, until it dies.
fn listen(server: &Server) -> Process {
    let spec = Spec::new(&output::muster_binary().unwrap(), server.folder(), "events");
    let spec = spec.args(["events", "*.*.*"]);
    let admin = server.as_admin().unwrap();
    let events = admin.into_iter().fold(spec, |spec, (name, value)| spec.env(name, value)).start().unwrap();
    // What it says is kept behind what the one before it said.
    let listens = |said: &str| said.lines().next_back().is_some_and(|line| line.starts_with("listening at "));
    wait::until("the events", SOON, || Ok(listens(&std::fs::read_to_string(events.stderr())?).then_some(())))
        .unwrap();
    events
}

/// A machine that was approved.
pub(crate) struct Guest {
    pub(crate) vm: Vm,
    pub(crate) uuid: String,
    pub(crate) name: String,
    builder: VmBuilder,
}

impl Site {
    /// A server whose media are for virtual machines, and a registry beside it.
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(name, |server| server)
    }

    /// The same with something more asked of the server.
    pub(crate) fn start_with(name: &str, more: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let media = Media::of(Profile::Cloud).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::start(&folder.path().join("registry"), REGISTRY_PASSWORD).unwrap();
        let server = more(Server::builder(&format!("{name}-server")).media(media.folder())).start().unwrap();
        let operator = server.operator().unwrap();
        let events = listen(&server);
        let site = Self { server, operator, registry, folder, events };
        let hosts = "127.0.0.1";
        site.call(Method::POST, "/prefs", &json!({ "imageHosts": hosts }));
        let credential = json!({
            "Name": "registry", "Registry": site.registry.host(), "Username": site.registry.user(),
            "Password": REGISTRY_PASSWORD,
        });
        site.call(Method::POST, "/registry_credentials", &credential);
        site
    }

    /// The server was started again: who is logged in, and who listens.
    pub(crate) fn is_back(&mut self) {
        self.operator = self.server.operator().unwrap();
        self.events = listen(&self.server);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        self.operator.call(method, path, body).unwrap()
    }

    /// Pushes an OCI layout and names it as an Image.
    pub(crate) fn oci_image(&self, name: &str, layout: &Path, tag: &str) {
        let source = self.registry.push(layout, tag, &format!("os/{name}:{tag}")).unwrap();
        let image = json!({
            "Name": name, "Source": source, "Format": "oci", "Credential": "registry", "PlainHttp": true,
        });
        self.call(Method::POST, "/images", &image);
    }

    /// Imports a file as an Image by `muster image import`.
    pub(crate) fn imported(&self, name: &str, file: &Path, format: &str) {
        self.call(Method::POST, "/images", &json!({ "Name": name, "Source": "upload", "Format": format }));
        self.muster(&["image", "import", name, &file.display().to_string()]).unwrap();
    }

    /// A machine role.
    pub(crate) fn role(&self, name: &str, priority: u32, cloud_init: &str) {
        let role = json!({
            "Name": name, "Meta": { "muster-role": "true" },
            "Params": { "muster/cloud-init": cloud_init, "muster/merge-priority": priority },
        });
        self.call(Method::POST, "/profiles", &role);
    }

    /// Runs the command line as its operator; what it printed.
    pub(crate) fn muster(&self, arguments: &[&str]) -> Result<String> {
        let output = std::process::Command::new(output::muster_binary()?)
            .args(arguments)
            .envs(self.server.as_admin()?)
            .output()
            .context("cannot run muster")?;
        if !output.status.success() {
            bail!("muster {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        String::from_utf8(output.stdout).context("muster printed no text")
    }

    /// A machine with the ISO in its drive, first in the boot order, and an empty disk behind it.
    pub(crate) fn machine(&self, name: &str, firmware: Firmware) -> VmBuilder {
        let iso = self.path("muster.iso");
        if !iso.exists() {
            self.operator.download("muster.iso", &iso).unwrap();
        }
        let image = self.path(&format!("{name}.raw"));
        std::fs::File::create(&image).and_then(|file| file.set_len(DISK)).unwrap();
        Vm::builder(name)
            .firmware(firmware)
            .variables(&self.path(&format!("{name}.vars")))
            .boot(Boot::Cd(iso))
            .memory_mib(MEMORY)
            .cpus(2)
            .serial_number(&format!("{name}-1"))
            .disk(Disk::new(&image, "SYSTEM-1"))
    }

    /// Powers it on and approves it by its code.
    pub(crate) fn approve(&self, builder: VmBuilder) -> Guest {
        let mut vm = builder.clone().start().unwrap();
        let code = vm.wait_for_code(CODE_WITHIN).unwrap();
        let machine = self.operator.approve(&code.to_string()).unwrap();
        let registered = vm.wait_for_registration(SOON).unwrap();
        assert_eq!(registered.name, machine.name);
        Guest { vm, uuid: registered.uuid.to_string(), name: registered.name, builder }
    }

    pub(crate) fn machine_state(&self, uuid: &str) -> Machine {
        self.operator.machine(uuid).unwrap()
    }

    /// Sets a param of a machine.
    pub(crate) fn set_param(&self, uuid: &str, name: &str, value: &Value) {
        let path = format!("/machines/{uuid}/params/{name}");
        self.call(Method::POST, &path, value);
    }

    /// Asks for an installation; the run's id.
    pub(crate) fn provision(&self, guest: &Guest, image: &str) -> String {
        let request = json!({ "Mode": "rebuild", "Image": image, "Confirm": guest.name });
        let run = self.call(Method::POST, &format!("/machines/{}/provision", guest.uuid), &request);
        run["Uuid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn run(&self, run: &str) -> Provision {
        self.operator.get(&format!("/api/v3/provisions/{run}")).unwrap().expect(200).unwrap()
    }

    /// Waits until a run has ended; shows the machine where it does not.
    pub(crate) fn ended(&self, guest: &mut Guest, run: &str) -> Provision {
        let ended = wait::until("the run to end", INSTALLED_WITHIN, || {
            let run = self.run(run);
            Ok(run.is_terminal.then_some(run))
        });
        ended.map_err(|error| guest.vm.failed(&error.context(format!("{:?}", self.run(run))))).unwrap()
    }

    /// Waits until a run has completed and the page says so.
    pub(crate) fn installed(&self, guest: &mut Guest, run: &str) {
        let ended = self.ended(guest, run);
        if ended.status != ProvisionStatus::Completed {
            let error =
                anyhow::anyhow!("the run ended {}: {} ({})", ended.status, ended.error, ended.next_action);
            panic!("{:#}\n{}", guest.vm.failed(&error), self.job_logs(&guest.uuid));
        }
        let machine = self.machine_state(&guest.uuid);
        assert_eq!(machine.own.provision_state, ProvisionState::Installed);
        assert!(machine.own.online, "the installed agent is online");
        assert_eq!(machine.fields.boot_env, "local");
    }

    /// The logs of every job of a machine, for a test that failed.
    pub(crate) fn job_logs(&self, uuid: &str) -> String {
        let jobs = self.call(Method::GET, &format!("/jobs?Machine={uuid}&sort=StartTime"), &Value::Null);
        let each = jobs.as_array().into_iter().flatten().map(|job| {
            let log =
                self.operator.get(&format!("/api/v3/jobs/{}/log", job["Uuid"].as_str().unwrap_or_default()));
            let log = log.map_or_else(|error| error.to_string(), |answer| answer.text());
            format!("--- {} {}\n{log}", job["Task"], job["State"])
        });
        each.collect::<Vec<_>>().join("\n")
    }

    /// A secret is nowhere on the disk of a machine.
    pub(crate) fn disk_lacks(&self, name: &str, secret: &str) {
        let disk = self.path(&format!("{name}.raw"));
        // A disk has long lines of zeros, and grep keeps a line in memory.
        let mut lines = std::process::Command::new("tr")
            .args(["\\0", "\\n"])
            .stdin(std::fs::File::open(&disk).unwrap())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines_of_disk = lines.stdout.take().unwrap();
        let found =
            std::process::Command::new("grep").args(["-aqF", secret]).stdin(lines_of_disk).status().unwrap();
        assert_eq!(found.code(), Some(1), "{} has a secret", disk.display());
        assert!(lines.wait().unwrap().success());
    }

    /// A secret is in no log of the server, no file of its data (sealed there), no event, no row of the audit log, and no
    /// answer about machine, run, jobs and images.
    pub(crate) fn keeps(&self, secret: &str, guest: &Guest) {
        assert!(!self.server.logs().unwrap().contains(secret), "the server's log has a secret");
        let data = self.server.data_dir();
        let found = std::process::Command::new("grep").arg("-raqF").arg(secret).arg(data).status().unwrap();
        assert_eq!(found.code(), Some(1), "{} has a secret", data.display());
        let lists =
            ["machines", "provisions", "jobs", "images", "registry_credentials", "secrets", "profiles"];
        for path in lists.map(|list| format!("/{list}")) {
            let shown = self.operator.get(&format!("/api/v3{path}")).unwrap();
            assert_eq!(shown.status, 200, "{path}: {}", shown.text());
            assert!(!shown.text().contains(secret), "{path} shows a secret");
        }
        let audit = self.operator.get(&format!("/api/v3/audit?limit={ROWS}")).unwrap();
        let rows: Vec<Value> = audit.expect(200).unwrap();
        assert!(!rows.is_empty() && rows.len() < ROWS, "the audit log is looked at whole: {}", rows.len());
        assert!(!audit.text().contains(secret), "the audit log has a secret");
        let events = std::fs::read_to_string(self.events.stdout()).unwrap();
        assert!(events.contains(&guest.uuid), "the installation made no event");
        assert!(!events.contains(secret), "an event has a secret");
        assert!(!self.job_logs(&guest.uuid).contains(secret), "a job's log has a secret");
        // From power-on: waits may look at less by now.
        let said = guest.vm.serial_reader().new_lines().unwrap();
        assert!(!said.is_empty() && !said.concat().contains(secret), "the console shows a secret");
    }
}

impl Guest {
    /// Powers the same machine on again, after its plug was pulled.
    pub(crate) fn starts_again(&mut self) {
        self.vm = self.builder.clone().start().unwrap();
    }
}
