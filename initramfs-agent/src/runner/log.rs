//! The log of a running job on its way to the server, and with it the lease: whoever writes the log
//! hears first that the job is somebody else's.
//!
//! 1. What the task says goes into the [`Spool`].
//! 2. [`JobLog::deliver`] sends it once a second, or sooner when there is much of it, each piece at
//!    its place: one that was sent twice is there once.
//! 3. While there is nothing to send, the job is looked at instead; and first of all after a time
//!    that this process slept through, for the job may have been given to another runner then.

use super::calls::{Appended, CallError, Held, Lease, Muster};
use super::spool::Spool;
use crate::deadline::since_boot;
use std::cell::{Cell, RefCell};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

/// How much may wait for the server, in bytes.
const CAPACITY: u64 = 16 * 1_024 * 1_024;
/// Largest piece, and as much as is not kept waiting.
const PIECE: usize = 64 * 1_024;
/// How long less than that waits.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How old the last word of the server on the lease may become: below the 10 s that are promised.
const LEASE_GOOD_FOR: Duration = Duration::from_secs(8);
/// A tick that took longer than this was slept through.
const SLEPT: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_secs(1);

/// The log of one run.
#[derive(Debug)]
pub(crate) struct JobLog {
    lease: Lease,
    spool: RefCell<Spool>,
    /// There is a whole piece, or nothing more comes.
    news: Notify,
    is_closed: Cell<bool>,
    /// When the server last confirmed the lease, since the kernel started.
    confirmed_at: Cell<Duration>,
    confirmed: Notify,
}

impl JobLog {
    /// A log that goes on after `length` bytes, spooled in a nameless file of `folder`.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn new(lease: Lease, folder: &Path, length: u64) -> io::Result<Self> {
        let path = folder.join(format!("{}.log", lease.job));
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        Ok(Self {
            lease,
            spool: RefCell::new(Spool::new(file, CAPACITY, length)),
            news: Notify::new(),
            is_closed: Cell::new(false),
            confirmed_at: Cell::new(since_boot()),
            confirmed: Notify::new(),
        })
    }

    /// Takes in what the task said.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut spool = self.spool.borrow_mut();
        spool.push(bytes)?;
        if spool.len() >= len(PIECE) {
            self.news.notify_one();
        }
        Ok(())
    }

    /// Takes in a line of the runner's own.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn say(&self, text: &str) -> io::Result<()> {
        self.write(format!("muster: {text}\n").as_bytes())
    }

    /// Nothing more comes: [`JobLog::deliver`] ends when the server has it all.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.is_closed.set(true);
        self.news.notify_one();
        self.spool.borrow_mut().finish()
    }

    /// Waits until the server's last word on the lease is a recent one. Nothing is begun before.
    pub(crate) async fn lease_is_fresh(&self) {
        loop {
            let confirmed = self.confirmed.notified();
            if since_boot().saturating_sub(self.confirmed_at.get()) < LEASE_GOOD_FOR {
                return;
            }
            self.news.notify_one();
            confirmed.await;
        }
    }

    /// Brings the log to the server until it is closed and complete there, or the job is no longer
    /// this runner's.
    ///
    /// # Errors
    /// [`DeliverError`].
    pub(crate) async fn deliver(&self, muster: &mut Muster) -> Result<Held, DeliverError> {
        let (mut tick, mut flush_at) = (since_boot(), Instant::now());
        loop {
            let is_due = Instant::now() >= flush_at || self.is_closed.get();
            let (offset, piece) = self.spool.borrow().peek(PIECE)?;
            let slept = since_boot().saturating_sub(tick) > SLEPT;
            let is_old = since_boot().saturating_sub(self.confirmed_at.get()) >= LEASE_GOOD_FOR;
            tick = since_boot();
            if slept || is_old && piece.is_empty() {
                if muster.check(self.lease).await? == Held::Lost {
                    return Ok(Held::Lost);
                }
                self.confirm();
            } else if !piece.is_empty() && (is_due || piece.len() == PIECE) {
                if self.send(muster, offset, piece).await? == Held::Lost {
                    return Ok(Held::Lost);
                }
                flush_at = Instant::now() + FLUSH_EVERY;
            } else if self.is_closed.get() && piece.is_empty() {
                return Ok(Held::Yes);
            } else {
                let next = if piece.is_empty() { Instant::now() + TICK } else { flush_at };
                tokio::select! {
                    () = self.news.notified() => {}
                    () = sleep_until(next) => {}
                    () = sleep(TICK) => {}
                }
            }
        }
    }

    async fn send(&self, muster: &mut Muster, offset: u64, piece: Vec<u8>) -> Result<Held, DeliverError> {
        let end = offset.saturating_add(len(piece.len()));
        let target = (self.lease.job, Some(self.lease));
        match muster.append(target, offset, piece.into()).await? {
            Appended::Yes => self.spool.borrow_mut().taken_up_to(end),
            Appended::Elsewhere(length) => self.spool.borrow_mut().resume_at(length)?,
            Appended::Lost => return Ok(Held::Lost),
        }
        self.confirm();
        Ok(Held::Yes)
    }

    fn confirm(&self) {
        self.confirmed_at.set(since_boot());
        self.confirmed.notify_waiters();
    }
}

/// Why a log cannot be delivered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliverError {
    /// The server's answer leads nowhere.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The spool cannot be read.
    #[error("cannot keep what the task says")]
    Spool(#[from] io::Error),
}

/// Appends one line to the log of a job that nobody runs.
///
/// # Errors
/// [`CallError`].
pub(crate) async fn remark(muster: &mut Muster, job: Uuid, text: &str) -> Result<(), CallError> {
    let line = format!("muster: {text}\n");
    // Others may write at the same place: a few tries find one that is free.
    for _ in 0..4 {
        let length = muster.log_length(job).await?;
        match muster.append((job, None), length, line.clone().into()).await? {
            Appended::Yes | Appended::Lost => return Ok(()),
            Appended::Elsewhere(_) => {}
        }
    }
    Ok(())
}

fn len(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
