//! What jobs have beside the routes of every object: leases, logs, waits, clean-up
//! (`spec/machine-model.md` 4).

use crate::site::{Answer, Site, replace, request};
use axum::http::HeaderValue;
use serde_json::{Value, json};

/// A machine with these tasks, all known.
async fn machine(site: &Site, name: &str, tasks: &[&str]) -> Value {
    for task in tasks.iter().filter(|task| !task.contains(':')) {
        site.post("tasks", json!({"Name": task, "Templates": [{"Name": task, "Contents": "true\n"}]})).await;
    }
    site.machine(json!({"Name": name, "Tasks": tasks})).await
}

fn id(object: &Value) -> &str {
    object["Uuid"].as_str().unwrap()
}

/// A call under a lease.
async fn under(site: &Site, lease: i64, method: &str, path: &str, body: &str) -> Answer {
    let mut call = request(method, path, body.to_owned());
    call.headers_mut().insert("x-muster-lease", HeaderValue::from(lease));
    site.send(call).await
}

fn states(new: &str) -> String {
    replace(&json!({ "State": new })).to_string()
}

#[tokio::test]
async fn report_under_an_older_lease_is_refused_and_changes_nothing() {
    let site = Site::start().await;
    let machine = machine(&site, "alpha", &["t1", "t2"]).await;
    let job = site.next_job(&machine).await.ok();
    site.move_job(&job, "created", "incomplete", "").await.ok();
    let again = site.next_job(&machine).await;
    assert_eq!((again.status, &again.json()["Uuid"], &again.json()["Epoch"]), (202, &job["Uuid"], &json!(2)));
    let (path, log) = (format!("jobs/{}", id(&job)), format!("jobs/{}/log", id(&job)));
    let look =
        || async { (site.get(&path).await.ok(), site.get(&log).await.text(), site.again(&machine).await) };
    let before = look().await;
    for lease in [1, 3] {
        for (method, path, body) in [
            ("PATCH", path.as_str(), states("running")),
            ("PUT", path.as_str(), again.json().to_string()),
            ("PUT", log.as_str(), "late\n".to_owned()),
            ("GET", &format!("{path}/actions"), String::new()),
            ("PATCH", &site.path(&machine), replace(&json!({"Runnable": false})).to_string()),
        ] {
            let refused = under(&site, lease, method, path, &body).await.refused(409);
            assert_eq!(refused["Type"], "Conflict", "{method} {path}");
        }
    }
    assert_eq!(look().await, before);
    under(&site, 2, "PATCH", &path, &states("running")).await.ok();
    under(&site, 2, "PUT", &log, "in time\n").await.ok();
    under(&site, 2, "PATCH", &path, &states("finished")).await.ok();
    under(&site, 2, "PUT", &log, "after the end\n").await.refused(409);
    assert!(site.get(&log).await.text().ends_with("\nin time\n"));
}

#[tokio::test]
async fn a_runner_whose_machine_went_on_without_it_is_told_so() {
    let site = Site::start().await;
    let machine = machine(&site, "alpha", &["t1", "t2"]).await;
    let job = site.next_job(&machine).await.ok();
    site.move_job(&job, "created", "running", "").await.ok();
    site.force(&machine, json!({"CurrentTask": -1})).await.ok();
    let next = site.next_job(&machine).await;
    assert_eq!((next.status, &next.json()["Task"]), (201, &json!("t1")));
    let left = site.get(&format!("jobs/{}", id(&job))).await.ok();
    assert_eq!((&left["State"], &left["Current"]), (&json!("failed"), &json!(false)));
    let late = under(&site, 1, "PATCH", &format!("jobs/{}", id(&job)), &states("finished")).await;
    late.refused(409);
    under(&site, 1, "PATCH", &format!("jobs/{}", id(&next.json())), &states("running")).await.ok();
}

#[tokio::test]
async fn a_log_begins_with_the_job_and_takes_each_byte_once() {
    let site = Site::start().await;
    let machine = machine(&site, "alpha", &["t1"]).await;
    let job = site.next_job(&machine).await.ok();
    let path = format!("jobs/{}/log", id(&job));
    let first = site.get(&path).await;
    assert_eq!((first.status, first.header("content-type")), (200, "application/octet-stream"));
    let line = format!("job {}: t1 on alpha ({})\n", id(&job), id(&machine));
    assert_eq!(first.text(), line);
    let length = line.len();
    let put = |query: String, text: &'static str| site.send(request("PUT", &format!("{path}{query}"), text));
    let answer = put(String::new(), "one\n").await;
    assert_eq!((answer.status, answer.header("content-type")), (204, "application/json"));
    assert_eq!(answer.header("x-muster-log-length"), (length + 4).to_string());
    put(format!("?offset={}", length + 4), "two\n").await.ok();
    put(format!("?offset={length}"), "one\ntwo\nthree\n").await.ok();
    put(format!("?offset={length}"), "one\ntwo\n").await.ok();
    let whole = format!("{line}one\ntwo\nthree\n");
    assert_eq!(site.get(&path).await.text(), whole);
    let gap = put(format!("?offset={}", whole.len() + 1), "x").await;
    gap.refused(409);
    assert_eq!(gap.header("x-muster-log-length"), whole.len().to_string());
    let head = site.send(request("HEAD", &path, "")).await;
    assert_eq!((head.status, head.header("x-muster-log-length")), (200, whole.len().to_string().as_str()));
    assert!(head.body.is_empty());
    let tail = site.get(&format!("{path}?offset={}", length + 8)).await;
    assert_eq!(
        (tail.text().as_str(), tail.header("x-muster-log-length")),
        ("three\n", head.header("x-muster-log-length"))
    );
    assert_eq!(site.get(&format!("{path}?offset=99999")).await.text(), "");
    site.get(&format!("{path}?offset=x")).await.refused(400);
    let mut json_only = request("GET", &path, "");
    json_only.headers_mut().insert("accept", HeaderValue::from_static("application/json"));
    assert_eq!(site.send(json_only).await.text(), whole, "never 406");
    site.send(request("PUT", &path, "x".repeat((1 << 20) + 1))).await.refused(413);
    site.get("jobs/no-such-job/log").await.refused(404);
    assert_eq!(site.send(request("HEAD", "jobs/no-such-job/log", "")).await.status, 404);
}

#[tokio::test]
async fn a_log_that_is_followed_tells_more_when_there_is_more_or_the_job_ends() {
    let site = Site::start().await;
    let machine = machine(&site, "alpha", &["t1"]).await;
    let job = site.next_job(&machine).await.ok();
    let path = format!("jobs/{}/log", id(&job));
    let length: usize = site.get(&path).await.text().len();
    let follow = |offset: usize| {
        let mut call = request("GET", &format!("{path}?offset={offset}"), "");
        call.headers_mut().insert("prefer", HeaderValue::from_static("wait=60"));
        site.send(call)
    };
    let write = async { site.send(request("PUT", &path, "more\n")).await.ok() };
    let (followed, _) = tokio::join!(follow(length), write);
    assert_eq!(followed.text(), "more\n");
    let end = async { site.move_job(&job, "created", "finished", "complete").await.ok() };
    let (followed, _) = tokio::join!(follow(length + 5), end);
    assert_eq!((followed.status, followed.text().as_str()), (200, ""));
}

#[tokio::test]
async fn whoever_asks_for_a_job_says_which_machine_and_may_say_which_id() {
    let site = Site::start().await;
    let machine = machine(&site, "alpha", &["t1", "t2"]).await;
    for body in [
        json!({}),
        json!({"Machine": ""}),
        json!({"Machine": "alpha"}),
        json!({"Machine": 7}),
        json!({"Machine": "11111111-1111-4111-8111-111111111111"}),
        json!({"Machine": machine["Uuid"], "Uuid": "mine"}),
        json!(null),
    ] {
        let refused = site.post("jobs", body).await.refused(422);
        assert_eq!((&refused["Type"], &refused["Model"]), (&json!("ValidationError"), &json!("jobs")));
    }
    let mine = "22222222-2222-4222-8222-222222222222";
    let zeros = "00000000-0000-0000-0000-000000000000";
    let body =
        json!({"machine": machine["Uuid"], "UUID": mine, "State": "", "Task": "other", "StartTime": ""});
    let job = site.post("jobs", body.clone()).await.ok();
    assert_eq!((&job["Uuid"], &job["Task"], &job["State"]), (&json!(mine), &json!("t1"), &json!("created")));
    site.move_job(&job, "created", "finished", "complete").await.ok();
    assert_eq!(site.post("jobs", body).await.refused(409)["Type"], "CREATE");
    let next = site.post("jobs", json!({"Machine": machine["Uuid"], "Uuid": zeros})).await.ok();
    assert!(next["Uuid"] != *zeros && next["Uuid"] != *mine);
}

#[tokio::test]
async fn a_task_that_is_tried_again_says_when() {
    let site = Site::start().await;
    let machine = machine(&site, "alpha", &["t1"]).await;
    assert_eq!(machine["WaitReason"], "");
    site.set(&machine, json!({"Params": {"task-retry": {"t1": 1}}})).await.ok();
    let job = site.next_job(&machine).await.ok();
    site.move_job(&job, "created", "running", "").await.ok();
    site.move_job(&job, "running", "failed", "failed").await.ok();
    let now = site.again(&machine).await;
    assert_eq!((&now["Runnable"], &now["RetryTaskAttempt"]), (&json!(true), &json!(1)));
    assert!(now["WaitReason"].as_str().unwrap().starts_with("its task failed and is tried again at "));
    let wait = site.next_job(&machine).await;
    assert_eq!((wait.status, wait.header("content-type")), (204, "application/json"));
    assert!(["1", "2"].contains(&wait.header("retry-after")), "{:?}", wait.headers);
    site.set(&machine, json!({"Runnable": false})).await.ok();
    let reason = site.again(&machine).await["WaitReason"].as_str().unwrap().to_owned();
    assert_eq!(reason, "it is not runnable: somebody or something stopped it; set Runnable to let it go on");
    site.next_job(&machine).await.refused(409);
}

#[tokio::test]
async fn the_server_does_what_is_its_own_and_hands_the_rest_out() {
    let site = Site::start().await;
    let machine = machine(&site, "alpha", &["chroot:/mnt", "t1"]).await;
    let job = site.next_job(&machine).await.ok();
    assert_eq!(job["Task"], "chroot:/mnt");
    assert_eq!(site.get(&format!("jobs/{}/actions", id(&job))).await.ok(), json!([]));
    site.move_job(&job, "created", "finished", "complete").await.ok();
    let job = site.next_job(&machine).await.ok();
    let actions = site.get(&format!("jobs/{}/actions", id(&job))).await.ok();
    assert_eq!((&actions[0]["Name"], &actions[0]["Content"]), (&json!("t1"), &json!("true\n")));
    site.get("jobs/11111111-1111-4111-8111-111111111111/actions").await.refused(422);
}

#[tokio::test]
async fn clean_up_takes_old_jobs_and_their_logs() {
    let site = Site::start().await;
    let tasks = ["t1", "t2", "t3", "t4"];
    let (alpha, beta) = (machine(&site, "alpha", &tasks).await, machine(&site, "beta", &tasks).await);
    for machine in [&alpha, &beta] {
        site.run_all(machine).await;
    }
    let count = || async { site.get("jobs").await.ok().as_array().unwrap().len() };
    let gone = |answer: Answer| answer.ok().as_array().unwrap().len();
    assert_eq!(gone(site.delete("jobs").await), 0, "fifty stay");
    assert_eq!(gone(site.delete("jobs?jobsToKeep=1&dryrun=true").await), 6);
    assert_eq!(count().await, 8);
    assert_eq!(gone(site.delete(&format!("jobs?jobsToKeep=2&machine={}", id(&alpha))).await), 2);
    assert_eq!(gone(site.delete("jobs?completeJobsPurgedAfter=1h").await), 0);
    assert_eq!(gone(site.delete("jobs?failedJobsPurgedAfter=0").await), 0, "none failed");
    assert_eq!(gone(site.delete("jobs?completeJobsPurgedAfter=0").await), 4, "but the current ones");
    site.delete(&site.path(&alpha)).await.ok();
    assert_eq!(gone(site.delete("jobs?machine=missing&jobsToKeep=0").await), 1);
    assert_eq!(count().await, 1);
    for query in ["jobsToKeep=some", "machine=alpha", "dryrun=perhaps", "failedJobsPurgedAfter=soon"] {
        site.delete(&format!("jobs?{query}")).await.refused(406);
    }
}

#[tokio::test]
async fn what_a_job_says_of_its_failure_is_kept_as_lines_of_text() {
    let site = Site::start().await;
    let machine = machine(&site, "alpha", &["t1"]).await;
    let job = site.next_job(&machine).await.ok();
    site.move_job(&job, "created", "running", "").await.ok();
    let said = json!(["<img src=x onerror=alert(1)>\u{1b}[31m\nsafe\u{202e}gnp.exe", "y".repeat(65_536)]);
    let operations = json!([
        {"op": "test", "path": "/State", "value": "running"},
        {"op": "replace", "path": "/State", "value": "failed"},
        {"op": "replace", "path": "/ExitState", "value": "failed"},
        {"op": "replace", "path": "/ResultErrors", "value": said},
    ]);
    site.patch(&format!("jobs/{}", id(&job)), operations).await.ok();
    let kept = json!(["<img src=x onerror=alert(1)>[31m safegnp.exe", "y".repeat(2_048)]);
    assert_eq!(site.get(&format!("jobs/{}", id(&job))).await.ok()["ResultErrors"], kept);
    assert_eq!(site.again(&machine).await["JobResultErrors"], kept);
}

#[tokio::test]
async fn job_of_a_machine_that_is_deleted_is_over_and_stays() {
    let site = Site::start().await;
    let machine = machine(&site, "alpha", &["t1"]).await;
    let job = site.next_job(&machine).await.ok();
    site.move_job(&job, "created", "running", "").await.ok();
    site.delete(&site.path(&machine)).await.ok();
    let left = site.get(&format!("jobs/{}", id(&job))).await.ok();
    assert_eq!((&left["State"], &left["Current"]), (&json!("failed"), &json!(false)));
    assert_eq!(left["ResultErrors"], json!(["its machine was deleted"]));
    assert!(site.get(&format!("jobs/{}/log", id(&job))).await.text().contains("t1 on alpha"));
    assert_eq!(site.delete(&format!("jobs/{}", id(&job))).await.status, 200);
    site.get(&format!("jobs/{}/log", id(&job))).await.refused(404);
}

#[tokio::test]
async fn a_job_that_is_deleted_is_its_machines_no_more() {
    let site = Site::start().await;
    let machine = machine(&site, "alpha", &["t1"]).await;
    let job = site.run_task(&machine).await;
    site.delete(&format!("jobs/{}", id(&job))).await.ok();
    let now = site.again(&machine).await;
    assert_eq!(
        (&now["CurrentJob"], &now["JobState"], &now["JobExitState"]),
        (&json!(""), &json!(""), &json!(""))
    );
}

#[tokio::test]
async fn a_machine_token_has_to_do_with_its_own_jobs_alone() {
    let site = Site::start().await;
    let (alpha, beta) = (machine(&site, "alpha", &["t1"]).await, machine(&site, "beta", &["t1"]).await);
    let token = site.get(&format!("{}/token", site.path(&alpha))).await.ok();
    let bearer = format!("Bearer {}", token["Token"].as_str().unwrap());
    let call = |method: &'static str, path: String, body: Value| {
        let (site, bearer) = (&site, bearer.clone());
        async move { site.call_as(&bearer, method, &path, &body).await }
    };
    let job = call("POST", "jobs".into(), json!({"Machine": alpha["Uuid"]})).await.ok();
    call("POST", "jobs".into(), json!({"Machine": beta["Uuid"]})).await.refused(403);
    let other = site.next_job(&beta).await.ok();
    let running = replace(&json!({"State": "running"}));
    for (job, may) in [(&job, true), (&other, false)] {
        let path = format!("jobs/{}", id(job));
        for (method, path, body) in [
            ("GET", path.clone(), Value::Null),
            ("PATCH", path.clone(), running.clone()),
            ("GET", format!("{path}/actions"), Value::Null),
            ("GET", format!("{path}/log"), Value::Null),
            ("PUT", format!("{path}/log"), json!("a line")),
        ] {
            let answer = call(method, path.clone(), body).await;
            assert_eq!(answer.status < 300, may, "{method} {path}: {}", answer.text());
            assert!(may || answer.status == 403, "{method} {path}: {}", answer.text());
        }
        call("DELETE", path, Value::Null).await.refused(403);
    }
    call("DELETE", "jobs".into(), Value::Null).await.refused(403);
}
