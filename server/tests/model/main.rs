//! The machine model by its REST calls, in process.

mod access;
mod audit;
mod boot;
mod boot_preview;
mod built_in;
mod errors;
mod etags;
mod events;
mod golden;
mod images;
mod jobs;
mod lists;
mod machine_tokens;
mod meshes;
mod objects;
mod page;
mod params;
mod provision;
mod secrets;
mod sequences;
mod site;
mod watch;
