//! Initial ramdisks: newc cpio archives, and the segments a ramdisk is made of.
//!
//! The kernel unpacks an initial ramdisk as a chain of archives, each plain or compressed, each
//! starting on a multiple of four bytes (`Documentation/driver-api/early-userspace/buffer-format.rst`).
//! [`cpio`] writes and reads one archive, [`segment`] joins several and makes the *config archive*: the
//! fixed-length second ramdisk whose bytes are overwritten when an image is personalised.
//!
//! Everything here is bytes in, bytes out: sorted, dated by the caller, the same on every run.

pub mod cpio;
pub mod segment;
