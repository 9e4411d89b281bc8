//! The content as this process sees it: one snapshot that every use case reads without waiting,
//! and the one way to change it.
//!
//! Changes of one process take turns; those of another server on the same database make the
//! commit stale, so that it is decided again on what that one wrote.

use super::App;
use super::actor::Actor;
use super::enroll::busy;
use super::error::AppError;
use super::events::{Did, Happening};
use super::mesh::guard_vips;
use crate::hub;
use crate::report::chain;
use crate::store::StoreError;
use engine::change::{Cause, Change, Changes};
use engine::content::Content;
use protocol::model::{BootEnv, Kind};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;

/// How often a change is decided again because another server's commit came between.
const RETRIES: usize = 8;

/// How long another server's change of the content may be unknown here.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// The snapshot, and whose turn it is to change it.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    now: Arc<RwLock<Arc<Content>>>,
    turn: Mutex<()>,
}

impl Snapshot {
    fn get(&self) -> Arc<Content> {
        self.reader().get()
    }

    /// What was committed reads it where commits are put in order.
    pub(super) fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.now))
    }
}

/// Reads the snapshot from wherever it is wanted.
#[derive(Debug, Clone)]
pub(super) struct Reader(Arc<RwLock<Arc<Content>>>);

impl Reader {
    pub(super) fn get(&self) -> Arc<Content> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Never goes back: of two loads, the one of the older content may end last.
fn advance(now: &RwLock<Arc<Content>>, content: Arc<Content>) {
    let mut now = now.write().unwrap_or_else(PoisonError::into_inner);
    if content.revision >= now.revision {
        *now = content;
    }
}

impl App {
    /// What machines refer to, now.
    pub(crate) fn content(&self) -> Arc<Content> {
        self.snapshot.get()
    }

    /// Follows what other servers on the same database change, until `stop` is done.
    pub(crate) async fn follow_content(&self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
            }
            if let Err(error) = self.refresh_content().await {
                tracing::error!(error = %chain(&error), "the content was not read again; it is tried again");
            }
        }
    }

    /// Reads the content again when another server changed it.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what this version does not understand.
    pub(crate) async fn refresh_content(&self) -> Result<(), AppError> {
        if self.store.content_revisions().await?.0 > self.content().revision {
            self.load_content().await?;
            self.mesh_follows_content();
            self.hub.wake(hub::CONTENT);
        }
        Ok(())
    }

    /// Reads the content.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what this version does not understand.
    pub(crate) async fn load_content(&self) -> Result<(), StoreError> {
        let stored = self.store.content().await?;
        let content = Content::load(stored.objects, stored.prefs, stored.revision);
        let mut content =
            content.map_err(|error| StoreError::Damaged { table: "object", reason: error.to_string() })?;
        let bundles = stored.bundles.into_iter().map(|record| (record.key, record.body));
        content = content
            .with_bundles(bundles)
            .map_err(|error| StoreError::Damaged { table: "record", reason: error.to_string() })?;
        content.missing_files = self.missing_files(&content);
        advance(&self.snapshot.now, Arc::new(content));
        Ok(())
    }

    /// Looks which files of the boot tree came or went, and at the machines that wait for them.
    ///
    /// # Errors
    /// When the disk's thread failed.
    pub(super) async fn look_at_boot_tree(self: &Arc<Self>) -> Result<(), AppError> {
        let turn = self.snapshot.turn.lock().await;
        let (app, before) = (Arc::clone(self), self.content());
        let content = Arc::clone(&before);
        let missing = tokio::task::spawn_blocking(move || app.missing_files(&content));
        let missing_files = missing.await.map_err(AppError::internal)?;
        let changed: Vec<String> =
            missing_files.symmetric_difference(&before.missing_files).cloned().collect();
        if changed.is_empty() {
            return Ok(());
        }
        let needs = |env: &&Arc<BootEnv>| {
            let needed = engine::bootenv::needed_files(env);
            changed.iter().any(|file| needed.contains(file))
        };
        let concerned = before.bootenvs.iter().filter(needs).map(|env| (Kind::BootEnvs, env.name.clone()));
        let concerned: Vec<_> = concerned.collect();
        advance(&self.snapshot.now, Arc::new(Content { missing_files, ..Content::clone(&before) }));
        drop(turn);
        self.revalidate(&concerned).await;
        Ok(())
    }

    /// Changes the content: `decide` may be asked again when another server was faster. Answers
    /// the content before and after, once it is on disk; everybody was told, and the machines that
    /// it concerns were looked at again unless that takes longer.
    ///
    /// # Errors
    /// What `decide` says, what the caller may not do, or the store.
    pub(crate) async fn change_content(
        &self,
        actor: &Actor,
        decide: impl Fn(&Content, &Cause) -> Result<(Content, Changes), AppError>,
    ) -> Result<(Arc<Content>, Arc<Content>), AppError> {
        let turn = self.snapshot.turn.lock().await;
        for _ in 0..RETRIES {
            let before = self.content();
            let cause = actor.cause(self.clock.now());
            let (mut after, changes) = decide(&before, &cause)?;
            if changes.list.is_empty() {
                return Ok((Arc::clone(&before), before));
            }
            after.missing_files = self.missing_files(&after);
            let changes = self.guard_access(actor, &before, &after, changes).await?;
            let changes = guard_vips(actor, &after, changes, &cause)?;
            let told = happenings(&before, &after, &changes, &cause.principal);
            let changed: Vec<_> = changes.list.iter().filter_map(object_of).collect();
            let (committed, now) = (after.clone(), Arc::clone(&self.snapshot.now));
            // Replaced in the order of commits, before anybody hears of it.
            let replace = move |revision| {
                advance(&now, Arc::new(Content { revision, ..committed }));
            };
            match self.commit_first(changes, replace, told).await {
                Ok(revision) => {
                    drop(turn);
                    self.revalidate(&changed).await;
                    let after = Arc::new(Content { revision, ..after });
                    return Ok((before, after));
                }
                Err(error) if error.is_stale() => self.refresh_content().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }
}

/// The object that a change writes or takes away.
pub(super) fn object_of(change: &Change) -> Option<(Kind, String)> {
    if let Change::PutObject(stored) = change {
        return Some((stored.kind, stored.key.clone()));
    }
    let Change::DeleteObject { kind, key } = change else { return None };
    Some((*kind, key.clone()))
}

/// What is told of a commit of content.
fn happenings(before: &Content, after: &Content, changes: &Changes, principal: &str) -> Vec<Happening> {
    let of = |change: &Change| {
        let (kind, key) = object_of(change)?;
        let (then, now) = (before.show(kind, &key), after.show(kind, &key));
        let (did, shown, original) = match (then, now) {
            (None, now) => (Did::Create, now, None),
            (then, None) => (Did::Delete, then, None),
            (then, now) => (Did::Update, now, then),
        };
        shown.map(|shown| Happening::content(did, principal, kind, &key, shown, original))
    };
    changes.list.iter().filter_map(of).collect()
}
