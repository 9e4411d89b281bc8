//! Objects of every collection: made, read, replaced, patched and deleted in the same way.

use crate::site::{Site, replace};
use serde_json::{Value, json};

/// The least body of each kind but machines and jobs, by a name.
fn bodies(name: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("bootenvs", json!({"Name": name, "OS": {"Name": "debian-13"}})),
        ("contexts", json!({"Name": name})),
        ("params", json!({"Name": name, "Schema": {"type": "string"}})),
        ("pools", json!({"Id": name})),
        ("profiles", json!({"Name": name, "Params": {"a": 1}})),
        ("roles", json!({"Name": name, "Claims": []})),
        ("stages", json!({"Name": name})),
        ("tasks", json!({"Name": name})),
        ("templates", json!({"ID": name, "Contents": "x"})),
        ("users", json!({"Name": name})),
        ("workflows", json!({"Name": name, "Stages": []})),
    ]
}

#[tokio::test]
async fn every_kind_goes_through_its_whole_life() {
    let site = Site::start().await;
    for (kind, body) in bodies("thing") {
        let made = site.post(kind, body.clone()).await;
        assert_eq!(made.status, 201, "{kind}: {}", made.text());
        assert_eq!(site.post(kind, body.clone()).await.refused(409)["Type"], "CREATE", "{kind}");

        let path = format!("{kind}/thing");
        let shown = site.get(&path).await.ok();
        for field in ["Validated", "Available"] {
            assert_eq!(shown[field], true, "{kind}: {shown}");
        }
        assert_eq!(shown["Bundle"], "BackingStore", "{kind}");
        assert_eq!(shown, made.json(), "{kind}");
        assert_eq!(site.get(&format!("{kind}/Key:thing")).await.ok(), shown, "{kind}");
        assert_eq!(site.get(&format!("{kind}/Key%3Athing")).await.ok(), shown, "{kind}");

        let change = replace(&json!({"Description": "one line"}));
        let patched = site.patch(&path, change).await.ok();
        assert_eq!(patched["Description"], "one line", "{kind}");
        let again = site.patch(&path, json!({"description": "another", "Name": null})).await.ok();
        assert_eq!(again["Description"], "another", "{kind}");

        // Clients send back all that they read, fields of the server's own included.
        let mut whole = again.clone();
        whole["Description"] = "a third".into();
        whole["Available"] = false.into();
        whole["Bundle"] = "elsewhere".into();
        let put = site.put(&path, whole).await.ok();
        assert_eq!((&put["Description"], &put["Available"]), (&json!("a third"), &json!(true)), "{kind}");
        assert_eq!(put["Bundle"], "BackingStore", "{kind}");

        let listed = site.get(kind).await.ok();
        assert!(listed.as_array().unwrap().contains(&put), "{kind}: {listed}");
        assert_eq!(site.delete(&path).await.ok(), put, "{kind}");
        let gone = site.get(&path).await.refused(404);
        assert_eq!((&gone["Model"], &gone["Key"]), (&json!(kind), &json!("thing")));
        assert_eq!(gone["Type"], "GET");
        assert_eq!(site.delete(&path).await.refused(404)["Type"], "DELETE");
        assert_eq!(site.put(&path, body).await.refused(404)["Type"], "PUT");
    }
}

#[tokio::test]
async fn machines_are_found_by_every_unique_index_and_not_by_a_bare_name() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let id = machine["Uuid"].as_str().unwrap();
    for key in [id, &format!("Uuid:{id}"), &format!("Key:{id}"), "Name:alpha", "Name%3Aalpha"] {
        assert_eq!(site.get(&format!("machines/{key}")).await.ok()["Uuid"], machine["Uuid"], "{key}");
    }
    for key in ["alpha", "Name:beta", "Stage:none", "Colour:red", "..%2F..%2Fetc%2Fpasswd", "%00"] {
        site.get(&format!("machines/{key}")).await.refused(404);
    }
}

#[tokio::test]
async fn machine_that_exists_is_a_create_conflict_and_a_taken_name_is_invalid() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha", "Secret": "s1"})).await;
    let same = json!({"Name": "alpha", "Uuid": machine["Uuid"]});
    assert_eq!(site.post("machines", same).await.refused(409)["Type"], "CREATE");
    let other = json!({"Name": "other", "Uuid": machine["Uuid"]});
    assert_eq!(site.post("machines", other).await.refused(409)["Type"], "CREATE");
    assert_eq!(site.post("machines", json!({"Name": "alpha"})).await.refused(422)["Type"], "ValidationError");
    let beta = site.machine(json!({"Name": "beta"})).await;
    let renamed = site.set(&beta, json!({"Name": "alpha"})).await;
    assert_eq!(renamed.refused(422)["Type"], "ValidationError");
    assert_eq!(site.set(&beta, json!({"Name": "gamma"})).await.ok()["Name"], "gamma");
}

#[tokio::test]
async fn key_of_an_object_does_not_change() {
    let site = Site::start().await;
    site.make("stages", json!([{"Name": "one"}])).await;
    site.patch("stages/one", replace(&json!({"Name": "two"}))).await.refused(422);
    site.put("stages/one", json!({"Name": "two"})).await.refused(422);
    site.get("stages/two").await.refused(404);
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let put = site.put(&site.path(&machine), json!({"Name": "beta"})).await.ok();
    assert_eq!((&put["Uuid"], &put["Name"]), (&machine["Uuid"], &json!("beta")));
    // A body that names no key means the one of the path.
    assert_eq!(site.put("stages/one", json!({"Description": "d"})).await.ok()["Name"], "one");
}

#[tokio::test]
async fn availability_follows_what_an_object_refers_to() {
    let site = Site::start().await;
    site.make("stages", json!([{"Name": "boots", "BootEnv": "missing"}])).await;
    let stage = site.get("stages/boots").await.ok();
    assert_eq!(stage["Available"], false);
    assert_eq!(stage["Errors"].as_array().unwrap().len(), 1);
    site.make("bootenvs", json!([{"Name": "missing", "OS": {"Name": "x"}}])).await;
    let stage = site.get("stages/boots").await.ok();
    assert_eq!((&stage["Available"], &stage["Errors"]), (&json!(true), &json!([])));
}

#[tokio::test]
async fn read_only_and_needed_objects_stay() {
    let site = Site::start().await;
    for path in ["bootenvs/local", "stages/none", "bootenvs/ignore"] {
        site.delete(path).await.refused(403);
        site.patch(path, replace(&json!({"Description": "x"}))).await.refused(403);
    }
    site.make("stages", json!([{"Name": "used"}])).await;
    site.make("workflows", json!([{"Name": "flow", "Stages": ["used"]}])).await;
    let machine = site.machine(json!({"Name": "alpha", "Stage": "used"})).await;
    assert_eq!(site.delete("stages/used").await.refused(409)["Type"], "StillInUseError");
    site.set(&machine, json!({"Stage": "none"})).await.ok();
    site.delete("profiles/global").await.refused(409);
}

#[tokio::test]
async fn empty_key_and_unknown_collections_are_told() {
    let site = Site::start().await;
    assert_eq!(site.post("stages", json!({})).await.refused(400)["Type"], "CREATE");
    assert_eq!(site.post("machines", json!({})).await.refused(422)["Type"], "ValidationError");
    for path in ["nothing", "nothing/x", "machine", "leases", "../machines"] {
        site.get(path).await.refused(404);
    }
    site.put("machines", json!({})).await.refused(405);
}

#[tokio::test]
async fn there_are_no_plugins_to_ask() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    for path in [format!("{}/actions", site.path(&machine)), "stages/none/actions".to_owned()] {
        assert_eq!(site.get(&path).await.ok(), json!([]), "{path}");
        site.get(&format!("{path}/nextbootpxe")).await.refused(404);
        site.post(&format!("{path}/nextbootpxe"), json!({})).await.refused(404);
    }
    site.get("stages/missing/actions").await.refused(404);
}

#[tokio::test]
async fn reduced_object_is_what_a_client_would_send() {
    let site = Site::start().await;
    site.make("stages", json!([{"Name": "one", "Description": "d"}])).await;
    let reduced = site.get("stages/one?reduced=true").await.ok();
    assert_eq!((&reduced["Name"], &reduced["Description"]), (&json!("one"), &json!("d")));
    for field in ["Available", "Bundle", "CreatedAt", "Errors", "ReadOnly", "Validated"] {
        assert!(reduced.get(field).is_none(), "{field}");
    }
    site.delete("stages/one").await.ok();
    site.post("stages", reduced).await.ok();
}

#[tokio::test]
async fn labels_of_any_object_are_patched_by_themselves() {
    let site = Site::start().await;
    site.make("stages", json!([{"Name": "one", "Meta": {"a": "1"}}])).await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let id = machine["Uuid"].as_str().unwrap();
    for (path, shown) in
        [("meta/stages/one", "stages/one"), (&format!("meta/machines/{id}"), &*site.path(&machine))]
    {
        let add = json!([{"op": "add", "path": "/colour", "value": "red"}]);
        let meta = site.patch(path, add).await.ok();
        assert_eq!(meta["colour"], "red");
        assert_eq!(site.get(path).await.ok(), meta);
        assert_eq!(site.get(shown).await.ok()["Meta"], meta);
        site.patch(path, json!([{"op": "test", "path": "/colour", "value": "blue"}])).await.refused(409);
    }
    site.get("meta/nothing/one").await.refused(404);
    site.get("meta/stages/two").await.refused(404);
}

#[tokio::test]
async fn preferences_are_one_map() {
    let site = Site::start().await;
    let prefs = site.get("prefs").await.ok();
    assert_eq!(prefs["defaultBootEnv"], "local");
    assert_eq!(prefs["unknownBootEnv"], "ignore");
    assert_eq!(prefs["defaultStage"], "none");
    let set = site.post("prefs", json!({"knownTokenTimeout": 7200, "logLevel": "1"})).await.ok();
    assert_eq!((&set["knownTokenTimeout"], &set["logLevel"]), (&json!("7200"), &json!("info")));
    assert_eq!(site.get("prefs").await.ok(), set);
    let refused =
        site.post("prefs", json!({"noSuchPref": "x", "defaultStage": "missing"})).await.refused(422);
    assert_eq!((&refused["Model"], &refused["Messages"].as_array().unwrap().len()), (&json!("prefs"), &2));
    assert_eq!(site.get("prefs").await.ok(), set);
}

#[tokio::test]
async fn collections_and_indexes_tell_of_themselves() {
    let site = Site::start().await;
    let objects = site.get("objects").await.ok();
    let names: Vec<&str> = objects.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(names.is_sorted() && names.contains(&"preferences") && names.contains(&"machines"));
    let indexes = site.get("indexes").await.ok();
    assert_eq!(
        indexes["machines"]["Uuid"],
        json!({"Type": "UUID string", "Unique": true, "Unordered": false, "Regex": false})
    );
    assert_eq!(site.get("indexes/machines").await.ok(), indexes["machines"]);
    assert_eq!(site.get("indexes/machines/Profiles").await.ok()["Unordered"], true);
    assert_eq!(site.get("indexes/machines/some/param").await.ok()["Type"], "string");
    site.get("indexes/workflows/colour").await.refused(404);
    site.get("indexes/nothing").await.refused(404);
}

#[tokio::test]
async fn pools_exist_by_the_machines_in_them() {
    let site = Site::start().await;
    assert_eq!(site.get("pools").await.ok()[0]["Id"], "default");
    let machine = site.machine(json!({"Name": "alpha"})).await;
    site.machine(json!({"Name": "beta"})).await;
    assert_eq!(site.get("pools-active").await.ok(), json!(["default"]));
    let list = json!({"pool/machine-list": ["Name:alpha"]});
    let moved = site.post("pools/red/addMachines", list.clone()).await.ok();
    assert_eq!((&moved[0]["Name"], &moved[0]["Status"]), (&json!("alpha"), &json!("Free")));
    assert_eq!(site.again(&machine).await["Pool"], "red");
    assert_eq!(site.get("pools/red").await.ok()["Id"], "red");
    assert_eq!(
        site.post("pools/red/allocateMachines", json!({"pool/count": 1})).await.ok()[0]["Status"],
        "InUse"
    );
    assert_eq!(site.get("pools/red/status").await.ok()["InUse"][0]["Name"], "alpha");
    site.post("pools/red/allocateMachines", json!({"pool/count": 1})).await.refused(409);
    site.post("pools/red/removeMachines", list.clone()).await.refused(409);
    site.post(&format!("{}/releaseToPool", site.path(&machine)), json!({})).await.ok();
    site.post("pools/red/removeMachines", list).await.ok();
    assert_eq!(site.again(&machine).await["Pool"], "default");
    site.get("pools/red").await.refused(404);
    site.delete("pools/default").await.refused(409);
    site.post("pools/default/fireMachines", json!({})).await.refused(404);
}

#[tokio::test]
async fn hardware_points_at_a_machine_and_yields_no_token() {
    let site = Site::start().await;
    let machine = site
        .machine(json!({"Name": "alpha", "HardwareAddrs": ["52:54:00:00:00:01", "52:54:00:00:00:02"],
            "Fingerprint": {"SystemUUID": "11111111-2222-4333-8444-555555555555"}}))
        .await;
    let ask = |macs: Value, system: &str| json!({"MacAddrs": macs, "Fingerprint": {"SystemUUID": system}, "OnDiskUUID": ""});
    let same = ask(json!(["52:54:00:00:00:01"]), "11111111-2222-4333-8444-555555555555");
    let answer = site.post("whoami", same).await.ok();
    assert_eq!(answer["Result"], json!({"Score": 100, "Uuid": machine["Uuid"], "Token": ""}));
    let half = ask(json!(["52:54:00:00:00:01", "no address"]), "");
    assert_eq!(site.post("whoami", half).await.ok()["Result"], json!({"Score": 0, "Uuid": "", "Token": ""}));
    let disk = site.post("whoami", json!({"OnDiskUUID": machine["Uuid"]})).await.ok();
    assert_eq!(disk["Result"]["Score"], 1_000);
    site.post("whoami", json!({"MacAddrs": 3})).await.refused(400);
}

#[tokio::test]
async fn info_has_every_key_that_clients_need() {
    let site = Site::start().await;
    let info = site.get("info").await.ok();
    for key in [
        "address",
        "api_port",
        "arch",
        "binl_enabled",
        "binl_port",
        "dhcp_enabled",
        "dhcp_port",
        "dns_enabled",
        "dns_port",
        "file_port",
        "ha_consensus_id",
        "ha_id",
        "ha_is_active",
        "ha_status",
        "id",
        "local_id",
        "manager",
        "os",
        "prov_enabled",
        "secure_file_port",
        "secure_prov_enabled",
        "tftp_enabled",
        "tftp_port",
        "uuid",
        "version",
        "stats",
        "features",
        "scopes",
        "errors",
        "License",
        "ClusterState",
    ] {
        assert!(info.get(key).is_some_and(|value| !value.is_null()), "{key}: {info}");
    }
    assert!(info["version"].as_str().unwrap().starts_with("v4."));
    assert!(info["address"].as_str().unwrap().parse::<std::net::IpAddr>().is_ok());
    site.machine(json!({"Name": "alpha"})).await;
    let stats = site.get("info").await.ok()["stats"].clone();
    assert!(stats.as_array().unwrap().contains(&json!({"name": "machines.count", "count": 1})));
}

#[tokio::test]
async fn start_runs_a_workflow_again_from_its_beginning() {
    let site = Site::start().await;
    site.make("tasks", json!([{"Name": "task-a"}])).await;
    site.make("stages", json!([{"Name": "stage-a", "Tasks": ["task-a"]}])).await;
    site.make("workflows", json!([{"Name": "flow", "Stages": ["stage-a"]}])).await;
    let machine = site.machine(json!({"Name": "alpha", "Workflow": "flow"})).await;
    assert_eq!(site.run_all(&machine).await, ["task-a"]);
    assert_eq!(site.again(&machine).await["WorkflowComplete"], true);
    let path = format!("{}/start", site.path(&machine));
    let again = site.patch(&path, replace(&json!({"Workflow": "flow"}))).await.ok();
    assert_eq!((&again["CurrentTask"], &again["Runnable"]), (&json!(-1), &json!(true)));
    assert_eq!(again["Workflow"], "flow");
    assert_eq!(site.run_all(&machine).await, ["task-a"]);
    assert_eq!(site.patch(&path, json!([])).await.ok()["Workflow"], "flow");
}
