//! What an upgrade finds, and what it makes of it.

use super::{START, machine};
use crate::store::postgres::Postgres;
use crate::store::schema::{Engine, MIGRATIONS, migrate};
use crate::store::{AuditQuery, Plan, Store, pool_of, sqlite_url};
use engine::change::{AuditKind, AuditRow, Cause, Change, Changes, Revision};
use engine::filter::parse;
use engine::machine::Machine;
use protocol::ids::MachineId;
use protocol::model::Kind;
use serde_json::Value;
use sqlx::any::install_default_drivers;
use uuid::Uuid;

/// More than are filled in at a time.
const MACHINES: u32 = 1_203;
/// What machines had in the second release.
const FIELDS: [&str; 12] = [
    "id",
    "name",
    "key",
    "keyed_at",
    "origin",
    "inventory",
    "inventory_digest",
    "created_at",
    "registered_by",
    "placement",
    "errors",
    "last_seen",
];

fn old(number: u32) -> (Machine, String) {
    let machine = Machine {
        id: MachineId(Uuid::from_u128(u128::from(number) << 96)),
        name: format!("old-{number}").parse().unwrap(),
        key: None,
        ..machine(1)
    };
    let Value::Object(mut body) = serde_json::to_value(&machine).unwrap() else { panic!("an object") };
    body.retain(|name, _| FIELDS.contains(&name.as_str()));
    (machine, Value::Object(body).to_string())
}

async fn fill_as(url: &str, engine: Engine, version: usize) {
    let database = pool_of(1).connect(url).await.unwrap();
    migrate(&database, engine, &MIGRATIONS[..version]).await.unwrap();
    let mut transaction = database.begin().await.unwrap();
    for number in 0..MACHINES {
        let (machine, body) = old(number);
        sqlx::query("INSERT INTO machine (id, name, body, revision) VALUES ($1, $2, $3, $4)")
            .bind(machine.id.to_string())
            .bind(machine.name.as_str().to_owned())
            .bind(body)
            .bind(5_i64)
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    let row = AuditRow::new(AuditKind::EnrollmentApproved, &Cause::system(START)).machine(old(7).0.id);
    sqlx::query("INSERT INTO audit (number, body, hash) VALUES (1, $1, '')")
        .bind(serde_json::to_string(&row).unwrap())
        .execute(&mut *transaction)
        .await
        .unwrap();
    sqlx::query("UPDATE head SET revision = 5").execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    database.close().await;
}

async fn are_found(store: &Store) {
    let page = |pairs: &'static [(&'static str, &'static str)]| async move {
        let plan = Plan::<Machine>::of(&parse(Kind::Machines, pairs.iter().copied()).unwrap());
        store.page(&plan, 0, Some(3)).await.unwrap()
    };
    let all = page(&[("Stage", "none"), ("Runnable", "true"), ("Available", "true")]).await;
    assert_eq!((all.filtered, all.total), (u64::from(MACHINES), u64::from(MACHINES)));
    let names: Vec<_> = all.items.iter().map(|machine| machine.name.as_str()).collect();
    assert_eq!(names, ["old-0", "old-1", "old-2"]);
    assert_eq!(page(&[("Name", "old-1202")]).await.filtered, 1);
    let mut read = store.machine(old(7).0.id).await.unwrap().unwrap();
    assert_eq!(read.revision, Revision(5));
    read.fields.stage = "new".into();
    let revision =
        store.commit(&Changes::new(START).and(Change::UpdateMachine(Box::new(read)))).await.unwrap();
    assert_eq!(revision, Revision(6));
    assert_eq!(page(&[("Stage", "new")]).await.filtered, 1);
    assert_eq!(store.content_revisions().await.unwrap(), (Revision(0), Revision(0)));
    let about = AuditQuery { machine: Some(old(7).0.id), ..AuditQuery::default() };
    let rows = store.audit_rows(&about, 9).await.unwrap();
    assert_eq!(rows.first().map(|entry| entry.kind.as_str()), Some("enrollment.approved"));
}

#[tokio::test]
async fn machines_of_earlier_releases_are_listed() {
    install_default_drivers();
    let postgres = Postgres::start();
    for version in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("muster.db");
        fill_as(&sqlite_url(&path).unwrap(), Engine::Sqlite, version).await;
        let store = Store::sqlite(&path).await.unwrap();
        are_found(&store).await;
        store.close().await;
        // The second start finds nothing to do.
        let store = Store::sqlite(&path).await.unwrap();
        assert_eq!(store.machines().await.unwrap().len(), MACHINES as usize);
        store.close().await;
        let url = postgres.database(&format!("upgrade_{version}"));
        fill_as(&url, Engine::Postgres, version).await;
        let store = Store::postgres(&url).await.unwrap();
        are_found(&store).await;
        store.close().await;
    }
}
