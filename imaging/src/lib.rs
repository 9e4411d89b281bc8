//! Images of operating systems: OCI images, tar archives, raw and qcow2 disk images, and our own form of
//! disk images ([`blockmap`]). Server and installer use it; it knows nothing of either, opens no
//! connection and trusts no byte.
#![forbid(unsafe_code)]

pub mod blockmap;
pub mod compress;
pub mod digest;
mod fill;
pub mod layer;
pub mod oci;
pub mod qcow2;
