//! A server with machines, tasks and real runners, for the tests of jobs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::media;
use tests::muster::Server;
use tests::operator::Operator;
use tests::process::{Process, Spec};
use tests::wait;

/// Longest wait for something a runner does, while compilers and virtual machines run beside.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// A server, its operator, and folders for runners.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) operator: Operator,
    folders: TempDir,
}

impl Site {
    pub(crate) fn start(name: &str) -> Self {
        Self::of(Server::builder(name).start().unwrap())
    }

    pub(crate) fn of(server: Server) -> Self {
        let operator = server.operator().unwrap();
        Self { server, operator, folders: tempfile::tempdir().unwrap() }
    }

    /// A folder of this test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folders.path().join(name)
    }

    /// A call that must succeed; its answer.
    pub(crate) fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        self.operator.call(method, path, body).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, &Value::Null)
    }

    /// Makes an object.
    pub(crate) fn make(&self, collection: &str, object: Value) -> Value {
        self.call(Method::POST, &format!("/{collection}"), &object)
    }

    /// Makes a task of scripts that run one after another.
    pub(crate) fn task(&self, name: &str, scripts: &[&str]) {
        let templates: Vec<Value> = scripts
            .iter()
            .zip(1..)
            .map(
                |(script, number)| json!({ "Name": format!("step{number}"), "Path": "", "Contents": script }),
            )
            .collect();
        self.make("tasks", json!({ "Name": name, "Templates": templates }));
    }

    /// Makes a machine with these tasks; its id.
    pub(crate) fn machine(&self, name: &str, tasks: &[&str]) -> String {
        let machine = self.make("machines", json!({ "Name": name, "Tasks": tasks }));
        machine["Uuid"].as_str().unwrap().to_owned()
    }

    /// Changes one field of a machine.
    pub(crate) fn set(&self, machine: &str, field: &str, value: Value) {
        let patch = json!([{ "op": "replace", "path": format!("/{field}"), "value": value }]);
        self.call(Method::PATCH, &format!("/machines/{machine}"), &patch);
    }

    /// Gives a machine a param.
    pub(crate) fn param(&self, machine: &str, name: &str, value: &Value) {
        self.call(Method::POST, &format!("/machines/{machine}/params/{name}"), value);
    }

    /// A runner of this machine's jobs on this computer, in folders of its own.
    pub(crate) fn runner(&self, machine: &str, label: &str, arguments: &[&str]) -> Process {
        let token = self.get(&format!("/machines/{machine}/token?ttl=1h"));
        let pins: Vec<String> =
            self.operator.info().unwrap().ca_hash.iter().map(ToString::to_string).collect();
        Spec::new(&media::agent(), self.server.folder(), label)
            .args(["run"])
            .args(arguments.iter().copied())
            .env("RS_ENDPOINT", self.server.url())
            .env("RS_UUID", machine)
            .env("RS_TOKEN", token["Token"].as_str().unwrap())
            .env("MUSTER_CA_HASH", pins.join(","))
            .env("RS_RUNNER_DIR", self.path(&format!("runner-{machine}")))
            .start()
            .unwrap()
    }

    /// A machine's jobs, the first one first, without those that only moved it on.
    pub(crate) fn jobs(&self, machine: &str) -> Vec<Value> {
        let jobs = self.get(&format!("/jobs?Machine={machine}"));
        let mut jobs: Vec<Value> = jobs.as_array().unwrap().clone();
        jobs.retain(|job| !job["Task"].as_str().unwrap().contains(':'));
        jobs.sort_by_key(|job| (job["CurrentIndex"].as_i64(), job["StartTime"].as_str().map(str::to_owned)));
        jobs
    }

    /// Waits until a machine's newest job is as `is_so` says; the job.
    pub(crate) fn until_job(&self, machine: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, WITHIN, || {
            let job = self.get(&format!("/machines/{machine}"))["CurrentJob"].as_str().unwrap().to_owned();
            let answer = self.operator.get(&format!("/api/v3/jobs/{job}"))?;
            let job: Option<Value> = if answer.status == 200 { Some(answer.json()?) } else { None };
            Ok(job.filter(&is_so))
        })
        .unwrap()
    }

    /// What a job's log holds.
    pub(crate) fn log(&self, job: &Value) -> String {
        self.operator.get(&format!("/api/v3/jobs/{}/log", id(job))).unwrap().text()
    }

    /// Waits until a job's log holds this line; the log.
    pub(crate) fn until_log(&self, job: &Value, line: &str, within: Duration) -> String {
        wait::until(&format!("{line:?} in the log"), within, || {
            // The server may be away for a moment.
            let log = self.operator.get(&format!("/api/v3/jobs/{}/log", id(job)));
            let log = log.map(|answer| answer.text()).unwrap_or_default();
            Ok(log.lines().any(|known| known == line).then_some(log))
        })
        .unwrap()
    }
}

/// An object's id.
pub(crate) fn id(object: &Value) -> &str {
    object["Uuid"].as_str().unwrap()
}

/// State and exit state, as `finished/complete`.
pub(crate) fn ended(job: &Value) -> String {
    format!("{}/{}", job["State"].as_str().unwrap(), job["ExitState"].as_str().unwrap())
}

/// Of a log, the lines that begin like this: what scripts said.
pub(crate) fn said(log: &str, beginning: &str) -> Vec<String> {
    log.lines().filter(|line| line.starts_with(beginning)).map(str::to_owned).collect()
}

/// `NAME line 1` to `NAME line COUNT`.
pub(crate) fn numbered(name: &str, count: u32) -> Vec<String> {
    (1..=count).map(|number| format!("{name} line {number}")).collect()
}

/// What a runner said so far.
pub(crate) fn spoken(runner: &Process) -> String {
    fs::read_to_string(runner.stdout()).unwrap()
}
