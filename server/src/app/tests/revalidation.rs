//! Machines' errors after a change of content, and after a server that was killed in between.

use super::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

async fn broken_site() -> (TestApp, String) {
    let app = TestApp::start().await;
    let admin = admin();
    let create = |kind, body| app.create(&admin, kind, &[], body);
    let info = json!({"Name": "t", "Path": "x", "Contents": "{{.Param \"word\"}}"});
    create(Kind::Profiles, json!({"Name": "rack", "Params": {"word": "w"}})).await.unwrap();
    create(Kind::BootEnvs, json!({"Name": "march", "Templates": [info]})).await.unwrap();
    let body = json!({"Name": "db-07", "BootEnv": "march", "Profiles": ["rack"]});
    let machine = create(Kind::Machines, body).await.unwrap().value;
    assert_eq!(machine["Errors"], json!([]));
    // Nobody looks at machines in this process: as if it was killed right after the commit.
    let patch = engine::patch::Patch::parse(json!([{"op": "remove", "path": "/Params/word"}])).unwrap();
    app.patch(&admin, Kind::Profiles, "rack", &[], None, &patch).await.unwrap();
    let id = machine["Uuid"].as_str().unwrap().to_owned();
    (app, id)
}

#[tokio::test]
async fn server_that_starts_again_looks_at_machines_that_were_not_looked_at() {
    let (app, id) = broken_site().await;
    let (content, checked) = app.store.content_revisions().await.unwrap();
    assert!(checked < content, "{checked:?} {content:?}");
    assert_eq!(app.machine(&admin(), &id).await.unwrap().envelope.errors, [""; 0]);

    let TestApp { app, clock: _clock, directory: _directory } = app.killed_and_started().await;
    let app = Arc::new(app);
    let mut events = app.hub.subscribe();
    let stopping = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&app).run_revalidation(stopping.clone()));
    let saved = timeout(PATIENCE, async {
        loop {
            let Received::Event(told) = events.next().await else { continue };
            let event: Event = serde_json::from_str(&told.text).unwrap();
            if (&*event.kind, &*event.action) == ("machines", "save") {
                return event.object;
            }
        }
    });
    let saved = saved.await.expect("the machine is looked at");
    assert!(saved["Errors"][0].as_str().unwrap().contains("\"word\""), "{saved}");
    // A change asks and waits for its end: then all is checked.
    app.revalidate(&[(Kind::Profiles, "rack".into())]).await;
    let (content, checked) = app.store.content_revisions().await.unwrap();
    assert_eq!(content, checked);
    stopping.cancel();
    timeout(PATIENCE, running).await.expect("it stops").unwrap();
}
