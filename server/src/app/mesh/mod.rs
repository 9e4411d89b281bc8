//! Mesh networks while the server runs (`engine::mesh` decides, `protocol::mesh` is the wire):
//!
//! - `place`: machines that join and leave, in the commit that stores them
//! - `boards`: who is on which network's board, in memory
//! - `follow`: how the boards follow commits and the content
//! - this file: what members ask and tell
//! - `vips`: who holds which virtual address, stored before it is granted
//! - `peers`: what operators see of it all

mod boards;
mod cursor;
mod follow;
mod peers;
mod place;
mod vips;

pub(super) use peers::PEERS;
pub(super) use place::Placed;
pub(super) use vips::guard_vips;

use super::enroll::busy;
use super::error::{AppError, AppErrorKind};
use super::events::Did;
use super::{Actor, App, MachineTokenActor};
use crate::limits::Limited;
use boards::{Boards, Noted, Unheard};
use engine::change::{Cause, Changes};
use engine::machine::Machine;
use engine::mesh::vip::Arbiter;
use protocol::ids::MachineId;
use protocol::inventory::clean_line;
use protocol::mesh::{MAX_MESSAGE, MAX_PEERS, MeshNews, MeshReport, MeshReportAnswer, PublicKey};
use protocol::model::Kind;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Longest time that a poll is held.
const LONGEST_HOLD: Duration = Duration::from_secs(25);
/// Seconds after which a member that there was no room for tries again.
const ROOM_IN: u64 = 60;
/// Longest sentence of a report that is kept, in bytes.
const MAX_SENTENCE: usize = 4 * MAX_MESSAGE;
/// How often a commit is tried again because another came between.
const RETRIES: usize = 8;
/// Held heartbeats wait for the machine's id itself.
const POLLS: u128 = 0x6d65_7368_0000_0000_0000_0000_0000_0000;

/// What the server knows of mesh networks beside their objects.
#[derive(Debug)]
pub(crate) struct Mesh {
    boards: Mutex<Boards>,
    /// Who decides about virtual addresses, until it is stored.
    deciding: tokio::sync::Mutex<vips::Marks>,
    began: Instant,
    /// By how much tests moved the time on, in milliseconds.
    #[cfg(test)]
    ahead: std::sync::atomic::AtomicU64,
}

/// A poll that is held, until it is dropped.
struct Held<'a>(&'a Mesh, MachineId);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.lock().let_go(self.1);
    }
}

impl Mesh {
    /// Nobody is in any network yet, and nothing was ever held.
    pub(crate) fn new() -> Self {
        Self {
            boards: Mutex::new(Boards::new(Arbiter::load([], 0))),
            deciding: tokio::sync::Mutex::default(),
            began: Instant::now(),
            #[cfg(test)]
            ahead: std::sync::atomic::AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Boards> {
        self.boards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the server started: leases are counted by no clock that somebody sets.
    fn uptime(&self) -> u64 {
        let uptime = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        #[cfg(test)]
        let uptime = uptime + self.ahead.load(std::sync::atomic::Ordering::Relaxed);
        uptime
    }

    /// Moves the time on.
    #[cfg(test)]
    pub(super) fn pass(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(0);
        self.ahead.fetch_add(millis, std::sync::atomic::Ordering::Relaxed);
    }

    fn hold(&self, id: MachineId) -> Result<Held<'_>, Limited> {
        self.lock().hold(id)?;
        Ok(Held(self, id))
    }
}

/// What held polls of a machine wait for.
fn polls_of(id: MachineId) -> Uuid {
    Uuid::from_u128(id.0.as_u128() ^ POLLS)
}

impl App {
    /// What is new for a member since its cursor. Held up to `wait`, until there is something.
    ///
    /// # Errors
    /// `Forbidden` for whoever is no machine; `TooManyAttempts`.
    pub(crate) async fn mesh_news(
        &self,
        actor: &Actor,
        since: &str,
        wait: Duration,
    ) -> Result<MeshNews, AppError> {
        let caller = member(actor)?;
        let id = caller.machine;
        self.limits.mesh_poll(id, self.clock.now()).map_err(too_fast)?;
        let _held = self.mesh.hold(id).map_err(too_fast)?;
        // Listen first, then look: a change in between is not missed.
        let mut waiter = self.hub.waiter(polls_of(id));
        let touched = self.mesh.lock().spoke(id, caller.source, self.clock.now());
        self.wake_members(touched);
        let end = Instant::now() + wait.min(LONGEST_HOLD);
        let news = loop {
            let news = self.mesh.lock().news(id, since);
            if let Some(news) = news {
                break news;
            }
            if Instant::now() >= end || waiter.is_let_go() {
                break self.mesh.lock().news_or_place(id, since);
            }
            waiter.wait(end.saturating_duration_since(Instant::now())).await;
        };
        if news.own.is_none() {
            self.heard_of_leaving(actor, id).await?;
        }
        Ok(news)
    }

    /// What a member sees, and what it holds from now on.
    ///
    /// # Errors
    /// `Forbidden` for whoever is no machine; `TooManyAttempts`; a conflict when another machine has the key.
    pub(crate) async fn mesh_report(
        &self,
        actor: &Actor,
        mut report: MeshReport,
    ) -> Result<MeshReportAnswer, AppError> {
        let caller = member(actor)?;
        let sentences = report.vips.iter_mut().map(|vip| &mut vip.message).chain([&mut report.error]);
        sentences.for_each(|sentence| clean_line(sentence, MAX_SENTENCE));
        let (id, now) = (caller.machine, self.clock.now());
        self.limits.mesh_report(id, now).map_err(too_fast)?;
        let (mut touched, heard) = {
            let mut boards = self.mesh.lock();
            (boards.spoke(id, caller.source, now), boards.hear(id, &report, now))
        };
        match heard {
            Ok(Noted { touched: more, shown, key }) => {
                touched.extend(more);
                self.wake_members(touched);
                if let Some(key) = key {
                    self.store_mesh_key(actor, id, key).await?;
                }
                if shown {
                    self.tell_peers(id);
                }
            }
            Err(Unheard::KeyTaken) => {
                let message = "another machine has this WireGuard key: its file was copied, or both were made of one \
                               disk; remove the key's file on one of them and start its agent again";
                let key = id.to_string();
                return Err(
                    AppError::new(AppErrorKind::Conflict, message).about(Kind::Machines.prefix(), key)
                );
            }
            Err(Unheard::Full) => {
                let message =
                    format!("the mesh network has {MAX_PEERS} members with tunnels, and takes no more");
                // Room may come; a conflict would make it give its key up.
                return Err(AppError::new(AppErrorKind::Unavailable, message).after(ROOM_IN));
            }
            // It left, and hears so by its poll; it holds nothing any more.
            Err(Unheard::NoMember) => return Ok(MeshReportAnswer::default()),
        }
        self.arbitrate(actor, id, &report.vips).await
    }

    /// Stores the key that a machine told, when it is another one.
    async fn store_mesh_key(&self, actor: &Actor, id: MachineId, key: PublicKey) -> Result<(), AppError> {
        self.change_membership(actor, id, |machine, cause| machine.told_mesh_key(key, cause)).await
    }

    /// A machine was told that it is in no mesh network.
    async fn heard_of_leaving(&self, actor: &Actor, id: MachineId) -> Result<(), AppError> {
        self.change_membership(actor, id, Machine::heard_of_leaving).await
    }

    /// Stores what becomes of a machine that is still there; nothing becomes of it mostly.
    async fn change_membership(
        &self,
        actor: &Actor,
        id: MachineId,
        decide: impl Fn(&Machine, &Cause) -> Option<(Machine, Changes)>,
    ) -> Result<(), AppError> {
        for _ in 0..RETRIES {
            let cause = actor.cause(self.clock.now());
            let Some(before) = self.store.machine(id).await? else { return Ok(()) };
            let Some((after, changes)) = decide(&before, &cause) else { return Ok(()) };
            let told = self.machine_happening(Did::Update, &cause.principal, &after, Some(&before));
            match self.commit(changes, vec![told]).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// Wakes held polls.
    fn wake_members(&self, touched: BTreeSet<MachineId>) {
        for id in touched {
            self.hub.wake(polls_of(id));
        }
    }
}

/// The machine that calls, by a token that the server made for it: one that somebody made for a machine makes
/// nobody a member.
fn member(actor: &Actor) -> Result<&MachineTokenActor, AppError> {
    match actor {
        Actor::MachineToken(token) if token.grantor.is_empty() => Ok(token),
        Actor::MachineToken(_) | Actor::User(_) | Actor::Machine(_) => {
            let message =
                "this is for machines themselves, with the token that the server gives their agents";
            Err(AppError::new(AppErrorKind::Forbidden, message))
        }
    }
}

fn too_fast(limited: Limited) -> AppError {
    let message = "this machine asks too often; it should wait between two requests";
    AppError::new(AppErrorKind::TooManyAttempts, message).after(limited.retry_after)
}
