//! The store's promises about the content.

use super::{START, conflict};
use crate::store::{Conflict, Store};
use engine::change::{Change, Changes, Record, Revision, StoredObject};
use protocol::model::Kind;

fn object(kind: Kind, key: &str, body: &str) -> StoredObject {
    StoredObject { kind, key: key.into(), bundle: "BackingStore".into(), body: body.into() }
}

fn put(object: &StoredObject) -> Changes {
    Changes::new(START).and(Change::PutObject(object.clone()))
}

pub(super) async fn content_is_read_whole_with_its_revision(store: Store) {
    let empty = store.content().await.unwrap();
    assert_eq!((empty.revision, empty.objects.len()), (Revision(0), 0));
    let (stage, task) = (object(Kind::Stages, "ä/b", "{}"), object(Kind::Tasks, "a", "{\"x\":1}"));
    let bundle =
        Record { kind: "bundle".into(), key: "drp".into(), body: "{}".into(), revision: Revision(0) };
    let changes = put(&stage)
        .and(Change::PutObject(task.clone()))
        .and(Change::SetPref { name: "defaultStage".into(), value: "none".into() })
        .and(Change::PutRecord(bundle.clone()));
    let revision = store.commit(&changes).await.unwrap();
    let read = store.content().await.unwrap();
    assert_eq!((read.revision, read.checked), (revision, Revision(0)));
    assert_eq!(read.objects, [stage, task.clone()]);
    assert_eq!(read.prefs.get("defaultStage").map(String::as_str), Some("none"));
    assert_eq!(read.bundles, [Record { revision, ..bundle }]);
    let changed = StoredObject { bundle: "drp".into(), body: "{\"x\":2}".into(), ..task };
    let changes = put(&changed)
        .and(Change::DeleteObject { kind: Kind::Stages, key: "ä/b".into() })
        .and(Change::SetPref { name: "defaultStage".into(), value: "other".into() });
    let later = store.commit(&changes).await.unwrap();
    let read = store.content().await.unwrap();
    assert_eq!((read.revision, read.objects), (later, vec![changed]));
    assert_eq!(read.prefs.get("defaultStage").map(String::as_str), Some("other"));
}

pub(super) async fn decision_on_other_content_is_refused(store: Store) {
    let first = store.commit(&put(&object(Kind::Tasks, "a", "1")).on(Revision(0))).await.unwrap();
    let on_old = put(&object(Kind::Tasks, "a", "2")).on(Revision(0));
    assert_eq!(conflict(store.commit(&on_old).await), Some(Conflict::Stale));
    // What is no content changes nothing of it.
    store.commit(&super::insert(&super::machine(1))).await.unwrap();
    store.commit(&Changes::new(START).on(first)).await.unwrap();
    for changed in [
        Change::SetPref { name: "a".into(), value: "b".into() },
        Change::DeleteObject { kind: Kind::Tasks, key: "a".into() },
    ] {
        let seen = store.content_revisions().await.unwrap().0;
        let next = store.commit(&Changes::new(START).and(changed)).await.unwrap();
        assert_eq!(conflict(store.commit(&Changes::new(START).on(seen)).await), Some(Conflict::Stale));
        assert_eq!(store.content_revisions().await.unwrap().0, next);
    }
}

pub(super) async fn check_of_machines_never_goes_back(store: Store) {
    let checked = |revision| Changes::new(START).and(Change::MachinesChecked(Revision(revision)));
    let content = store.commit(&put(&object(Kind::Tasks, "a", "1"))).await.unwrap();
    for (told, known) in [(5, 5), (3, 5), (9, 9)] {
        store.commit(&checked(told)).await.unwrap();
        assert_eq!(store.content_revisions().await.unwrap(), (content, Revision(known)));
    }
}
