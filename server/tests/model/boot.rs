//! Boot files: what firmware gets by path and address, and what machines' `Errors` say of it.

use crate::site::{Answer, Site};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const STRANGER: &str = "192.0.2.99";

/// A site with a bootenv that prints a param of every source, and a machine in it.
async fn site() -> (Site, Value) {
    let site = Site::start().await;
    site.make(
        "templates",
        json!([{"ID": "menu", "Contents": "{{.Param \"word\"}} from {{.ProvisionerURL}}\n"}]),
    )
    .await;
    site.make(
        "bootenvs",
        json!([{"Name": "march", "OS": {"Name": "march"}, "Templates": [
            {"Name": "pxelinux", "Path": "pxelinux.cfg/{{.Machine.HexAddress}}", "ID": "menu"},
            {"Name": "mac", "Path": "{{.Machine.MacAddr \"ipxe\"}}.ipxe", "Contents": "#!ipxe {{.Machine.MacAddr}}"},
            {"Name": "static", "Path": "answers.cfg", "Contents": "for {{.Machine.Name}}"},
        ]}]),
    )
    .await;
    site.make("profiles", json!([{"Name": "rack", "Params": {"word": "rack"}}])).await;
    site.make(
        "stages",
        json!([{"Name": "prepare", "Templates": [
            {"Name": "seed", "Path": "{{.Machine.Path}}/seed", "Contents": "stage {{.Machine.ShortName}}"},
        ]}]),
    )
    .await;
    let machine = site
        .machine(json!({
            "Name": "db-07.example.org", "Address": "10.0.0.5", "BootEnv": "march", "Stage": "prepare",
            "Profiles": ["rack"], "HardwareAddrs": ["52:54:00:AB:cd:ef", "52:54:00:00:00:02"],
        }))
        .await;
    assert_eq!(machine["Errors"], json!([]));
    (site, machine)
}

fn id(machine: &Value) -> &str {
    machine["Uuid"].as_str().unwrap()
}

#[tokio::test]
async fn machine_is_found_by_what_the_path_says_of_it() {
    let (site, machine) = site().await;
    for (path, text) in [
        ("pxelinux.cfg/0A000005".to_owned(), "rack from "),
        ("//pxelinux.cfg//0A000005".to_owned(), "rack from "),
        ("52:54:00:ab:cd:ef.ipxe".to_owned(), "#!ipxe 52:54:00:ab:cd:ef"),
        ("52:54:00:00:00:02.ipxe".to_owned(), "#!ipxe 52:54:00:00:00:02"),
        (format!("machines/{}/seed", id(&machine)), "stage db-07"),
    ] {
        let answer = site.boot_file(STRANGER, &path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.text().starts_with(text), "{path}: {}", answer.text());
        assert!(answer.header("content-type").starts_with("text/plain"), "{path}");
    }
    // Nothing in this path names a machine: whose address asks, is meant.
    assert_eq!(site.boot_file("10.0.0.5", "answers.cfg").await.text(), "for db-07.example.org");
    assert_eq!(site.boot_file(STRANGER, "answers.cfg").await.status, 404);
    assert_eq!(site.boot_file(STRANGER, &format!("machines/{}/nothing", id(&machine))).await.status, 404);
}

#[tokio::test]
async fn file_follows_whatever_it_depends_on() {
    let (site, machine) = site().await;
    let file = || async { site.boot_file(STRANGER, "pxelinux.cfg/0A000005").await.text() };
    let word = || async { file().await.split(' ').next().unwrap_or_default().to_owned() };
    assert_eq!(word().await, "rack");
    // A profile.
    let rack = json!([{"op": "replace", "path": "/Params/word", "value": "moved"}]);
    site.patch("profiles/rack", rack).await.ok();
    assert_eq!(word().await, "moved");
    // The machine's own params.
    site.post(&format!("{}/params/word", site.path(&machine)), json!("own")).await.ok();
    assert_eq!(word().await, "own");
    // The template.
    site.patch("templates/menu", json!({"Contents": "{{.Param \"word\"}}! "})).await.ok();
    assert_eq!(word().await, "own!");
    // The bootenv.
    let path =
        json!([{"op": "replace", "path": "/Templates/0/Path", "value": "menu/{{.Machine.HexAddress}}"}]);
    site.patch("bootenvs/march", path).await.ok();
    assert_eq!(site.boot_file(STRANGER, "pxelinux.cfg/0A000005").await.status, 404);
    assert_eq!(site.boot_file(STRANGER, "menu/0A000005").await.text(), "own! ");
    // The stage.
    let seed = format!("machines/{}/seed", id(&machine));
    let contents = json!([{"op": "replace", "path": "/Templates/0/Contents", "value": "other"}]);
    site.patch("stages/prepare", contents).await.ok();
    assert_eq!(site.boot_file(STRANGER, &seed).await.text(), "other");
    // The machine's address, bootenv and end.
    site.set(&machine, json!({"Address": "10.0.0.6"})).await.ok();
    assert_eq!(site.boot_file(STRANGER, "menu/0A000005").await.status, 404);
    assert_eq!(site.boot_file(STRANGER, "menu/0A000006").await.status, 200);
    site.force(&machine, json!({"BootEnv": "local"})).await.ok();
    assert_eq!(site.boot_file(STRANGER, "menu/0A000006").await.status, 404);
    assert!(site.boot_file(STRANGER, "10.0.0.6.ipxe").await.text().starts_with("#!ipxe"));
    site.delete(&site.path(&machine)).await.ok();
    assert_eq!(site.boot_file(STRANGER, "10.0.0.6.ipxe").await.status, 404);
}

#[tokio::test]
async fn unknown_machines_get_the_files_of_the_preference() {
    let (site, _machine) = site().await;
    assert!(site.boot_file(STRANGER, "default.ipxe").await.text().contains("${netX/mac}.ipxe"));
    assert!(site.boot_file(STRANGER, "pxelinux.cfg/default").await.text().starts_with("DEFAULT local"));
    // Firmware of known machines asks for these first, too.
    assert_eq!(site.boot_file("10.0.0.5", "grub/grub.cfg").await.status, 200);
    let discover = json!([{"Name": "discover", "OnlyUnknown": true, "Templates": [
        {"Name": "ipxe", "Path": "default.ipxe", "Contents": "#!ipxe token={{.GenerateToken}}"},
    ]}]);
    site.make("bootenvs", discover).await;
    site.post("prefs", json!({"unknownBootEnv": "discover"})).await.ok();
    let text = site.boot_file(STRANGER, "default.ipxe").await.text();
    let token = text.strip_prefix("#!ipxe token=").unwrap_or_else(|| panic!("{text}"));
    assert!(token.starts_with("eyJ"), "a bootstrap token, which registers and does nothing else");
    // It is on the list of what was issued, and may be revoked like any other.
    let tokens = site.get("bootstrap/tokens").await.ok();
    assert_eq!((&tokens[0]["By"], &tokens[0]["State"]), (&json!("system"), &json!("live")), "{tokens}");
    assert_eq!(site.call_as(&format!("Bearer {token}"), "GET", "machines", &Value::Null).await.status, 403);
}

#[tokio::test]
async fn token_of_a_machine_goes_to_its_own_address() {
    let (site, machine) = site().await;
    let contents = json!([{"op": "replace", "path": "/Templates/0/Contents", "value": "{{.GenerateToken}}"}]);
    site.patch("stages/prepare", contents).await.ok();
    let path = format!("machines/{}/seed", id(&machine));
    let refused = site.boot_file(STRANGER, &path).await;
    refused.refused(403);
    assert!(refused.text().contains("Address"), "{}", refused.text());
    let token = site.boot_file("10.0.0.5", &path).await.text();
    let own = site.call_as(&format!("Bearer {token}"), "GET", &site.path(&machine), &Value::Null).await;
    assert_eq!(own.ok()["Uuid"], machine["Uuid"]);
    // Another secret, and it is worth nothing.
    site.set(&machine, json!({"Secret": "another-secret"})).await.ok();
    let ended = site.call_as(&format!("Bearer {token}"), "GET", &site.path(&machine), &Value::Null).await;
    assert_eq!(ended.status, 403);
}

#[tokio::test]
async fn errors_tell_what_cannot_be_rendered_and_vanish_when_it_is_mended() {
    let (site, machine) = site().await;
    let errors = || async { site.again(&machine).await["Errors"].clone() };
    // A profile's param goes: the machines that had it there are looked at again.
    site.patch("profiles/rack", json!([{"op": "remove", "path": "/Params/word"}])).await.ok();
    let told = errors().await;
    assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
    let told = told[0].as_str().unwrap();
    for part in ["bootenv march", "template \"menu\", line 1", "\"word\""] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(site.again(&machine).await["Available"], json!(false));
    assert_eq!(site.next_job(&machine).await.status, 409, "an unavailable machine gets no jobs");
    assert_eq!(site.boot_file(STRANGER, "pxelinux.cfg/0A000005").await.status, 422);
    // Mended by the global profile.
    site.patch("profiles/global", json!({"Params": {"word": "global"}})).await.ok();
    assert_eq!(errors().await, json!([]));
    assert_eq!(site.again(&machine).await["Available"], json!(true));
    // Broken and mended by the bootenv, the stage, a template, and a param's default.
    for (path, broken, mended) in [
        ("bootenvs/march", json!({"RequiredParams": ["x"]}), json!({"RequiredParams": []})),
        ("stages/prepare", json!({"RequiredParams": ["y"]}), json!({"RequiredParams": []})),
        ("templates/menu", json!({"Contents": "{{.Machine.Nope}}"}), json!({"Contents": "fine"})),
    ] {
        site.patch(path, broken).await.ok();
        assert_eq!(errors().await.as_array().unwrap().len(), 1, "{path}");
        site.patch(path, mended).await.ok();
        assert_eq!(errors().await, json!([]), "{path}");
    }
    site.patch("templates/menu", json!({"Contents": "{{.Param \"late\"}}"})).await.ok();
    assert_eq!(errors().await.as_array().unwrap().len(), 1);
    site.make("params", json!([{"Name": "late", "Schema": {"type": "string", "default": "now"}}])).await;
    assert_eq!(errors().await, json!([]));
}

#[tokio::test]
async fn files_of_the_boot_tree_are_served_by_ranges_and_their_absence_is_told() {
    let (site, machine) = site().await;
    let install = json!([{
        "Name": "march-install", "OS": {"Name": "march"}, "Kernel": "vmlinuz", "Initrds": ["initrd"],
        "BootParams": "quiet", "Templates": [
            {"Name": "initrd", "Path": "linked/{{.Machine.Name}}", "Link": "{{.Env.PathFor \"tftp\" \"initrd\"}}"},
            {"Name": "far", "Path": "far/{{.Machine.Name}}", "Link": "https://mirror.example/initrd"},
        ],
    }]);
    site.make("bootenvs", install).await;
    let env = site.get("bootenvs/march-install").await.ok();
    assert_eq!((&env["Available"], env["Errors"].as_array().unwrap().len()), (&json!(false), 2), "{env}");
    site.force(&machine, json!({"BootEnv": "march-install"})).await.refused(422);
    // The operator puts the files there; the next change of content sees them.
    let file = site.data("boot/march/install/vmlinuz");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, b"0123456789").unwrap();
    std::fs::write(file.with_file_name("initrd"), b"ramdisk").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", file.with_file_name("out")).unwrap();
    site.patch("bootenvs/march-install", json!({"Description": "here"})).await.ok();
    assert_eq!(site.get("bootenvs/march-install").await.ok()["Available"], json!(true));
    site.force(&machine, json!({"BootEnv": "march-install"})).await.ok();
    let kernel = site.boot_file(STRANGER, "march/install/vmlinuz").await;
    assert_eq!(
        (kernel.status, kernel.text().as_str(), kernel.header("content-length")),
        (200, "0123456789", "10")
    );
    let part =
        Request::get("/march/install/vmlinuz").header("range", "bytes=2-4").body(Body::empty()).unwrap();
    let part = site.boot(STRANGER, part).await;
    assert_eq!(
        (part.status, part.text().as_str(), part.header("content-range")),
        (206, "234", "bytes 2-4/10")
    );
    let head = Request::head("/march/install/vmlinuz").body(Body::empty()).unwrap();
    let head = site.boot(STRANGER, head).await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, "10"));
    assert_eq!(site.boot_file(STRANGER, "march/install/out").await.status, 404);
    assert_eq!(site.boot_file(STRANGER, "march/install").await.status, 404);
    // Links, and what an agent needs for kexec.
    assert_eq!(site.boot_file(STRANGER, "linked/db-07.example.org").await.text(), "ramdisk");
    let far = site.boot_file(STRANGER, "far/db-07.example.org").await;
    assert_eq!((far.status, far.header("location")), (302, "https://mirror.example/initrd"));
    let kexec = site.boot_file(STRANGER, &format!("machines/{}/kexec", id(&machine))).await.text();
    let lines: Vec<&str> = kexec.lines().collect();
    assert!(
        lines[0].starts_with("kernel http://") && lines[0].ends_with(":8091/march/install/vmlinuz"),
        "{kexec}"
    );
    assert!(lines[1].ends_with("/march/install/initrd") && lines[2] == "params quiet", "{kexec}");
}

#[tokio::test]
async fn hostile_paths_get_nothing() {
    let (site, _machine) = site().await;
    std::fs::create_dir_all(site.data("boot")).unwrap();
    for path in [
        "../muster.db",
        "..%2fmuster.db",
        "%2e%2e/%2e%2e/etc/passwd",
        "a/../../muster.db",
        "a%00b",
        "%00",
        "a%0ab",
        "%ff%fe",
        "%",
        "a%zz",
        "",
        ".",
        "%2f%2f%2f",
        "machines//seed",
        "pxelinux.cfg/0A00000",
        &"a/".repeat(1_000),
        &"%2e%2e%2f".repeat(100),
        &"10.0.0.5/".repeat(300),
    ] {
        let answer = site.boot_file("10.0.0.9", path).await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
    }
    assert_eq!(site.boot_file(STRANGER, &"x".repeat(8_192)).await.status, 414);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        let request =
            Request::builder().method(method).uri("/pxelinux.cfg/0A000005").body(Body::empty()).unwrap();
        assert_eq!(site.boot(STRANGER, request).await.status, 405, "{method}");
    }
    // Nothing else lives at this door.
    for path in ["api/v3/info", "api/v3/machines", "media/muster.iso", "healthz", "metrics", "index.html"] {
        assert_eq!(site.boot_file("10.0.0.9", path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn bombs_are_errors_and_others_are_served_meanwhile() {
    let (site, machine) = site().await;
    site.make("templates", json!([{"ID": "bomb", "Contents": "{{template \"bomb\" .}}"}])).await;
    let bomb = json!([{"op": "replace", "path": "/Templates/0/Contents",
        "value": "{{range $i := until 1000000}}{{range $j := until 1000000}}x{{end}}{{end}}"}]);
    let began = Instant::now();
    site.patch("stages/prepare", bomb).await.ok();
    let told = site.again(&machine).await["Errors"].clone();
    assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
    let path = format!("machines/{}/seed", id(&machine));
    let (bombs, served) = tokio::join!(
        async { tokio::join!(site.boot_file(STRANGER, &path), site.boot_file(STRANGER, &path)) },
        site.get("machines"),
    );
    assert_eq!((bombs.0.status, bombs.1.status, served.status), (422, 422, 200));
    let render = render(&site, &machine, "{{template \"bomb\" .}}").await;
    render.refused(422);
    assert!(render.text().contains("deep"), "{}", render.text());
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

async fn render(site: &Site, machine: &Value, text: &str) -> Answer {
    let request = crate::site::request("POST", &format!("{}/render", site.path(machine)), text.to_owned());
    let (mut parts, body) = request.into_parts();
    parts.headers.insert("content-type", "application/octet-stream".parse().unwrap());
    site.send(Request::from_parts(parts, body)).await
}

#[tokio::test]
async fn texts_and_templates_are_rendered_on_request() {
    let (site, machine) = site().await;
    let answer = render(&site, &machine, "{{.Machine.ShortName}} {{.Param \"word\"}}").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "db-07 rack"));
    render(&site, &machine, "{{.Param \"none\"}}").await.refused(422);
    render(&site, &machine, "{{if}}").await.refused(422);
    let template = |name: &str| format!("templates/{name}/render/{}", id(&machine));
    assert!(site.get(&template("menu")).await.text().starts_with("rack from http://"));
    site.get(&template("nobody")).await.refused(404);
    site.get("templates/menu/render/8e8a2d0c-1f6c-4d7e-9a53-0a4f2b1c9d77").await.refused(404);
}

#[tokio::test]
async fn door_with_tls_serves_the_same_bytes() {
    let (site, _machine) = site().await;
    let request = Request::get("/boot/pxelinux.cfg/0A000005").body(Body::empty()).unwrap();
    let secure = site.send(server::from_address(request, "192.0.2.99:1024".parse().unwrap())).await;
    let plain = site.boot_file(STRANGER, "pxelinux.cfg/0A000005").await;
    assert_eq!((secure.status, secure.body), (200, plain.body));
}
