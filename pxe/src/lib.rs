//! Network boot for people who know nothing of Muster: TFTP, proxyDHCP, and documents for loaders.
//!
//! Both servers ask whoever runs them one question: what should this machine boot?

#![forbid(unsafe_code)]

pub mod dhcp;
pub mod documents;
pub mod question;
pub mod tftp;
