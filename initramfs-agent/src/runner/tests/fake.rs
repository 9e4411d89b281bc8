//! A server with one machine and its jobs, over real TLS: as much of Digital Rebar's walk as a runner
//! can tell, and faults at will.

use crate::api::tls::tests::Authority;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use protocol::config::ServerUrl;
use protocol::ids::SpkiPin;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use uuid::Uuid;

pub(super) const MACHINE: Uuid = Uuid::from_u128(7);
pub(super) const TOKEN: &str = "mmt_first";

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server closes the connection and does nothing.
    Unheard,
    /// It does what was asked, and the answer is lost.
    AnswerLost,
    /// It has no time.
    Busy,
}

/// One job.
#[derive(Debug, Clone)]
pub(super) struct FakeJob {
    pub(super) id: Uuid,
    pub(super) task: String,
    pub(super) state: String,
    pub(super) exit: String,
    pub(super) errors: Value,
    pub(super) epoch: i64,
    pub(super) log: Vec<u8>,
    /// Every state it had, with its exit state.
    pub(super) history: Vec<String>,
}

/// Everything the server knows.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tasks: Vec<String>,
    pub(super) current_task: i64,
    pub(super) runnable: bool,
    pub(super) boot_env: String,
    pub(super) context: String,
    pub(super) jobs: Vec<FakeJob>,
    /// Actions by task: name, path, content.
    pub(super) actions: BTreeMap<String, Vec<(String, String, String)>>,
    /// Labels by task.
    pub(super) flags: BTreeMap<String, String>,
    /// Faults of the calls to come, in order; between them calls go well.
    pub(super) faults: Vec<Option<Fault>>,
    /// Everything fails until this is over.
    pub(super) is_down: bool,
    /// Each call that was heard: method, path, status.
    pub(super) calls: Vec<String>,
    /// Tokens that are taken.
    pub(super) tokens: Vec<String>,
    version: u64,
}

impl State {
    fn machine(&self) -> Value {
        let job = self.jobs.last();
        json!({
            "Uuid": MACHINE, "Name": "m1", "Context": self.context, "BootEnv": self.boot_env,
            "Runnable": self.runnable, "Available": true, "Tasks": self.tasks,
            "CurrentTask": self.current_task,
            "CurrentJob": job.map(|job| job.id.to_string()).unwrap_or_default(),
            "JobState": job.map(|job| job.state.clone()).unwrap_or_default(),
        })
    }

    fn show(&self, job: &FakeJob) -> Value {
        json!({
            "Uuid": job.id, "Task": job.task, "State": job.state, "ExitState": job.exit,
            "Epoch": job.epoch, "Context": self.context, "CurrentIndex": self.current_task,
        })
    }

    /// Another runner takes the newest job.
    pub(super) fn reassign(&mut self) {
        let job = self.jobs.last_mut().unwrap();
        job.epoch += 1;
    }

    fn ask(&mut self, body: &Value) -> (u16, Value) {
        if body["Context"] != self.context.as_str() {
            return (204, Value::Null);
        }
        let state = self.jobs.last().map(|job| job.state.clone()).unwrap_or_default();
        if !self.runnable || matches!(state.as_str(), "created" | "running") {
            return (409, json!({ "Type": "Conflict", "Messages": ["not now"] }));
        }
        if state == "incomplete" {
            let job = self.jobs.last_mut().unwrap();
            job.epoch += 1;
            let job = job.clone();
            return (202, self.show(&job));
        }
        if state != "failed" || self.current_task < 0 {
            self.current_task += 1;
        }
        let Some(task) = self.tasks.get(usize::try_from(self.current_task).unwrap()).cloned() else {
            return (204, Value::Null);
        };
        let id = body["Uuid"].as_str().unwrap().parse().unwrap();
        let job = FakeJob {
            id,
            task,
            state: "created".to_owned(),
            exit: String::new(),
            errors: Value::Null,
            epoch: 1,
            log: Vec::new(),
            history: Vec::new(),
        };
        let shown = self.show(&job);
        self.jobs.push(job);
        (201, shown)
    }

    fn patch_job(&mut self, index: usize, ops: &Value) -> (u16, Value) {
        let job = &mut self.jobs[index];
        for op in ops.as_array().unwrap() {
            let value = op["value"].clone();
            let text = || value.as_str().unwrap().to_owned();
            match (op["op"].as_str().unwrap(), op["path"].as_str().unwrap()) {
                ("test", "/State") if job.state != text() => return (409, json!({ "Type": "PATCH" })),
                ("test", "/State") => {}
                ("replace", "/State") => job.state = text(),
                ("replace", "/ExitState") => job.exit = text(),
                ("replace", "/ResultErrors") => job.errors = value,
                other => panic!("{other:?} of a job"),
            }
        }
        job.history.push(format!("{} {}", job.state, job.exit).trim().to_owned());
        let job = job.clone();
        (200, self.show(&job))
    }

    fn patch_machine(&mut self, ops: &Value) -> (u16, Value) {
        for op in ops.as_array().unwrap() {
            match (op["op"].as_str().unwrap(), op["path"].as_str().unwrap()) {
                ("test", "/Context") if op["value"] != self.context.as_str() => {
                    return (409, json!({ "Type": "PATCH" }));
                }
                ("test", "/Context") => {}
                ("replace", "/Runnable") => self.runnable = op["value"].as_bool().unwrap(),
                other => panic!("{other:?} of a machine"),
            }
        }
        (200, self.machine())
    }

    /// Does what a call asks: status, body, length of the log if it is about one.
    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> (u16, Value, Option<usize>) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = path.strip_prefix("/api/v3/").unwrap().split('/').collect();
        let sent = || serde_json::from_slice::<Value>(body).unwrap();
        let plain = |(status, value)| (status, value, None);
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["machines", _, "token"]) => {
                let token = format!("mmt_{}", self.tokens.len());
                self.tokens.push(token.clone());
                plain((200, json!({ "Token": token })))
            }
            ("GET", ["machines", _]) => plain((200, self.machine())),
            ("PATCH", ["machines", _]) => {
                if let (Some(lease), Some(job)) = (headers.get("x-muster-lease"), self.jobs.last())
                    && lease.to_str().unwrap() != job.epoch.to_string()
                {
                    return plain((409, Value::Null));
                }
                plain(self.patch_machine(&sent()))
            }
            ("GET", ["tasks", name]) => {
                let flags = self.flags.get(*name).cloned().unwrap_or("sane-exit-codes".to_owned());
                plain((200, json!({ "Name": name, "Meta": { "feature-flags": flags } })))
            }
            ("POST", ["jobs"]) => plain(self.ask(&sent())),
            (_, ["jobs", id, ..]) => {
                let id: Uuid = id.parse().unwrap();
                let Some(index) = self.jobs.iter().position(|job| job.id == id) else {
                    return plain((404, Value::Null));
                };
                let job = &self.jobs[index];
                let is_over = matches!(job.state.as_str(), "finished" | "failed");
                let lease = headers.get("x-muster-lease").map(|lease| lease.to_str().unwrap().to_owned());
                if lease.is_some_and(|lease| lease != job.epoch.to_string() || is_over) {
                    return (409, json!({ "Type": "Conflict" }), Some(job.log.len()));
                }
                match (method.as_str(), parts.get(2).copied()) {
                    ("GET", None) => plain((200, self.show(job))),
                    ("PATCH", None) => plain(self.patch_job(index, &sent())),
                    ("GET", Some("actions")) => {
                        let actions = self.actions.get(&job.task).cloned().unwrap_or_default();
                        let shown = actions.iter().map(|(name, path, content)| {
                            json!({ "Name": name, "Path": path, "Content": content, "Meta": {} })
                        });
                        plain((200, shown.collect()))
                    }
                    ("HEAD", Some("log")) => (200, Value::Null, Some(job.log.len())),
                    ("PUT", Some("log")) => self.append(index, query, body),
                    other => panic!("{other:?} of a job"),
                }
            }
            other => panic!("nobody knows {other:?}"),
        }
    }

    fn append(&mut self, index: usize, query: &str, body: &Bytes) -> (u16, Value, Option<usize>) {
        let log = &mut self.jobs[index].log;
        let offset: usize = query.strip_prefix("offset=").unwrap().parse().unwrap();
        if offset > log.len() {
            return (409, json!({ "Type": "Conflict" }), Some(log.len()));
        }
        log.extend(body.iter().skip(log.len() - offset));
        (204, Value::Null, Some(log.len()))
    }
}

/// The running server.
pub(super) struct Fake {
    pub(super) url: ServerUrl,
    pub(super) pin: SpkiPin,
    state: Arc<Mutex<State>>,
    /// Told of each call.
    pub(super) called: Arc<Notify>,
}

impl Fake {
    pub(super) async fn start(tasks: &[(&str, &str)]) -> Self {
        let ca = Authority::new();
        let acceptor = ca.acceptor(&["dc1.agent.internal"], 2020..=2090);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let mut state = State {
            tasks: tasks.iter().map(|(name, _)| (*name).to_owned()).collect(),
            current_task: -1,
            runnable: true,
            boot_env: "local".to_owned(),
            tokens: vec![TOKEN.to_owned()],
            ..State::default()
        };
        for (name, script) in tasks {
            let action = ("script".to_owned(), String::new(), (*script).to_owned());
            state.actions.insert((*name).to_owned(), vec![action]);
        }
        let state = Arc::new(Mutex::new(state));
        let called = Arc::new(Notify::new());
        let served = (state.clone(), called.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, (state, called)) = (acceptor.clone(), served.clone());
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.unwrap();
                    let service = service_fn(move |request| serve(request, state.clone(), called.clone()));
                    // A connection that a fault closes ends with an error.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { url, pin: ca.pin(), state, called }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits until the server has come to be as `is_so` says.
    pub(super) async fn until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            let called = self.called.notified();
            if is_so(&self.state()) {
                return;
            }
            called.await;
        }
    }
}

async fn serve(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
    called: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = head.uri.path_and_query().unwrap().as_str().to_owned();
    let mut state = state.lock().unwrap();
    called.notify_waiters();
    let gone = || Err(io::ErrorKind::ConnectionReset.into());
    if state.is_down {
        return gone();
    }
    let fault = if state.faults.is_empty() { None } else { state.faults.remove(0) };
    let response =
        |status: u16| Response::builder().status(status).header("content-type", "application/json");
    match fault {
        Some(Fault::Unheard) => return gone(),
        Some(Fault::Busy) => return Ok(response(503).body(Full::default()).unwrap()),
        Some(Fault::AnswerLost) | None => {}
    }
    let token = head.headers.get("authorization").unwrap().to_str().unwrap().to_owned();
    if !state.tokens.iter().any(|known| token == format!("Bearer {known}")) {
        return Ok(response(403).body(Full::from(r#"{"Messages":["void"]}"#)).unwrap());
    }
    let (status, value, length) = state.answer(&head.method, &path, &head.headers, &body);
    state.version += 1;
    let call = format!("{} {path} {status}", head.method);
    state.calls.push(call);
    called.notify_waiters();
    if fault == Some(Fault::AnswerLost) {
        return gone();
    }
    let mut response = response(status).header("etag", format!("\"{}\"", state.version));
    if let Some(length) = length {
        response = response.header("x-muster-log-length", length);
    }
    let body = if value.is_null() { String::new() } else { value.to_string() };
    Ok(response.body(Full::from(body)).unwrap())
}
