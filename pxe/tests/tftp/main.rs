//! The TFTP server on real sockets of the loopback interface.

mod bad_network;
mod client;
mod hostile;
mod relay;
mod transfers;

use pxe::tftp::{Answer, ErrorCode, Limits, Reply, Request, Running, Server};
use std::net::SocketAddr;

/// A server whose file `N` has N bytes, each another than its neighbours.
fn serve(address: &str, limits: Limits) -> (Running, SocketAddr) {
    let server = Server::bind(address.parse().unwrap(), limits).unwrap();
    let address = server.address();
    (server.run(answer).unwrap(), address)
}

fn answer(request: Request, reply: Reply) {
    reply.send(match request.path.trim_start_matches('/').parse() {
        Ok(len) => Answer::File(Box::new(contents(len))),
        Err(_) => Answer::Refuse(ErrorCode::FileNotFound, format!("there is no {}", request.path)),
    });
}

/// Bytes that are others at every block, whatever its size.
fn contents(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}
