//! Lists: filters, order, parts, shapes and their counts (`spec/machine-model.md` 5.4, G2, G17).

use crate::site::{Answer, Site};
use serde_json::{Value, json};

async fn machines() -> Site {
    let site = Site::start().await;
    site.make("profiles", json!([{"Name": "p1", "Params": {"from-profile": 9}}, {"Name": "p2"}])).await;
    site.make(
        "machines",
        json!([
            {"Name": "alpha", "Address": "10.0.0.5", "Profiles": ["p1"], "Params": {"rack": "r1", "slot": 2}},
            {"Name": "beta", "Address": "10.0.0.50", "Profiles": ["p1", "p2"], "Params": {"rack": "r2"}, "Description": "second"},
            {"Name": "gamma", "Locked": true, "Params": {"slot": 10}},
            {"Name": "delta", "Meta": {"machine-role": "self"}},
        ]),
    )
    .await;
    site
}

fn names(answer: &Answer) -> Vec<String> {
    let list = answer.ok();
    let mut names: Vec<String> =
        list.as_array().unwrap().iter().map(|one| one["Name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

async fn found(site: &Site, query: &str) -> Vec<String> {
    names(&site.get(&format!("machines?{query}")).await)
}

#[tokio::test]
async fn filters_select_by_indexes_params_and_lists() {
    let site = machines().await;
    for (query, expected) in [
        ("Name=alpha", "alpha"),
        ("Name=Eq(alpha)", "alpha"),
        ("Name=Ne(alpha)", "beta delta gamma"),
        ("Name=In(alpha,beta,zeta)", "alpha beta"),
        ("Name=Nin(alpha,beta)", "delta gamma"),
        ("Name=Re(^[ab])", "alpha beta"),
        ("Name=Between(alpha,beta)", "alpha beta"),
        ("Name=Except(alpha,beta)", "delta gamma"),
        ("Name=Gt(beta)", "delta gamma"),
        ("Address=10.0.0.5", "alpha"),
        ("Address=Gte(10.0.0.5)&Address=Lt(10.0.0.51)", "alpha beta"),
        ("Locked=true", "gamma"),
        ("Locked=True", "gamma"),
        ("Runnable=1", "alpha beta delta gamma"),
        ("Runnable=false", ""),
        ("BootEnv=local&Stage=none", "alpha beta delta gamma"),
        ("Profiles=Eq(p1)", "alpha beta"),
        ("Profiles=p1,p2", "beta"),
        ("Profiles=Ne(p1)", "delta gamma"),
        ("Profiles=In(p2,p3)", "beta"),
        ("Profiles=Nin(p1,p2)", "delta gamma"),
        ("Params=Eq(rack,slot)", "alpha"),
        ("Params=In(rack,slot)", "alpha beta gamma"),
        ("Params=Nin(rack,slot)", "delta"),
        ("Params.rack=Eq(r1)", "alpha"),
        ("rack=r2", "beta"),
        ("slot=Gt(3)", "gamma"),
        ("slot=2", "alpha"),
        ("rack=Re(r.)", "alpha beta"),
        ("no-such-param=x", ""),
        ("from-profile=9", ""),
        ("from-profile=9&aggregate=true", "alpha beta"),
        ("Description=second", "beta"),
        ("Meta=machine-role", "delta"),
        ("exclude-self=true", "alpha beta gamma"),
        ("Valid=true&Name=alpha", "alpha"),
        ("Validated=True&Available=T&Name=alpha", "alpha"),
        ("limit=1000&Name=alpha", "alpha"),
        ("decode=true&expand=True&commented=x&group-by=y&Name=alpha", "alpha"),
    ] {
        assert_eq!(found(&site, query).await.join(" "), expected, "{query}");
    }
}

#[tokio::test]
async fn values_that_are_none_are_406_and_name_the_collection() {
    let site = machines().await;
    for query in [
        "Address=word",
        "Uuid=word",
        "Runnable=word",
        "CurrentTask=word",
        "CreatedAt=word",
        "limit=-1",
        "offset=-1",
        "limit=x",
        "sort=Profiles",
        "sort=nothing",
        "Name=Re(()",
        "Profiles=Lt(a)",
        "reverse=maybe",
        "aggregate=2",
    ] {
        let refused = site.get(&format!("machines?{query}")).await.refused(406);
        assert_eq!((&refused["Type"], &refused["Model"]), (&json!("GET"), &json!("machines")), "{query}");
    }
    site.get("workflows?rack=r1").await.refused(406);
    assert_eq!(site.get("jobs?Machine=word").await.refused(406)["Model"], "jobs");
}

fn counts(answer: &Answer) -> [String; 3] {
    ["x-drp-list-count", "x-drp-list-filter-count", "x-drp-list-total-count"]
        .map(|name| answer.header(name).to_owned())
}

#[tokio::test]
async fn parts_do_not_overlap_and_are_counted() {
    let site = machines().await;
    let mut seen = Vec::new();
    for offset in 0..5 {
        let answer = site.get(&format!("machines?sort=Name&limit=1&offset={offset}")).await;
        let list = answer.ok();
        let here = list.as_array().unwrap().len();
        assert_eq!(counts(&answer), [here.to_string(), "4".into(), "4".into()], "{offset}");
        seen.extend(list.as_array().unwrap().iter().map(|one| one["Name"].as_str().unwrap().to_owned()));
    }
    assert_eq!(seen, ["alpha", "beta", "delta", "gamma"]);
    let reversed = site.get("machines?sort=Name&reverse=true&limit=2").await;
    let list = reversed.ok();
    assert_eq!((&list[0]["Name"], &list[1]["Name"]), (&json!("gamma"), &json!("delta")));
    // What the store's indexes do not answer is counted in the same way.
    let looked = site.get("machines?Tasks=Nin(x)&sort=Description&limit=3&offset=1").await;
    looked.ok();
    assert_eq!(counts(&looked), ["3", "4", "4"]);
    assert_eq!(counts(&site.get("stages?limit=1").await)[0], "1");
    assert_eq!(site.get("machines?limit=0").await.ok().as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn head_counts_without_a_body() {
    let site = machines().await;
    for path in ["machines?Name=In(alpha,beta)", "stages", "jobs", "subnets", "pools"] {
        let get = site.get(path).await;
        let head = site.call("HEAD", path, &Value::Null).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(counts(&head), counts(&get), "{path}");
        assert!(!counts(&head)[2].is_empty(), "{path}");
    }
}

#[tokio::test]
async fn shapes_leave_out_and_say_so() {
    let site = machines().await;
    let slim = site.get("machines?Name=alpha&slim=Params,Meta").await.ok();
    assert!(slim[0].get("Params").is_none() && slim[0].get("Meta").is_none());
    assert_eq!(slim[0]["Partial"], true);
    let some = site.get("machines?Name=alpha&params=rack").await.ok();
    assert_eq!((&some[0]["Params"], &some[0]["Partial"]), (&json!({"rack": "r1"}), &json!(true)));
    let all = site.get("machines?Name=alpha&aggregate=true").await.ok();
    assert_eq!(all[0]["Params"], json!({"rack": "r1", "slot": 2, "from-profile": 9}));
    let one = site.get("machines/Name:alpha?slim=Params").await.ok();
    assert_eq!((one.get("Params"), &one["Partial"]), (None, &json!(true)));
    assert_eq!(site.get("machines?Name=alpha").await.ok()[0]["Partial"], false);
}

/// The same questions to the store's indexes and to a look at every machine.
#[tokio::test]
async fn indexes_of_the_store_agree_with_a_look_at_each() {
    let site = machines().await;
    let all = site.get("machines").await.ok();
    let all = all.as_array().unwrap();
    let values = ["alpha", "10.0.0.5", "true", "p1", "none", "3", "", "r1", "-1", "default"];
    let functions = ["", "Eq", "Ne", "Lt", "Lte", "Gt", "Gte", "In", "Nin"];
    let fields = [
        "Name",
        "Address",
        "Locked",
        "Stage",
        "CurrentTask",
        "Pool",
        "Profiles",
        "Params",
        "rack",
        "Workflow",
    ];
    let mut asked = 0;
    for field in fields {
        for function in functions {
            for value in values {
                let value =
                    if function.is_empty() { value.to_owned() } else { format!("{function}({value})") };
                let pairs = [(field, value.as_str())];
                let parsed = engine::filter::parse(protocol::model::Kind::Machines, pairs);
                let answer = site.get(&format!("machines?{field}={value}")).await;
                let Ok(query) = parsed else {
                    answer.refused(406);
                    continue;
                };
                let mut expected: Vec<String> = all
                    .iter()
                    .filter(|machine| query.matches(machine))
                    .map(|machine| machine["Name"].as_str().unwrap().to_owned())
                    .collect();
                expected.sort();
                assert_eq!(names(&answer), expected, "{field}={value}");
                asked += 1;
            }
        }
    }
    assert!(asked > 500, "{asked}");
}
