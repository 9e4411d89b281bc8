//! Images by their REST calls: imported, shown, sent by ranges.

use crate::site::{Answer, Site, basic, request};
use axum::http::header;
use serde_json::{Value, json};

/// A small disk with a partition table's mark.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 1_048_576];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[4_096..4_104].copy_from_slice(b"contents");
    disk
}

async fn upload(site: &Site, name: &str, body: Vec<u8>) -> Answer {
    site.send(request("POST", &format!("images/{name}/import"), body)).await
}

/// The image after its import has ended, as somebody sees it who waits for changes.
async fn imported(site: &Site, name: &str) -> Value {
    loop {
        let shown = site.get(&format!("images/{name}")).await;
        let image = shown.ok();
        if matches!(image["Import"]["State"].as_str(), Some("done" | "failed" | "none")) {
            return image;
        }
        let mut again = request("GET", &format!("images/{name}"), "");
        again.headers_mut().insert(header::IF_NONE_MATCH, shown.header("etag").parse().unwrap());
        again.headers_mut().insert("prefer", "wait=1".parse().unwrap());
        site.send(again).await;
    }
}

async fn ranged(site: &Site, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut asked = request("GET", path, "");
    for (name, value) in headers {
        let name: header::HeaderName = name.parse().unwrap();
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    site.send(asked).await
}

#[tokio::test]
async fn uploaded_disk_is_converted_and_sent_by_ranges() {
    let site = Site::start().await;
    site.make("images", json!([{"Name": "mine", "Source": "upload"}])).await;
    assert_eq!(site.get("images/mine").await.ok()["Import"]["State"], "none");
    assert_eq!(site.get("images").await.ok()[0]["Import"]["State"], "none", "lists tell it, too");
    let begun = upload(&site, "mine", disk()).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let image = imported(&site, "mine").await;
    let import = &image["Import"];
    assert_eq!((&import["State"], &import["UnpackedSize"]), (&json!("done"), &json!(1_048_576)), "{import}");
    let digest = import["Digest"].as_str().unwrap();
    let path = format!("images/blobs/{digest}");
    let whole = site.get(&path).await;
    assert_eq!((whole.status, whole.body.len() as u64), (200, import["Size"].as_u64().unwrap()));
    assert_eq!(whole.header("etag"), format!("\"{digest}\""));
    let etag = whole.header("etag").to_owned();
    let part = ranged(&site, &path, &[("range", "bytes=10-19"), ("if-range", &etag)]).await;
    assert_eq!((part.status, part.body.as_slice()), (206, &whole.body[10..20]));
    let other = ranged(&site, &path, &[("range", "bytes=10-19"), ("if-range", "\"other\"")]).await;
    assert_eq!((other.status, other.body.len()), (200, whole.body.len()));
    assert_eq!(ranged(&site, &path, &[("if-none-match", &etag)]).await.status, 304);
    assert_eq!(ranged(&site, &path, &[("range", "bytes=99999999-")]).await.status, 416);
    assert_eq!(ranged(&site, &path, &[("cache-control", "no-cache")]).await.body, whole.body);
    let file = site.data("images").join(digest.replace(':', "/"));
    let mut damaged = std::fs::read(&file).unwrap();
    damaged[100] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    assert_eq!(ranged(&site, &path, &[("cache-control", "no-cache")]).await.status, 404, "it is dropped");
    assert_eq!(site.get("images/mine").await.ok()["Import"]["State"], "none", "and asked for again");
}

#[tokio::test]
async fn imports_that_make_no_sense_are_refused() {
    let site = Site::start().await;
    let images = json!([
        {"Name": "mine", "Source": "upload", "Format": "qcow2"},
        {"Name": "oci", "Source": "registry.example.com/os/debian:12"},
        {"Name": "web", "Source": "https://localhost/disk.raw"},
    ]);
    site.make("images", images).await;
    let said = |answer: &Value| answer["Messages"].to_string();
    let none = upload(&site, "mine", Vec::new()).await.refused(422);
    assert!(said(&none).contains("send the file as the body"), "{none}");
    let oci = upload(&site, "oci", disk()).await.refused(422);
    assert!(said(&oci).contains("is an OCI image"), "{oci}");
    let web = upload(&site, "web", disk()).await.refused(422);
    assert!(said(&web).contains("set its Source to upload"), "{web}");
    upload(&site, "none", disk()).await.refused(404);
    site.delete("images/mine/import").await.refused(409);
    assert_eq!(upload(&site, "mine", disk()).await.status, 202);
    let failed = imported(&site, "mine").await;
    assert_eq!(failed["Import"]["State"], "failed");
    assert!(failed["Import"]["Message"].as_str().unwrap().contains("is declared as qcow2"), "{failed}");
    // The server does not fetch from itself.
    assert_eq!(upload(&site, "web", Vec::new()).await.status, 202);
    let failed = imported(&site, "web").await;
    assert!(
        failed["Import"]["Message"].as_str().unwrap().contains("to the preference imageHosts"),
        "{failed}"
    );
}

#[tokio::test]
async fn who_may_only_read_images_imports_none() {
    let site = Site::start().await;
    site.make("images", json!([{"Name": "mine", "Source": "upload"}])).await;
    let claims = json!([{"scope": "images", "action": "get,list", "specific": "*"}]);
    site.make("roles", json!([{"Name": "reader", "Claims": claims}])).await;
    site.make("users", json!([{"Name": "eve", "Roles": ["reader"]}])).await;
    site.put("users/eve/password", json!({"Password": "long enough for eve"})).await.ok();
    let eve = basic("eve", "long enough for eve");
    assert_eq!(site.call_as(&eve, "GET", "images/mine", &Value::Null).await.ok()["Name"], "mine");
    let mut asked = request("POST", "images/mine/import", disk());
    asked.headers_mut().insert(header::AUTHORIZATION, eve.parse().unwrap());
    site.send(asked).await.refused(403);
    site.call_as(&eve, "DELETE", "images/mine/import", &Value::Null).await.refused(403);
}
