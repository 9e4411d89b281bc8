//! Kernel modules: what they say about themselves, which ones an image needs, and the index the agent reads.
//!
//! Kernel packages carry no `modules.dep`; depmod makes it on the installed system. Everything it would know
//! stands in the modules, in the ELF section `.modinfo`, and is read from there ([`modinfo`]). [`select`] takes
//! the directories of a profile, follows dependencies and wishes (`softdep`), and fills the index.

pub(crate) mod modinfo;
pub(crate) mod packer;
pub(crate) mod profile;
pub(crate) mod select;
pub(crate) mod tree;

pub use tree::ModuleError;
