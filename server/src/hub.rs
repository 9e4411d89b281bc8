//! Who is told what changed: events for everybody who watches, and wake-ups for the one
//! request that waits for one object.
//!
//! Events go through one bounded channel; a subscriber that cannot keep up loses events and is
//! told to read everything again, so that no slow reader holds memory or anybody else. A held
//! poll waits for its own object only: ten thousand of them do not wake for each event.

use protocol::event::Event;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

/// Events a subscriber may lag behind before it has to read everything again.
const BACKLOG: usize = 1_024;

/// Events and wake-ups of one server process.
#[derive(Debug)]
pub(crate) struct Hub {
    events: broadcast::Sender<Arc<Event>>,
    waiting: Mutex<HashMap<Uuid, watch::Sender<()>>>,
    stopping: watch::Sender<bool>,
}

/// What a subscriber receives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Received {
    /// Something changed.
    Event(Arc<Event>),
    /// Events were lost: read everything again.
    Resync,
}

/// One reader of events.
#[derive(Debug)]
pub(crate) struct Subscription(broadcast::Receiver<Arc<Event>>);

impl Subscription {
    /// The next event; `None` when the server stops.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        match self.0.recv().await {
            Ok(event) => Some(Received::Event(event)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Received::Resync),
            Err(broadcast::error::RecvError::Closed) => None,
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
            events: broadcast::Sender::new(BACKLOG),
            waiting: Mutex::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Tells all subscribers. Nobody listening is fine.
    pub(crate) fn publish(&self, event: Event) {
        if self.events.receiver_count() > 0 {
            // The last subscriber may leave in between, which is just as fine.
            drop(self.events.send(Arc::new(event)));
        }
    }

    /// Receives every event from now on.
    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription(self.events.subscribe())
    }

    /// Subscribers at the moment.
    pub(crate) fn subscribers(&self) -> usize {
        self.events.receiver_count()
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

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
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

    fn event(key: usize) -> Event {
        Event {
            time: String::new(),
            kind: "machines".into(),
            action: "update".into(),
            key: key.to_string(),
            principal: "system".into(),
            object: serde_json::Value::Null,
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
    async fn slow_subscriber_is_told_to_read_everything_again() {
        let hub = Hub::new();
        let mut slow = hub.subscribe();
        for key in 0..=BACKLOG {
            hub.publish(event(key));
        }
        assert_eq!(slow.next().await, Some(Received::Resync));
        assert!(matches!(slow.next().await, Some(Received::Event(event)) if event.key == "1"));
    }
}
