//! The real runner against the real server: what tasks' exit codes mean, contexts, and what happens to
//! a job when its runner or its server goes away, or another runner takes over.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Method;
use serde_json::json;
use tests::process::Process;
use tests::wait;

use crate::work::{Site, WITHIN, ended, id, numbered, said, spoken};

/// Prints numbered lines from one number to another.
fn count(name: &str, from: u32, to: u32) -> String {
    format!("for i in $(seq {from} {to}); do echo {name} line $i; done\n")
}

/// Ends with this code, the first time it is run.
fn once(site: &Site, number: usize, code: u8) -> String {
    let mark = site.path(&format!("ran-{number}"));
    format!("[ -e {0} ] || {{ : > {0}; exit {code}; }}", mark.display())
}

fn code(runner: &mut Process) -> Option<i32> {
    runner.wait(WITHIN).unwrap().code()
}

fn signal(runner: &Process, signal: Signal) {
    kill(Pid::from_raw(runner.pid().try_into().unwrap()), signal).unwrap();
}

#[test]
fn exit_codes_of_scripts_become_the_recorded_results() {
    let site = Site::start("runners-codes");
    let steps: Vec<String> =
        [64, 32, 16, 1, 128].iter().enumerate().map(|(number, code)| once(&site, number, *code)).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    site.task("steps", &steps);
    let machine = site.machine("codes", &["steps"]);
    let mut ids = Vec::new();
    for (round, (exit, expected)) in [
        (64, "incomplete/reboot"),
        (32, "incomplete/poweroff"),
        (16, "incomplete/stop"),
        (0, "failed/failed"),
        (0, "incomplete/complete"),
        (0, "finished/complete"),
    ]
    .into_iter()
    .enumerate()
    {
        site.set(&machine, "Runnable", json!(true));
        let mut runner = site.runner(&machine, &format!("round-{round}"), &["--oneshot"]);
        assert_eq!(code(&mut runner), Some(exit), "{expected}: {}", spoken(&runner));
        let shown = site.get(&format!("/machines/{machine}"));
        let job = site.get(&format!("/jobs/{}", shown["CurrentJob"].as_str().unwrap()));
        assert_eq!(ended(&job), expected);
        assert_eq!(shown["Runnable"], json!(expected == "finished/complete"), "{expected}");
        assert_eq!(shown["JobState"], job["State"]);
        assert_eq!(shown["JobExitState"], job["ExitState"]);
        ids.push(id(&job).to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 2, "the id is kept across the incompletes, a new one comes after the failure");
    assert_eq!(site.get(&format!("/machines/{machine}"))["WorkflowComplete"], json!(true));
}

#[test]
fn a_script_has_its_files_its_params_and_its_helper() {
    let site = Site::start("runners-helper");
    site.make(
        "tasks",
        json!({ "Name": "helped", "Templates": [
            { "Name": "conf", "Path": "etc/name.conf", "Contents": "name={{.Machine.Name}}" },
            { "Name": "script", "Path": "", "Contents":
                "#!/bin/sh\nset -e\n. ./helper\ncat etc/name.conf; echo\n\
                 echo asked $(get_param some/question) $(get_param unset/one)\n\
                 set_param answer '{\"n\": 42}'\njob_info done by $RS_UUID\n" },
        ]}),
    );
    let machine = site.machine("helped.example", &["helped"]);
    site.param(&machine, "some/question", &json!(["a", 1]));
    let mut runner = site.runner(&machine, "runner", &["--oneshot"]);
    assert_eq!(code(&mut runner), Some(0), "{}", spoken(&runner));
    let jobs = site.jobs(&machine);
    let log = site.log(&jobs[0]);
    assert_eq!(ended(&jobs[0]), "finished/complete", "{log}");
    for line in ["name=helped.example", "asked [\"a\",1] null", &format!("INFO: done by {machine}")] {
        assert!(log.lines().any(|known| known == line), "{line:?} in {log}");
    }
    assert_eq!(site.get(&format!("/machines/{machine}/params/answer")), json!({ "n": 42 }));
    assert!(spoken(&runner).contains("Task 1/1 helped: running"), "{}", spoken(&runner));
}

#[test]
fn each_context_has_a_runner_that_waits_for_its_turn() {
    let site = Site::start("runners-contexts");
    for task in ["here", "there", "back"] {
        site.task(task, &[&format!("echo {task} in [$RS_CONTEXT]")]);
    }
    let machine = site.machine("contexts", &[]);
    // All of them wait before there is anything to do, the stranger for ever.
    let mut runners = [
        site.runner(&machine, "own", &[]),
        site.runner(&machine, "ctx", &["--context", "ctx"]),
        site.runner(&machine, "stranger", &["--context", "stranger"]),
    ];
    site.set(&machine, "Tasks", json!(["here", "context:ctx", "there", "context:", "back"]));
    wait::until("the list to be done", WITHIN, || {
        Ok(site.get(&format!("/machines/{machine}"))["WorkflowComplete"].as_bool().filter(|done| *done))
    })
    .unwrap();
    let jobs = site.jobs(&machine);
    let told: Vec<_> = jobs.iter().map(|job| (job["Task"].as_str(), job["Context"].as_str())).collect();
    assert_eq!(told, [(Some("here"), Some("")), (Some("there"), Some("ctx")), (Some("back"), Some(""))]);
    let logs: Vec<Vec<String>> =
        jobs.iter().map(|job| said(&site.log(job), job["Task"].as_str().unwrap())).collect();
    assert_eq!(logs, [["here in []"], ["there in [ctx]"], ["back in []"]]);
    assert!(!spoken(&runners[2]).contains("Task"), "{}", spoken(&runners[2]));
    for runner in &mut runners {
        assert!(runner.ended().unwrap().is_none(), "it waits for more: {}", spoken(runner));
        runner.terminate(WITHIN).unwrap();
    }
}

#[test]
fn a_server_killed_in_the_middle_of_a_log_has_all_of_it_in_the_end() {
    let mut site = Site::start("runners-server-killed");
    let go = site.path("go");
    let wait_for = format!("while [ ! -e {} ]; do sleep 0.1; done\n", go.display());
    site.task("talks", &[&(count("talks", 1, 3_000) + &wait_for + &count("talks", 3_001, 9_000))]);
    let machine = site.machine("talks", &["talks"]);
    let mut runner = site.runner(&machine, "runner", &["--oneshot"]);
    let job = site.until_job(&machine, "the job to run", |job| job["State"] == "running");
    site.until_log(&job, "talks line 3000", WITHIN);
    site.server.kill().unwrap();
    // Said while nobody listens.
    std::fs::write(go, "").unwrap();
    site.server.start_again().unwrap();
    assert_eq!(code(&mut runner), Some(0), "{}", spoken(&runner));
    let jobs = site.jobs(&machine);
    assert_eq!(jobs.len(), 1);
    assert_eq!(ended(&jobs[0]), "finished/complete");
    assert_eq!(said(&site.log(&jobs[0]), "talks"), numbered("talks", 9_000));
}

#[test]
fn a_job_whose_runner_was_killed_runs_again_as_the_same_job() {
    let site = Site::start("runners-killed");
    let go = site.path("go");
    let wait_for = format!(
        "echo {0} > {1}; while [ ! -e {2} ]; do sleep 0.1; done\n",
        "$$",
        site.path("pid").display(),
        go.display()
    );
    site.task("killed", &[&(count("killed", 1, 50) + &wait_for + &count("killed", 51, 100))]);
    let machine = site.machine("killed", &["killed"]);
    let mut first = site.runner(&machine, "first", &["--oneshot"]);
    let job = site.until_job(&machine, "the job to run", |job| job["State"] == "running");
    site.until_log(&job, "killed line 50", WITHIN);
    first.kill().unwrap();
    // The kernel ends the script with its runner: it never talks on beside its successor.
    let script: i32 = std::fs::read_to_string(site.path("pid")).unwrap().trim().parse().unwrap();
    wait::until("the script to be gone", WITHIN, || {
        Ok(kill(Pid::from_raw(script), None).is_err().then_some(()))
    })
    .unwrap();
    std::fs::write(go, "").unwrap();
    let mut second = site.runner(&machine, "second", &["--oneshot"]);
    assert_eq!(code(&mut second), Some(0), "{}", spoken(&second));
    let jobs = site.jobs(&machine);
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!((id(&jobs[0]), ended(&jobs[0]).as_str()), (id(&job), "finished/complete"));
    assert_eq!(jobs[0]["Epoch"], json!(2));
    let lines = said(&site.log(&jobs[0]), "killed");
    assert_eq!(lines, [numbered("killed", 50), numbered("killed", 100)].concat());
}

#[test]
fn a_paused_runner_that_wakes_after_reassignment_writes_nothing_more() {
    let site = Site::start("runners-paused");
    let alive = site.path("alive");
    let script = format!(
        "i=0; while :; do i=$((i+1)); echo paused line $i; echo $i > {0}.new; mv {0}.new {0}; sleep 0.1; done",
        alive.display()
    );
    site.task("paused", &[&script]);
    let machine = site.machine("paused", &["paused"]);
    let mut runner = site.runner(&machine, "runner", &["--oneshot"]);
    let job = site.until_job(&machine, "the job to run", |job| job["State"] == "running");
    site.until_log(&job, "paused line 1", WITHIN);
    signal(&runner, Signal::SIGSTOP);

    // Somebody gives the job to another runner meanwhile: here, the operator plays one.
    let path = format!("/jobs/{}", id(&job));
    site.call(Method::PATCH, &path, &json!([{ "op": "replace", "path": "/State", "value": "incomplete" }]));
    let given = site.call(Method::POST, "/jobs", &json!({ "Machine": machine }));
    assert_eq!((id(&given), &given["Epoch"]), (id(&job), &json!(2)));
    site.call(Method::PATCH, &path, &json!([{ "op": "replace", "path": "/State", "value": "running" }]));
    let before = (site.log(&job), site.get(&path));

    signal(&runner, Signal::SIGCONT);
    assert_eq!(code(&mut runner), Some(0));
    assert!(spoken(&runner).contains("another runner has the job"), "{}", spoken(&runner));
    assert_eq!((site.log(&job), site.get(&path)), before, "it wrote something");
    assert_eq!(site.get(&format!("/machines/{machine}"))["Runnable"], json!(true));
    let last = std::fs::read_to_string(&alive).unwrap();
    wait::throughout(Duration::from_secs(1), || {
        assert_eq!(std::fs::read_to_string(&alive)?, last, "its script lives on");
        Ok(())
    })
    .unwrap();

    // Neither does the next runner at the same place, as process 1 starts one.
    let mut next = site.runner(&machine, "next", &["--oneshot"]);
    assert_eq!(code(&mut next), Some(0), "{}", spoken(&next));
    assert_eq!((site.log(&job), site.get(&path)), before, "it took the job back");

    // What such a runner would have sent is refused.
    let report = json!([{ "op": "replace", "path": "/State", "value": "finished" }]);
    for (method, path, body) in [
        (Method::PATCH, path.clone(), report.to_string()),
        (Method::PUT, format!("{path}/log"), "too late".to_owned()),
        (Method::GET, format!("{path}/actions"), String::new()),
    ] {
        let request = site.operator.request(method.clone(), &format!("/api/v3{path}"));
        let request = request.header("x-muster-lease", "1").header("content-type", "application/json");
        let answer = site.operator.send(request.body(body)).unwrap();
        assert_eq!(answer.status, 409, "{method} {path}: {}", answer.text());
    }
    assert_eq!(site.log(&job), before.0);
}
