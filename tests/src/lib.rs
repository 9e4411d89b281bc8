//! Muster's end-to-end harness: real QEMU, real firmware, the real server binary, a real
//! browser, and a simulated machine that speaks the wire protocol.
//!
//! Suites under `tests/` use it, and so do the programs behind `make run` and `make demo`.
//! Everything is blocking code; every wait has a deadline and fails with what was seen (the
//! last lines of the serial console, a screenshot, the server's log). Whatever a test leaves
//! for people to look at lies under `target/e2e-output/NAME/`.
//!
//! Nothing here listens on anything but loopback and networks of a test's own ([`lab`]), and every process started is ended by its
//! pid, also when the test process itself is killed (see [`process`]).

pub mod browser;
mod certificate;
pub mod disk;
pub mod fake_server;
pub mod flushes;
pub mod lab;
pub mod machine;
pub mod media;
pub mod muster;
pub mod operator;
pub mod os_image;
pub mod output;
pub mod pcap;
pub mod process;
pub mod qemu;
pub mod screen;
pub mod wait;
