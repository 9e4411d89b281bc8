//! The store's promises about provision runs.

use super::{START, after, conflict, insert, machine};
use crate::store::provisions::{KEPT_RUNS, Runs};
use crate::store::{Conflict, Plan, Store};
use engine::change::{Cause, Change, Changes};
use engine::filter::parse;
use engine::machine::Machine;
use engine::provision::{Asked, Goods, Run, begin};
use protocol::ids::MachineId;
use protocol::install::{ImageOrder, ProvisionRequest, ProvisionStatus};
use protocol::model::Kind;
use uuid::Uuid;

fn run(number: u128, of: u8) -> Run {
    let request = ProvisionRequest::default();
    let asked = Asked {
        id: Uuid::from_u128(number),
        request: &request,
        image: "debian".to_owned(),
        agent: true,
        settings: String::new(),
        cause: &Cause::system(START),
    };
    begin(&machine(of), &asked).run
}

fn over(mut run: Run) -> Run {
    run.status = ProvisionStatus::Completed;
    run.due_at = None;
    run
}

async fn store_run(store: &Store, mut run: Run) -> Run {
    run.revision =
        store.commit(&Changes::new(START).and(Change::InsertRun(Box::new(run.clone())))).await.unwrap();
    run
}

fn update(run: &Run) -> Changes {
    Changes::new(START).and(Change::UpdateRun(Box::new(run.clone())))
}

fn ids(runs: &[Run]) -> Vec<u128> {
    runs.iter().map(|run| run.id.as_u128()).collect()
}

pub(super) async fn runs_are_read_newest_first_and_in_parts(store: Store) {
    // Ids say nothing of the order.
    for (number, of) in [(30, 1), (10, 2), (20, 1)] {
        store_run(&store, over(run(number, of))).await;
    }
    let newest = store_run(&store, run(5, 1)).await;
    assert_eq!(store.run(newest.id).await.unwrap().as_ref(), Some(&newest));
    assert_eq!(store.run(Uuid::nil()).await.unwrap(), None);
    let listed = |which: Runs, most| {
        let store = store.clone();
        async move { ids(&store.runs(which, most).await.unwrap()) }
    };
    let of_first = Runs { machine: Some(MachineId(Uuid::from_u128(1))), ..Runs::default() };
    assert_eq!(listed(Runs::default(), 9).await, [5, 20, 10, 30]);
    assert_eq!(listed(of_first, 9).await, [5, 20, 30]);
    assert_eq!(listed(of_first, 1).await, [5]);
    assert_eq!(listed(Runs { after: Some(newest.id), ..of_first }, 9).await, [20, 30]);
    assert_eq!(listed(Runs { active: Some(true), ..Runs::default() }, 9).await, [5]);
    assert_eq!(listed(Runs { active: Some(false), ..of_first }, 9).await, [20, 30]);
    assert_eq!(store.count_active_runs().await.unwrap(), 1);
}

pub(super) async fn of_two_changes_of_a_run_the_second_loses(store: Store) {
    let first = store_run(&store, run(1, 1)).await;
    let again = Changes::new(START).and(Change::InsertRun(Box::new(first.clone())));
    assert_eq!(conflict(store.commit(&again).await), Some(Conflict::Exists));
    let image = ImageOrder { digest: "sha256:aa".to_owned(), ..ImageOrder::default() };
    let goods = Goods { image, ..Goods::default() };
    assert_eq!(store.goods(first.id).await.unwrap(), Goods::default());
    let given = Change::PutGoods { run: first.id, goods: Box::new(goods.clone()) };
    let next = Run { restarts: 1, ..first.clone() };
    let revision = store.commit(&update(&next).and(given)).await.unwrap();
    assert_eq!(conflict(store.commit(&update(&first)).await), Some(Conflict::Stale));
    assert_eq!(store.run(first.id).await.unwrap(), Some(Run { revision, ..next }));
    assert_eq!(store.goods(first.id).await.unwrap(), goods);
    assert_eq!(store.active_goods().await.unwrap(), [goods]);
}

pub(super) async fn few_runs_of_a_machine_are_kept_and_active_ones_always(store: Store) {
    let other = store_run(&store, over(run(9_000, 2))).await;
    let active = store_run(&store, run(1, 1)).await;
    let kept = u128::try_from(KEPT_RUNS).unwrap();
    for number in 2..kept + 12 {
        store_run(&store, over(run(number, 1))).await;
    }
    let all = store.runs(Runs { machine: Some(active.machine), ..Runs::default() }, 999).await.unwrap();
    assert_eq!(ids(&all), (12..kept + 12).rev().chain([1]).collect::<Vec<_>>());
    assert_eq!(store.run(other.id).await.unwrap(), Some(other));
}

pub(super) async fn runs_are_due_while_they_are_active(store: Store) {
    let mut late = run(1, 1);
    late.due_at = Some(after(5));
    let late = store_run(&store, late).await;
    store_run(&store, Run { due_at: None, ..run(2, 2) }).await;
    store_run(&store, Run { due_at: Some(after(5)), ..over(run(3, 3)) }).await;
    assert_eq!(store.due_runs(after(4)).await.unwrap(), []);
    assert_eq!(store.due_runs(after(5)).await.unwrap(), [late]);
}

pub(super) async fn runs_of_machines_that_are_gone_are_forgotten(store: Store) {
    store.commit(&insert(&machine(1))).await.unwrap();
    for (number, of) in [(1, 1), (2, 2)] {
        store_run(&store, over(run(number, of))).await;
    }
    store.commit(&Changes::new(after(9)).and(Change::ForgetRuns(START))).await.unwrap();
    assert!(store.run(Uuid::from_u128(2)).await.unwrap().is_some(), "too young");
    store.commit(&Changes::new(after(9)).and(Change::ForgetRuns(after(1)))).await.unwrap();
    assert!(store.run(Uuid::from_u128(1)).await.unwrap().is_some());
    assert_eq!(store.run(Uuid::from_u128(2)).await.unwrap(), None);
}

pub(super) async fn machines_are_listed_by_their_provision_state(store: Store) {
    let begun = |number: u8| {
        let request = ProvisionRequest::default();
        let id = Uuid::from_u128(number.into());
        let (image, settings, cause) = (String::new(), String::new(), Cause::system(START));
        let asked = Asked { id, request: &request, image, agent: true, settings, cause: &cause };
        begin(&machine(number), &asked).machine
    };
    store.commit(&insert(&machine(1))).await.unwrap();
    store.commit(&insert(&begun(2))).await.unwrap();
    for (state, number) in [("Discovery mode", 1), ("Install pending", 2)] {
        let plan = Plan::<Machine>::of(&parse(Kind::Machines, [("ProvisionState", state)]).unwrap());
        assert!(plan.is_whole());
        let page = store.page(&plan, 0, None).await.unwrap();
        let found: Vec<_> = page.items.iter().map(|machine| machine.id.0.as_u128()).collect();
        assert_eq!(found, [number], "{state}");
    }
}
