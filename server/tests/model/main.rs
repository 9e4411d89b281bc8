//! The machine model by its REST calls, in process.

mod access;
mod boot;
mod built_in;
mod errors;
mod etags;
mod events;
mod golden;
mod images;
mod jobs;
mod lists;
mod machine_tokens;
mod objects;
mod page;
mod params;
mod provision;
mod secrets;
mod sequences;
mod site;
mod watch;
