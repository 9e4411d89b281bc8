//! What a machine would boot, as people are shown it.

use crate::site::{Site, basic};
use serde_json::{Value, json};

/// A site that machines reach, with a boot environment that asks for everything there is to ask for.
async fn site() -> (Site, Value) {
    let site = Site::start_with(|_, options| {
        options.advertise = vec!["https://10.0.0.1:8092".parse().unwrap()];
    })
    .await;
    site.make(
        "bootenvs",
        json!([{"Name": "march", "Description": "Marches on.", "OS": {"Name": "march"}, "Templates": [
            {"Name": "ipxe", "Path": "{{.Machine.MacAddr \"ipxe\"}}.ipxe", "Contents": "#!ipxe\nkernel x {{.MusterArgs \"quiet\"}}"},
            {"Name": "seed", "Path": "{{.Machine.Path}}/seed", "Contents": "token {{.GenerateToken}} <b>{{.Machine.Name}}</b>"},
            {"Name": "link", "Path": "away", "Link": "http://files.example/x"},
            {"Name": "bad", "Path": "bad", "Contents": "{{.Param \"not-there\"}}"},
        ]}]),
    )
    .await;
    site.make("stages", json!([{"Name": "march", "BootEnv": "march"}])).await;
    site.make("workflows", json!([{"Name": "parade", "Stages": ["march"]}])).await;
    let machine = site
        .machine(json!({
            "Name": "db-07", "Address": "10.0.0.5", "BootEnv": "march",
            "HardwareAddrs": ["52:54:00:ab:cd:ef", "52:54:00:00:00:02"],
        }))
        .await;
    (site, machine)
}

async fn preview(site: &Site, machine: &Value) -> Value {
    site.get(&format!("{}/boot", site.path(machine))).await.ok()
}

#[tokio::test]
async fn every_file_is_shown_as_it_would_be_rendered_and_what_is_wrong_in_its_place() {
    let (site, machine) = site().await;
    let shown = preview(&site, &machine).await;
    assert_eq!((&shown["BootEnv"], &shown["Available"]), (&json!("march"), &json!(true)), "{shown}");
    assert_eq!(shown["Reason"], "It was set to march, and its stage none names no other.");
    assert_eq!((&shown["Description"], &shown["Kernel"]), (&json!("Marches on."), &json!("")));
    assert_eq!(shown["HttpImage"]["Given"], false);
    let files = shown["Files"].as_array().unwrap();
    let paths: Vec<&str> = files.iter().map(|file| file["Path"].as_str().unwrap()).collect();
    let seed = format!("machines/{}/seed", machine["Uuid"].as_str().unwrap());
    assert_eq!(paths, ["52:54:00:ab:cd:ef.ipxe", "52:54:00:00:00:02.ipxe", &seed, "away", ""]);
    let ipxe = files[0]["Text"].as_str().unwrap();
    assert!(ipxe.contains("quiet muster.server=https://10.0.0.1:8092"), "{ipxe}");
    assert_eq!(files[0]["Size"].as_u64(), Some(ipxe.len() as u64));
    assert_eq!(files[3]["Link"], "http://files.example/x");
    assert!(files[4]["Error"].as_str().unwrap().contains("bootenv march"), "{}", files[4]);
    // The same path by the machine's own door has the same text, but for what lets the machine in.
    let served = site.boot_file("10.0.0.5", "52:54:00:ab:cd:ef.ipxe").await.text();
    assert!(served.starts_with("#!ipxe\nkernel x quiet muster.server="), "{served}");
}

#[tokio::test]
async fn nothing_that_lets_a_machine_in_is_shown_or_made() {
    let (site, machine) = site().await;
    // A machine that would be given a nonce, were it the one who asks.
    site.post("bootstrap/tokens", json!({"Lifetime": 600})).await.ok();
    let shown = preview(&site, &machine).await.to_string();
    for secret in ["muster.nonce", "muster.token", "eyJ"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains("token TOKEN-OF-THE-MACHINE <b>db-07</b>"), "{shown}");
    let rows = site.get("audit?kind=nonce.issued").await.ok();
    assert_eq!(rows, json!([]));
}

#[tokio::test]
async fn reason_follows_the_machine_and_what_is_missing_is_told() {
    let (site, machine) = site().await;
    site.set(&machine, json!({"Stage": "march"})).await.ok();
    assert_eq!(preview(&site, &machine).await["Reason"], "Its stage march is one in march.");
    site.set(&machine, json!({"Workflow": "parade"})).await.ok();
    let reason = preview(&site, &machine).await["Reason"].clone();
    assert_eq!(reason, "Its stage march, of the workflow parade, is one in march.");
    site.patch("bootenvs/march", json!([{"op": "add", "path": "/Kernel", "value": "vmlinuz"}])).await.ok();
    let shown = preview(&site, &machine).await;
    assert_eq!((&shown["Available"], &shown["Kernel"]), (&json!(false), &json!("march/vmlinuz")), "{shown}");
    assert!(shown["Errors"].to_string().contains("march/vmlinuz"), "{shown}");
    // Where TFTP is shut, PXE firmware loads nothing, and it is said why.
    assert_eq!(shown["Loader"], "");
    assert!(shown["NoLoader"].as_str().unwrap().contains("--tftp-listen"), "{shown}");
}

#[tokio::test]
async fn preview_is_for_those_who_may_see_the_machine() {
    let (site, machine) = site().await;
    let path = format!("{}/boot", site.path(&machine));
    site.post("users", json!({"Name": "eve"})).await.ok();
    site.put("users/eve/password", json!({"Password": "correct horse battery"})).await.ok();
    let eve = basic("eve", "correct horse battery");
    site.call_as(&eve, "GET", &path, &Value::Null).await.refused(403);
    site.get("machines/Name:nobody/boot").await.refused(404);
}
