//! Machine tokens: what whoever speaks for a machine may do, and what ends it.

use crate::site::{Answer, Site};
use serde_json::{Value, json};

/// Two machines with a list of one task, and a token of the first.
struct Pair {
    site: Site,
    own: Value,
    other: Value,
    token: String,
}

impl Pair {
    async fn start() -> Self {
        Self::with_task(json!({"Name": "work"})).await
    }

    async fn with_task(task: Value) -> Self {
        let site = Site::start().await;
        site.make("tasks", json!([task])).await;
        let own = site.machine(json!({"Name": "m1", "Tasks": ["work"]})).await;
        let other = site.machine(json!({"Name": "m2", "Tasks": ["work"]})).await;
        let made = site.get(&format!("{}/token", site.path(&own))).await.ok();
        let token = format!("Bearer {}", made["Token"].as_str().unwrap());
        assert!(token.starts_with("Bearer mmt_"), "{token}");
        Self { site, own, other, token }
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.site.call_as(&self.token, method, path, &body).await
    }

    fn own(&self) -> String {
        self.site.path(&self.own)
    }

    fn other(&self) -> String {
        self.site.path(&self.other)
    }

    /// Changes one field of its machine.
    async fn set(&self, path: &str, value: Value) -> Answer {
        self.call("PATCH", &self.own(), json!([{"op": "add", "path": path, "value": value}])).await
    }
}

#[tokio::test]
async fn it_reads_its_machine_and_what_its_tasks_need() {
    let pair = Pair::start().await;
    let (own, other) = (pair.own(), pair.other());
    for path in [
        own.as_str(),
        &format!("{own}/params"),
        &format!("{own}/params/x?aggregate=true"),
        "tasks/work",
        "stages/none",
        "bootenvs/local",
        "profiles/global",
        "info",
    ] {
        let answer = pair.call("GET", path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    for path in [
        other.as_str(),
        &format!("{other}/params"),
        &format!("{other}/token"),
        "machines/11111111-2222-4333-8444-555555555555",
        "machines/Name:m2",
        "machines",
        "jobs",
        "tasks",
        "users/admin",
        "users/admin/token",
        "roles/superuser",
        "prefs",
        "workflows",
        "bootstrap/enrollments",
        "bootstrap/tokens",
        "keys/token",
    ] {
        let refused = pair.call("GET", path, Value::Null).await.refused(403);
        assert_eq!(refused["Type"], "AUTH", "{path}");
    }
}

#[tokio::test]
async fn it_changes_what_a_machine_knows_best_and_nothing_that_makes_it_another() {
    let pair = Pair::start().await;
    for (path, value) in [
        ("/Runnable", json!(false)),
        ("/Address", json!("10.0.0.9")),
        ("/Params/found", json!({"disks": 2})),
        ("/Description", json!("found by itself")),
        ("/Meta/icon", json!("server")),
    ] {
        assert_eq!(pair.set(path, value).await.status, 200, "{path}");
    }
    let param = format!("{}/params/rack", pair.own());
    pair.call("POST", &param, json!("b4")).await.ok();
    pair.call("DELETE", &param, Value::Null).await.ok();
    let params = format!("{}/params", pair.own());
    pair.call("PATCH", &params, json!([{"op": "add", "path": "/more", "value": 1}])).await.ok();
    for (path, value) in [
        ("/Name", json!("m3")),
        ("/Profiles", json!(["global"])),
        ("/Secret", json!("mine")),
        ("/Locked", json!(true)),
        ("/Pool", json!("other")),
        ("/Workflow", json!("")),
        ("/Stage", json!("local")),
        ("/BootEnv", json!("ignore")),
        ("/Tasks", json!([])),
        ("/Context", json!("elsewhere")),
        ("/Meta/BaseContext", json!("elsewhere")),
        ("/Meta/machine-role", json!("self")),
    ] {
        let answer = pair.set(path, value).await;
        // What is the case already changes nothing.
        let expected = if path == "/Workflow" { 200 } else { 403 };
        assert_eq!(answer.status, expected, "{path}: {}", answer.text());
    }
    let others = format!("{}/params/rack", pair.other());
    pair.call("POST", &others, json!("b4")).await.refused(403);
    pair.call("PATCH", &pair.other(), json!({"Description": "x"})).await.refused(403);
    pair.call("DELETE", &pair.own(), Value::Null).await.refused(403);
    pair.call("POST", "machines", json!({"Name": "m3"})).await.refused(403);
    pair.call("POST", "users", json!({"Name": "mallory"})).await.refused(403);
    let own = pair.site.again(&pair.own).await;
    assert_eq!((&own["Name"], &own["Params"]), (&json!("m1"), &json!({"found": {"disks": 2}, "more": 1})));
}

/// What they say decides what a machine is told and made of, as `muster/cloud-init` with the values of all secrets.
#[tokio::test]
async fn it_writes_no_param_of_musters_own_by_any_door() {
    let pair = Pair::start().await;
    let (own, params) = (pair.own(), format!("{}/params", pair.own()));
    let mine = json!({"muster/write-protected": true, "rack": "b4"});
    pair.site.post(&params, mine.clone()).await.ok();
    let machine = pair.site.again(&pair.own).await;
    let with = |params: Value| {
        let mut machine = machine.clone();
        machine["Params"] = params;
        machine
    };
    let refused = [
        ("PATCH", own.clone(), json!([{"op": "add", "path": "/Params/muster~1cloud-init", "value": "a: 1"}])),
        ("PATCH", own.clone(), json!([{"op": "remove", "path": "/Params/muster~1write-protected"}])),
        ("PATCH", own.clone(), json!([{"op": "replace", "path": "/Params", "value": {}}])),
        ("PATCH", own.clone(), json!([{"op": "remove", "path": "/Params"}])),
        ("PATCH", own.clone(), json!({"Params": {"muster/write-protected": false}})),
        ("PUT", own.clone(), with(Value::Null)),
        ("PUT", own.clone(), with(json!({"rack": "b4"}))),
        ("POST", params.clone(), json!({"rack": "b4"})),
        ("POST", params.clone(), json!({"muster/mesh-relay": true, "muster/write-protected": true})),
        ("PATCH", params.clone(), json!([{"op": "add", "path": "/muster~1mesh-relay", "value": true}])),
        ("PATCH", params.clone(), json!({"muster/mesh-relay": true})),
        ("POST", format!("{params}/muster%2Fwrite-protected"), json!(false)),
        ("DELETE", format!("{params}/muster%2Fwrite-protected"), Value::Null),
        ("PATCH", format!("{own}/start"), json!({"Params": {"muster/kernel-args": "quiet"}})),
    ];
    for (method, path, body) in refused {
        let refused = pair.call(method, &path, body.clone()).await.refused(403);
        let said = refused["Messages"][0].as_str().unwrap();
        assert!(said.starts_with("param muster/"), "{method} {path} {body}: {said}");
    }
    assert_eq!(pair.site.again(&pair.own).await["Params"], mine);

    pair.call("PUT", &own, with(json!({"muster/write-protected": true, "rack": "b5"}))).await.ok();
    pair.call("POST", &params, json!({"muster/write-protected": true, "more": 1})).await.ok();
    pair.call("POST", &format!("{params}/musterless"), json!(1)).await.ok();
    let now = json!({"muster/write-protected": true, "more": 1, "musterless": 1});
    assert_eq!(pair.site.again(&pair.own).await["Params"], now);
}

#[tokio::test]
async fn task_may_be_given_a_param_of_musters_own() {
    let claims =
        json!([{"scope": "machines", "action": "update:/Params/muster~1kernel-args", "specific": "*"}]);
    let pair = Pair::with_task(json!({"Name": "work", "ExtraClaims": claims})).await;
    let job = pair.call("POST", "jobs", json!({"Machine": pair.own["Uuid"]})).await.ok();
    pair.site.move_job(&job, "created", "running", "").await.ok();
    pair.set("/Params/muster~1kernel-args", json!("quiet")).await.ok();
    pair.set("/Params/muster~1mesh-relay", json!(true)).await.refused(403);
}

#[tokio::test]
async fn it_runs_jobs_of_its_machine_only() {
    let pair = Pair::start().await;
    let job = pair.call("POST", "jobs", json!({"Machine": pair.own["Uuid"]})).await;
    assert_eq!(job.status, 201, "{}", job.text());
    let path = format!("jobs/{}", job.json()["Uuid"].as_str().unwrap());
    let running = json!([{"op": "replace", "path": "/State", "value": "running"}]);
    pair.call("PATCH", &path, running.clone()).await.ok();
    pair.call("GET", &path, Value::Null).await.ok();
    pair.call("GET", &format!("{path}/actions"), Value::Null).await.ok();
    pair.call("GET", &format!("{path}/log"), Value::Null).await;
    pair.call("DELETE", &path, Value::Null).await.refused(403);
    pair.call("POST", "jobs", json!({"Machine": pair.other["Uuid"]})).await.refused(403);
    let others = pair.site.next_job(&pair.other).await.ok();
    let others = format!("jobs/{}", others["Uuid"].as_str().unwrap());
    pair.call("GET", &others, Value::Null).await.refused(403);
    pair.call("PATCH", &others, running).await.refused(403);
    pair.call("GET", &format!("{others}/actions"), Value::Null).await.refused(403);
    pair.call("GET", &format!("{others}/log"), Value::Null).await.refused(403);
}

#[tokio::test]
async fn its_changes_are_nobodys_and_a_lock_does_not_stop_them() {
    let pair = Pair::start().await;
    let before = pair.site.again(&pair.own).await;
    assert_eq!(before["CreatedBy"], "admin");
    pair.site.set(&pair.own, json!({"Locked": true})).await.ok();
    pair.site.set(&pair.own, json!({"Description": "x"})).await.refused(423);
    pair.set("/Description", json!("by the machine")).await.ok();
    let after = pair.site.again(&pair.own).await;
    assert_eq!(after["Description"], "by the machine");
    assert_eq!(after["LastModifiedBy"], "admin", "users only are named");
}

#[tokio::test]
async fn another_secret_ends_it() {
    let pair = Pair::start().await;
    pair.call("GET", &pair.own(), Value::Null).await.ok();
    let mut socket = pair.site.events_of(&pair.token, "machines.*.*").await;
    pair.site.set(&pair.own, json!({"Secret": "another"})).await.ok();
    let refused = pair.call("GET", &pair.own(), Value::Null).await.refused(403);
    assert_eq!(refused["Type"], "AUTH");
    assert_eq!(socket.end().await, "the log-in has ended");
}

#[tokio::test]
async fn its_machine_takes_it_along() {
    let pair = Pair::start().await;
    let mut socket = pair.site.events_of(&pair.token, "machines.*.*").await;
    pair.site.delete(&pair.own()).await.ok();
    pair.call("GET", &pair.own(), Value::Null).await.refused(403);
    assert_eq!(socket.end().await, "the log-in has ended");
}

#[tokio::test]
async fn secrets_of_the_preferences_end_all() {
    for (pref, value) in
        [("baseTokenSecret", "0123456789abcdef0123456789abcdef"), ("systemGrantorSecret", "another")]
    {
        let pair = Pair::start().await;
        pair.call("GET", &pair.own(), Value::Null).await.ok();
        pair.site.post("prefs", json!({pref: value})).await.ok();
        pair.call("GET", &pair.own(), Value::Null).await.refused(403);
        let made = pair.site.get(&format!("{}/token", pair.own())).await.ok();
        let next = format!("Bearer {}", made["Token"].as_str().unwrap());
        pair.site.call_as(&next, "GET", &pair.own(), &Value::Null).await.ok();
    }
}

#[tokio::test]
async fn it_lasts_as_long_as_was_asked() {
    let pair = Pair::start().await;
    for ttl in ["60", "1h", "90m", "2w", "1mo", "never", "1.5h", "500ms"] {
        let answer = pair.site.get(&format!("{}/token?ttl={ttl}", pair.own())).await;
        assert_eq!(answer.status, 200, "{ttl}");
    }
    for ttl in ["soon", "-1", "1x", ""] {
        pair.site.get(&format!("{}/token?ttl={ttl}", pair.own())).await.refused(422);
    }
    let made = pair.site.get(&format!("{}/token?ttl=0", pair.own())).await.ok();
    let over = format!("Bearer {}", made["Token"].as_str().unwrap());
    pair.site.call_as(&over, "GET", &pair.own(), &Value::Null).await.refused(403);
    let next = pair.call("GET", &format!("{}/token?ttl=never", pair.own()), Value::Null).await.ok();
    let next = format!("Bearer {}", next["Token"].as_str().unwrap());
    pair.site.call_as(&next, "GET", &pair.own(), &Value::Null).await.ok();
    pair.site.get("machines/Name:m1/token").await.ok();
    pair.site.get("machines/Name:nobody/token").await.refused(404);
}

#[tokio::test]
async fn task_gives_it_more_while_it_runs_and_no_longer() {
    let claims =
        json!([{"scope": "machines", "action": "update:/Profiles,update:/Workflow", "specific": "*"}]);
    let pair = Pair::with_task(json!({"Name": "work", "ExtraClaims": claims})).await;
    let profiles = json!(["global"]);
    pair.set("/Profiles", profiles.clone()).await.refused(403);
    let job = pair.call("POST", "jobs", json!({"Machine": pair.own["Uuid"]})).await.ok();
    pair.site.move_job(&job, "created", "running", "").await.ok();
    pair.set("/Secret", json!("mine")).await.refused(403);
    pair.set("/Profiles", profiles).await.ok();
    pair.site.move_job(&job, "running", "finished", "complete").await.ok();
    pair.set("/Profiles", json!([])).await.refused(403);
}

#[tokio::test]
async fn made_up_tokens_are_nobodys() {
    let pair = Pair::start().await;
    let text = pair.token.strip_prefix("Bearer ").unwrap();
    let swapped = text.replace(&text[60..64], "AAAA");
    for token in
        ["mmt_", "mmt_AAAA", "mmt_!!!", &text[..text.len() - 1], &swapped, &format!("{text}A"), &text[4..]]
    {
        let who = format!("Bearer {token}");
        let refused = pair.site.call_as(&who, "GET", &pair.own(), &Value::Null).await.refused(403);
        assert_eq!(refused["Type"], "AUTH", "{token}");
    }
}
