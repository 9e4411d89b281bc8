//! `muster-installer mesh`: the machine as a member of a mesh network. The agent starts it when the server says that the
//! machine is in one, and at the start of an installed system that was; nothing of it is in process 1. The tunnels live
//! in the kernel and outlive it.
//!
//! 1. Take over from an earlier one ([`turn`]), read key and what was known last ([`state`]), and bring the kernel to
//!    that ([`plan`], [`wireguard`], [`network`]): without the server, if need be.
//! 2. Await news of the server, and report what there is to see ([`talk`]).
//! 3. Change in the kernel what changed and nothing else; try the places of peers in turn ([`path`]); test what may be
//!    held ([`checks`]); name members in `/etc/hosts` ([`hosts`]). What to do is decided by [`member`].
//! 4. Renew the token in time ([`token`]). End when none is taken any more, with the tunnels as they are; or, out of the
//!    network, once all is down.
//!
//! Nothing for the mesh network ever leaves in the clear: behind the routes to the tunnels are dead ends, there before
//! the interface is, and still there when the machine has left; after a boot of an installed system before it has any
//! other network ([`guard`]).

mod addresses;
mod checks;
mod forwarding;
mod guard;
mod hosts;
mod member;
mod network;
mod path;
mod plan;
mod prefix;
mod run;
mod state;
mod talk;
mod token;
mod turn;
mod wireguard;

pub(crate) use run::{Verb, run};
