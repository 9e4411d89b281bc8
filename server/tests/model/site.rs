//! A server in a directory of its own, called without sockets, by people who write JSON.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use server::{ServeOptions, Server};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use tempfile::TempDir;
use tower::ServiceExt;

/// A server, and who calls it.
pub(crate) struct Site {
    router: Router,
    pub(crate) server: Server,
    directory: TempDir,
    authorization: String,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when there is none.
    pub(crate) fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}: {}", self.status, self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The object, after the call went well.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
        self.json()
    }

    /// The error body, after the call was refused with this status.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        let body = self.json();
        assert_eq!(body["Code"], status, "{body}");
        for field in ["Model", "Key", "Type"] {
            assert!(body[field].is_string(), "{field}: {body}");
        }
        assert!(body["Messages"].as_array().is_some_and(|messages| !messages.is_empty()), "{body}");
        body
    }
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_, _| {}).await
    }

    /// A server with other options, and a directory for what they name.
    pub(crate) async fn start_with(change: impl FnOnce(&Path, &mut ServeOptions)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    async fn start_in(directory: TempDir, change: impl FnOnce(&Path, &mut ServeOptions)) -> Self {
        let mut options = options(directory.path());
        change(directory.path(), &mut options);
        let server = server::start(options).await.unwrap();
        let password = std::fs::read_to_string(directory.path().join("data/admin-password")).unwrap();
        Self { router: server.router(), server, directory, authorization: basic("admin", password.trim()) }
    }

    /// A server for very many calls: its data are in memory where that can be, and a token says
    /// who calls.
    pub(crate) async fn swift() -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let mut site = Self::start_in(directory.unwrap(), |_, _| {}).await;
        let token = site.get("users/admin/token?ttl=36000").await.ok();
        site.authorization = format!("Bearer {}", token["Token"].as_str().unwrap());
        site
    }

    /// A file of the data directory.
    pub(crate) fn data(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join("data").join(name)
    }

    /// The same server, called by somebody else.
    pub(crate) async fn call_as(
        &self,
        authorization: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let reads = matches!(method, "GET" | "HEAD" | "DELETE");
        let text = if reads { String::new() } else { body.to_string() };
        let mut request = request(method, path, text);
        request.headers_mut().insert(header::AUTHORIZATION, authorization.parse().unwrap());
        self.send(request).await
    }

    /// A call with whatever headers and bytes, as the first user unless it says who calls.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answer {
        if !request.headers().contains_key(header::AUTHORIZATION) {
            request.headers_mut().insert(header::AUTHORIZATION, self.authorization.parse().unwrap());
        }
        self.send_as_it_is(request).await
    }

    /// A call by whoever it says, if anybody.
    pub(crate) async fn send_as_it_is(&self, request: Request<Body>) -> Answer {
        answer(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.call_as(&self.authorization, method, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, &body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.call("PUT", path, &body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call("PATCH", path, &body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &Value::Null).await
    }

    /// A boot file, as firmware at this address gets it.
    pub(crate) async fn boot_file(&self, from: &str, path: &str) -> Answer {
        let request = Request::get(format!("/{path}")).body(Body::empty()).unwrap();
        self.boot(from, request).await
    }

    /// Any call of the door for boot files.
    pub(crate) async fn boot(&self, from: &str, request: Request<Body>) -> Answer {
        let request = server::from_address(request, SocketAddr::new(from.parse().unwrap(), 1_024));
        answer(self.server.boot_router().oneshot(request).await.unwrap()).await
    }

    /// Makes objects of one collection.
    #[track_caller]
    pub(crate) fn make<'a>(&'a self, collection: &'a str, objects: Value) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            for object in objects.as_array().unwrap() {
                let answer = self.post(collection, object.clone()).await;
                assert_eq!(answer.status, 201, "{caller}: {object}: {}", answer.text());
            }
        }
    }

    /// Makes a machine and answers it.
    pub(crate) async fn machine(&self, fields: Value) -> Value {
        self.post("machines", fields).await.ok()
    }

    /// Sets fields of a machine by RFC 6902 operations; answers how it went.
    pub(crate) async fn set(&self, machine: &Value, fields: Value) -> Answer {
        self.patch(&self.path(machine), replace(&fields)).await
    }

    /// The same, with force.
    pub(crate) async fn force(&self, machine: &Value, fields: Value) -> Answer {
        self.patch(&format!("{}?force=true", self.path(machine)), replace(&fields)).await
    }

    /// A machine as it is now.
    pub(crate) async fn again(&self, machine: &Value) -> Value {
        self.get(&self.path(machine)).await.ok()
    }

    pub(crate) fn path(&self, machine: &Value) -> String {
        format!("machines/{}", machine["Uuid"].as_str().unwrap())
    }

    /// Asks for the machine's next job.
    pub(crate) async fn next_job(&self, machine: &Value) -> Answer {
        self.post("jobs", json!({"Machine": machine["Uuid"]})).await
    }

    /// Moves a job from one state to another, as an agent does.
    pub(crate) async fn move_job(&self, job: &Value, old: &str, new: &str, exit: &str) -> Answer {
        let mut operations = vec![
            json!({"op": "test", "path": "/State", "value": old}),
            json!({"op": "replace", "path": "/State", "value": new}),
        ];
        if !exit.is_empty() {
            operations.push(json!({"op": "replace", "path": "/ExitState", "value": exit}));
        }
        self.patch(&format!("jobs/{}", job["Uuid"].as_str().unwrap()), operations.into()).await
    }

    /// Runs the machine's next task to its end and answers the job.
    pub(crate) async fn run_task(&self, machine: &Value) -> Value {
        let answer = self.next_job(machine).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let job = answer.json();
        self.move_job(&job, "created", "running", "").await.ok();
        self.move_job(&job, "running", "finished", "complete").await.ok()
    }

    /// Asks for jobs until there is none, running each to its end; answers their tasks.
    pub(crate) async fn run_all(&self, machine: &Value) -> Vec<String> {
        let mut tasks = Vec::new();
        for _ in 0..50 {
            let answer = self.next_job(machine).await;
            match answer.status {
                201 => {
                    let job = answer.json();
                    tasks.push(job["Task"].as_str().unwrap().to_owned());
                    self.move_job(&job, "created", "running", "").await.ok();
                    self.move_job(&job, "running", "finished", "complete").await.ok();
                }
                204 => {
                    let left = self.get(&self.path(machine)).await;
                    if left.status == 404 || left.json()["WorkflowComplete"] == true {
                        return tasks;
                    }
                }
                _ => return tasks,
            }
        }
        panic!("{machine} never comes to an end");
    }
}

async fn answer(response: Response) -> Answer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    Answer { status, headers, body }
}

/// `Basic` of a name and a password.
pub(crate) fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// A request to a path below `/api/v3/`.
pub(crate) fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let builder = Request::builder().method(method).uri(format!("/api/v3/{path}"));
    builder
        .header(header::HOST, "muster.test:8092")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.into())
        .unwrap()
}

/// RFC 6902 operations that set these fields.
pub(crate) fn replace(fields: &Value) -> Value {
    let fields = fields.as_object().unwrap().iter();
    fields.map(|(name, value)| json!({"op": "replace", "path": format!("/{name}"), "value": value})).collect()
}

fn options(directory: &Path) -> ServeOptions {
    let options = ServeOptions::new(directory.join("data"), (Ipv4Addr::LOCALHOST, 0).into());
    ServeOptions { reverse_dns: false, ..options }
}
