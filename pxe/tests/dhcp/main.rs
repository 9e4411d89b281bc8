//! DHCP as firmware and machines see it: bytes in, messages out.

mod hostile;
mod lab;
mod leases;
mod messages;
mod proxy;
