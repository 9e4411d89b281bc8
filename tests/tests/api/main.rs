//! The protocol and the REST interface, black box: the real server binary on the loopback,
//! simulated machines with real proofs, and clients that mean harm. No virtual machine.

mod clock;
mod codes;
mod crash;
mod fixtures;
mod hostile;
mod keys;
mod limits;
mod nonces;
mod proofs;
mod reboots;
mod reproducible;
mod revocation;
mod secrets;
mod tokens;

use std::net::Ipv4Addr;

use tests::machine::{Machine, Target};
use tests::muster::Server;
use tests::operator::Operator;

/// A server of one test's own, its operator, and machines that each call from an address of
/// their own: creation is limited by source.
struct Site {
    server: Server,
    operator: Operator,
    target: Target,
    machines: u32,
}

impl Site {
    fn start(name: &str) -> Self {
        Self::of(Server::builder(name).start().unwrap())
    }

    fn of(server: Server) -> Self {
        let operator = server.operator().unwrap();
        let target = Target::of(&server).unwrap();
        Self { server, operator, target, machines: 0 }
    }

    fn machine(&mut self) -> Machine {
        self.machines += 1;
        Machine::calling_from(&self.target, self.machines, source(self.machines)).unwrap()
    }
}

/// The loopback address of machine `number`, in 127.1.0.0/16.
fn source(number: u32) -> Ipv4Addr {
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}
