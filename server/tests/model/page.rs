//! The machine page, sentence by sentence: P1 to P30 of `spec/machine-model.md` section 0.

use crate::site::{Site, replace};
use serde_json::{Value, json};

/// A boot environment that boots no kernel and renders one file a machine.
fn bootenv(name: &str, text: &str) -> Value {
    let files = json!([{
        "Name": "pxelinux", "Path": "pxelinux.cfg/{{.Machine.HexAddress}}", "Contents": text
    }]);
    json!({"Name": name, "OS": {"Name": format!("{name}-os")}, "Templates": files})
}

fn task(name: &str) -> Value {
    json!({"Name": name, "Templates": [{"Name": name, "Contents": "true\n"}]})
}

#[tokio::test]
async fn p1_uuid_is_random_v4_and_never_changes() {
    let site = Site::start().await;
    let (a, b) = (site.machine(json!({"Name": "p1-a"})).await, site.machine(json!({"Name": "p1-b"})).await);
    let id = a["Uuid"].as_str().unwrap();
    assert_ne!(a["Uuid"], b["Uuid"]);
    assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
    assert_eq!(id, id.to_lowercase());
    let other = json!("11111111-1111-4111-8111-111111111111");
    site.set(&a, json!({"Uuid": other})).await.refused(422);
    let mut whole = a.clone();
    whole["Uuid"] = other.clone();
    site.put(&site.path(&a), whole).await.refused(422);
    site.get("machines/11111111-1111-4111-8111-111111111111").await.refused(404);
    let given = site.machine(json!({"Name": "p1-c", "Uuid": other})).await;
    assert_eq!(given["Uuid"], other, "what the creator gives is kept");
    assert_eq!(
        site.post("machines", json!({"Name": "p1-d", "Uuid": other})).await.refused(409)["Type"],
        "CREATE"
    );
}

#[tokio::test]
async fn p2_address_leads_to_the_rendered_templates_of_the_bootenv() {
    let site = Site::start().await;
    site.make("bootenvs", json!([bootenv("p2", "for {{.Machine.Name}}")])).await;
    site.machine(json!({"Name": "p2-a", "Address": "10.0.0.5", "BootEnv": "p2"})).await;
    site.machine(json!({"Name": "p2-b", "Address": "10.0.0.6", "BootEnv": "p2"})).await;
    assert_eq!(site.boot_file("10.0.0.5", "pxelinux.cfg/0A000005").await.text(), "for p2-a");
    assert_eq!(site.boot_file("10.0.0.6", "pxelinux.cfg/0A000006").await.text(), "for p2-b");
}

#[tokio::test]
async fn p3_fields_and_params_are_what_templates_are_rendered_with() {
    let site = Site::start().await;
    let text = "{{.Machine.Name}} {{.Machine.Arch}} {{.Param \"site/color\"}} {{range .Param \"disks\"}}[{{.}}]{{end}}";
    site.make("bootenvs", json!([bootenv("p3", text)])).await;
    let params = json!({"site/color": "green", "disks": ["sda", "sdb"]});
    site.machine(json!({"Name": "p3", "Address": "10.0.0.7", "BootEnv": "p3", "Params": params})).await;
    let file = site.boot_file("10.0.0.7", "pxelinux.cfg/0A000007").await;
    assert_eq!(file.text(), "p3 amd64 green [sda][sdb]");
}

#[tokio::test]
async fn p4_machine_without_bootenv_gets_the_default_one() {
    let site = Site::start().await;
    assert_eq!(site.machine(json!({"Name": "p4-a"})).await["BootEnv"], "local");
    site.make("bootenvs", json!([bootenv("p4", "x")])).await;
    site.post("prefs", json!({"defaultBootEnv": "p4"})).await.ok();
    assert_eq!(site.machine(json!({"Name": "p4-b"})).await["BootEnv"], "p4");
    assert_eq!(site.machine(json!({"Name": "p4-c", "BootEnv": "local"})).await["BootEnv"], "local");
    site.delete("bootenvs/p4").await.refused(409);
    let emptied = site.machine(json!({"Name": "p4-d", "BootEnv": ""})).await;
    assert_eq!(emptied["BootEnv"], "p4", "every machine has one");
}

#[tokio::test]
async fn p5_name_is_unique_and_can_change_at_any_time() {
    let site = Site::start().await;
    let a = site.machine(json!({"Name": "p5.example.org"})).await;
    let b = site.machine(json!({"Name": "p5-b"})).await;
    site.post("machines", json!({"Name": "p5-b"})).await.refused(422);
    site.set(&b, json!({"Name": "p5.example.org"})).await.refused(422);
    assert_eq!(site.set(&a, json!({"Name": "not a fqdn"})).await.ok()["Name"], "not a fqdn");
    site.set(&b, json!({"Name": "p5.example.org"})).await.ok();
    assert_eq!(site.get("machines/Name:p5.example.org").await.ok()["Uuid"], b["Uuid"]);
    for name in ["", "a", "-a", "a/b", "a\\b", "a[b", "{a}"] {
        site.post("machines", json!({"Name": name})).await.refused(422);
    }
}

#[tokio::test]
async fn p6_address_is_an_ipv4_address_that_only_users_set() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "p6"})).await;
    assert_eq!(machine["Address"], "");
    site.set(&machine, json!({"HardwareAddrs": ["52-54-00-12-34-56"]})).await.ok();
    let now = site.set(&machine, json!({"Address": "192.0.2.9"})).await.ok();
    assert_eq!(
        (&now["Address"], &now["HardwareAddrs"]),
        (&json!("192.0.2.9"), &json!(["52:54:00:12:34:56"]))
    );
    for address in ["300.0.0.1", "2001:db8::1", "somewhere", "10.0.0.1/8"] {
        site.set(&machine, json!({"Address": address})).await.refused(422);
    }
    assert_eq!(site.set(&machine, json!({"Address": ""})).await.ok()["Address"], "");
}

#[tokio::test]
async fn p7_bootenv_change_renders_anew_and_is_refused_under_a_workflow() {
    let site = Site::start().await;
    site.make("bootenvs", json!([bootenv("p7-a", "first"), bootenv("p7-b", "second")])).await;
    let machine = site.machine(json!({"Name": "p7", "Address": "10.0.7.1", "BootEnv": "p7-a"})).await;
    let file = || async { site.boot_file("10.0.7.1", "pxelinux.cfg/0A000701").await.text() };
    assert_eq!(file().await, "first");
    site.set(&machine, json!({"BootEnv": "p7-b"})).await.ok();
    assert_eq!(file().await, "second");
    site.patch(
        "bootenvs/p7-b",
        json!([{"op": "replace", "path": "/Templates/0/Contents", "value": "third"}]),
    )
    .await
    .ok();
    assert_eq!(file().await, "third", "a change of the boot environment itself counts too");
    site.make("stages", json!([{"Name": "p7", "BootEnv": "p7-a"}])).await;
    site.make("workflows", json!([{"Name": "p7", "Stages": ["p7"]}])).await;
    site.set(&machine, json!({"Workflow": "p7"})).await.ok();
    assert_eq!(file().await, "first");
    site.set(&machine, json!({"BootEnv": "p7-b"})).await.refused(422);
    assert_eq!(file().await, "first");
}

#[tokio::test]
async fn p8_params_of_the_machine_win_over_every_other_source() {
    let site = Site::start().await;
    site.make("params", json!([{"Name": "site/x", "Schema": {"type": "string", "default": "schema"}}])).await;
    site.make("profiles", json!([{"Name": "p8", "Params": {"site/x": "profile"}}])).await;
    site.make("stages", json!([{"Name": "p8", "Params": {"site/x": "stage"}}])).await;
    site.patch("profiles/global", json!({"Params": {"site/x": "global"}})).await.ok();
    let machine = site.machine(json!({"Name": "p8", "Profiles": ["p8"], "Stage": "p8"})).await;
    let path = site.path(&machine);
    let x = || async { site.get(&format!("{path}/params/site/x?aggregate=true")).await.ok() };
    assert_eq!(x().await, "profile");
    site.post(&format!("{path}/params/site/x"), json!("machine")).await.ok();
    assert_eq!(x().await, "machine");
    site.set(&machine, json!({"Params": {}, "Profiles": []})).await.ok();
    assert_eq!(x().await, "stage");
    site.set(&machine, json!({"Stage": "none"})).await.ok();
    assert_eq!(x().await, "global");
    site.put("profiles/global", json!({"Name": "global", "Params": {}})).await.ok();
    assert_eq!(x().await, "schema");
}

#[tokio::test]
async fn p9_first_profile_wins_and_global_comes_last() {
    let site = Site::start().await;
    let profiles = json!([
        {"Name": "p9-a", "Params": {"x": "a"}},
        {"Name": "p9-b", "Params": {"x": "b", "y": "b"}, "Profiles": ["p9-c"]},
        {"Name": "p9-c", "Params": {"y": "c", "z": "c"}},
    ]);
    for profile in [2, 1, 0] {
        site.make("profiles", json!([profiles[profile]])).await;
    }
    site.patch("profiles/global", json!({"Params": {"x": "g", "z": "g", "w": "g"}})).await.ok();
    let machine = site.machine(json!({"Name": "p9", "Profiles": ["p9-a", "p9-b"]})).await;
    let path = format!("{}/params?aggregate=true", site.path(&machine));
    assert_eq!(site.get(&path).await.ok(), json!({"x": "a", "y": "b", "z": "c", "w": "g"}));
    site.set(&machine, json!({"Profiles": ["p9-b", "p9-a"]})).await.ok();
    assert_eq!(site.get(&path).await.ok()["x"], "b");
    site.set(&machine, json!({"Profiles": ["p9-a", "p9-a"]})).await.refused(422);
    site.set(&machine, json!({"Profiles": ["nobody"]})).await.refused(422);
}

#[tokio::test]
async fn p10_server_sets_os_on_a_move_into_an_install_bootenv_only() {
    let site = Site::start().await;
    site.make("bootenvs", json!([bootenv("p10", "x"), bootenv("p10-install", "x")])).await;
    let machine = site.machine(json!({"Name": "p10"})).await;
    assert_eq!(machine["OS"], "");
    assert_eq!(site.set(&machine, json!({"BootEnv": "p10"})).await.ok()["OS"], "");
    assert_eq!(site.set(&machine, json!({"BootEnv": "p10-install"})).await.ok()["OS"], "p10-install-os");
    assert_eq!(
        site.set(&machine, json!({"BootEnv": "local"})).await.ok()["OS"],
        "p10-install-os",
        "and it stays"
    );
    assert_eq!(site.set(&machine, json!({"OS": "other"})).await.ok()["OS"], "other", "users may correct it");
}

#[tokio::test]
async fn p11_another_secret_ends_the_tokens_of_the_machine() {
    let site = Site::start().await;
    let (a, b) = (site.machine(json!({"Name": "p11-a"})).await, site.machine(json!({"Name": "p11-b"})).await);
    let secret = a["Secret"].as_str().unwrap();
    assert!(secret.len() >= 16 && a["Secret"] != b["Secret"], "{secret}");
    let token = |machine: &Value| format!("{}/token", site.path(machine));
    let bearer = |answer: Value| format!("Bearer {}", answer["Token"].as_str().unwrap());
    let (of_a, of_b) = (bearer(site.get(&token(&a)).await.ok()), bearer(site.get(&token(&b)).await.ok()));
    let read = |who: String, machine: Value| {
        let path = site.path(&machine);
        let site = &site;
        async move { site.call_as(&who, "GET", &path, &Value::Null).await.status }
    };
    assert_eq!((read(of_a.clone(), a.clone()).await, read(of_b.clone(), b.clone()).await), (200, 200));
    assert_eq!(
        site.set(&a, json!({"Secret": "another-secret-now"})).await.ok()["Secret"],
        "another-secret-now"
    );
    assert_eq!((read(of_a, a.clone()).await, read(of_b, b).await), (403, 200));
    let fresh = bearer(site.get(&token(&a)).await.ok());
    assert_eq!(read(fresh, a.clone()).await, 200);
    let renewed = site.set(&a, json!({"Secret": ""})).await.ok();
    assert!(!renewed["Secret"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn p12_runnable_gates_jobs() {
    let site = Site::start().await;
    site.make("tasks", json!([task("p12")])).await;
    site.make("stages", json!([{"Name": "p12", "Tasks": ["p12"]}])).await;
    let machine = site.machine(json!({"Name": "p12", "Stage": "p12", "Runnable": false})).await;
    assert_eq!(machine["Runnable"], true, "a new machine is runnable whatever was said");
    site.set(&machine, json!({"Runnable": false})).await.ok();
    assert_eq!(site.next_job(&machine).await.refused(409)["Type"], "Conflict");
    assert_eq!(site.again(&machine).await["CurrentJob"], "");
    site.set(&machine, json!({"Runnable": true})).await.ok();
    assert_eq!(site.next_job(&machine).await.status, 201);
}

#[tokio::test]
async fn p13_locked_refuses_users_and_not_tasks() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "p13"})).await;
    let path = site.path(&machine);
    let token = site.get(&format!("{path}/token")).await.ok()["Token"].as_str().unwrap().to_owned();
    site.set(&machine, json!({"Locked": true, "Description": "mine"})).await.ok();
    for (method, place, body) in [
        ("PATCH", path.clone(), replace(&json!({"Address": "10.0.0.1"}))),
        ("PUT", path.clone(), site.again(&machine).await),
        ("POST", format!("{path}/params/x"), json!(1)),
        ("POST", format!("{path}/params"), json!({"x": 1})),
        ("PATCH", format!("{path}/params"), json!([{"op": "add", "path": "/x", "value": 1}])),
        ("PATCH", format!("meta/{path}"), json!([{"op": "add", "path": "/x", "value": "1"}])),
        ("PATCH", format!("{path}/start"), json!([])),
        ("DELETE", path.clone(), Value::Null),
        ("DELETE", format!("{path}/cleanup"), Value::Null),
    ] {
        let answer = site.send(crate::site::request(method, &place, body.to_string())).await;
        assert_eq!(answer.refused(423)["Type"], method, "{method} {place}");
    }
    let bearer = format!("Bearer {token}");
    let by_task = site.call_as(&bearer, "POST", &format!("{path}/params/x"), &json!("by a task")).await;
    assert_eq!(by_task.ok(), "by a task");
    site.set(&machine, json!({"Locked": false, "Address": "10.0.0.1"})).await.ok();
    let now = site.again(&machine).await;
    assert_eq!(
        (&now["Locked"], &now["Address"], &now["Params"]["x"]),
        (&json!(false), &json!("10.0.0.1"), &json!("by a task"))
    );
}

#[tokio::test]
async fn p14_stage_and_bootenv_are_read_only_under_a_workflow() {
    let site = Site::start().await;
    site.make("stages", json!([{"Name": "p14"}])).await;
    site.make("workflows", json!([{"Name": "p14", "Stages": ["p14"]}])).await;
    site.make("bootenvs", json!([bootenv("p14", "x")])).await;
    let machine = site.machine(json!({"Name": "p14", "Workflow": "p14"})).await;
    let both = site.set(&machine, json!({"Stage": "none", "BootEnv": "p14"})).await.refused(422);
    assert_eq!(both["Messages"].as_array().unwrap().len(), 2, "both complaints: {both}");
    let now = site.set(&machine, json!({"Workflow": "", "Stage": "local"})).await.ok();
    assert_eq!(
        (&now["Workflow"], &now["Stage"]),
        (&json!(""), &json!("local")),
        "the same change may clear it"
    );
    site.set(&machine, json!({"BootEnv": "p14"})).await.ok();
}

#[tokio::test]
async fn p15_tasks_change_only_where_nothing_ran_and_before_the_next_stage() {
    let site = Site::start().await;
    site.make("tasks", json!([task("ta"), task("tb"), task("tc"), task("td")].clone())).await;
    site.make("stages", json!([{"Name": "s1", "Tasks": ["ta", "tb"]}, {"Name": "s2", "Tasks": ["tc"]}]))
        .await;
    site.make("workflows", json!([{"Name": "p15", "Stages": ["s1", "s2"]}])).await;
    let machine = site.machine(json!({"Name": "p15", "Workflow": "p15"})).await;
    assert_eq!(machine["Tasks"], json!(["stage:s1", "ta", "tb", "stage:s2", "tc"]));
    site.run_task(&machine).await;
    let tasks = |list: Value| site.set(&machine, json!({ "Tasks": list }));
    tasks(json!(["stage:s1", "td", "ta", "tb", "stage:s2", "tc"])).await.refused(422);
    tasks(json!(["stage:s1", "tb", "stage:s2", "tc"])).await.refused(422);
    tasks(json!(["stage:s1", "ta", "tb", "stage:s2", "tc", "td"])).await.refused(422);
    tasks(json!(["stage:s1", "ta", "tb", "nobody", "stage:s2", "tc"])).await.refused(422);
    tasks(json!(["stage:s1", "ta", "td", "tb", "stage:s2", "tc"])).await.ok();
    let now = tasks(json!(["stage:s1", "ta", "td", "stage:s2", "tc"])).await.ok();
    assert_eq!(now["CurrentTask"], 1);
    assert_eq!(site.run_all(&machine).await, ["td", "tc"]);
}

#[tokio::test]
async fn p16_current_task_counts_from_minus_one_to_the_length() {
    let site = Site::start().await;
    site.make("tasks", json!([task("ta"), task("tb")])).await;
    let machine = site.machine(json!({"Name": "p16", "Tasks": ["ta", "tb"]})).await;
    assert_eq!((&machine["CurrentTask"], &machine["WorkflowComplete"]), (&json!(-1), &json!(false)));
    for (at, name) in [(0, "ta"), (1, "tb")] {
        let job = site.run_task(&machine).await;
        assert_eq!((&job["Task"], &job["CurrentIndex"]), (&json!(name), &json!(at)));
        assert_eq!(
            site.again(&machine).await["CurrentTask"],
            at,
            "it advances when the next job is asked for"
        );
    }
    assert_eq!(site.next_job(&machine).await.status, 204);
    assert_eq!(site.again(&machine).await["CurrentTask"], 2);
    for index in [3, -2] {
        site.set(&machine, json!({"CurrentTask": index})).await.refused(422);
    }
}

#[tokio::test]
async fn p17_minus_one_under_a_workflow_lands_on_the_stage_that_changed_no_bootenv() {
    let site = Site::start().await;
    site.make("tasks", json!([task("ta"), task("tb"), task("tc")])).await;
    site.make("bootenvs", json!([bootenv("p17", "x")])).await;
    let stages = json!([
        {"Name": "s1", "BootEnv": "p17", "Tasks": ["ta"]}, {"Name": "s2", "Tasks": ["tb"]}, {"Name": "s3", "Tasks": ["tc"]},
    ]);
    site.make("stages", stages).await;
    site.make("workflows", json!([{"Name": "p17", "Stages": ["s1", "s2", "s3"]}])).await;
    let machine = site.machine(json!({"Name": "p17", "Workflow": "p17"})).await;
    assert_eq!(
        machine["Tasks"],
        json!(["stage:s1", "bootenv:p17", "ta", "stage:s2", "tb", "stage:s3", "tc"])
    );
    assert_eq!(site.run_all(&machine).await, ["ta", "tb", "tc"]);
    let now = site.set(&machine, json!({"CurrentTask": -1})).await.ok();
    assert_eq!((&now["CurrentTask"], &now["WorkflowComplete"]), (&json!(5), &json!(false)), "stage:s3");
    site.set(&machine, json!({"Runnable": true})).await.ok();
    assert_eq!(site.run_all(&machine).await, ["tc"]);
    let free = site.machine(json!({"Name": "p17-b", "Tasks": ["ta"]})).await;
    site.run_all(&free).await;
    assert_eq!(
        site.set(&free, json!({"CurrentTask": -1})).await.ok()["CurrentTask"],
        -1,
        "without one it stays"
    );
}

#[tokio::test]
async fn p18_current_job_is_the_running_one() {
    let site = Site::start().await;
    site.make("tasks", json!([task("ta"), task("tb")])).await;
    let machine = site.machine(json!({"Name": "p18", "Tasks": ["ta", "tb"]})).await;
    assert_eq!(machine["CurrentJob"], "");
    for _ in 0..2 {
        let job = site.next_job(&machine).await.ok();
        assert_eq!(site.again(&machine).await["CurrentJob"], job["Uuid"]);
        site.move_job(&job, "created", "running", "").await.ok();
        site.move_job(&job, "running", "finished", "complete").await.ok();
        assert_eq!(site.again(&machine).await["CurrentJob"], job["Uuid"], "and the last one after it ended");
    }
    site.set(&machine, json!({"CurrentJob": ""})).await.ok();
    assert_ne!(site.again(&machine).await["CurrentJob"], "", "nobody else sets it");
}

#[tokio::test]
async fn p19_stage_change_replaces_tasks_and_a_new_bootenv_stops_the_machine() {
    let site = Site::start().await;
    site.make("tasks", json!([task("ta"), task("tb")])).await;
    site.make("bootenvs", json!([bootenv("p19", "x")])).await;
    let stages = json!([{"Name": "same", "BootEnv": "local", "Tasks": ["ta"]}, {"Name": "new", "BootEnv": "p19", "Tasks": ["tb", "ta"]}]);
    site.make("stages", stages).await;
    let machine = site.machine(json!({"Name": "p19"})).await;
    let now = site.set(&machine, json!({"Stage": "same"})).await.ok();
    assert_eq!(
        (&now["Tasks"], &now["CurrentTask"], &now["Runnable"]),
        (&json!(["ta"]), &json!(-1), &json!(true))
    );
    site.run_all(&machine).await;
    let now = site.set(&machine, json!({"Stage": "new"})).await.ok();
    assert_eq!((&now["Tasks"], &now["CurrentTask"]), (&json!(["tb", "ta"]), &json!(-1)));
    assert_eq!((&now["BootEnv"], &now["Runnable"]), (&json!("p19"), &json!(false)));
}

#[tokio::test]
async fn p20_context_is_set_by_people_and_by_entries_of_the_list() {
    let site = Site::start().await;
    site.make("tasks", json!([task("ta"), task("tb")])).await;
    site.make("contexts", json!([{"Name": "box"}])).await;
    let machine =
        site.machine(json!({"Name": "p20", "Tasks": ["ta", "context:box", "tb", "context:"]})).await;
    assert_eq!(machine["Context"], "");
    assert_eq!(site.run_task(&machine).await["Task"], "ta");
    assert_eq!(site.next_job(&machine).await.status, 204, "the entry was processed");
    assert_eq!(site.again(&machine).await["Context"], "box");
    assert_eq!(site.next_job(&machine).await.status, 204, "not for the machine's own agent");
    let job = site.post("jobs", json!({"Machine": machine["Uuid"], "Context": "box"})).await;
    assert_eq!((job.status, &job.json()["Task"]), (201, &json!("tb")));
    let job = job.json();
    site.move_job(&job, "created", "running", "").await.ok();
    site.move_job(&job, "running", "finished", "complete").await.ok();
    assert_eq!(site.post("jobs", json!({"Machine": machine["Uuid"], "Context": "box"})).await.status, 204);
    assert_eq!(site.again(&machine).await["Context"], "");
    assert_eq!(site.set(&machine, json!({"Context": "box"})).await.ok()["Context"], "box");
    let mut whole = site.again(&machine).await;
    whole["Context"] = json!("");
    assert_eq!(site.put(&site.path(&machine), whole).await.ok()["Context"], "");
}

#[tokio::test]
async fn p21_a_new_task_list_resets_the_context_to_the_base_one() {
    let site = Site::start().await;
    site.make("tasks", json!([task("ta")])).await;
    site.make("stages", json!([{"Name": "p21", "Tasks": ["ta"]}])).await;
    site.make("workflows", json!([{"Name": "p21", "Stages": ["p21"]}])).await;
    let plain = site.machine(json!({"Name": "p21-a", "Context": "somewhere"})).await;
    let now = site.set(&plain, json!({"Workflow": "p21"})).await.ok();
    assert_eq!(now["Context"], "", "no base context");
    let based = site.machine(json!({"Name": "p21-b", "Meta": {"BaseContext": "box"}})).await;
    assert_eq!(based["Context"], "box");
    site.set(&based, json!({"Context": "elsewhere"})).await.ok();
    assert_eq!(site.set(&based, json!({"Stage": "p21"})).await.ok()["Context"], "box");
    site.set(&based, json!({"Context": "elsewhere"})).await.ok();
    assert_eq!(site.set(&based, json!({"Workflow": "p21"})).await.ok()["Context"], "box");
}

#[tokio::test]
async fn p22_complete_workflow_deletes_the_machine_when_it_shall() {
    let site = Site::start().await;
    site.make("tasks", json!([task("ta")])).await;
    site.make("stages", json!([{"Name": "p22", "Tasks": ["ta"]}])).await;
    site.make("workflows", json!([{"Name": "p22", "Stages": ["p22"]}])).await;
    let kept = site.machine(json!({"Name": "p22-a", "Workflow": "p22"})).await;
    site.run_all(&kept).await;
    assert_eq!(site.again(&kept).await["WorkflowComplete"], true);
    let empty = site.machine(json!({"Name": "p22-b", "Params": {"on-complete-delete": true}})).await;
    assert_eq!(empty["WorkflowComplete"], true);
    site.again(&empty).await;
    let gone = site
        .machine(json!({"Name": "p22-c", "Workflow": "p22", "Params": {"on-complete-delete": true}}))
        .await;
    assert_eq!(site.run_all(&gone).await, ["ta"]);
    site.get(&site.path(&gone)).await.refused(404);
    let jobs = site.get(&format!("jobs?Machine={}", gone["Uuid"].as_str().unwrap())).await.ok();
    assert!(!jobs.as_array().unwrap().is_empty(), "its jobs are kept");
}

#[tokio::test]
async fn p23_deleting_runs_the_workflow_for_it_first() {
    let site = Site::start().await;
    site.make("tasks", json!([task("wipe")])).await;
    site.make("stages", json!([{"Name": "p23", "Tasks": ["wipe"]}])).await;
    site.make("workflows", json!([{"Name": "p23", "Stages": ["p23"]}])).await;
    for form in ["", "/cleanup"] {
        let machine = site.machine(json!({"Name": "p23", "Params": {"on-delete-workflow": "p23"}})).await;
        let path = format!("{}{form}", site.path(&machine));
        let answer = site.delete(&path).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let now = site.again(&machine).await;
        assert_eq!((&now["Workflow"], &now["Params"]["on-complete-delete"]), (&json!("p23"), &json!(true)));
        assert_eq!(site.next_job(&machine).await.status, 201);
        assert_eq!(site.delete(&path).await.status, 202, "asked again, it goes on");
        let job = site
            .get(&format!("jobs/{}", site.again(&machine).await["CurrentJob"].as_str().unwrap()))
            .await
            .ok();
        assert_eq!(job["State"], "created", "and does not begin again");
        site.move_job(&job, "created", "running", "").await.ok();
        site.move_job(&job, "running", "finished", "complete").await.ok();
        assert_eq!(site.next_job(&machine).await.status, 204);
        site.get(&site.path(&machine)).await.refused(404);
    }
    let machine = site.machine(json!({"Name": "p23", "Params": {"on-delete-workflow": "p23"}})).await;
    assert_eq!(site.delete(&format!("{}?force=true", site.path(&machine))).await.status, 200);
    site.get(&site.path(&machine)).await.refused(404);
}

#[tokio::test]
async fn p24_both_params_finish_the_workflow_then_run_the_one_for_deleting_then_delete() {
    let site = Site::start().await;
    site.make("tasks", json!([task("work"), task("wipe")])).await;
    site.make("stages", json!([{"Name": "work", "Tasks": ["work"]}, {"Name": "wipe", "Tasks": ["wipe"]}]))
        .await;
    site.make(
        "workflows",
        json!([{"Name": "work", "Stages": ["work"]}, {"Name": "wipe", "Stages": ["wipe"]}]),
    )
    .await;
    let params = json!({"on-delete-workflow": "wipe", "on-complete-delete": true});
    let machine = site.machine(json!({"Name": "p24", "Workflow": "work", "Params": params})).await;
    assert_eq!(site.run_task(&machine).await["Task"], "work");
    assert_eq!(site.next_job(&machine).await.status, 204);
    assert_eq!(site.again(&machine).await["Workflow"], "wipe", "the machine is still there");
    assert_eq!(site.run_all(&machine).await, ["wipe"]);
    site.get(&site.path(&machine)).await.refused(404);
}

#[tokio::test]
async fn p25_machine_mirrors_its_current_job() {
    let site = Site::start().await;
    site.make("tasks", json!([task("ta")])).await;
    let machine = site.machine(json!({"Name": "p25", "Tasks": ["ta"]})).await;
    let mirrored = || async {
        let now = site.again(&machine).await;
        (now["JobState"].clone(), now["JobExitState"].clone(), now["JobResultErrors"].clone())
    };
    assert_eq!(mirrored().await, (json!(""), json!(""), json!([])));
    let job = site.next_job(&machine).await.ok();
    assert_eq!(mirrored().await, (json!("created"), json!(""), json!([])));
    site.move_job(&job, "created", "running", "").await.ok();
    assert_eq!(mirrored().await.0, "running");
    let failure = replace(&json!({"State": "failed", "ExitState": "failed", "ResultErrors": ["no disk"]}));
    site.patch(&format!("jobs/{}", job["Uuid"].as_str().unwrap()), failure).await.ok();
    assert_eq!(mirrored().await, (json!("failed"), json!("failed"), json!(["no disk"])));
    site.set(&machine, json!({"Runnable": true})).await.ok();
    site.next_job(&machine).await.ok();
    assert_eq!(mirrored().await, (json!("created"), json!(""), json!([])), "a new job begins with nothing");
}

#[tokio::test]
async fn p26_what_goes_wrong_with_rendering_is_told_on_the_machine() {
    let site = Site::start().await;
    site.make("bootenvs", json!([bootenv("p26", "{{.Param \"site/disk\"}}")])).await;
    let machine = site.machine(json!({"Name": "p26", "Address": "10.0.26.1", "BootEnv": "p26"})).await;
    assert_eq!(machine["Available"], false);
    let told = machine["Errors"].as_array().unwrap();
    assert!(told.iter().any(|error| error.as_str().unwrap().contains("site/disk")), "{told:?}");
    let mended = site.patch(&site.path(&machine), json!({"Params": {"site/disk": "sda"}})).await.ok();
    assert_eq!((&mended["Available"], &mended["Errors"]), (&json!(true), &json!([])));
    let broken = json!([{"op": "replace", "path": "/Templates/0/Contents", "value": "{{.Param \"other\"}}"}]);
    site.patch("bootenvs/p26", broken).await.ok();
    assert_eq!(site.again(&machine).await["Available"], false, "a change of the boot environment shows too");
    site.patch("profiles/global", json!({"Params": {"other": 1}})).await.ok();
    assert_eq!(site.again(&machine).await["Available"], true, "and so does the profile that mends it");
}

#[tokio::test]
async fn p27_params_hold_any_json_value_for_templates() {
    let site = Site::start().await;
    let params =
        json!({"s": "x", "b": true, "n": 1.5, "l": [1, "a"], "m": {"k": {"deep": [null]}}, "z": null});
    let machine = site.machine(json!({"Name": "p27", "Params": params})).await;
    assert_eq!(machine["Params"], params);
    let text = "{{.Param \"s\"}} {{.Param \"b\"}} {{.Param \"n\"}} {{index (.Param \"l\") 1}} {{len (index (.Param \"m\") \"k\").deep}}";
    let rendered =
        site.send(crate::site::request("POST", &format!("{}/render", site.path(&machine)), text)).await;
    assert_eq!(rendered.status, 200, "{}", rendered.text());
    assert_eq!(rendered.text(), "x true 1.5 a 1");
    site.post("machines", json!({"Name": "p27-b", "Params": ["not", "a", "map"]})).await.refused(422);
}

#[tokio::test]
async fn p28_put_replaces_params_patch_merges_and_post_on_the_subaction_replaces() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "p28", "Params": {"a": 1, "b": 2}})).await;
    let path = site.path(&machine);
    let mut whole = site.again(&machine).await;
    whole["Params"] = json!({"b": 3, "c": 4});
    assert_eq!(site.put(&path, whole).await.ok()["Params"], json!({"b": 3, "c": 4}));
    let merged = site.patch(&path, json!({"Params": {"c": 5, "d": 6}})).await.ok();
    assert_eq!(merged["Params"], json!({"b": 3, "c": 5, "d": 6}));
    let operations = json!([{"op": "add", "path": "/Params/e~1f", "value": 7}]);
    assert_eq!(site.patch(&path, operations).await.ok()["Params"], json!({"b": 3, "c": 5, "d": 6, "e/f": 7}));
    let params = format!("{path}/params");
    assert_eq!(site.post(&params, json!({"g": 8})).await.ok(), json!({"g": 8}));
    assert_eq!(site.again(&machine).await["Params"], json!({"g": 8}));
    let patched = site
        .patch(
            &params,
            json!([{"op": "test", "path": "", "value": {"g": 8}}, {"op": "add", "path": "/h", "value": 9}]),
        )
        .await;
    assert_eq!(patched.ok(), json!({"g": 8, "h": 9}));
}

#[tokio::test]
async fn p29_machine_role_says_what_is_a_machine() {
    let site = Site::start().await;
    for (name, meta) in [
        ("plain", json!({})),
        ("role", json!({"machine-role": "machine"})),
        ("self", json!({"machine-role": "self"})),
    ] {
        site.machine(json!({"Name": name, "Meta": meta})).await;
    }
    let refused = site.post("machines", json!({"Name": "group", "Meta": {"machine-role": "cluster"}})).await;
    refused.refused(422);
    let names = |list: Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|machine| machine["Name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(site.get("machines?sort=Name").await.ok()), ["plain", "role", "self"]);
    assert_eq!(names(site.get("machines?sort=Name&exclude-self=true").await.ok()), ["plain", "role"]);
}

#[tokio::test]
async fn p30_machine_jobs_register_tells_of_that_machines_jobs() {
    let site = Site::start().await;
    site.make("tasks", json!([task("ta")])).await;
    let mine = site.machine(json!({"Name": "p30-a", "Tasks": ["ta"]})).await;
    let other = site.machine(json!({"Name": "p30-b", "Tasks": ["ta"]})).await;
    let mut events = site.events(&format!("machine_jobs.*.{}", mine["Uuid"].as_str().unwrap())).await;
    site.run_task(&other).await;
    let job = site.run_task(&mine).await;
    for (action, state) in [("create", "created"), ("update", "running"), ("update", "finished")] {
        let event = events.next().await;
        assert_eq!(
            (&event["Type"], &event["Action"], &event["Key"]),
            (&json!("jobs"), &json!(action), &job["Uuid"])
        );
        assert_eq!((&event["Object"]["State"], &event["Object"]["Machine"]), (&json!(state), &mine["Uuid"]));
    }
}
