//! Mesh networks: their machines, their tunnels, and virtual addresses in them.

use crate::server::Server;
use serde_json::{Value, json};

/// A server with the mesh network `home` and two machines in it, and one that is not.
fn with_mesh() -> Server {
    let server = Server::logged_in();
    server.done(&["mesh", "create", "home", "--cidr", "10.20.0.0/24", "--hosts"]);
    for name in ["m1", "m2", "m3"] {
        server.done(&["machine", "create", name]);
    }
    let told = server.done(&["mesh", "join", "home", "m1", "m2"]);
    assert_eq!(told, "m1 is in mesh network home: 10.20.0.1\nm2 is in mesh network home: 10.20.0.2\n");
    server
}

#[test]
fn members_join_and_leave_by_name_and_by_what_they_have_in_common() {
    let server = with_mesh();
    assert_eq!(server.json(&["mesh", "show", "home"])["Hosts"], true);
    server.done(&["mesh", "set", "home", "--hosts=false", "Description=racks"]);
    let mesh = server.json(&["mesh", "show", "home"]);
    assert_eq!((&mesh["Hosts"], &mesh["Description"]), (&json!(false), &json!("racks")));
    assert_eq!(server.json(&["mesh", "members", "home"]).as_array().unwrap().len(), 2);
    let told = server.done(&["mesh", "leave", "--mesh", "home", "--yes"]);
    assert_eq!(told, "m1 is in no mesh network\nm2 is in no mesh network\n");
    assert_eq!(server.done(&["mesh", "members", "home"]), "no machine is in it\n");
    let refused = server.failed(&["mesh", "join", "nowhere", "m1", "m2"]);
    assert!(
        refused.error.contains("m2: ") && refused.error.ends_with("2 of 2 machines failed\n"),
        "{}",
        refused.error
    );
}

#[test]
fn peers_are_told_of_a_network_and_of_a_machine() {
    let server = with_mesh();
    let map = server.json(&["mesh", "peers", "home"]);
    let names: Vec<&str> =
        map["Members"].as_array().unwrap().iter().filter_map(|one| one["Name"].as_str()).collect();
    assert_eq!(names, ["m1", "m2"]);
    let table = server.done(&["mesh", "peers", "home"]);
    assert!(table.starts_with("MEMBER") && table.contains("10.20.0.2"), "{table}");
    let seen = server.json(&["mesh", "peers", "--machine", "m1"]);
    assert_eq!((&seen["MeshNetwork"], &seen["MeshKey"]), (&json!("home"), &json!("")));
    let told = server.done(&["mesh", "peers", "--machine", "m1"]);
    assert!(told.contains("Public key    none told yet"), "{told}");
    let none = server.failed(&["mesh", "peers", "--machine", "m3"]);
    assert_eq!(none.error, "muster: m3 is in no mesh network: `muster mesh join NETWORK m3`\n");
    assert!(server.failed(&["mesh", "peers", "nowhere"]).error.contains("nowhere"));
}

#[test]
fn virtual_address_is_made_changed_and_deleted() {
    let server = with_mesh();
    let create = [
        "vip",
        "create",
        "web",
        "--mesh",
        "home",
        "--prefix",
        "10.20.0.200",
        "--machine",
        "m1,m2",
        "--check",
        "tcp::443",
        "--interval",
        "2",
    ];
    assert_eq!(server.done(&create), "made VIP web\n");
    let vip = server.json(&["vip", "show", "web"]);
    let ids: Vec<Value> =
        ["m1", "m2"].map(|name| server.json(&["machine", "show", name])["Uuid"].clone()).into();
    assert_eq!((&vip["Prefix"], &vip["Machines"]), (&json!("10.20.0.200/32"), &Value::Array(ids)));
    // One setting of the check leaves the others as they are.
    server.done(&["vip", "set", "web", "--unhealthy", "5"]);
    let check = &server.json(&["vip", "show", "web"])["Check"];
    let told = (&check["Type"], &check["Target"], &check["Interval"], &check["UnhealthyThreshold"]);
    assert_eq!(told, (&json!("tcp"), &json!(":443"), &json!(2), &json!(5)));
    let list = server.done(&["vip", "list"]);
    assert!(
        list.contains("10.20.0.200/32") && list.contains("0 of 2") && list.contains("tcp::443"),
        "{list}"
    );
    assert_eq!(server.done(&["vip", "delete", "web", "--yes"]), "deleted VIP web\n");
}

#[test]
fn what_is_wrong_with_a_virtual_address_is_said() {
    let server = with_mesh();
    let create = |args: &[&str]| {
        server.failed(&[&["vip", "create", "web", "--mesh", "home"][..], args].concat()).error
    };
    let unknown = create(&["--prefix", "10.20.0.200", "--machine", "nobody"]);
    assert!(unknown.starts_with("muster: nobody: "), "{unknown}");
    let taken = create(&["--prefix", "10.20.0.1", "--machine", "m1"]);
    assert!(taken.contains("10.20.0.1"), "{taken}");
    assert_eq!(server.done(&["vip", "list"]), "no virtual addresses: `muster vip create NAME`\n");
}
