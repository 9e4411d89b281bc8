//! Every decision Muster's server takes, pure: state and time in, [`change::Changes`] out.
//!
//! Nothing here knows a clock, a random source, a database or a socket. `now` and random bytes
//! are arguments; what is to be stored, the audit row included, is returned and committed by
//! the server in one transaction. That makes every rule testable by moving `now`.
//!
//! - [`enrollment`]: a machine's request to be registered, from its code to its credential
//! - [`identity`], [`whoami`]: which registered machine a request or a caller resembles
//! - [`admission`]: what a bootstrap token allows
//! - [`machine`]: a machine, how it is made, changed, shown and deleted
//! - [`mesh`]: mesh networks, and who has which address in them
//! - [`names`]: what objects and architectures are called
//! - [`workflow`], [`prerequisites`]: task lists, and where in them a machine may stand
//! - [`params`]: from where the value of a param comes
//! - [`revocation`]: what ends bootstrap tokens before their time
//! - [`comeback`], [`boot_nonce`]: a machine that comes back with the token it came by, or with what
//!   its boot brought along
//! - [`change`]: what decisions return
//! - [`claims`]: who may do what
//! - [`cloud_init`]: the configuration of a machine's roles as one
//! - [`content`]: what machines refer to, as one snapshot
//! - [`image_hosts`]: which addresses of the server's own surroundings images may come from
//! - [`index`], [`filter`], [`patch`], [`fields`]: what requests about objects ask for
//! - [`job`]: one run of one task
//! - [`lifetime`]: how long something lasts, as people write it
//! - [`problem`]: why a request about an object is not granted
//! - [`provision`]: how a machine gets its operating system
//! - [`run`]: which job a machine gets next, and what its end means
//! - [`time`]: points in time as a type

pub mod admission;
pub mod boot_nonce;
pub mod bootenv;
pub mod change;
pub mod claims;
pub mod cloud_init;
pub mod comeback;
pub mod content;
pub mod duty;
pub mod enrollment;
pub mod fields;
pub mod filter;
pub mod identity;
pub mod image_hosts;
pub mod index;
pub mod job;
pub mod lifetime;
pub mod machine;
pub mod mesh;
pub mod names;
pub mod natural;
pub mod params;
pub mod patch;
pub mod prerequisites;
pub mod problem;
pub mod provision;
pub mod render;
pub mod revocation;
pub mod run;
pub mod time;
pub mod whoami;
pub mod workflow;
