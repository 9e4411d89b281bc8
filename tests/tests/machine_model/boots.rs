//! A machine that boots our medium works its way through a workflow: over a reboot that the workflow
//! wants, and over three accidents that nobody wants.

use std::time::Duration;

use serde_json::{Value, json};
use tests::media::{Media, Profile};
use tests::muster::Server;
use tests::qemu::{Boot, Firmware, Vm};

use crate::work::{Site, ended, numbered, said};

/// Power-on, or a restart, to what is waited for, translated and beside compilers.
const BOOTED_WITHIN: Duration = Duration::from_secs(180);
const TASK_WITHIN: Duration = Duration::from_secs(120);

/// Most memory of the agent that stays, in KiB.
const PROCESS_1: u32 = 8 * 1_024;

/// Says its lines, with something in the middle.
fn script(name: &str, in_the_middle: &str) -> String {
    format!(
        "#!/usr/bin/env sh\n. ./helper\n\
         i=1; while [ $i -le 50 ]; do echo {name} line $i; i=$((i+1)); done\n\
         {in_the_middle}\n\
         while [ $i -le 100 ]; do echo {name} line $i; i=$((i+1)); done\n"
    )
}

/// Waits until the operator sets a param.
fn until(param: &str) -> String {
    format!("until [ \"$(get_param {param})\" = true ]; do sleep 1; done")
}

fn make_workflow(site: &Site) {
    for env in ["first", "second"] {
        site.make("bootenvs", json!({ "Name": env, "OS": { "Name": env } }));
    }
    site.task("plain", &[&script("plain", "")]);
    // Its runner is killed by SIGKILL, once, and it with it.
    let kill = "[ -e /run/killed ] || { : > /run/killed; sleep 2; kill -9 $PPID; sleep 600; }";
    site.task("agent-killed", &[&script("agent-killed", kill)]);
    site.task("server-killed", &[&script("server-killed", &until("server-is-back"))]);
    site.task("rebooted", &[&script("rebooted", "echo booted $(cat /proc/sys/kernel/random/boot_id)")]);
    site.task("reset", &[&script("reset", &until("was-reset"))]);
    site.task("last", &[&script("last", "echo process 1: $(grep VmRSS /proc/1/status)")]);
    site.make(
        "stages",
        json!({ "Name": "one", "BootEnv": "first", "Tasks": ["plain", "agent-killed", "server-killed"] }),
    );
    site.make(
        "stages",
        json!({ "Name": "two", "BootEnv": "second", "Tasks": ["rebooted", "reset", "last"] }),
    );
    site.make("workflows", json!({ "Name": "both", "Stages": ["one", "two"] }));
    site.make("prefs", json!({ "defaultBootEnv": "first" }));
}

/// The jobs of the machine: each task has one result, and a log without a hole.
fn results_once(site: &Site, machine: &str) -> Vec<Value> {
    let jobs = site.jobs(machine);
    let results: Vec<String> =
        jobs.iter().map(|job| format!("{} {}", job["Task"].as_str().unwrap(), ended(job))).collect();
    let tasks = ["plain", "agent-killed", "server-killed", "rebooted", "reset", "last"];
    assert_eq!(results, tasks.map(|task| format!("{task} finished/complete")), "each result once");
    for (job, task) in jobs.iter().zip(tasks) {
        let lines = said(&site.log(job), &format!("{task} line"));
        let whole = numbered(task, 100);
        // What was cut short said its first half before; then everything comes, in order and once.
        let was_cut = ["agent-killed", "reset"].contains(&task);
        let expected = if was_cut { [numbered(task, 50), whole].concat() } else { whole };
        assert_eq!(lines, expected, "{task}");
        assert_eq!(job["Epoch"], json!(if was_cut { 2 } else { 1 }), "{task}");
    }
    jobs
}

/// A machine at its work, and everybody around it.
struct Story {
    site: Site,
    vm: Vm,
    machine: String,
}

impl Story {
    /// A machine that is registered and has its workflow.
    fn begin() -> Self {
        let media = Media::of(Profile::Cloud).unwrap();
        let site = Site::of(Server::builder("workflow-server").media(media.folder()).start().unwrap());
        make_workflow(&site);
        let iso = site.path("muster.iso");
        site.operator.download("muster.iso", &iso).unwrap();
        let vm = Vm::builder("workflow").firmware(Firmware::Uefi).boot(Boot::Cd(iso));
        let mut vm = vm.serial_number("WORKFLOW-1").start().unwrap();
        let code = vm.wait_for_code(BOOTED_WITHIN).unwrap();
        let machine = site.operator.approve(&code.to_string()).unwrap().uuid.to_string();
        vm.wait_for_registration(BOOTED_WITHIN).unwrap();
        site.set(&machine, "Workflow", json!("both"));
        Self { site, vm, machine }
    }

    /// Waits until this task is in its middle.
    fn halfway(&mut self, task: &str) {
        let is_so = |job: &Value| job["Task"] == task && job["State"] == "running";
        let job = self.site.until_job(&self.machine, task, is_so);
        self.site.until_log(&job, &format!("{task} line 50"), TASK_WITHIN);
    }

    /// The second task kills its own runner.
    fn the_agent_is_killed(&mut self) {
        for words in [
            "Task 2/6 agent-killed: running",
            "the runner of jobs ended: signal 9",
            "Task 2/6 agent-killed: finished",
        ] {
            self.vm.wait_for_words(words, TASK_WITHIN).unwrap();
        }
    }

    /// The third one talks to the server when that is killed.
    fn the_server_is_killed(&mut self) {
        self.halfway("server-killed");
        self.site.server.kill().unwrap();
        self.site.server.start_again().unwrap();
        self.site.param(&self.machine, "server-is-back", &json!(true));
    }

    fn the_workflow_reboots_it(&mut self) {
        self.vm.wait_for_words("Rebooting for boot environment second", TASK_WITHIN).unwrap();
        self.vm.look_from_here().unwrap();
        self.vm.wait_for_words("Task 4/6 rebooted: finished", BOOTED_WITHIN).unwrap();
    }

    /// The fifth one is in its middle then.
    fn the_machine_is_reset(&mut self) {
        self.halfway("reset");
        self.vm.reset().unwrap();
        self.site.param(&self.machine, "was-reset", &json!(true));
        self.vm.wait_for_words("Task 6/6 last: finished", BOOTED_WITHIN).unwrap();
    }

    fn completes(&mut self) {
        let done = tests::wait::until("the workflow to be complete", TASK_WITHIN, || {
            let machine = self.site.get(&format!("/machines/{}", self.machine));
            Ok((machine["WorkflowComplete"] == true).then_some(machine))
        });
        let shown = done.map_err(|error| self.vm.failed(&error)).unwrap();
        assert_eq!((&shown["Runnable"], &shown["BootEnv"]), (&json!(true), &json!("second")));
        self.vm.save_screenshot("done").unwrap();
    }
}

#[test]
fn a_workflow_survives_its_agents_its_servers_and_its_machines_end() {
    let mut story = Story::begin();
    story.the_agent_is_killed();
    story.the_server_is_killed();
    story.the_workflow_reboots_it();
    story.the_machine_is_reset();
    story.completes();
    let jobs = results_once(&story.site, &story.machine);
    assert_eq!(jobs[3]["BootEnv"], json!("second"));
    let memory = said(&story.site.log(&jobs[5]), "process 1: VmRSS:");
    let kibibytes: u32 = memory[0].split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(kibibytes < PROCESS_1, "process 1 has {kibibytes} KiB, and a child for its work");
}
