//! Disks: what is on them.
