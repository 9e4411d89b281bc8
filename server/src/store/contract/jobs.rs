//! The store's promises about jobs and their logs.

use super::{START, after, conflict, job, machine};
use crate::store::{Conflict, LOG_LIMIT, Store};
use engine::change::{Change, Changes, Revision};
use engine::job::Job;
use protocol::ids::MachineId;
use protocol::model::JobState;
use uuid::Uuid;

async fn insert(store: &Store, mut job: Job) -> Job {
    let changes = Changes::new(START).and(Change::InsertJob(Box::new(job.clone())));
    job.revision = store.commit(&changes).await.unwrap();
    job
}

fn update(job: &Job) -> Changes {
    Changes::new(START).and(Change::UpdateJob(Box::new(job.clone())))
}

fn append(job: &Job, at: Option<u64>, bytes: &[u8]) -> Changes {
    let change = Change::AppendLog { job: job.fields.uuid, at, bytes: bytes.to_vec() };
    Changes::new(START).and(change)
}

pub(super) async fn jobs_of_a_machine_are_read_newest_first(store: Store) {
    let of = MachineId(Uuid::from_u128(7));
    assert_eq!(store.jobs_of_machine(of, 0, 1).await.unwrap(), []);
    // Ids say nothing of the order.
    let jobs = [
        insert(&store, job(30, 7)).await,
        insert(&store, job(10, 7)).await,
        insert(&store, job(20, 7)).await,
    ];
    insert(&store, job(40, 8)).await;
    let [oldest, middle, newest] = jobs;
    assert_eq!(store.job(middle.fields.uuid).await.unwrap().as_ref(), Some(&middle));
    assert_eq!(store.job(Uuid::nil()).await.unwrap(), None);
    assert_eq!(store.jobs_of_machine(of, 0, 1).await.unwrap().first(), Some(&newest));
    assert_eq!(store.jobs_of_machine(of, 0, 9).await.unwrap(), [newest, middle.clone(), oldest.clone()]);
    assert_eq!(store.jobs_of_machine(of, 1, 1).await.unwrap(), [middle]);
    assert_eq!(store.jobs_of_machine(of, 2, 9).await.unwrap(), [oldest]);
    let with_jobs = [Uuid::from_u128(7), Uuid::from_u128(8)];
    assert_eq!(store.machines_with_jobs(None, 9).await.unwrap(), with_jobs);
    assert_eq!(store.machines_with_jobs(Some(with_jobs[0]), 9).await.unwrap(), [with_jobs[1]]);
}

pub(super) async fn of_two_reports_on_one_revision_the_second_loses(store: Store) {
    let made = insert(&store, job(1, 7)).await;
    let again = Changes::new(START).and(Change::InsertJob(Box::new(made.clone())));
    assert_eq!(conflict(store.commit(&again).await), Some(Conflict::Exists));
    let is = |revision| Changes::new(START).and(Change::JobIs { id: made.fields.uuid, revision });
    store.commit(&is(made.revision)).await.unwrap();
    let mut running = made.clone();
    running.fields.state = JobState::Running;
    running.fields.start_time = after(5).to_string();
    let second = store.commit(&update(&running)).await.unwrap();
    assert_eq!(conflict(store.commit(&update(&made)).await), Some(Conflict::Stale));
    assert_eq!(conflict(store.commit(&is(made.revision)).await), Some(Conflict::Stale));
    let read = store.job(made.fields.uuid).await.unwrap().unwrap();
    assert_eq!(read, Job { revision: second, ..running });
    let delete = |revision| Changes::new(START).and(Change::DeleteJob { id: made.fields.uuid, revision });
    assert_eq!(conflict(store.commit(&delete(made.revision)).await), Some(Conflict::Stale));
    store.commit(&delete(second)).await.unwrap();
    assert_eq!(store.job(made.fields.uuid).await.unwrap(), None);
}

pub(super) async fn log_has_no_gap_and_nothing_twice(store: Store) {
    let job = insert(&store, job(1, 7)).await;
    let id = job.fields.uuid;
    assert_eq!(store.log_length(Uuid::nil()).await.unwrap(), None);
    assert_eq!(
        (store.log_length(id).await.unwrap(), store.log(id, 0, 99).await.unwrap()),
        (Some(0), Vec::new())
    );
    store.commit(&append(&job, Some(0), b"hello ")).await.unwrap();
    store.commit(&append(&job, None, b"world")).await.unwrap();
    for (at, bytes) in [(0, "hello "), (6, "world"), (12, "gap"), (u64::MAX, "gap")] {
        let refused = store.commit(&append(&job, Some(at), bytes.as_bytes())).await;
        assert_eq!(conflict(refused), Some(Conflict::Stale), "{at}");
    }
    store.commit(&append(&job, Some(11), b"")).await.unwrap();
    assert_eq!(store.log_length(id).await.unwrap(), Some(11));
    for (from, most, expected) in
        [(0, 99, "hello world"), (3, 4, "lo w"), (6, 99, "world"), (11, 9, ""), (99, 9, ""), (2, 0, "")]
    {
        assert_eq!(store.log(id, from, most).await.unwrap(), expected.as_bytes(), "{from} {most}");
    }
    // A log touches no revision: a report of the job fits before and after.
    store.commit(&update(&job)).await.unwrap();
}

pub(super) async fn log_of_many_pieces_is_read_from_any_byte(store: Store) {
    let job = insert(&store, job(1, 7)).await;
    let id = job.fields.uuid;
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    for (number, part) in bytes.chunks(70_001).enumerate() {
        store.commit(&append(&job, Some(number as u64 * 70_001), part)).await.unwrap();
    }
    assert_eq!(store.log(id, 0, usize::MAX).await.unwrap(), bytes);
    for from in [0, 1, 65_535, 65_536, 65_537, 70_000, 70_001, 135_537, 299_999, 300_000] {
        let most = 66_000.min(300_000 - from);
        assert_eq!(store.log(id, from as u64, 66_000).await.unwrap(), bytes[from..from + most], "{from}");
    }
    let longest =
        sqlx::query("SELECT MAX(LENGTH(bytes)) AS longest FROM job_log").fetch_one(&store.readers).await;
    let longest = longest.map(|row| sqlx::Row::get::<i64, _>(&row, "longest").to_string()).unwrap();
    assert_eq!(longest, "65536");
}

pub(super) async fn log_ends_at_its_limit(store: Store) {
    let job = insert(&store, job(1, 7)).await;
    let most = usize::try_from(LOG_LIMIT).unwrap();
    store.commit(&append(&job, Some(0), &vec![b'x'; most - 1])).await.unwrap();
    let two = append(&job, None, b"ab");
    assert_eq!(conflict(store.commit(&two).await), Some(Conflict::LogFull));
    store.commit(&append(&job, None, b"a")).await.unwrap();
    assert_eq!(conflict(store.commit(&append(&job, None, b"b")).await), Some(Conflict::LogFull));
    assert_eq!(store.log_length(job.fields.uuid).await.unwrap(), Some(LOG_LIMIT));
}

pub(super) async fn a_job_goes_with_its_log_and_leaves_others(store: Store) {
    let (gone, stays) = (insert(&store, job(1, 7)).await, insert(&store, job(2, 7)).await);
    for job in [&gone, &stays] {
        store.commit(&append(job, None, b"text")).await.unwrap();
    }
    let delete = Change::DeleteJob { id: gone.fields.uuid, revision: gone.revision };
    store.commit(&Changes::new(START).and(delete)).await.unwrap();
    assert_eq!(store.log(gone.fields.uuid, 0, 9).await.unwrap(), b"");
    assert_eq!(store.log(stays.fields.uuid, 0, 9).await.unwrap(), b"text");
    assert_eq!(conflict(store.commit(&append(&gone, None, b"late")).await), Some(Conflict::Stale));
    let nobody = Changes::new(START).and(Change::JobIs { id: gone.fields.uuid, revision: Revision(1) });
    assert_eq!(conflict(store.commit(&nobody).await), Some(Conflict::Stale));
}

pub(super) async fn report_and_log_of_one_decision_are_stored_together(store: Store) {
    let job = insert(&store, job(1, 7)).await;
    store.commit(&super::insert(&machine(7))).await.unwrap();
    let mut read = store.machine(machine(7).id).await.unwrap().unwrap();
    read.fields.job_state = "failed".into();
    // The log does not fit, so the machine does not hear of it either.
    let mut both = append(&job, Some(5), b"late");
    both.list.insert(0, Change::UpdateMachine(Box::new(read)));
    assert_eq!(conflict(store.commit(&both).await), Some(Conflict::Stale));
    assert_eq!(store.machine(machine(7).id).await.unwrap().unwrap().fields.job_state, "");
}
