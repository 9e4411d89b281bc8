//! Provision runs by their REST calls: what may begin, who may do what, and what follows for the machine
//! (`spec/bootstrap-and-dashboard.md` 5.3).

use crate::built_in::build_media;
use crate::site::{Answer, Site, basic};
use serde_json::{Value, json};

/// A server with media: there is no run without our image.
async fn site() -> Site {
    Site::start_with(|directory, options| options.media_dir = Some(build_media(directory))).await
}

/// Asks for a run that brings the machine back to Discovery mode: it needs no image and erases nothing.
async fn discover(site: &Site, machine: &Value) -> Answer {
    site.post(&format!("{}/provision", site.path(machine)), json!({"Mode": "discover"})).await
}

async fn rebuild(site: &Site, machine: &Value, more: Value) -> Answer {
    site.post(&format!("{}/provision", site.path(machine)), more).await
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_else(|| panic!("{field}: {object}"))
}

fn said(refused: &Value) -> String {
    refused["Messages"].to_string()
}

async fn run_now(site: &Site, run: &Value) -> Value {
    site.get(&format!("provisions/{}", text(run, "Uuid"))).await.ok()
}

/// A token of the machine.
async fn token(site: &Site, machine: &Value) -> String {
    let made = site.get(&format!("{}/token", site.path(machine))).await.ok();
    format!("Bearer {}", text(&made, "Token"))
}

#[tokio::test]
async fn what_may_not_begin_is_refused_in_words() {
    let site = site().await;
    let machine = site.machine(json!({"Name": "m1"})).await;
    site.post("machines/00000000-0000-0000-0000-000000000009/provision", json!({})).await.refused(404);
    rebuild(&site, &machine, json!({"Mode": "sideways"})).await.refused(400);
    rebuild(&site, &machine, json!({"Surprise": true})).await.refused(400);
    let none = rebuild(&site, &machine, json!({"Mode": "clear"})).await.refused(422);
    assert!(said(&none).contains("in no provision run"), "{none}");
    let no_disk = rebuild(&site, &machine, json!({})).await.refused(422);
    assert!(said(&no_disk).contains("disk"), "{no_disk}");

    site.set(&machine, json!({"Params": {"muster/write-protected": true}})).await.ok();
    let protected = rebuild(&site, &machine, json!({})).await.refused(422);
    assert!(said(&protected).contains("muster/write-protected"), "{protected}");

    let missing = json!({"Mode": "discover", "Workflow": "nowhere"});
    let missing = rebuild(&site, &machine, missing).await.refused(422);
    assert!(said(&missing).contains("nowhere"), "{missing}");

    site.set(&machine, json!({"Locked": true})).await.ok();
    let locked = discover(&site, &machine).await.refused(423);
    assert!(said(&locked).contains("unlock it first"), "{locked}");
    site.set(&machine, json!({"Locked": false})).await.ok();

    let run = discover(&site, &machine).await;
    assert_eq!(run.status, 201, "{}", run.text());
    let again = discover(&site, &machine).await.refused(409);
    assert!(said(&again).contains(text(&run.json(), "Uuid")), "it names the run that is under way: {again}");
    assert_eq!(site.get("provisions").await.ok().as_array().unwrap().len(), 1, "nothing else began");
}

#[tokio::test]
async fn a_run_follows_the_jobs_of_its_machine() {
    let site = site().await;
    let machine = site.machine(json!({"Name": "m1"})).await;
    assert_eq!(machine["ProvisionState"], "Discovery mode");
    let run = discover(&site, &machine).await.ok();
    assert_eq!(
        (
            text(&run, "Status"),
            text(&run, "Mode"),
            text(&run, "CreatedBy"),
            &run["IsActive"],
            &run["StartedAt"]
        ),
        ("pending", "discover", "admin", &json!(true), &Value::Null)
    );
    let now = site.again(&machine).await;
    assert_eq!((text(&now, "Workflow"), text(&now, "BootEnv")), ("muster-discover", "muster"));
    assert_eq!(now["Params"]["muster/run"], run["Uuid"]);
    // The machine has booted our image.
    site.set(&machine, json!({"Runnable": true})).await.ok();
    assert_eq!(site.run_all(&machine).await, [""; 0]);
    let over = run_now(&site, &run).await;
    assert_eq!(
        (text(&over, "Status"), &over["IsTerminal"], &over["Percent"]),
        ("completed", &json!(true), &json!(100))
    );
    assert!(over["EndedAt"].is_string() && over["StartedAt"].is_string(), "{over}");
    assert_eq!(site.again(&machine).await["ProvisionState"], "Discovery mode");
}

#[tokio::test]
async fn a_task_that_fails_ends_the_run_with_what_it_said_last() {
    let site = site().await;
    let script = json!([{"Name": "go", "Contents": "exit 1\n"}]);
    site.make("tasks", json!([{"Name": "looks", "Meta": {"muster-step": "survey"}, "Templates": script}]))
        .await;
    site.make("stages", json!([{"Name": "look", "BootEnv": "muster", "Tasks": ["looks"]}])).await;
    site.make("workflows", json!([{"Name": "my-discover", "Stages": ["look"]}])).await;
    let machine = site.machine(json!({"Name": "m1"})).await;
    let wish = json!({"Mode": "discover", "Workflow": "my-discover"});
    let run = rebuild(&site, &machine, wish).await.ok();
    site.set(&machine, json!({"Runnable": true})).await.ok();
    let mut job = site.next_job(&machine).await;
    while job.status == 204 {
        job = site.next_job(&machine).await;
    }
    let job = job.ok();
    assert_eq!(text(&run_now(&site, &run).await, "Status"), "preparing");
    site.move_job(&job, "created", "running", "").await.ok();
    let log = format!("jobs/{}/log", text(&job, "Uuid"));
    site.send(crate::site::request("PUT", &log, "looking\nerror: no disk answers\nbye\n")).await.ok();
    site.move_job(&job, "running", "failed", "").await.ok();
    let over = run_now(&site, &run).await;
    assert_eq!(text(&over, "Status"), "error");
    assert!(text(&over, "Error").ends_with(": no disk answers"), "{over}");
    assert!(!text(&over, "NextAction").is_empty());
}

#[tokio::test]
async fn who_cancels_gets_the_machine_back_as_it_was() {
    let site = site().await;
    site.make("tasks", json!([{"Name": "work"}])).await;
    site.make("stages", json!([{"Name": "s1", "Tasks": ["work"]}])).await;
    site.make("workflows", json!([{"Name": "mine", "Stages": ["s1"]}])).await;
    let machine = site.machine(json!({"Name": "m1", "Workflow": "mine"})).await;
    site.run_all(&machine).await;
    let before = site.again(&machine).await;
    let run = discover(&site, &machine).await.ok();
    let cancel = format!("provisions/{}/cancel", text(&run, "Uuid"));
    let over = site.post(&cancel, Value::Null).await.ok();
    assert_eq!((text(&over, "Status"), &over["IsActive"]), ("canceled", &json!(false)));
    let after = site.again(&machine).await;
    for field in ["Workflow", "Stage", "BootEnv", "Tasks", "CurrentTask", "Runnable", "ProvisionState"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    let again = site.post(&cancel, Value::Null).await.refused(409);
    assert!(said(&again).contains("is over already"), "{again}");
    // What has not begun can be cleared too.
    let run = discover(&site, &machine).await.ok();
    let cleared = rebuild(&site, &machine, json!({"Mode": "clear"})).await.ok();
    assert_eq!((&cleared["Uuid"], text(&cleared, "Status")), (&run["Uuid"], "canceled"));
}

#[tokio::test]
async fn whoever_takes_the_machine_elsewhere_cancels_its_run() {
    let site = site().await;
    for (name, take) in [("m1", "workflow"), ("m2", "delete")] {
        let machine = site.machine(json!({ "Name": name })).await;
        let run = discover(&site, &machine).await.ok();
        match take {
            "workflow" => drop(site.set(&machine, json!({"Workflow": ""})).await.ok()),
            _ => drop(site.delete(&site.path(&machine)).await.ok()),
        }
        let over = run_now(&site, &run).await;
        assert_eq!(text(&over, "Status"), "canceled", "{take}");
    }
}

#[tokio::test]
async fn runs_are_listed_newest_first_by_machine_and_in_parts() {
    let site = site().await;
    let (one, other) = (site.machine(json!({"Name": "m1"})).await, site.machine(json!({"Name": "m2"})).await);
    let mut ids = Vec::new();
    for machine in [&one, &other, &one] {
        let run = discover(&site, machine).await.ok();
        ids.push(text(&run, "Uuid").to_owned());
        if machine == &one && ids.len() < 3 {
            site.post(&format!("provisions/{}/cancel", ids[0]), Value::Null).await.ok();
        }
    }
    let listed = |query: String| {
        let site = &site;
        async move {
            let runs = site.get(&format!("provisions{query}")).await.ok();
            runs.as_array().unwrap().iter().map(|run| text(run, "Uuid").to_owned()).collect::<Vec<_>>()
        }
    };
    let newest_first: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(listed(String::new()).await, newest_first);
    let of_one = format!("?Machine={}", text(&one, "Uuid"));
    assert_eq!(listed(of_one.clone()).await, [ids[2].clone(), ids[0].clone()]);
    assert_eq!(listed(format!("{of_one}&limit=1")).await, [ids[2].clone()]);
    assert_eq!(listed(format!("{of_one}&limit=1&after={}", ids[2])).await, [ids[0].clone()]);
    assert_eq!(listed("?IsActive=false".to_owned()).await, [ids[0].clone()]);
    for wrong in ["?Machine=m1", "?IsActive=perhaps", "?limit=0", "?limit=501", "?Colour=red", "?after=x"] {
        site.get(&format!("provisions{wrong}")).await.refused(406);
    }
    site.get("provisions/00000000-0000-0000-0000-000000000009").await.refused(404);
    site.get("provisions/m1").await.refused(404);
    for (state, count) in [("Discovery%20mode", 2), ("Installed", 0)] {
        let listed = site.get(&format!("machines?ProvisionState={state}")).await.ok();
        assert_eq!(listed.as_array().unwrap().len(), count, "{state}");
    }
}

#[tokio::test]
async fn what_is_for_the_runs_job_is_for_nobody_else() {
    let site = site().await;
    let (own, other) = (site.machine(json!({"Name": "m1"})).await, site.machine(json!({"Name": "m2"})).await);
    let run = discover(&site, &own).await.ok();
    let path = format!("provisions/{}", text(&run, "Uuid"));
    let (own_token, other_token) = (token(&site, &own).await, token(&site, &other).await);
    for (method, below) in [
        ("GET", "order"),
        ("POST", "permit"),
        ("POST", "progress"),
        ("POST", "first-boot"),
        ("POST", "escrow"),
    ] {
        let path = format!("{path}/{below}");
        site.call(method, &path, &json!({})).await.refused(403);
        site.call_as(&other_token, method, &path, &json!({})).await.refused(403);
        let idle = site.call_as(&own_token, method, &path, &json!({})).await.refused(409);
        assert!(said(&idle).contains("no job under way"), "{below}: {idle}");
    }
    assert_eq!(site.call_as(&own_token, "GET", &path, &Value::Null).await.status, 200, "it sees its own run");
    site.call_as(&other_token, "GET", &path, &Value::Null).await.refused(403);
    site.call_as(&own_token, "GET", "provisions", &Value::Null).await.refused(403);
    site.call_as(&own_token, "POST", &format!("{path}/cancel"), &json!({})).await.refused(403);
    let wish = json!({"Mode": "discover"});
    let provision = format!("{}/provision", site.path(&other));
    site.call_as(&own_token, "POST", &provision, &wish).await.refused(403);
    site.post(&format!("{path}/cancel"), Value::Null).await.ok();
    let told = json!({"Step": "survey", "Percent": 5});
    let answer = site.call_as(&own_token, "POST", &format!("{path}/progress"), &told).await.ok();
    assert_eq!(answer, json!({"Cancelled": true}), "its installer hears that it is over");
}

#[tokio::test]
async fn each_action_on_runs_needs_its_right() {
    let site = site().await;
    let machine = site.machine(json!({"Name": "m1"})).await;
    let run = discover(&site, &machine).await.ok();
    let path = format!("provisions/{}", text(&run, "Uuid"));
    let calls = [
        ("machines", "provision", "POST", format!("{}/provision", site.path(&machine))),
        ("machines", "escrow", "GET", format!("{}/escrow", site.path(&machine))),
        ("provisions", "list", "GET", "provisions".to_owned()),
        ("provisions", "get", "GET", path.clone()),
        ("provisions", "cancel", "POST", format!("{path}/cancel")),
    ];
    for (scope, action, method, path) in &calls {
        let claim = json!({"scope": scope, "action": action, "specific": "*"});
        let others: Vec<Value> = calls
            .iter()
            .filter(|call| (call.0, call.1) != (*scope, *action))
            .map(|call| json!({"scope": call.0, "action": call.1, "specific": "*"}))
            .collect();
        for (claims, allowed) in [(json!([claim]), true), (json!(others), false)] {
            let name = format!("{scope}-{action}-{allowed}");
            site.make("roles", json!([{"Name": name, "Claims": claims}])).await;
            site.make("users", json!([{"Name": name, "Roles": [name]}])).await;
            let password = json!({"Password": "correct horse battery"});
            site.put(&format!("users/{name}/password"), password).await.ok();
            let answer = site.call_as(&basic(&name, "correct horse battery"), method, path, &json!({})).await;
            assert_eq!(answer.status != 403, allowed, "{name} {method} {path}: {}", answer.text());
        }
    }
}
