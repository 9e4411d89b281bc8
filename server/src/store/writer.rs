//! One task writes. What waits for it is stored in one transaction, so that a disk which makes
//! four hundred writes safe in a second takes thousands of commits.
//!
//! Each commit has its own savepoint and its own revision: one that does not fit leaves nothing and
//! hinders nobody. Nothing is answered before the transaction is on disk, and all is answered in the
//! order of the revisions. A caller that goes away changes nothing: what was sent is stored.

use super::StoreError;
use super::commit::Head;
use engine::change::{Changes, Revision};
use sqlx::{AnyPool, Executor as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::{mpsc, oneshot};

/// Commits that wait before callers are held.
const QUEUE: usize = 1_024;
/// Most commits of one transaction: an answer waits no longer than for this many.
const TOGETHER: usize = 256;

/// What happens once a commit is on disk, before the next one's.
type Then = Box<dyn FnOnce(Revision) + Send>;

/// One commit that was sent.
struct Order {
    changes: Changes,
    then: Then,
    answer: oneshot::Sender<Result<Revision, StoreError>>,
}

enum Message {
    Commit(Box<Order>),
    /// Nothing more is taken; answered when all that was sent is stored.
    Close(oneshot::Sender<()>),
}

/// The way to the writing task, which ends when the last one is dropped.
#[derive(Debug, Clone)]
pub(super) struct Writer(mpsc::Sender<Message>);

impl Writer {
    /// Starts the task.
    pub(super) fn start(pool: AnyPool, begin: &'static str) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(Desk { pool, begin }.run(receiver));
        Self(sender)
    }

    /// Sends a commit and waits for its end.
    pub(super) async fn commit(&self, changes: Changes, then: Then) -> Result<Revision, StoreError> {
        let (answer, answered) = oneshot::channel();
        let order = Message::Commit(Box::new(Order { changes, then, answer }));
        self.0.send(order).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Returns when everything that was sent is stored. Later commits are refused.
    pub(super) async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.0.send(Message::Close(answer)).await.is_ok() && answered.await.is_err() {
            tracing::error!("the writing task ended before all was stored");
        }
    }
}

fn closed() -> StoreError {
    sqlx::Error::PoolClosed.into()
}

/// Where commits are written.
struct Desk {
    pool: AnyPool,
    begin: &'static str,
}

impl Desk {
    async fn run(self, mut receiver: mpsc::Receiver<Message>) {
        let mut closing = Vec::new();
        let mut orders = Vec::new();
        while let Some(message) = receiver.recv().await {
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::Commit(order) => orders.push(*order),
                    Message::Close(answer) => {
                        receiver.close();
                        closing.push(answer);
                    }
                }
                next = if orders.len() < TOGETHER { receiver.try_recv().ok() } else { None };
            }
            if !orders.is_empty() {
                self.serve(std::mem::take(&mut orders)).await;
            }
        }
        for answer in closing {
            // Who waited for the end may have gone.
            answer.send(()).unwrap_or(());
        }
    }

    /// Stores and answers.
    async fn serve(&self, orders: Vec<Order>) {
        let changes: Vec<&Changes> = orders.iter().map(|order| &order.changes).collect();
        let outcomes = match self.store(&changes).await {
            Ok(outcomes) => outcomes,
            Err(error) => vec![Err(error); orders.len()],
        };
        for (order, outcome) in orders.into_iter().zip(outcomes) {
            if let Ok(revision) = outcome
                && catch_unwind(AssertUnwindSafe(|| (order.then)(revision))).is_err()
            {
                tracing::error!(revision = revision.0, "what follows a commit panicked");
            }
            // A caller that hung up is told nothing; its commit stands.
            drop(order.answer.send(outcome));
        }
    }

    /// Stores these sets in one transaction, each whole or not at all. An error is everybody's: then
    /// nothing was stored.
    async fn store(&self, sets: &[&Changes]) -> Result<Vec<Result<Revision, StoreError>>, StoreError> {
        let mut transaction = self.pool.begin_with(self.begin).await?;
        let mut head = Head::lock(&mut transaction).await?;
        let mut outcomes = Vec::with_capacity(sets.len());
        transaction.execute("SAVEPOINT one").await?;
        for (number, changes) in sets.iter().enumerate() {
            let outcome = match head.clone().write(&mut transaction, changes).await {
                Ok(next) => {
                    let last = number + 1 == sets.len();
                    let done = if last { "RELEASE one" } else { "RELEASE one; SAVEPOINT one" };
                    transaction.execute(done).await?;
                    head = next;
                    Ok(head.revision())
                }
                Err(error) => {
                    // An error that ended the transaction, as a full disk may, is everybody's.
                    if let Err(lost) = transaction.execute("ROLLBACK TO one").await {
                        tracing::debug!(error = %lost, "a transaction was lost");
                        return Err(error);
                    }
                    Err(error)
                }
            };
            outcomes.push(outcome);
        }
        if outcomes.iter().any(Result::is_ok) {
            head.store(&mut transaction).await?;
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(outcomes)
    }
}
