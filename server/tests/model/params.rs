//! Params of machines, profiles and stages (`spec/machine-model.md` 3.9, G14, G15).

use crate::site::Site;
use serde_json::{Value, json};

#[tokio::test]
async fn params_are_read_and_written_one_by_one() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let params = format!("{}/params", site.path(&machine));
    for value in
        [json!("text"), json!(4), json!(0), json!(false), json!(null), json!([1]), json!({"a": null})]
    {
        assert_eq!(site.post(&format!("{params}/some/key"), value.clone()).await.ok(), value);
        assert_eq!(site.get(&format!("{params}/some%2Fkey")).await.ok(), value);
        assert_eq!(site.get(&params).await.ok(), json!({"some/key": value}));
    }
    let unset = site.get(&format!("{params}/other")).await;
    assert_eq!((unset.status, unset.text().as_str()), (200, "null"));
    let refused = site.delete(&format!("{params}/other")).await.refused(404);
    assert_eq!(
        (&refused["Model"], &refused["Key"], &refused["Type"]),
        (&json!("params"), &json!("other"), &json!("DELETE"))
    );
    assert_eq!(site.delete(&format!("{params}/some/key")).await.ok(), json!({"a": null}));
    assert_eq!(site.get(&params).await.ok(), json!({}));
    site.get("machines/Name:beta/params").await.refused(404);
    site.get("machines/Name:beta/params/x").await.refused(404);
    site.get(&format!("{}/pubkey", site.path(&machine))).await.refused(404);
}

#[tokio::test]
async fn post_replaces_patch_merges_and_put_replaces() {
    let site = Site::start().await;
    let machine = site.machine(json!({"Name": "alpha", "Params": {"a": 1, "b": 2}})).await;
    let path = site.path(&machine);
    let params = format!("{path}/params");
    assert_eq!(site.post(&params, json!({"b": 3, "c": 4})).await.ok(), json!({"b": 3, "c": 4}));
    let whole = json!([
        {"op": "test", "path": "", "from": "", "value": {"b": 3, "c": 4}},
        {"op": "replace", "path": "/b", "from": "", "value": 5},
        {"op": "add", "path": "/x~1y", "from": "", "value": 6},
    ]);
    assert_eq!(site.patch(&params, whole.clone()).await.ok(), json!({"b": 5, "c": 4, "x/y": 6}));
    assert_eq!(site.patch(&params, whole).await.refused(409)["Type"], "PATCH");
    assert_eq!(site.patch(&params, json!({"c": 7})).await.ok(), json!({"b": 5, "c": 7, "x/y": 6}));
    let merged = site.patch(&path, json!({"Params": {"b": 8}})).await.ok();
    assert_eq!(merged["Params"], json!({"b": 8, "c": 7, "x/y": 6}));
    let mut body = merged.clone();
    body["Params"] = json!({"only": 1});
    assert_eq!(site.put(&path, body).await.ok()["Params"], json!({"only": 1}));
    assert_eq!(site.post(&params, json!({})).await.ok(), json!({}));
    site.post(&params, json!([1])).await.refused(400);
    site.patch(&params, json!("x")).await.refused(400);
}

#[tokio::test]
async fn schemas_are_kept_and_give_the_last_resort() {
    let site = Site::start().await;
    let schema = json!({"type": "string", "default": "fallback"});
    site.make("params", json!([{"Name": "net/name", "Schema": schema}])).await;
    let machine = site.machine(json!({"Name": "alpha"})).await;
    let param = format!("{}/params/net/name", site.path(&machine));
    assert_eq!(site.get(&param).await.ok(), Value::Null);
    assert_eq!(site.get(&format!("{param}?aggregate=true")).await.ok(), "fallback");
    assert_eq!(site.get(&format!("{}/params?aggregate=true", site.path(&machine))).await.ok(), json!({}));
    let refused = site.post(&param, json!(["a"])).await.refused(422);
    assert_eq!(refused["Type"], "POST");
    let refused =
        site.patch(&format!("{}/params", site.path(&machine)), json!({"net/name": 3})).await.refused(422);
    assert_eq!(refused["Type"], "PATCH");
    site.patch(&site.path(&machine), json!({"Params": {"net/name": 3}})).await.refused(422);
    assert_eq!(site.get(&param).await.ok(), Value::Null, "nothing was saved");
    assert_eq!(site.post(&param, json!("eth0")).await.ok(), "eth0");
    assert_eq!(site.get(&format!("{param}?aggregate=True")).await.ok(), "eth0");
    // The key of a param's own object has slashes too.
    assert_eq!(site.get("params/net/name").await.ok()["Name"], "net/name");
    assert_eq!(site.get("params/net%2Fname").await.ok()["Name"], "net/name");
    site.make("params", json!([])).await;
    site.post("params", json!({"Name": "bad", "Schema": {"type": "string", "default": 1}}))
        .await
        .refused(422);
}

#[tokio::test]
async fn sources_come_in_their_order() {
    let site = Site::start().await;
    site.make("profiles", json!([{"Name": "p1", "Params": {"x": 1, "own": 1, "map": {"b": 2}}}, {"Name": "p2", "Params": {"z": 3}}]))
        .await;
    site.make("stages", json!([{"Name": "s1", "Params": {"y": 2, "x": 9}, "Profiles": ["p2"]}])).await;
    let machine = site
        .machine(json!({"Name": "alpha", "Stage": "s1", "Profiles": ["p1"], "Params": {"own": 0, "map": {"a": 1}}}))
        .await;
    let params = format!("{}/params", site.path(&machine));
    let all = json!({"own": 0, "map": {"a": 1}, "x": 1, "y": 2, "z": 3});
    assert_eq!(site.get(&format!("{params}?aggregate=true")).await.ok(), all);
    assert_eq!(site.get(&format!("{params}?aggregate=true&params=x,z")).await.ok(), json!({"x": 1, "z": 3}));
    assert_eq!(site.get(&format!("{params}/map?compose=true")).await.ok(), json!({"a": 1, "b": 2}));
    assert_eq!(site.get(&format!("{}?aggregate=true", site.path(&machine))).await.ok()["Params"], all);
    assert_eq!(site.get(&params).await.ok(), json!({"own": 0, "map": {"a": 1}}));
}

#[tokio::test]
async fn profiles_and_stages_have_params_of_their_own() {
    let site = Site::start().await;
    site.make("profiles", json!([{"Name": "p1", "Params": {"a": 1}, "Profiles": ["inner"]}, {"Name": "inner", "Params": {"b": 2}}]))
        .await;
    site.make("stages", json!([{"Name": "s1"}])).await;
    for path in ["profiles/p1", "stages/s1", "profiles/global"] {
        assert_eq!(site.post(&format!("{path}/params/k"), json!("v")).await.ok(), "v", "{path}");
        assert_eq!(site.get(&format!("{path}/params/k")).await.ok(), "v", "{path}");
        assert_eq!(site.get(path).await.ok()["Params"]["k"], "v", "{path}");
        assert_eq!(site.delete(&format!("{path}/params/k")).await.ok(), "v", "{path}");
    }
    assert_eq!(site.get("profiles/p1/params?aggregate=true").await.ok(), json!({"a": 1, "b": 2}));
    assert_eq!(site.get("profiles/p1/params/b?aggregate=true").await.ok(), 2);
    site.post("stages/none/params/k", json!(1)).await.refused(403);
    site.get("tasks/x/params").await.refused(404);
}
