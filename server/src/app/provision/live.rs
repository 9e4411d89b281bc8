//! How far runs have come by the second: in memory, since most of it is no news a moment later. What a
//! restart of the server loses is told again within a second, and a step is stored when it begins.

use engine::provision::Run;
use engine::time::Timestamp;
use protocol::install::Progress;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// How long progress within a step stays in memory before it is stored.
const STORED_EVERY: Duration = Duration::from_secs(10);

/// Progress of the runs that are under way.
#[derive(Debug, Default)]
pub(crate) struct LiveProgress(Mutex<HashMap<Uuid, Told>>);

/// What was told last.
#[derive(Debug, Clone)]
struct Told {
    progress: Progress,
    stored_at: Timestamp,
}

impl LiveProgress {
    fn all(&self) -> MutexGuard<'_, HashMap<Uuid, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note. Whether it is time to store it.
    pub(super) fn note(&self, run: Uuid, progress: &Progress, now: Timestamp) -> bool {
        let mut all = self.all();
        let told = all.entry(run).or_insert_with(|| Told { progress: Progress::default(), stored_at: now });
        told.progress = progress.clone();
        let due = now.since(told.stored_at) >= STORED_EVERY;
        if due {
            told.stored_at = now;
        }
        due
    }

    /// The run with what was told of its step.
    pub(super) fn of(&self, run: &Run) -> Run {
        let mut run = run.clone();
        if run.is_active()
            && let Some(told) = self.all().get(&run.id).filter(|told| told.progress.step == run.step())
        {
            run.progress = told.progress.clone();
        }
        run
    }

    /// The run is in another step, or over.
    pub(super) fn forget(&self, run: Uuid) {
        self.all().remove(&run);
    }
}
