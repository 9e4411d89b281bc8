//! Who is told what changed: events for everybody who watches, and wake-ups for the one
//! request that waits for one object.
//!
//! Events lie in one ring, bounded in number and in bytes, that every subscriber reads at its own
//! pace; who falls behind the ring's tail is told to read everything again, so that no slow reader
//! holds memory or anybody else. Publishing is a push under a lock: events are published where
//! commits are put in order. A held poll waits for its own object only: ten thousand of them do
//! not wake for each event.

use protocol::event::{Event, Topic};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// What held requests for objects of the content wait for: any change of it.
pub(crate) const CONTENT: Uuid = Uuid::nil();
/// What open websockets wait for: that a log-in may have ended, or may do something else now.
pub(crate) const LOGINS: Uuid = Uuid::max();
/// Most events a subscriber may lag behind before it has to read everything again.
const BACKLOG: usize = 4_096;
/// Most bytes of them, but for the newest.
const BACKLOG_BYTES: usize = 32 * 1_024 * 1_024;

/// An event as it is told: written once, whoever listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    kind: String,
    action: String,
    key: String,
    job_of: Option<String>,
    /// The event's JSON.
    pub(crate) text: String,
}

impl Told {
    /// Writes an event; with its machine, when its object is a job.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn write(event: Event, job_of: Option<String>) -> Result<Self, serde_json::Error> {
        let text = serde_json::to_string(&event)?;
        Ok(Self { kind: event.kind, action: event.action, key: event.key, job_of, text })
    }

    /// What it is about.
    pub(crate) fn topic(&self) -> Topic<'_> {
        Topic { kind: &self.kind, action: &self.action, key: &self.key, job_of: self.job_of.as_deref() }
    }
}

/// Events and wake-ups of one server process.
#[derive(Debug)]
pub(crate) struct Hub {
    ring: Mutex<Ring>,
    /// Number of the next event.
    published: watch::Sender<u64>,
    waiting: Mutex<HashMap<Uuid, watch::Sender<()>>>,
    stopping: watch::Sender<bool>,
}

/// The newest events, while anybody reads them.
#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Told>>,
    bytes: usize,
    /// Number of the oldest event in it.
    first: u64,
    readers: usize,
}

impl Ring {
    /// Number of the next event.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.events.len() as u64)
    }

    fn push(&mut self, told: Told) {
        self.bytes = self.bytes.saturating_add(told.text.len());
        self.events.push_back(Arc::new(told));
        while self.events.len() > BACKLOG || (self.bytes > BACKLOG_BYTES && self.events.len() > 1) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.events.pop_front() {
            self.bytes = self.bytes.saturating_sub(oldest.text.len());
            self.first = self.first.saturating_add(1);
        }
    }

    /// The event of this number; `None` when it is gone.
    fn get(&self, number: u64) -> Option<Arc<Told>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.events.get(index).cloned()
    }
}

/// What a subscriber receives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Received {
    /// Something changed.
    Event(Arc<Told>),
    /// Events were lost: read everything again.
    Resync,
}

/// One reader of events.
#[derive(Debug)]
pub(crate) struct Subscription {
    hub: Arc<Hub>,
    next: u64,
    published: watch::Receiver<u64>,
}

impl Subscription {
    /// The next event. Cancelling the wait loses none.
    pub(crate) async fn next(&mut self) -> Received {
        loop {
            if let Some(received) = self.take() {
                return received;
            }
            // The sender is the hub's, which we hold.
            let _changed = self.published.changed().await;
        }
    }

    fn take(&mut self) -> Option<Received> {
        self.published.borrow_and_update();
        let ring = self.hub.ring();
        if self.next >= ring.end() {
            return None;
        }
        if let Some(event) = ring.get(self.next) {
            self.next += 1;
            return Some(Received::Event(event));
        }
        // What is left in the ring is older than what will be read again.
        self.next = ring.end();
        Some(Received::Resync)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut ring = self.hub.ring();
        ring.readers = ring.readers.saturating_sub(1);
        if ring.readers == 0 {
            while !ring.events.is_empty() {
                ring.drop_oldest();
            }
        }
    }
}

/// One request's wait for one object. Dropping it ends the wait.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    hub: &'a Hub,
    id: Uuid,
    changed: watch::Receiver<()>,
    stopping: watch::Receiver<bool>,
}

impl Hub {
    /// A hub without subscribers.
    pub(crate) fn new() -> Self {
        Self {
            ring: Mutex::default(),
            published: watch::Sender::new(0),
            waiting: Mutex::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Tells all subscribers. Nobody listening is fine.
    pub(crate) fn publish(&self, told: Told) {
        let mut ring = self.ring();
        if ring.readers > 0 {
            ring.push(told);
            self.published.send_replace(ring.end());
        }
    }

    /// Receives every event from now on.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Subscription {
        let mut ring = self.ring();
        ring.readers += 1;
        let next = ring.end();
        drop(ring);
        Subscription { hub: Arc::clone(self), next, published: self.published.subscribe() }
    }

    /// Subscribers at the moment.
    pub(crate) fn subscribers(&self) -> usize {
        self.ring().readers
    }

    /// Registers a wait for an object. Register first, then look at the object, then
    /// [`Waiter::wait`]: a change in between is not missed.
    pub(crate) fn waiter(&self, id: Uuid) -> Waiter<'_> {
        let changed = self.lock().entry(id).or_default().subscribe();
        Waiter { hub: self, id, changed, stopping: self.stopping.subscribe() }
    }

    /// Wakes whoever waits for the object.
    pub(crate) fn wake(&self, id: Uuid) {
        if let Some(waiting) = self.lock().get(&id) {
            waiting.send_replace(());
        }
    }

    /// Ends every wait, and every later one at once: the server stops.
    pub(crate) fn let_go(&self) {
        self.stopping.send_replace(true);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
    /// Whether no wait lasts any more: the server stops.
    pub(crate) fn is_let_go(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until the object changes, at most this long. Whether it changed is for the caller
    /// to look: a wake-up may come for nothing.
    pub(crate) async fn wait(&mut self, at_most: Duration) {
        tokio::select! {
            // Neither sender goes before the hub does, which outlives us: an error is no case.
            _changed = self.changed.changed() => {}
            _stopping = self.stopping.wait_for(|stopping| *stopping) => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.hub.lock();
        // Our own receiver is still counted: nobody else waits for it.
        if waiting.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
            waiting.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(key: usize, bytes: usize) -> Told {
        Told {
            kind: "machines".into(),
            action: "update".into(),
            key: key.to_string(),
            job_of: None,
            text: "x".repeat(bytes),
        }
    }

    fn key(received: Received) -> Option<usize> {
        match received {
            Received::Event(told) => told.key.parse().ok(),
            Received::Resync => None,
        }
    }

    #[tokio::test]
    async fn change_between_look_and_wait_is_not_missed() {
        let hub = Hub::new();
        let id = Uuid::from_u128(1);
        let mut waiter = hub.waiter(id);
        hub.wake(id);
        tokio::time::timeout(Duration::from_secs(5), waiter.wait(Duration::from_secs(60)))
            .await
            .expect("the wake-up came before the wait and still counts");
    }

    #[tokio::test]
    async fn stopping_server_holds_nobody() {
        let hub = Hub::new();
        let mut before = hub.waiter(Uuid::from_u128(1));
        hub.let_go();
        let mut after = hub.waiter(Uuid::from_u128(2));
        let long = Duration::from_secs(60);
        let both = async { tokio::join!(before.wait(long), after.wait(long)) };
        tokio::time::timeout(Duration::from_secs(5), both).await.expect("let go, before and after");
    }

    #[tokio::test]
    async fn waits_leave_nothing_behind() {
        let hub = Hub::new();
        let id = Uuid::from_u128(1);
        let (first, mut second) = (hub.waiter(id), hub.waiter(id));
        drop(first);
        assert_eq!(hub.lock().len(), 1);
        second.wait(Duration::ZERO).await;
        drop(second);
        assert!(hub.lock().is_empty());
    }

    #[tokio::test]
    async fn events_come_in_order_and_from_the_subscription_on() {
        let hub = Arc::new(Hub::new());
        hub.publish(told(0, 1));
        let mut first = hub.subscribe();
        hub.publish(told(1, 1));
        let mut second = hub.subscribe();
        hub.publish(told(2, 1));
        assert_eq!((key(first.next().await), key(first.next().await)), (Some(1), Some(2)));
        assert_eq!(key(second.next().await), Some(2));
        let waiting = tokio::spawn(async move { key(first.next().await) });
        tokio::task::yield_now().await;
        hub.publish(told(3, 1));
        assert_eq!(waiting.await.unwrap(), Some(3));
    }

    #[tokio::test]
    async fn slow_subscriber_is_told_to_read_everything_again() {
        for (events, bytes) in [(BACKLOG + 1, 1), (33, 1_024 * 1_024)] {
            let hub = Arc::new(Hub::new());
            let (mut slow, mut quick) = (hub.subscribe(), hub.subscribe());
            for number in 0..events {
                hub.publish(told(number, bytes));
                assert_eq!(key(quick.next().await), Some(number));
            }
            assert_eq!(slow.next().await, Received::Resync);
            hub.publish(told(events, bytes));
            assert_eq!(key(slow.next().await), Some(events), "what comes after is told");
            assert!(hub.ring().bytes <= BACKLOG_BYTES);
        }
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let hub = Arc::new(Hub::new());
        let reader = hub.subscribe();
        hub.publish(told(1, 100));
        drop(reader);
        hub.publish(told(2, 100));
        let ring = hub.ring();
        assert_eq!((ring.events.len(), ring.bytes, ring.first), (0, 0, 1));
    }
}
