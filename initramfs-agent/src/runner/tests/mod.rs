//! The runner against a server that misbehaves, with real scripts.

mod fake;

use super::*;
use crate::api::rest::Place;
use crate::api::tls::Trust;
use crate::reap::tests::reaper;
use fake::{Fake, Fault, MACHINE, TOKEN};
use std::time::Instant;
use tempfile::TempDir;

/// Longest test, in the time of a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn settings(fake: &Fake, token: &str) -> Settings {
    let told = [
        ("RS_UUID", MACHINE.to_string()),
        ("RS_TOKEN", token.to_owned()),
        ("RS_ENDPOINT", fake.url.to_string()),
        ("MUSTER_CA_HASH", fake.pin.to_string()),
    ];
    let arguments = ["--oneshot", "--booted-env", "local"].map(str::to_owned);
    let value = |name: &str| told.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
    Settings::read(arguments, value).unwrap()
}

/// Runs one runner to its end.
async fn run_once(fake: &Fake, folder: &TempDir) -> Result<Ending, RunError> {
    run_under(fake, folder, TOKEN).await
}

async fn run_under(fake: &Fake, folder: &TempDir, token: &str) -> Result<Ending, RunError> {
    let settings = settings(fake, token);
    let Place { server, trust: Trust { pins, extra }, proxy } = settings.place.clone();
    let place = Place { server, trust: Trust { pins, extra }, proxy };
    let mut muster = Muster::new(place, MACHINE, Credential::new(token.to_owned()), say);
    let folder = folder.path().canonicalize().unwrap();
    let host = Host { settings, program: "/bin/false".into(), folder, reaper: reaper() };
    timeout(LIMIT, follow_course(&host, &mut muster)).await.expect("the runner hangs")
}

/// Every job: its task, how it went, and what its scripts said, without the runner's own lines.
fn told(fake: &Fake) -> Vec<(String, String, String)> {
    let said = |log: &[u8]| {
        let log = String::from_utf8(log.to_vec()).unwrap();
        log.split_inclusive('\n').filter(|line| !line.starts_with("muster: ")).collect::<String>()
    };
    let state = fake.state();
    state.jobs.iter().map(|job| (job.task.clone(), job.history.join(", "), said(&job.log))).collect()
}

fn job(task: &str, history: &str, said: &str) -> (String, String, String) {
    (task.to_owned(), history.to_owned(), said.to_owned())
}

#[tokio::test]
async fn tasks_run_in_order_and_each_log_is_complete() {
    let fake = Fake::start(&[("one", "echo a; echo b >&2"), ("two", "pwd; echo $RS_UUID")]).await;
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run_once(&fake, &folder).await.unwrap(), Ending::Idle);
    let place = folder.path().canonicalize().unwrap().join(fake.state().jobs[1].id.to_string());
    let two = format!("{}\n{MACHINE}\n", place.display());
    let done = "running, finished complete";
    assert_eq!(told(&fake), [job("one", done, "a\nb\n"), job("two", done, &two)]);
    assert!(fake.state().runnable);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
}

#[tokio::test]
async fn nothing_is_done_or_said_twice_when_answers_are_lost() {
    let fake = Fake::start(&[("one", "echo a; exit 1")]).await;
    // Every call fails once: most of them after it was done.
    let faults = [Fault::AnswerLost, Fault::AnswerLost, Fault::Unheard, Fault::AnswerLost, Fault::Busy];
    fake.state().faults = faults.repeat(2).into_iter().flat_map(|fault| [Some(fault), None]).collect();
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run_once(&fake, &folder).await.unwrap(), Ending::Idle);
    assert_eq!(told(&fake), [job("one", "running, failed failed", "a\n")]);
    let state = fake.state();
    assert!(!state.runnable && state.faults.is_empty(), "{:?}", state.faults);
    assert_eq!(state.jobs[0].errors, serde_json::json!(["script ended with exit code 1"]));
}

#[tokio::test]
async fn a_server_that_restarts_in_the_middle_of_a_log_has_all_of_it_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let script =
        format!("seq 1 20000; while [ ! -e {0} ]; do sleep 0.05; done; seq 20001 40000", go.display());
    let fake = Fake::start(&[("one", &script)]).await;
    let restart = async {
        fake.until(|state| state.jobs.iter().any(|job| job.log.len() > 40_000)).await;
        fake.state().is_down = true;
        std::fs::write(&go, "").unwrap();
        // It has met the server that is away.
        for _ in 0..2 {
            fake.called.notified().await;
        }
        fake.state().is_down = false;
    };
    let (ending, ()) = tokio::join!(run_once(&fake, &folder), restart);
    assert_eq!(ending.unwrap(), Ending::Idle);
    let expected: String = (1..=40_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(told(&fake), [job("one", "running, finished complete", &expected)]);
}

#[tokio::test]
async fn a_job_that_went_to_another_runner_is_ended_and_nothing_more_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(&[("one", "setsid sleep 300 & while :; do echo tick; sleep 0.1; done")]).await;
    let reassign = async {
        fake.until(|state| state.jobs.iter().any(|job| job.log.ends_with(b"tick\n"))).await;
        let mut state = fake.state();
        state.reassign();
        (state.jobs[0].log.clone(), state.jobs[0].history.clone())
    };
    let begun = Instant::now();
    let (ending, before) = tokio::join!(run_once(&fake, &folder), reassign);
    assert_eq!(ending.unwrap(), Ending::Idle);
    let id = {
        let state = fake.state();
        assert_eq!((state.jobs[0].log.clone(), state.jobs[0].history.clone()), before);
        assert!(state.runnable, "the machine is the other one's too");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        state.jobs[0].id.to_string()
    };
    let left = folder.path().canonicalize().unwrap().join(id);
    assert!(process::tests::is_quiet(&left), "something of the task is left");
    // The next runner here does not take it back while it runs, and runs it when it is given back.
    assert_eq!(run_once(&fake, &folder).await.unwrap(), Ending::Idle);
    assert_eq!(fake.state().jobs[0].history, before.1);
    {
        let mut state = fake.state();
        state.jobs[0].state = "incomplete".to_owned();
        let end = ("script".to_owned(), String::new(), "exit 0".to_owned());
        state.actions.insert("one".to_owned(), vec![end]);
    }
    assert_eq!(run_once(&fake, &folder).await.unwrap(), Ending::Idle);
    assert_eq!(fake.state().jobs[0].state, "finished");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_interrupted_job_runs_again_under_a_lease_of_its_own() {
    let fake = Fake::start(&[("one", "echo again"), ("two", "echo next")]).await;
    let folder = tempfile::tempdir().unwrap();
    {
        let state = &mut *fake.state();
        state.current_task = 0;
        state.jobs.push(fake::FakeJob {
            id: uuid::Uuid::from_u128(1),
            task: "one".to_owned(),
            state: "running".to_owned(),
            exit: String::new(),
            errors: serde_json::Value::Null,
            epoch: 1,
            log: b"half a li".to_vec(),
            history: Vec::new(),
        });
    }
    assert_eq!(run_once(&fake, &folder).await.unwrap(), Ending::Idle);
    let first = job("one", "incomplete, running, finished complete", "half a liagain\n");
    let log = String::from_utf8(fake.state().jobs[0].log.clone()).unwrap();
    assert_eq!(
        log.lines().next(),
        Some("half a limuster: interrupted: its runner or its machine went away; it begins again")
    );
    assert_eq!((told(&fake)[0].1.as_str(), fake.state().jobs[0].epoch), (first.1.as_str(), 2));
    assert_eq!(told(&fake)[1], job("two", "running, finished complete", "next\n"));
}

#[tokio::test]
async fn every_exit_code_is_reported_and_the_machine_paused_before() {
    // As recorded of the original (G10): each run ends in another way, and the same job goes on
    // until one has failed.
    let folder = tempfile::tempdir().unwrap();
    let step = |number: u32, code: u32| {
        let mark = folder.path().join(format!("ran-{number}"));
        format!("[ -e {0} ] || {{ : > {0}; exit {code}; }}", mark.display())
    };
    let fake = Fake::start(&[("one", "")]).await;
    let actions = [64, 32, 16, 1, 128]
        .iter()
        .zip(1..)
        .map(|(code, number)| (format!("step{number}"), String::new(), step(number, *code)));
    fake.state().actions.insert("one".to_owned(), actions.collect());
    for (ending, state, exit) in [
        (Ending::Reboot, "incomplete", "reboot"),
        (Ending::PowerOff, "incomplete", "poweroff"),
        (Ending::Stop, "incomplete", "stop"),
        (Ending::Idle, "failed", "failed"),
        (Ending::Idle, "incomplete", "complete"),
        (Ending::Idle, "finished", "complete"),
    ] {
        fake.state().runnable = true;
        assert_eq!(run_once(&fake, &folder).await.unwrap(), ending, "{state}/{exit}");
        let server = fake.state();
        let job = server.jobs.last().unwrap();
        assert_eq!((job.state.as_str(), job.exit.as_str()), (state, exit));
        assert_eq!(server.runnable, state == "finished");
        if state != "finished" {
            let about = |call: &&String| call.starts_with("PATCH");
            let last: Vec<_> = server.calls.iter().rev().filter(about).take(2).collect();
            assert!(last[0].contains("/jobs/") && last[1].contains("/machines/"), "{last:?}");
        }
    }
    let server = fake.state();
    let leases: Vec<i64> = server.jobs.iter().map(|job| job.epoch).collect();
    assert_eq!(leases, [4, 2], "the id is kept across the incompletes, a new one comes after the failure");
}

#[tokio::test]
async fn files_land_beside_the_scripts_and_what_cannot_run_fails_with_its_reason() {
    let fake = Fake::start(&[("one", ""), ("two", "#!/no/such/interpreter\n"), ("three", "")]).await;
    let folder = tempfile::tempdir().unwrap();
    let action = |name: &str, path: &str, text: &str| (name.to_owned(), path.to_owned(), text.to_owned());
    let one = vec![
        action("conf", "etc/a.conf", "text"),
        action("script", "", ". ./helper; job_info $(cat etc/a.conf); exit_stop"),
    ];
    fake.state().actions.insert("one".to_owned(), one);
    fake.state().flags.insert("one".to_owned(), "original-exit-codes".to_owned());
    fake.state().actions.insert("three".to_owned(), vec![action("conf", "../out", "text")]);
    assert_eq!(run_once(&fake, &folder).await.unwrap(), Ending::Stop, "by name, whatever the table");
    for _ in 0..2 {
        fake.state().runnable = true;
        assert_eq!(run_once(&fake, &folder).await.unwrap(), Ending::Idle);
        // On to the next task.
        fake.state().jobs.last_mut().unwrap().state = "finished".to_owned();
    }
    let told = told(&fake);
    assert_eq!(told[0], job("one", "running, finished stop", "INFO: text\n"));
    assert_eq!(told[1].1, "running, failed failed");
    let why = |index: usize| fake.state().jobs[index].errors[0].as_str().unwrap().to_owned();
    assert!(why(1).contains("cannot run script"), "{}", why(1));
    assert!(why(2).contains("leads out of the task's folder"), "{}", why(2));
}

#[tokio::test]
async fn another_boot_environment_ends_the_runner_for_a_reboot() {
    let fake = Fake::start(&[("one", "exit 0")]).await;
    let folder = tempfile::tempdir().unwrap();
    fake.state().boot_env = "other".to_owned();
    assert_eq!(run_once(&fake, &folder).await.unwrap(), Ending::Reboot);
    assert!(!fake.state().runnable && fake.state().jobs.is_empty());
}

#[tokio::test]
async fn a_token_that_is_void_ends_the_runner_and_a_good_one_is_renewed() {
    let fake = Fake::start(&[("one", "exit 0")]).await;
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run_under(&fake, &folder, "mmt_other").await.unwrap(), Ending::Refused);
    assert!(fake.state().jobs.is_empty());
    assert_eq!(run_once(&fake, &folder).await.unwrap(), Ending::Idle);
    assert_eq!(fake.state().tokens.len(), 3, "its own was renewed, and the task got one");
}

#[tokio::test]
async fn the_first_token_serves_when_those_after_it_have_ended() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let script = format!("echo begun; while [ ! -e {} ]; do sleep 0.05; done", go.display());
    let fake = Fake::start(&[("one", &script)]).await;
    let forget = async {
        fake.until(|state| state.jobs.iter().any(|job| job.log.ends_with(b"begun\n"))).await;
        // As after an hour in which the server was away.
        fake.state().tokens.truncate(1);
        std::fs::write(&go, "").unwrap();
    };
    let (ending, ()) = tokio::join!(run_once(&fake, &folder), forget);
    assert_eq!(ending.unwrap(), Ending::Idle);
    assert_eq!(told(&fake), [job("one", "running, finished complete", "begun\n")]);
}
