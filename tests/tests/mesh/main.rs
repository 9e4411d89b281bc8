//! Mesh networks, for real: machines under QEMU that boot our image or run an installed system, with the WireGuard of
//! their own kernels, on a bridge of a lab; one stands behind a router that hides it (iptables). What goes over their
//! cables is captured whole and read afterwards. Run with one thread on two cores.

mod capture;
mod installed;
mod member;
mod secrets;
mod site;
mod together;
