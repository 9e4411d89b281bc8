//! The store's promises about finding audit rows.

use super::{START, after};
use crate::store::audit::AuditBreak;
use crate::store::{AuditEntry, AuditQuery, Store};
use engine::change::{AuditKind, AuditRow, Cause, Changes};
use protocol::ids::MachineId;
use uuid::Uuid;

fn machine(number: u128) -> MachineId {
    MachineId(Uuid::from_u128(number))
}

async fn write(store: &Store, kind: AuditKind, by: &str, about: Option<MachineId>) {
    let row = AuditRow::new(kind, &Cause { principal: by.to_owned(), ..Cause::system(START) });
    let row = AuditRow { machine: about, ..row };
    store.commit(&Changes::new(after(1)).audit(row)).await.unwrap();
}

fn numbers(rows: &[AuditEntry]) -> Vec<i64> {
    rows.iter().map(|entry| entry.number).collect()
}

pub(super) async fn audit_rows_are_found_by_machine_kind_and_principal(store: Store) {
    let one = machine(1);
    write(&store, AuditKind::SessionOpened, "user:ann", None).await;
    write(&store, AuditKind::EnrollmentApproved, "user:ann", Some(one)).await;
    write(&store, AuditKind::EnrollmentApproved, "user:bob", Some(machine(2))).await;
    write(&store, AuditKind::PermitIssued, &format!("machine:{one}"), None).await;
    write(&store, AuditKind::MachineDeleted, "user:ann", Some(one)).await;
    let found = |which: AuditQuery, most| {
        let store = store.clone();
        async move { numbers(&store.audit_rows(&which, most).await.unwrap()) }
    };
    let all = AuditQuery::default();
    assert_eq!(found(all.clone(), 9).await, [5, 4, 3, 2, 1]);
    assert_eq!(found(all.clone(), 2).await, [5, 4]);
    assert_eq!(found(AuditQuery { before: Some(4), ..all.clone() }, 2).await, [3, 2]);
    let of_one = AuditQuery { machine: Some(one), ..all.clone() };
    assert_eq!(found(of_one.clone(), 9).await, [5, 4, 2], "what it did itself is about it, too");
    let ann = Some("user:ann".to_owned());
    assert_eq!(found(AuditQuery { principal: ann.clone(), ..all.clone() }, 9).await, [5, 2, 1]);
    let kinds = vec![AuditKind::EnrollmentApproved, AuditKind::MachineDeleted];
    assert_eq!(found(AuditQuery { kinds: kinds.clone(), ..all }, 9).await, [5, 3, 2]);
    let narrow = AuditQuery { principal: ann, kinds, before: Some(5), ..of_one };
    assert_eq!(found(narrow.clone(), 9).await, [2]);
    let rows = store.audit_rows(&narrow, 9).await.unwrap();
    let (kind, row) = rows.first().map(|entry| (entry.kind.as_str(), &entry.row)).unwrap();
    assert_eq!((kind, row.machine), ("enrollment.approved", Some(one)));
    let of_none = AuditQuery { machine: Some(machine(9)), ..AuditQuery::default() };
    assert!(found(of_none, 9).await.is_empty());
}

pub(super) async fn audit_row_that_is_hidden_from_searches_breaks_the_log(store: Store) {
    for _ in 0..3 {
        write(&store, AuditKind::MachineDeleted, "user:ann", Some(machine(1))).await;
    }
    assert_eq!(store.verify_audit().await.unwrap(), 3);
    for (column, was) in [("kind", "machine.deleted"), ("principal", "user:ann")] {
        let set = |value: &str| {
            sqlx::AssertSqlSafe(format!("UPDATE audit SET {column} = '{value}' WHERE number = 2"))
        };
        sqlx::query(set("other")).execute(&store.writer).await.unwrap();
        assert!(matches!(store.verify_audit().await, Err(AuditBreak::At(2))), "{column}");
        sqlx::query(set(was)).execute(&store.writer).await.unwrap();
    }
    sqlx::query("UPDATE audit SET about = '' WHERE number = 3").execute(&store.writer).await.unwrap();
    assert!(matches!(store.verify_audit().await, Err(AuditBreak::At(3))));
}
