//! Entity tags, and requests that wait for another one (`spec/machine-model.md` 5.5).

use crate::site::{Answer, Site, request};
use serde_json::json;
use std::time::Duration;

async fn unless(site: &Site, path: &str, etag: &str, wait: Option<&str>) -> Answer {
    let mut request = request("GET", path, "");
    request.headers_mut().insert("if-none-match", etag.parse().unwrap());
    if let Some(wait) = wait {
        request.headers_mut().insert("prefer", wait.parse().unwrap());
    }
    site.send(request).await
}

#[tokio::test]
async fn tag_changes_with_its_object_and_only_then() {
    let site = Site::start().await;
    site.make("stages", json!([{"Name": "one"}, {"Name": "boots", "BootEnv": "later"}])).await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let machine = site.path(&machine);
    for path in ["stages/one", "stages/boots", "bootenvs/local", machine.as_str()] {
        let first = site.get(path).await;
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() > 2, "{path}: {tag}");
        assert_eq!(site.get(path).await.header("etag"), tag, "{path}");
        let same = unless(&site, path, &tag, None).await;
        assert_eq!((same.status, same.body.len()), (304, 0), "{path}");
        assert_eq!(unless(&site, path, "*", None).await.status, 304, "{path}");
        assert_eq!(unless(&site, path, "\"other\"", None).await.status, 200, "{path}");
    }
    let tag = site.get(&machine).await.header("etag").to_owned();
    site.patch(&machine, json!({"Description": "new"})).await.ok();
    let changed = unless(&site, &machine, &tag, None).await;
    assert_eq!(changed.ok()["Description"], "new");
    // What is derived counts too: a stage becomes available by another object.
    let tag = site.get("stages/boots").await.header("etag").to_owned();
    site.make("bootenvs", json!([{"Name": "later", "OS": {"Name": "x"}}])).await;
    assert_eq!(unless(&site, "stages/boots", &tag, None).await.ok()["Available"], true);
}

#[tokio::test]
async fn waiting_request_is_answered_by_the_change() {
    let site = Site::start().await;
    site.make("stages", json!([{"Name": "one"}])).await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    for path in [site.path(&machine), "stages/one".to_owned()] {
        let tag = site.get(&path).await.header("etag").to_owned();
        let waits = unless(&site, &path, &tag, Some("wait=600"));
        let change = site.patch(&path, json!({"Description": "new"}));
        let both = async { tokio::join!(waits, change) };
        let (waited, changed) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("woken");
        changed.ok();
        assert_eq!(waited.ok()["Description"], "new", "{path}");
    }
}

#[tokio::test]
async fn wait_without_a_change_ends_with_304() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let path = site.path(&machine);
    let tag = site.get(&path).await.header("etag").to_owned();
    assert_eq!(unless(&site, &path, &tag, Some("wait=30ms")).await.status, 304);
}

#[tokio::test]
async fn wait_for_what_is_deleted_ends_with_404() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let path = site.path(&machine);
    let tag = site.get(&path).await.header("etag").to_owned();
    let both = async { tokio::join!(unless(&site, &path, &tag, Some("wait=600")), site.delete(&path)) };
    let (waited, deleted) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("woken");
    deleted.ok();
    waited.refused(404);
}

#[tokio::test]
async fn change_that_changes_nothing_keeps_the_tag() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let path = site.path(&machine);
    let tag = site.get(&path).await.header("etag").to_owned();
    site.patch(&path, json!([])).await.ok();
    site.put(&path, site.again(&machine).await).await.ok();
    assert_eq!(site.get(&path).await.header("etag"), tag);
}
