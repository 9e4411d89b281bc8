//! What a real server was recorded to do: G1 to G22 of `spec/machine-model.md` section 10.

use crate::site::{Site, replace, request};
use serde_json::{Value, json};

const NO_JOB: &str = "00000000-0000-0000-0000-000000000000";

fn task(name: &str) -> Value {
    json!({"Name": name, "Templates": [{"Name": name, "Contents": "true\n"}]})
}

async fn tasks(site: &Site, names: &[&str]) {
    for name in names {
        site.make("tasks", json!([task(name)])).await;
    }
}

fn pick<'a>(object: &'a Value, fields: &[&str]) -> Vec<&'a Value> {
    fields.iter().map(|field| &object[field]).collect()
}

/// The indexes a job stands between.
fn place(job: &Value) -> (i64, i64) {
    (job["CurrentIndex"].as_i64().unwrap(), job["NextIndex"].as_i64().unwrap())
}

async fn finish(site: &Site, job: &Value) {
    site.move_job(job, "created", "running", "").await.ok();
    site.move_job(job, "running", "finished", "complete").await.ok();
}

#[tokio::test]
async fn g1_create_gives_the_recorded_defaults() {
    let site = Site::start().await;
    let id = "c9196b77-deef-4c8e-8130-299b3e3d9a10";
    let body = json!({"Name": "alpha", "Secret": "s1", "Address": "10.0.0.5", "Uuid": id});
    let made = site.post("machines", body.clone()).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    let fields = [
        "Stage",
        "BootEnv",
        "Runnable",
        "Tasks",
        "Arch",
        "Secret",
        "Uuid",
        "CurrentTask",
        "Profiles",
        "Params",
    ];
    let expected = json!(["none", "local", true, [], "amd64", "s1", id, 0, [], {}]);
    assert_eq!(json!(pick(&made, &fields)), expected);
    assert_eq!(made["Meta"]["feature-flags"], "change-stage-v2");
    assert_eq!(site.post("machines", body).await.refused(409)["Type"], "CREATE");
    let zeros = json!({
        "Name": "zeros", "Uuid": "", "CurrentJob": "", "Address": "", "CurrentTask": 0, "Runnable": false, "Stage": "",
        "BootEnv": "", "Workflow": "", "Tasks": null, "Profiles": null, "Params": null, "Meta": null, "Arch": "amd64", "Secret": "",
    });
    let zeros = site.post("machines", zeros).await.ok();
    assert_eq!(
        json!(pick(&zeros, &["Stage", "BootEnv", "Runnable", "Tasks"])),
        json!(["none", "local", true, []])
    );
    assert!(!zeros["Secret"].as_str().unwrap().is_empty());
    let cased = site.post("machines", json!({"name": "cased", "bootenv": "local"})).await.ok();
    assert_eq!(cased["Name"], "cased", "keys are matched whatever their case");
}

#[tokio::test]
async fn g2_filters_of_machine_lists() {
    let site = Site::start().await;
    let alpha = site.machine(json!({"Name": "alpha", "Address": "10.0.0.5"})).await;
    let beta = site.machine(json!({"Name": "beta"})).await;
    site.set(&beta, json!({"Runnable": false})).await.ok();
    let id = alpha["Uuid"].as_str().unwrap();
    for (query, names) in [
        ("Name=alpha".to_owned(), vec!["alpha"]),
        ("Name=Eq(beta)".to_owned(), vec!["beta"]),
        ("BootEnv=local".to_owned(), vec!["alpha", "beta"]),
        ("Address=10.0.0.5".to_owned(), vec!["alpha"]),
        (format!("Uuid={id}"), vec!["alpha"]),
        ("Runnable=True".to_owned(), vec!["alpha"]),
        ("Runnable=false".to_owned(), vec!["beta"]),
        ("Valid=true&Available=true".to_owned(), vec!["alpha", "beta"]),
        ("Name=gamma".to_owned(), vec![]),
        ("Address=10.9.9.9".to_owned(), vec![]),
    ] {
        let answer = site.get(&format!("machines?{query}&sort=Name")).await;
        let found: Vec<Value> =
            answer.ok().as_array().unwrap().iter().map(|one| one["Name"].clone()).collect();
        assert_eq!(found, names, "{query}");
        assert_eq!(answer.header("x-drp-list-filter-count"), names.len().to_string(), "{query}");
        assert_eq!(answer.header("x-drp-list-total-count"), "2", "{query}");
    }
    for query in ["Address=word", "Uuid=word", "Runnable=word", "limit=-1", "offset=-1", "sort=Nope"] {
        let refused = site.get(&format!("machines?{query}")).await.refused(406);
        assert_eq!((&refused["Type"], &refused["Model"]), (&json!("GET"), &json!("machines")), "{query}");
    }
}

#[tokio::test]
async fn g3_stage_change_without_workflow_wants_force_while_tasks_are_left() {
    let site = Site::start().await;
    tasks(&site, &["ta", "tb"]).await;
    let stages = json!([{"Name": "stage-a", "BootEnv": "local", "Tasks": ["ta", "tb"]}, {"Name": "stage-b"}]);
    site.make("stages", stages).await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let now = site.set(&machine, json!({"Stage": "stage-a"})).await.ok();
    assert_eq!(json!(pick(&now, &["Tasks", "CurrentTask", "Runnable"])), json!([["ta", "tb"], -1, true]));
    site.set(&machine, json!({"Stage": "stage-b"})).await.refused(422);
    assert_eq!(site.again(&machine).await["Stage"], "stage-a");
    assert_eq!(site.force(&machine, json!({"Stage": "stage-b"})).await.ok()["Tasks"], json!([]));
    assert_eq!(site.force(&machine, json!({"Stage": ""})).await.ok()["Stage"], "none");
}

#[tokio::test]
async fn g4_machine_made_with_a_workflow_stands_at_its_first_stage() {
    let site = Site::start().await;
    site.make("bootenvs", json!([{"Name": "env-e", "OS": {"Name": "e"}}])).await;
    site.make(
        "stages",
        json!([{"Name": "stage-a", "BootEnv": "local"}, {"Name": "stage-b", "BootEnv": "env-e"}]),
    )
    .await;
    let workflows = json!([{"Name": "w1", "Stages": ["stage-a", "stage-b"]}, {"Name": "w2", "Stages": ["stage-b", "stage-a"]}]);
    site.make("workflows", workflows).await;
    let made = site.machine(json!({"Name": "alpha", "Workflow": "w1"})).await;
    let fields = ["Tasks", "Stage", "BootEnv", "CurrentTask", "Runnable"];
    let list = ["stage:stage-a", "bootenv:local", "stage:stage-b", "bootenv:env-e"];
    assert_eq!(json!(pick(&made, &fields)), json!([list, "stage-a", "local", -1, true]));
    let made = site.machine(json!({"Name": "beta", "Workflow": "w2"})).await;
    assert_eq!(json!(pick(&made, &fields[1..])), json!(["stage-b", "env-e", -1, true]));
}

#[tokio::test]
async fn g5_workflow_change_stops_the_machine_only_for_another_bootenv() {
    let site = Site::start().await;
    site.make("bootenvs", json!([{"Name": "env-e", "OS": {"Name": "e"}}])).await;
    site.make(
        "stages",
        json!([{"Name": "stage-a", "BootEnv": "local"}, {"Name": "stage-b", "BootEnv": "env-e"}]),
    )
    .await;
    let workflows = json!([{"Name": "w2", "Stages": ["stage-b", "stage-a"]}, {"Name": "w3", "Stages": ["stage-b", "local"]}]);
    site.make("workflows", workflows).await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let fields = ["Stage", "BootEnv", "Runnable"];
    let now = site.set(&machine, json!({"Workflow": "w2"})).await.ok();
    assert_eq!(json!(pick(&now, &fields)), json!(["stage-b", "env-e", false]));
    site.set(&machine, json!({"Runnable": true})).await.ok();
    let now = site.set(&machine, json!({"Workflow": "w3"})).await.ok();
    assert_eq!(json!(pick(&now, &fields)), json!(["stage-b", "env-e", true]));
    let now = site.set(&machine, json!({"Workflow": ""})).await.ok();
    assert_eq!(json!(pick(&now, &fields)), json!(["none", "env-e", true]));
    assert_eq!(json!(pick(&now, &["Tasks", "CurrentTask"])), json!([[], 0]));
}

#[tokio::test]
async fn g6_workflow_that_is_not_available_is_refused() {
    let site = Site::start().await;
    let made = site.post("workflows", json!({"Name": "ww", "Stages": ["none", "later"]})).await.ok();
    assert_eq!((&made["Available"], made["Errors"].as_array().unwrap().len()), (&json!(false), 1));
    let machine = site.machine(json!({"Name": "alpha"})).await;
    site.set(&machine, json!({"Workflow": "ww"})).await.refused(422);
    assert_eq!(site.again(&machine).await, machine);
    site.make("stages", json!([{"Name": "later"}])).await;
    assert_eq!(site.get("workflows/ww").await.ok()["Available"], true, "what it lacked has come");
    site.delete("stages/later").await.ok();
    assert_eq!(site.get("workflows/ww").await.ok()["Available"], false, "and gone");
    site.make("stages", json!([{"Name": "later"}])).await;
    site.set(&machine, json!({"Workflow": "ww"})).await.ok();
}

#[tokio::test]
async fn g7_jobs_of_a_workflow_and_its_change_in_the_middle() {
    let site = Site::start().await;
    tasks(&site, &["t1", "t2", "t3", "t4"]).await;
    let stages =
        json!([{"Name": "s1", "Tasks": ["t1", "t2", "t3"]}, {"Name": "s2", "Tasks": ["t2", "t3", "t4"]}]);
    site.make("stages", stages).await;
    site.make("workflows", json!([{"Name": "ww", "Stages": ["s1", "s2"]}, {"Name": "vv", "Stages": ["s2"]}]))
        .await;
    let machine = site.machine(json!({"Name": "alpha", "Workflow": "ww"})).await;
    let first = site.next_job(&machine).await.ok();
    assert_eq!((&first["Task"], place(&first), &first["Previous"]), (&json!("t1"), (1, 2), &json!(NO_JOB)));
    finish(&site, &first).await;
    let second = site.next_job(&machine).await.ok();
    assert_eq!(
        (&second["Task"], place(&second), &second["Previous"]),
        (&json!("t2"), (2, 3), &first["Uuid"])
    );
    site.move_job(&second, "created", "running", "").await.ok();
    let now = site.set(&machine, json!({"Workflow": "vv"})).await.ok();
    assert_eq!(json!(pick(&now, &["CurrentTask", "Runnable"])), json!([-1, true]));
    site.move_job(&second, "running", "finished", "complete").await.ok();
    let next = site.next_job(&machine).await.ok();
    assert_eq!((&next["Task"], place(&next)), (&json!("t2"), (1, 2)));
}

#[tokio::test]
async fn g8_bootenv_switch_in_the_middle_and_the_floor_it_makes() {
    let site = Site::start().await;
    tasks(&site, &["t1", "t2", "t3", "t4"]).await;
    site.make("bootenvs", json!([{"Name": "e1", "OS": {"Name": "e"}}, {"Name": "e2", "OS": {"Name": "e"}}]))
        .await;
    let stages = json!([
        {"Name": "s1", "BootEnv": "e1", "Tasks": ["t1", "t2"]}, {"Name": "s2", "BootEnv": "e2", "Tasks": ["t3", "t4"]},
    ]);
    site.make("stages", stages).await;
    site.make("workflows", json!([{"Name": "ww", "Stages": ["s1", "s2"]}])).await;
    let machine = site.machine(json!({"Name": "alpha", "Workflow": "ww"})).await;
    for (name, at) in [("t1", (2, 3)), ("t2", (3, 4))] {
        let job = site.next_job(&machine).await.ok();
        assert_eq!((&job["Task"], place(&job)), (&json!(name), at));
        finish(&site, &job).await;
    }
    for (entry, at) in [("stage:s2", (4, 5)), ("bootenv:e2", (5, 6))] {
        assert_eq!(site.next_job(&machine).await.status, 204);
        let job = site
            .get(&format!("jobs/{}", site.again(&machine).await["CurrentJob"].as_str().unwrap()))
            .await
            .ok();
        assert_eq!((&job["Task"], place(&job)), (&json!(entry), at));
        assert_eq!(json!(pick(&job, &["State", "ExitState"])), json!(["finished", "complete"]));
    }
    let now = site.again(&machine).await;
    assert_eq!(json!(pick(&now, &["CurrentTask", "BootEnv", "Runnable"])), json!([5, "e2", false]));
    site.next_job(&machine).await.refused(409);
    for index in [6, 0] {
        site.set(&machine, json!({"CurrentTask": index})).await.refused(422);
    }
    site.set(&machine, json!({"Runnable": true})).await.ok();
    for (name, at) in [("t3", (6, 7)), ("t4", (7, 8))] {
        let job = site.next_job(&machine).await.ok();
        assert_eq!((&job["Task"], place(&job)), (&json!(name), at));
        finish(&site, &job).await;
    }
    assert_eq!(site.next_job(&machine).await.status, 204);
    assert_eq!(site.again(&machine).await["CurrentTask"], 8);
    site.set(&machine, json!({"CurrentTask": 0})).await.refused(422);
    site.set(&machine, json!({"CurrentTask": 6})).await.ok();
    site.patch(&site.path(&machine), json!([{"op": "remove", "path": "/Tasks/7"}])).await.ok();
    let job = site.next_job(&machine).await.ok();
    assert_eq!((&job["Task"], place(&job)), (&json!("t3"), (6, 7)));
    finish(&site, &job).await;
    assert_eq!(site.next_job(&machine).await.status, 204);
    assert_eq!(site.again(&machine).await["CurrentTask"], 7);
}

#[tokio::test]
async fn g9_empty_lists_are_complete() {
    let site = Site::start().await;
    tasks(&site, &["xx", "yy"]).await;
    site.make("stages", json!([{"Name": "two", "Tasks": ["xx", "yy"]}])).await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let fields = ["CurrentTask", "WorkflowComplete"];
    let done = |now: &Value| json!(pick(now, &fields));
    assert_eq!(done(&machine), json!([0, true]));
    assert_eq!(json!(pick(&machine, &["Pool", "PoolStatus"])), json!(["default", "Free"]));
    assert_eq!(done(&site.set(&machine, json!({"Stage": "two"})).await.ok()), json!([-1, false]));
    site.set(&machine, json!({"CurrentTask": 0})).await.refused(422);
    assert_eq!(done(&site.set(&machine, json!({"Tasks": []})).await.ok()), json!([0, true]));
    assert_eq!(done(&site.set(&machine, json!({"Tasks": ["yy", "xx"]})).await.ok()), json!([-1, false]));
    site.set(&machine, json!({"Tasks": ["xx", "yy", "xx"]})).await.ok();
    assert_eq!(site.run_all(&machine).await, ["xx", "yy", "xx"]);
    assert_eq!(done(&site.set(&machine, json!({"CurrentTask": -1})).await.ok()), json!([-1, false]));
}

// G10, exit codes of a real agent, is in `tests/tests/machine_model`: it runs the agent's program.

#[tokio::test]
async fn g11_after_a_failure_what_ran_stays() {
    let site = Site::start().await;
    tasks(&site, &["t1", "t2"]).await;
    let machine = site.machine(json!({"Name": "alpha", "Tasks": ["t2", "t1"]})).await;
    let job = site.next_job(&machine).await.ok();
    site.move_job(&job, "created", "running", "").await.ok();
    site.move_job(&job, "running", "failed", "failed").await.ok();
    for list in [json!([]), json!(["t1", "t2"])] {
        site.set(&machine, json!({ "Tasks": list })).await.refused(422);
    }
    for list in [json!(["t2"]), json!(["t2", "t1", "t2"])] {
        site.set(&machine, json!({ "Tasks": list })).await.ok();
    }
}

#[tokio::test]
async fn g12_jobs_by_hand() {
    let site = Site::start().await;
    tasks(&site, &["t1", "t2"]).await;
    let machine = site.machine(json!({"Name": "alpha", "Tasks": ["t1", "t2"]})).await;
    let first = site.next_job(&machine).await.ok();
    site.next_job(&machine).await.refused(409);
    site.delete(&format!("jobs/{}", first["Uuid"].as_str().unwrap())).await.refused(422);
    site.move_job(&first, "created", "bogus", "").await.refused(422);
    site.move_job(&first, "created", "incomplete", "").await.ok();
    let again = site.next_job(&machine).await;
    assert_eq!((again.status, &again.json()["Uuid"]), (202, &first["Uuid"]));
    site.move_job(&first, "incomplete", "failed", "").await.ok();
    let second = site.next_job(&machine).await;
    assert_eq!(second.status, 201);
    let second = second.json();
    assert_ne!(second["Uuid"], first["Uuid"]);
    assert_eq!((&second["CurrentIndex"], &second["Previous"]), (&first["CurrentIndex"], &first["Uuid"]));
    finish(&site, &second).await;
    let third = site.next_job(&machine).await.ok();
    assert_eq!(third["Task"], "t2");
    let current: Vec<bool> = are_current(&site, &[&first, &second, &third]).await;
    assert_eq!(current, [false, false, true]);
    finish(&site, &third).await;
    let last = site.next_job(&machine).await;
    assert_eq!((last.status, last.header("content-type")), (204, "application/json"));
    site.delete(&format!("jobs/{}", third["Uuid"].as_str().unwrap())).await.ok();
}

/// Whether each job is its machine's current one.
async fn are_current(site: &Site, jobs: &[&Value]) -> Vec<bool> {
    let mut current = Vec::new();
    for job in jobs {
        let now = site.get(&format!("jobs/{}", job["Uuid"].as_str().unwrap())).await.ok();
        current.push(now["Current"].as_bool().unwrap());
    }
    current
}

#[tokio::test]
async fn g13_locked_machine() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    site.set(&machine, json!({"Locked": true})).await.ok();
    site.set(&machine, json!({"Address": "10.0.0.1"})).await.refused(423);
    site.delete(&site.path(&machine)).await.refused(423);
    let now = site.set(&machine, json!({"Address": "10.0.0.1", "Locked": false})).await.ok();
    assert_eq!(json!(pick(&now, &["Address", "Locked"])), json!(["10.0.0.1", false]));
    site.delete(&site.path(&machine)).await.ok();
}

#[tokio::test]
async fn g14_params_one_by_one() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let path = format!("{}/params", site.path(&machine));
    for value in [json!("text"), json!(7), json!(null), json!(false)] {
        assert_eq!(site.post(&format!("{path}/k"), value.clone()).await.ok(), value);
        assert_eq!(site.get(&format!("{path}/k")).await.ok(), value);
    }
    let unset = site.get(&format!("{path}/unset")).await;
    assert_eq!((unset.status, unset.json()), (200, Value::Null));
    assert_eq!(site.delete(&format!("{path}/k")).await.ok(), json!(false));
    let gone = site.delete(&format!("{path}/k")).await.refused(404);
    assert_eq!(json!(pick(&gone, &["Model", "Key", "Type"])), json!(["params", "k", "DELETE"]));
    site.post(&path, json!({"a": 1})).await.ok();
    assert_eq!(site.post(&path, json!({})).await.ok(), json!({}));
    site.make("params", json!([{"Name": "site/word", "Schema": {"type": "string", "default": "hello"}}]))
        .await;
    for key in ["site/word", "site%2Fword"] {
        assert_eq!(site.get(&format!("{path}/{key}")).await.ok(), Value::Null);
        assert_eq!(site.get(&format!("{path}/{key}?aggregate=true")).await.ok(), "hello");
    }
    let refused = site.post(&format!("{path}/site/word"), json!(["a"])).await.refused(422);
    assert_eq!(refused["Type"], "POST");
    assert_eq!(site.get(&path).await.ok(), json!({}));
    site.get("machines/Name:nobody/params").await.refused(404);
}

#[tokio::test]
async fn g15_aggregate_takes_profiles_and_stage() {
    let site = Site::start().await;
    site.make("profiles", json!([{"Name": "p1", "Params": {"x": 1}}, {"Name": "p2", "Params": {"z": 3}}]))
        .await;
    site.make("stages", json!([{"Name": "s1", "Params": {"y": 2}, "Profiles": ["p2"]}])).await;
    let machine = site.machine(json!({"Name": "alpha", "Profiles": ["p1"], "Stage": "s1"})).await;
    let whole = json!({"x": 1, "y": 2, "z": 3});
    assert_eq!(site.get(&format!("{}/params?aggregate=true", site.path(&machine))).await.ok(), whole);
    assert_eq!(site.get(&format!("{}?aggregate=true", site.path(&machine))).await.ok()["Params"], whole);
    assert_eq!(site.get("machines?aggregate=true&Name=alpha").await.ok()[0]["Params"], whole);
    assert_eq!(site.again(&machine).await["Params"], json!({}));
}

#[tokio::test]
async fn g16_stage_template_is_served_with_a_param_of_the_stages_profile() {
    let site = Site::start().await;
    site.make("profiles", json!([{"Name": "p1", "Params": {"word": "from the profile"}}])).await;
    let file = json!({"Name": "file", "Path": "{{.Machine.Path}}/file", "Contents": "{{.Param \"word\"}}"});
    site.make("stages", json!([{"Name": "s1", "Profiles": ["p1"], "Templates": [file]}])).await;
    let machine = site.machine(json!({"Name": "alpha", "Stage": "s1"})).await;
    let path = format!("{}/file", site.path(&machine));
    assert_eq!(site.boot_file("192.0.2.1", &path).await.text(), "from the profile");
}

#[tokio::test]
async fn g17_list_indexes_of_profiles_params_and_names() {
    let site = Site::start().await;
    site.make("profiles", json!([{"Name": "p1"}, {"Name": "p2"}])).await;
    site.machine(json!({"Name": "alpha", "Profiles": ["p1", "p2"], "Params": {"a": 1, "b": 2}})).await;
    site.machine(json!({"Name": "beta", "Profiles": ["p2"], "Params": {"b": 3}})).await;
    site.machine(json!({"Name": "gamma"})).await;
    for (query, names) in [
        ("Profiles=Eq(p1,p2)", vec!["alpha"]),
        ("Profiles=Ne(p1,p2)", vec!["beta", "gamma"]),
        ("Profiles=In(p1,p2)", vec!["alpha", "beta"]),
        ("Profiles=Nin(p1)", vec!["beta", "gamma"]),
        ("Params=Eq(a,b)", vec!["alpha"]),
        ("Params=In(a,b)", vec!["alpha", "beta"]),
        ("Params=Nin(a)", vec!["beta", "gamma"]),
        ("Params.b=Eq(3)", vec!["beta"]),
        ("b=2", vec!["alpha"]),
        ("Name=In(alpha,gamma)", vec!["alpha", "gamma"]),
        ("Name=Nin(alpha)", vec!["beta", "gamma"]),
        ("Name=Re(^[ab])", vec!["alpha", "beta"]),
        ("Name=Between(alpha,beta)", vec!["alpha", "beta"]),
        ("Name=Except(alpha,beta)", vec!["gamma"]),
        ("Name=Gt(alpha)&Name=Lt(gamma)", vec!["beta"]),
        ("Name=Ne(beta)", vec!["alpha", "gamma"]),
        ("nothing-like-it=1", vec![]),
    ] {
        let answer = site.get(&format!("machines?{query}&sort=Name")).await.ok();
        let found: Vec<Value> = answer.as_array().unwrap().iter().map(|one| one["Name"].clone()).collect();
        assert_eq!(found, names, "{query}");
    }
}

#[tokio::test]
async fn g18_unknown_action_fails_its_job() {
    let site = Site::start().await;
    tasks(&site, &["t1"]).await;
    let machine = site.machine(json!({"Name": "alpha", "Tasks": ["action:nobody:dance", "t1"]})).await;
    assert_eq!(site.next_job(&machine).await.status, 204);
    let now = site.again(&machine).await;
    assert_eq!(json!(pick(&now, &["Runnable", "JobState"])), json!([false, "failed"]));
    let log = site.get(&format!("jobs/{}/log", now["CurrentJob"].as_str().unwrap())).await;
    assert!(log.text().contains("dance"), "{}", log.text());
}

#[tokio::test]
async fn g19_prerequisites_come_first_and_never_in_a_circle() {
    let site = Site::start().await;
    tasks(&site, &["ta", "tb", "tc", "td", "te", "tf", "tg"]).await;
    for (name, needs) in [
        ("tP", vec!["ta", "tb", "tc"]),
        ("tQ", vec!["tc", "tb", "ta"]),
        ("tR", vec!["td", "te", "tf"]),
        ("tS", vec!["tR", "ta", "te", "tg"]),
    ] {
        site.make("tasks", json!([{"Name": name, "Prerequisites": needs}])).await;
    }
    site.make("stages", json!([{"Name": "s1", "Tasks": ["ta", "td", "tP", "tQ", "tS"]}])).await;
    let machine = site.machine(json!({"Name": "alpha", "Stage": "s1"})).await;
    assert_eq!(machine["Tasks"], json!(["ta", "td", "tb", "tc", "tP", "tQ", "te", "tf", "tR", "tg", "tS"]));
    let circle = json!([{"op": "replace", "path": "/Prerequisites", "value": ["tS"]}]);
    site.patch("tasks/td", circle).await.refused(422);
    site.post("tasks", json!({"Name": "self", "Prerequisites": ["self"]})).await.refused(422);
}

#[tokio::test]
async fn g20_install_bootenv_names_the_os_and_arch_must_fit() {
    let site = Site::start().await;
    let os = json!({"Name": "march", "SupportedArchitectures": {"x86_64": {"Kernel": "", "Initrds": [], "BootParams": ""}}});
    site.make("bootenvs", json!([{"Name": "march-install", "OS": os}])).await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    assert_eq!(site.set(&machine, json!({"BootEnv": "march-install"})).await.ok()["OS"], "march");
    let arm =
        site.post("machines", json!({"Name": "beta", "Arch": "arm64", "BootEnv": "march-install"})).await;
    assert_eq!((arm.status, &arm.json()["Available"]), (201, &json!(false)));
    let refused = site.post("machines", json!({"Name": "gamma", "Arch": "x86_64"})).await.refused(422);
    assert!(refused["Messages"][0].as_str().unwrap().contains("amd64"), "{refused}");
}

#[tokio::test]
async fn g21_actions_are_chosen_by_operating_system() {
    let site = Site::start().await;
    let template = |name: &str, os: &str| json!({"Name": name, "Contents": "true\n", "Meta": {"OS": os}});
    let templates =
        json!([template("one", "linux,darwin"), template("two", "darwin"), template("three", "linux")]);
    site.make("tasks", json!([{"Name": "t1", "Templates": templates}])).await;
    let machine = site.machine(json!({"Name": "alpha", "Tasks": ["t1"]})).await;
    let job = site.next_job(&machine).await.ok();
    let path = format!("jobs/{}/actions", job["Uuid"].as_str().unwrap());
    for (query, names) in [
        ("?os=linux", vec!["one", "three"]),
        ("?os=darwin", vec!["one", "two"]),
        ("?os=windows", vec![]),
        ("", vec!["one", "two", "three"]),
    ] {
        let actions = site.get(&format!("{path}{query}")).await.ok();
        let found: Vec<Value> =
            actions.as_array().unwrap().iter().map(|action| action["Name"].clone()).collect();
        assert_eq!(found, names, "{query}");
    }
    let mixed = json!([template("one", "linux"), {"Name": "two", "Contents": "true\n"}]);
    site.post("tasks", json!({"Name": "t2", "Templates": mixed})).await.refused(422);
}

#[tokio::test]
async fn g22_what_does_not_fit_changes_nothing() {
    let site = Site::start().await;
    site.make("profiles", json!([{"Name": "p1"}])).await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let stale = json!([{"op": "test", "path": "/Name", "value": "beta"}, {"op": "replace", "path": "/Name", "value": "gamma"}]);
    let refused = site.patch(&site.path(&machine), stale).await.refused(409);
    assert_eq!((&refused["Type"], &refused["Key"]), (&json!("PATCH"), &machine["Uuid"]));
    site.patch(&site.path(&machine), json!([{"op": "remove", "path": "/Params/none"}])).await.refused(409);
    for fields in
        [json!({"BootEnv": "nowhere"}), json!({"BootEnv": "ignore"}), json!({"Profiles": ["p1", "p1"]})]
    {
        site.set(&machine, fields).await.refused(422);
    }
    let bytes = request("PATCH", &site.path(&machine), "[{");
    site.send(bytes).await.refused(400);
    assert_eq!(site.again(&machine).await, machine);
    assert_eq!(site.patch(&site.path(&machine), replace(&json!({}))).await.ok()["Name"], "alpha");
}
