//! qcow2 disk images, read.
