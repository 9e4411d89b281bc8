//! The way from a lab to a server on the host's loopback.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, anyhow};

use super::Lab;
use super::door::{Door, join};

/// A port of the lab that leads to a port of the host. Cut when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    door: Option<Door>,
}

impl Relay {
    /// Connections to `address` of the lab are carried to `target` of the host.
    ///
    /// # Errors
    /// When nobody can listen there.
    pub fn start(lab: &Lab, address: SocketAddr, target: SocketAddr) -> Result<Self> {
        let mut relay = Self { address, target: Arc::new(Mutex::new(target)), door: None };
        relay.restore(lab)?;
        relay.address = relay.door.as_ref().context("no door")?.address()?;
        Ok(relay)
    }

    /// Where machines reach it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a server's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// From now on it leads to another port of the host. Open connections are as they were.
    ///
    /// # Errors
    /// Never, unless one of its threads panicked.
    pub fn lead_to(&self, target: SocketAddr) -> Result<()> {
        *self.target.lock().map_err(|_| anyhow!("a connection's thread panicked"))? = target;
        Ok(())
    }

    /// Nobody listens any more, and open connections break.
    pub fn cut(&mut self) {
        self.door = None;
    }

    /// Takes connections again, at the same address.
    ///
    /// # Errors
    /// When nobody can listen there.
    pub fn restore(&mut self, lab: &Lab) -> Result<()> {
        let target = Arc::clone(&self.target);
        let carry = move |stream: TcpStream| {
            let target = *target.lock().map_err(|_| anyhow!("a connection's thread panicked"))?;
            let server = TcpStream::connect(target).with_context(|| format!("cannot reach {target}"))?;
            join(&stream, &server)
        };
        self.door = Some(Door::open(lab, self.address, Arc::new(carry))?);
        Ok(())
    }
}
