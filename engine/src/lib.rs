//! Every decision Muster's server takes, pure: state and time in, [`change::Changes`] out.
//!
//! Nothing here knows a clock, a random source, a database or a socket. `now` and random bytes
//! are arguments; what is to be stored, the audit row included, is returned and committed by
//! the server in one transaction. That makes every rule testable by moving `now`.
//!
//! - [`enrollment`]: a machine's request to be registered, from its code to its credential
//! - [`identity`]: which registered machine a request resembles
//! - [`admission`]: what a bootstrap token allows
//! - [`machine`]: the registered machine, its name and how it is shown
//! - [`revocation`]: what ends bootstrap tokens before their time
//! - [`comeback`]: a machine that comes back with the token it came by
//! - [`change`]: what decisions return
//! - [`claims`]: who may do what
//! - [`content`]: what machines refer to, as one snapshot
//! - [`index`], [`filter`], [`patch`], [`fields`]: what requests about objects ask for
//! - [`job`]: one run of one task
//! - [`problem`]: why a request about an object is not granted
//! - [`run`]: which job a machine gets next, and what its end means
//! - [`time`]: points in time as a type

pub mod admission;
pub mod change;
pub mod claims;
pub mod comeback;
pub mod content;
pub mod duty;
pub mod enrollment;
pub mod fields;
pub mod filter;
pub mod identity;
pub mod index;
pub mod job;
pub mod machine;
pub mod patch;
pub mod problem;
pub mod revocation;
pub mod run;
pub mod time;
