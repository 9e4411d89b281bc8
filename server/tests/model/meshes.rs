//! Mesh networks by their REST calls: who has which address, and that nobody has another one's.

use crate::site::{Site, basic};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const HOME: &str = "home";

async fn mesh(site: &Site, name: &str, cidrs: Value) -> Value {
    site.post("meshes", json!({"Name": name, "Cidrs": cidrs})).await.ok()
}

/// How many machines are in it, and how many more it has addresses for.
async fn counts(site: &Site, name: &str) -> (u64, u64) {
    let mesh = site.get(&format!("meshes/{name}")).await.ok();
    (mesh["Members"].as_u64().unwrap(), mesh["FreeAddresses"].as_u64().unwrap())
}

/// A change of the mesh network alone, as the dashboard makes it.
fn assigned(mesh: &str) -> Value {
    json!([{"op": "replace", "path": "/MeshNetwork", "value": mesh}])
}

fn addresses(machine: &Value) -> Vec<&str> {
    machine["MeshAddresses"].as_array().unwrap().iter().map(|address| address.as_str().unwrap()).collect()
}

fn said(refused: &Value) -> String {
    refused["Messages"].to_string()
}

#[tokio::test]
async fn machine_gets_an_address_of_each_family_keeps_it_and_gives_it_back() {
    let site = Site::start().await;
    let made = mesh(&site, HOME, json!(["10.20.0.0/29", "fd00:20::/64"])).await;
    assert_eq!((&made["Members"], &made["FreeAddresses"]), (&json!(0), &json!(6)));
    let first = site.machine(json!({"Name": "m1", "MeshNetwork": HOME})).await;
    assert_eq!(addresses(&first), ["10.20.0.1", "fd00:20::1"]);
    let second = site.machine(json!({"Name": "m2"})).await;
    assert_eq!((&second["MeshNetwork"], addresses(&second)), (&json!(""), Vec::new()));
    let second = site.patch(&site.path(&second), assigned(HOME)).await.ok();
    assert_eq!(addresses(&second), ["10.20.0.2", "fd00:20::2"]);
    assert_eq!(counts(&site, HOME).await, (2, 4));

    // It stays through every other change, and whoever does not know of it leaves it as it is.
    site.set(&first, json!({"Description": "moved"})).await.ok();
    let whole = json!({"Name": "m1", "Description": "as a whole"});
    let first = site.put(&site.path(&first), whole).await.ok();
    assert_eq!((&first["MeshNetwork"], addresses(&first)), (&json!(HOME), vec!["10.20.0.1", "fd00:20::1"]));
    // The server's: what a client writes is not taken.
    let forged = site.set(&first, json!({"MeshAddresses": ["10.20.0.5"]})).await.ok();
    assert_eq!(addresses(&forged), ["10.20.0.1", "fd00:20::1"]);

    let first = site.patch(&site.path(&first), assigned("")).await.ok();
    assert_eq!((&first["MeshNetwork"], addresses(&first)), (&json!(""), Vec::new()));
    let third = site.machine(json!({"Name": "m3", "MeshNetwork": HOME})).await;
    assert_eq!(addresses(&third), ["10.20.0.1", "fd00:20::1"], "the lowest free one");
    site.delete(&site.path(&second)).await.ok();
    assert_eq!(counts(&site, HOME).await, (1, 5));
    let listed = site.get("meshes?Members=1").await.ok();
    assert_eq!(listed[0]["Name"], HOME);
}

#[tokio::test]
async fn full_mesh_is_told_and_changes_nothing() {
    let site = Site::start().await;
    mesh(&site, "tiny", json!(["192.168.9.0/30"])).await;
    for name in ["m1", "m2"] {
        site.machine(json!({"Name": name, "MeshNetwork": "tiny"})).await;
    }
    let third = site.machine(json!({"Name": "m3", "Description": "as it was"})).await;
    let more = json!([{"op": "replace", "path": "/Description", "value": "changed"}, assigned("tiny")[0]]);
    let refused = site.patch(&site.path(&third), more).await.refused(422);
    assert!(
        said(&refused).contains("mesh network tiny is full: all of its 2 addresses are taken"),
        "{refused}"
    );
    let now = site.again(&third).await;
    assert_eq!((&now["MeshNetwork"], &now["Description"]), (&json!(""), &json!("as it was")));
    assert_eq!(counts(&site, "tiny").await, (2, 0));
    let refused = site.post("machines", json!({"Name": "m4", "MeshNetwork": "tiny"})).await.refused(422);
    assert!(said(&refused).contains("is full"), "{refused}");
    let refused = site.patch(&site.path(&third), assigned("nowhere")).await.refused(422);
    assert!(said(&refused).contains("there is no mesh network"), "{refused}");
}

#[tokio::test]
async fn mesh_network_stays_as_it_is_while_machines_are_in_it() {
    let site = Site::start().await;
    mesh(&site, HOME, json!(["10.20.0.0/24"])).await;
    let machine = site.machine(json!({"Name": "m1", "MeshNetwork": HOME})).await;
    for refused in [
        site.delete("meshes/home").await,
        site.patch("meshes/home", json!({"Cidrs": ["10.21.0.0/24"]})).await,
        site.patch("meshes/home", json!({"Cidrs": ["10.20.0.0/24", "fd00:20::/64"]})).await,
    ] {
        let refused = refused.refused(409);
        assert_eq!(refused["Type"], "StillInUseError");
        assert!(said(&refused).contains("machines are in this mesh network"), "{refused}");
    }
    site.patch("meshes/home", json!({"Description": "of the hall"})).await.ok();
    let overlap = site.post("meshes", json!({"Name": "lab", "Cidrs": ["10.20.0.128/25"]})).await.refused(422);
    assert!(said(&overlap).contains("overlaps 10.20.0.0/24 of mesh network home"), "{overlap}");

    site.patch(&site.path(&machine), assigned("")).await.ok();
    let changed = site.patch("meshes/home", json!({"Cidrs": ["10.21.0.0/24", "fd00:21::/64"]})).await.ok();
    assert_eq!(changed["FreeAddresses"], 254);
    let again = site.patch(&site.path(&machine), assigned(HOME)).await.ok();
    assert_eq!(addresses(&again), ["10.21.0.1", "fd00:21::1"]);
    site.delete(&site.path(&machine)).await.ok();
    site.delete("meshes/home").await.ok();
    site.get("meshes/home").await.refused(404);
}

#[tokio::test]
async fn new_machines_join_the_default_mesh_network_of_which_there_is_one() {
    let site = Site::start().await;
    mesh(&site, HOME, json!(["10.20.0.0/24"])).await;
    mesh(&site, "lab", json!(["10.21.0.0/30"])).await;
    site.patch("meshes/home", json!({"Default": true})).await.ok();
    site.patch("meshes/lab", json!({"Default": true})).await.ok();
    let defaults = site.get("meshes?Default=true").await.ok();
    assert_eq!((defaults.as_array().unwrap().len(), &defaults[0]["Name"]), (1, &json!("lab")));
    assert_eq!(site.get("prefs").await.ok()["defaultMesh"], "lab");
    let joined = site.machine(json!({"Name": "m1"})).await;
    assert_eq!((&joined["MeshNetwork"], addresses(&joined)), (&json!("lab"), vec!["10.21.0.1"]));
    let chosen = site.machine(json!({"Name": "m2", "MeshNetwork": HOME})).await;
    assert_eq!(addresses(&chosen), ["10.20.0.1"]);
    // One that is full keeps nobody out whom nobody sent there; that it has no address is told.
    site.machine(json!({"Name": "m3"})).await;
    let late = site.machine(json!({"Name": "m4"})).await;
    assert_eq!((&late["Available"], addresses(&late)), (&json!(false), Vec::new()));
    assert!(late["Errors"][0].as_str().unwrap().contains("it has no address in mesh network lab"), "{late}");
    // With room again, the next change of it is enough.
    site.delete(&site.path(&joined)).await.ok();
    let late = site.set(&late, json!({"Description": "again"})).await.ok();
    assert_eq!((&late["Available"], addresses(&late)), (&json!(true), vec!["10.21.0.1"]));
    let refused = site.delete("meshes/lab").await.refused(409);
    assert!(said(&refused).contains("is the preference defaultMesh"), "{refused}");
}

#[tokio::test]
async fn two_hundred_join_and_leave_at_once_and_no_address_is_had_twice_or_lost() {
    let site = Arc::new(Site::swift().await);
    mesh(&site, HOME, json!(["10.20.0.0/24", "fd00:20::/64"])).await;
    mesh(&site, "lab", json!(["10.21.0.0/24"])).await;
    let mut paths = Vec::new();
    for number in 0..100 {
        let machine = site.machine(json!({"Name": format!("m{number}")})).await;
        paths.push(site.path(&machine));
    }
    // Each machine is told twice at the same time: in and out, in here and in there.
    let deeds: Vec<_> = (0..200)
        .map(|number| {
            let (site, path) = (Arc::clone(&site), paths[number % 100].clone());
            let wanted = [HOME, "", "lab", HOME][(number + number / 100) % 4];
            tokio::spawn(async move { site.patch(&path, assigned(wanted)).await.ok() })
        })
        .collect();
    for deed in deeds {
        deed.await.unwrap();
    }
    let machines = site.get("machines?limit=0").await.ok();
    let machines = machines.as_array().unwrap();
    let mut had = BTreeSet::new();
    for name in [HOME, "lab"] {
        let members: Vec<&Value> = machines.iter().filter(|machine| machine["MeshNetwork"] == name).collect();
        let (counted, free) = counts(&site, name).await;
        assert_eq!((members.len() as u64, free), (counted, 254 - counted), "{name}");
        for member in members {
            let families = if name == HOME { 2 } else { 1 };
            assert_eq!(addresses(member).len(), families, "{member}");
            assert!(addresses(member).into_iter().all(|address| had.insert(address.to_owned())), "{member}");
        }
    }
    for machine in machines.iter().filter(|machine| machine["MeshNetwork"] == "") {
        assert!(addresses(machine).is_empty(), "{machine}");
    }
    // All out again: every address is free, and the first one is given next.
    for path in &paths {
        site.patch(path, assigned("")).await.ok();
    }
    assert_eq!((counts(&site, HOME).await, counts(&site, "lab").await), ((0, 254), (0, 254)));
    let last = site.patch(&paths[0], assigned(HOME)).await.ok();
    assert_eq!(addresses(&last), ["10.20.0.1", "fd00:20::1"]);
}

#[tokio::test]
async fn templates_know_addresses_of_the_machine_and_its_peers() {
    let site = Site::start().await;
    mesh(&site, HOME, json!(["10.20.0.0/24", "fd00:20::/64"])).await;
    let template = "me: {{.machine.mesh.name}} {{.machine.mesh.ip}} {{.machine.mesh.ip6}}\n\
                    them:\n{{range .peers}}- {{.hostname}} {{.mesh.ip}} {{.mesh.ip6}}\n{{end}}";
    let params = json!({"muster/cloud-init": template, "muster/requires-mesh": true});
    let role = json!({"Name": "web", "Meta": {"muster-role": "true"}, "Params": params});
    site.make("profiles", json!([role])).await;
    let first = site.machine(json!({"Name": "m1", "Profiles": ["web"]})).await;
    let preview = || async { site.get(&format!("{}/cloud-init", site.path(&first))).await.ok() };
    let told = preview().await["Errors"].to_string();
    assert!(told.contains("role web needs a mesh network, and machine m1 is in none"), "{told}");
    site.patch(&site.path(&first), assigned(HOME)).await.ok();
    site.machine(json!({"Name": "m2", "MeshNetwork": HOME})).await;
    site.machine(json!({"Name": "m3"})).await;
    let preview = preview().await;
    assert_eq!(preview["Errors"], json!([]));
    let text = preview["UserData"].as_str().unwrap();
    assert!(text.contains("home 10.20.0.1 fd00:20::1"), "{text}");
    assert!(text.contains("m2 10.20.0.2 fd00:20::2") && !text.contains("m3"), "{text}");
}

#[tokio::test]
async fn assignment_needs_its_own_right() {
    let site = Site::start().await;
    mesh(&site, HOME, json!(["10.20.0.0/24"])).await;
    let machine = site.machine(json!({"Name": "m1"})).await;
    let claims = json!([{"scope": "machines", "action": "get,update:/Description", "specific": "*"}]);
    site.make("roles", json!([{"Name": "scribe", "Claims": claims}])).await;
    site.make("users", json!([{"Name": "eve", "Roles": ["scribe"]}])).await;
    site.put("users/eve/password", json!({"Password": "correct horse battery"})).await.ok();
    let eve = basic("eve", "correct horse battery");
    let path = site.path(&machine);
    site.call_as(&eve, "PATCH", &path, &assigned(HOME)).await.refused(403);
    site.call_as(&eve, "PATCH", &path, &json!({"Description": "hers"})).await.ok();
    site.patch(&path, assigned(HOME)).await.ok();
    // A client that does not know of mesh networks leaves it there, and needs no right to.
    let mut whole = site.get(&path).await.ok();
    whole["Description"] = json!("hers again");
    for unknown in ["MeshNetwork", "MeshAddresses"] {
        whole.as_object_mut().unwrap().remove(unknown);
    }
    let kept = site.call_as(&eve, "PUT", &path, &whole).await.ok();
    assert_eq!(addresses(&kept), ["10.20.0.1"]);
}

/// What a check of this sort runs, it runs as root on every machine that may hold the address.
#[tokio::test]
async fn command_of_a_check_is_for_those_who_may_be_root_on_machines() {
    let site = Site::start().await;
    mesh(&site, HOME, json!(["10.20.0.0/24"])).await;
    let vips = json!({"scope": "vips,contents", "action": "*", "specific": "*"});
    let terminal = |specific: &str| json!({"scope": "machines", "action": "terminal", "specific": specific});
    let some = terminal("00000000-0000-0000-0000-000000000001");
    for (name, claims) in [("eve", json!([vips, some])), ("root", json!([vips, terminal("*")]))] {
        site.post("roles", json!({"Name": name, "Claims": claims})).await.ok();
        site.post("users", json!({"Name": name, "Roles": [name]})).await.ok();
        let password = json!({"Password": "correct horse battery"});
        site.put(&format!("users/{name}/password"), password).await.ok();
    }
    let (eve, root) = (basic("eve", "correct horse battery"), basic("root", "correct horse battery"));
    let vip = |name: &str, prefix: &str, check: Value| json!({"Name": name, "MeshNetwork": HOME, "Prefix": prefix, "Check": check});
    let exec = json!({"Type": "exec", "Target": "touch /run/was-here"});
    let tcp = json!({"Type": "tcp", "Target": ":443"});
    site.call_as(&root, "POST", "vips", &vip("lab", "10.20.0.200/32", exec.clone())).await.ok();
    site.call_as(&eve, "POST", "vips", &vip("web", "10.20.0.201/32", tcp.clone())).await.ok();
    let other = json!([{"op": "replace", "path": "/Check/Target", "value": "reboot"}]);
    let bundle = json!({
        "meta": {"Name": "extra"},
        "sections": {"vips": {"more": vip("more", "10.20.0.202/32", exec.clone())}},
    });
    for (method, path, body) in [
        ("POST", "vips", vip("db", "10.20.0.202/32", exec.clone())),
        ("PUT", "vips/web", vip("web", "10.20.0.201/32", exec.clone())),
        ("PATCH", "vips/web", json!({"Check": exec})),
        ("PATCH", "vips/lab", other),
        ("PATCH", "vips/lab", json!({"Machines": ["web-1"]})),
        ("POST", "contents", bundle.clone()),
    ] {
        let refused = site.call_as(&eve, method, path, &body).await.refused(403);
        let told = "this needs the right machines:terminal";
        assert!(said(&refused).contains(told), "{method} {path}: {refused}");
    }
    site.call_as(&root, "POST", "contents", &bundle).await.ok();
    site.call_as(&eve, "PATCH", "vips/lab", &json!({"Check": tcp})).await.ok();
    site.call_as(&eve, "DELETE", "vips/web", &Value::Null).await.ok();
    let rows = site.get("audit?kind=vip.changed").await.ok();
    let told: Vec<&str> =
        rows.as_array().unwrap().iter().map(|row| row["Reason"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [
            "VIP web deleted",
            "VIP lab written, check tcp",
            "VIP more written, check exec",
            "VIP web written, check tcp",
            "VIP lab written, check exec"
        ]
    );
    assert!(!rows.to_string().contains("was-here"), "{rows}");
}
