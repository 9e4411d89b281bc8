//! What a connection does, for the watch that closes it when it does nothing.
//!
//! A request runs until the last byte of its answer was taken: a download is not over when its
//! head is ready. hyper does not poll a body whose peer takes nothing, so a stalled download
//! can only be seen from outside, by the time since it moved.

use super::ConnectionLimits;
use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests begun so far.
    begun: u64,
    /// Requests that run, each with what it waits for.
    running: BTreeMap<u64, Waits>,
    /// Since when the peer owes taking more of the files in the queue, while there are any: the request
    /// ends when the last part of its body is in hand, and that may be a megabyte of a file.
    owed: Option<Instant>,
    /// When the last request began or ended; when the connection began, before the first.
    moved: Instant,
}

/// What a running request waits for.
#[derive(Debug, Clone, Copy)]
enum Waits {
    /// This server, for the head of the answer: handlers have their own deadlines.
    Answer,
    /// The peer, which last took a part of the answer's body at this time.
    Peer(Instant),
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let state = State { begun: 0, running: BTreeMap::new(), owed: None, moved: Instant::now() };
        Arc::new(Self(Mutex::new(state)))
    }

    /// A request begins; it ends when the value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        let mut state = self.lock();
        state.begun += 1;
        state.moved = Instant::now();
        let number = state.begun;
        state.running.insert(number, Waits::Answer);
        Running { activity: Arc::clone(self), number }
    }

    /// The peer took something of the files in the queue, or the first was put there; `more` is to come.
    pub(super) fn owes(&self, more: bool) {
        let now = Instant::now();
        let mut state = self.lock();
        state.owed = more.then_some(now);
        for waits in state.running.values_mut() {
            match waits {
                Waits::Answer => {}
                Waits::Peer(since) => *since = now,
            }
        }
    }

    /// Ends when a part of some answer was not taken for too long.
    pub(super) async fn stalled(&self, limits: &ConnectionLimits) {
        loop {
            let deadline = self.oldest().unwrap_or_else(Instant::now) + limits.stalled;
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }

    /// Ends when no request ran for a while: for the header's time before the first one, so
    /// that a peer that never sends its preface is not kept, for the idle time afterwards.
    pub(super) async fn idle(&self, limits: &ConnectionLimits) {
        loop {
            let (since, patience) = self.idle_since(limits);
            let deadline = since + patience;
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }

    fn idle_since(&self, limits: &ConnectionLimits) -> (Instant, Duration) {
        let state = self.lock();
        let since = if state.running.is_empty() { state.moved } else { Instant::now() };
        (since, if state.begun == 0 { limits.header } else { limits.idle })
    }

    /// When what moved longest ago, of bodies and files, did so.
    fn oldest(&self) -> Option<Instant> {
        let taken = |waits: &Waits| match waits {
            Waits::Answer => None,
            Waits::Peer(since) => Some(*since),
        };
        let state = self.lock();
        state.running.values().filter_map(taken).chain(state.owed).min()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after every statement, so a panic elsewhere leaves nothing torn.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request from its head to the end of its answer.
#[derive(Debug)]
pub(super) struct Running {
    activity: Arc<Activity>,
    number: u64,
}

impl Running {
    /// The answer's body, which ends the request when it is dropped.
    pub(super) fn watch(self, body: Body) -> Body {
        self.taken();
        Body::new(WatchedBody { body, running: self })
    }

    fn taken(&self) {
        self.activity.lock().running.insert(self.number, Waits::Peer(Instant::now()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        state.running.remove(&self.number);
        state.moved = Instant::now();
    }
}

struct WatchedBody {
    body: Body,
    running: Running,
}

impl hyper::body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Asking for the next part is the proof that the peer took the one before.
        self.running.taken();
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
