//! Requests that mean harm to the machine model: each is a 4xx with the error body, memory stays
//! bounded, and the server serves others meanwhile.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use protocol::rest::ErrorBody;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use tests::muster::Server;
use tests::operator::{Answer, Operator};

/// Most memory that hostile requests may add to the server, in bytes.
const MEMORY: u64 = 200 * 1_024 * 1_024;
/// Longest answer to a bystander.
const BYSTANDER: Duration = Duration::from_secs(3);

struct Site {
    server: Server,
    operator: Operator,
}

impl Site {
    fn start(name: &str) -> Self {
        let server = Server::builder(name).start().unwrap();
        let operator = server.operator().unwrap();
        Self { server, operator }
    }

    fn send(&self, method: Method, path: &str, body: impl Into<reqwest::blocking::Body>) -> Result<Answer> {
        let request = self.operator.request(method, &format!("/api/v3/{path}"));
        self.operator.send(request.header(CONTENT_TYPE, "application/json").body(body))
    }

    fn make(&self, collection: &str, object: &Value) {
        let answer = self.operator.post(&format!("/api/v3/{collection}"), object).unwrap();
        assert_eq!(answer.status, 201, "{object}: {}", answer.text());
    }

    /// Resident memory of the server, in bytes.
    fn memory(&self) -> u64 {
        let pid = self.server.pid().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1_024
    }
}

/// A 4xx that explains itself.
fn refused(answer: &Answer) -> Result<u16> {
    ensure!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.text());
    let body: ErrorBody = answer.json()?;
    ensure!(body.code == answer.status && !body.messages.is_empty(), "{}", answer.text());
    Ok(answer.status)
}

/// Ends the bystander, also when a call went wrong.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs hostile calls while a bystander reads without pause; none of its answers may be late.
fn beside_a_bystander(site: &Site, calls: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    let before = site.memory();
    let slowest = std::thread::scope(|scope| {
        let bystander = scope.spawn(|| -> Result<Duration> {
            let mut slowest = Duration::ZERO;
            while !stop.load(Ordering::SeqCst) {
                let asked = Instant::now();
                let _machines: Vec<Value> = site.operator.get("/api/v3/machines")?.expect(200)?;
                slowest = slowest.max(asked.elapsed());
            }
            Ok(slowest)
        });
        let done = Done(&stop);
        calls();
        drop(done);
        bystander.join().unwrap().unwrap()
    });
    assert!(slowest < BYSTANDER, "a bystander waited {slowest:?}");
    let grown = site.memory().saturating_sub(before);
    assert!(grown < MEMORY, "the server grew by {grown} bytes");
}

#[test]
fn bodies_that_are_too_deep_too_large_or_no_json_are_refused() {
    let site = Site::start("model-hostile-bodies");
    beside_a_bystander(&site, || {
        let deep = "[".repeat(1_000_000);
        let deep_object = "{\"a\":".repeat(200_000);
        let large = format!("{{\"Name\":\"x\",\"Description\":\"{}\"}}", "a".repeat(10 << 20));
        for (what, expected, body) in [
            ("a million brackets", 400, deep.into_bytes()),
            ("two hundred thousand objects", 400, deep_object.into_bytes()),
            ("ten MiB", 413, large.into_bytes()),
            ("a key twice", 400, br#"{"Name":"twice","Name":"again"}"#.to_vec()),
            ("a key twice inside", 400, br#"{"Name":"twice","Params":{"a":1,"a":2}}"#.to_vec()),
            ("a key twice in another case", 400, br#"{"Name":"twice","name":"again"}"#.to_vec()),
            ("bytes that are no UTF-8", 400, b"{\"Name\":\"\xff\xfe\"}".to_vec()),
            ("half a surrogate", 400, br#"{"Name":"\ud800"}"#.to_vec()),
            ("nothing", 400, Vec::new()),
            ("a list", 400, b"[1]".to_vec()),
            ("a number beyond all", 400, b"1e999999".to_vec()),
        ] {
            let answer = site.send(Method::POST, "machines", body).unwrap();
            let status = refused(&answer).with_context(|| what.to_owned()).unwrap();
            assert_eq!(status, expected, "{what}: {}", answer.text());
        }
    });
    let machines: Vec<Value> = site.operator.get("/api/v3/machines").unwrap().expect(200).unwrap();
    assert_eq!(machines, Vec::<Value>::new());
}

#[test]
fn long_headers_and_foreign_bodies_are_refused() {
    let site = Site::start("model-hostile-headers");
    let get = || site.operator.request(Method::GET, "/api/v3/machines");
    let long = HeaderValue::from_str(&"a".repeat(65 * 1_024)).unwrap();
    let answer = site.operator.send(get().header("x-long", long)).unwrap();
    assert_eq!(refused(&answer).unwrap(), 431);
    let post = site.operator.request(Method::POST, "/api/v3/machines").header(CONTENT_TYPE, "text/xml");
    assert_eq!(refused(&site.operator.send(post.body("<machine/>")).unwrap()).unwrap(), 415);
    let many: Vec<String> = (0..200).map(|number| format!("Name=Ne(n{number})")).collect();
    for query in [
        many.join("&").as_str(),
        "Name=Re((a)",
        "Name=Between(a)",
        "Runnable=In(word)",
        "sort=Nothing",
        "limit=99999999999999999999",
    ] {
        let answer = site.operator.get(&format!("/api/v3/machines?{query}")).unwrap();
        assert_eq!(refused(&answer).unwrap(), 406, "{query}");
    }
    assert_eq!(site.operator.get("/api/v3/machines").unwrap().status, 200);
}

#[test]
fn names_lead_nowhere_else() {
    let site = Site::start("model-hostile-names");
    for name in
        ["../admin-password", "..", "a/../../b", "%2e%2e%2fa", "a\\b", "a\u{0}b", "a\nb", "/etc/passwd"]
    {
        for collection in ["machines", "tasks", "stages", "profiles", "bootenvs"] {
            let answer =
                site.operator.post(&format!("/api/v3/{collection}"), &json!({ "Name": name })).unwrap();
            assert_eq!(refused(&answer).unwrap(), 422, "{collection} {name:?}");
        }
    }
    for path in [
        "tasks/..%2f..%2fadmin-password",
        "tasks/%00",
        "machines/Name:..%2f",
        "templates/%2e%2e",
        "meta/tasks/..%2f..",
    ] {
        assert!(refused(&site.operator.get(&format!("/api/v3/{path}")).unwrap()).is_ok(), "{path}");
    }
}

#[test]
fn template_bombs_end_early() {
    let site = Site::start("model-hostile-templates");
    let mut doubling = String::from("{{define \"t0\"}}xxxxxxxxxxxxxxxx{{end}}");
    for level in 1..64 {
        let below = level - 1;
        write!(
            doubling,
            "{{{{define \"t{level}\"}}}}{{{{template \"t{below}\"}}}}{{{{template \"t{below}\"}}}}{{{{end}}}}"
        )
        .unwrap();
    }
    doubling.push_str("{{template \"t63\"}}");
    let bombs = [
        ("a range of 10^9", "{{range untilStep 0 1000000000 1}}x{{end}}".to_owned()),
        ("a text of 10^9", "{{repeat 1000000000 \"x\"}}".to_owned()),
        ("recursion", "{{define \"r\"}}{{template \"r\" .}}{{end}}{{template \"r\" .}}".to_owned()),
        ("recursion by name", "{{.CallTemplate \"bomb\" .}}".to_owned()),
        ("doubling", doubling),
    ];
    let machine: Value =
        site.operator.post("/api/v3/machines", &json!({"Name": "target"})).unwrap().expect(201).unwrap();
    let path = format!("machines/{}/render", machine["Uuid"].as_str().unwrap());
    beside_a_bystander(&site, || {
        for (what, text) in &bombs {
            let asked = Instant::now();
            let answer = site.send(Method::POST, &path, text.clone()).unwrap();
            assert_eq!(refused(&answer).with_context(|| (*what).to_owned()).unwrap(), 422, "{what}");
            assert!(asked.elapsed() < Duration::from_secs(10), "{what} took {:?}", asked.elapsed());
        }
        let nested = format!("{{{{{}1{}}}}}", "(".repeat(200_000), ")".repeat(200_000));
        refused(
            &site
                .send(Method::POST, "templates", json!({"ID": "deep", "Contents": nested}).to_string())
                .unwrap(),
        )
        .unwrap();
        // In the place where it hurts: rendered for every machine that boots.
        let files = json!([{"Name": "bomb", "Path": "{{.Machine.Path}}/bomb", "Contents": bombs[0].1}]);
        site.make("bootenvs", &json!({"Name": "bomb", "OS": {"Name": "bomb"}, "Templates": files}));
        let set = json!([{"op": "replace", "path": "/BootEnv", "value": "bomb"}]);
        let uuid = machine["Uuid"].as_str().unwrap();
        let now: Value = site
            .send(Method::PATCH, &format!("machines/{uuid}"), set.to_string())
            .unwrap()
            .expect(200)
            .unwrap();
        assert_eq!(now["Available"], false, "the machine says so: {now}");
    });
}

#[test]
fn lists_of_tasks_that_go_in_circles_are_refused() {
    let site = Site::start("model-hostile-tasks");
    let name = |number: usize| format!("chain-{number}");
    beside_a_bystander(&site, || {
        site.make("tasks", &json!({"Name": name(0)}));
        for number in 1..1_000 {
            site.make("tasks", &json!({"Name": name(number), "Prerequisites": [name(number - 1)]}));
        }
        let circle = json!([{"op": "replace", "path": "/Prerequisites", "value": [name(999)]}]).to_string();
        let answer = site.send(Method::PATCH, &format!("tasks/{}", name(0)), circle).unwrap();
        assert_eq!(refused(&answer).unwrap(), 422);
        let all: Vec<String> = (0..1_000).map(name).collect();
        let answer = site.operator.post("/api/v3/machines", &json!({"Name": "long", "Tasks": all})).unwrap();
        let machine: Value = answer.expect(201).unwrap();
        let tasks = machine["Tasks"].as_array().unwrap();
        assert_eq!((tasks.len(), &tasks[0], &tasks[999]), (1_000, &json!(name(0)), &json!(name(999))));
        let profiles = |from: &str, to: &str| json!({"Name": from, "Profiles": [to]});
        site.make("profiles", &profiles("one", "two"));
        let answer = site.operator.post("/api/v3/profiles", &profiles("two", "one")).unwrap();
        assert_eq!(refused(&answer).unwrap(), 422);
    });
}
