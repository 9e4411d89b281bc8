//! Boot documents for network loaders.
//!
//! This version renders the menu entries that people paste into a boot server they already
//! have. Answering TFTP and DHCP ourselves comes with the network-boot issue.

pub mod documents;
