//! A listening socket inside a lab, with a thread for each connection; shut as a whole.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use nix::sys::socket;

use super::Lab;

/// What is done with a connection.
pub(super) type Serve = Arc<dyn Fn(TcpStream) -> Result<()> + Send + Sync>;

/// Closes when dropped: nobody listens any more, and open connections break.
pub(super) struct Door {
    listener: TcpListener,
    guests: Arc<Mutex<Vec<TcpStream>>>,
    porter: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Door {
    /// Listens at an address of the lab.
    pub(super) fn open(lab: &Lab, address: SocketAddr, serve: Serve) -> Result<Self> {
        let bound = lab.inside(move || TcpListener::bind(address))?;
        let listener = bound.with_context(|| format!("cannot listen on {address} of the lab"))?;
        let guests = Arc::new(Mutex::new(Vec::new()));
        let porter = std::thread::spawn({
            let listener = listener.try_clone().context("cannot share a listener")?;
            let guests = Arc::clone(&guests);
            move || admit(&listener, &guests, &serve)
        });
        Ok(Self { listener, guests, porter: Some(porter) })
    }

    /// Where it listens, with the port the kernel chose.
    pub(super) fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().context("a listener without an address")
    }
}

fn admit(listener: &TcpListener, guests: &Mutex<Vec<TcpStream>>, serve: &Serve) {
    while let Ok((stream, _)) = listener.accept() {
        let (Ok(handle), Ok(mut guests)) = (stream.try_clone(), guests.lock()) else { return };
        guests.push(handle);
        let serve = Arc::clone(serve);
        // A connection that breaks is what tests bring about: its end is all there is to say.
        std::thread::spawn(move || drop(serve(stream)));
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Wakes the accepting thread: a listener that is shut down accepts nobody. One that
        // cannot be is no socket any more, and wakes it as well.
        socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both).unwrap_or_default();
        if let Some(porter) = self.porter.take() {
            drop(porter.join());
        }
        for guest in self.guests.lock().iter().flat_map(|guests| guests.iter()) {
            // One that is over already needs no end.
            drop(guest.shutdown(Shutdown::Both));
        }
    }
}

/// Carries bytes both ways until both sides have said all.
pub(super) fn join(one: &TcpStream, other: &TcpStream) -> Result<()> {
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        // Broken or ended: the other side is told either way.
        drop(std::io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    };
    let (one, other) = (|| one.try_clone().context("no handle"), || other.try_clone().context("no handle"));
    let (there_from, there_to, back_from, back_to) = (one()?, other()?, other()?, one()?);
    let there = std::thread::spawn(move || copy(there_from, there_to));
    copy(back_from, back_to);
    drop(there.join());
    Ok(())
}
