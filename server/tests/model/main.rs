//! The machine model by its REST calls, in process.

mod boot;
mod errors;
mod etags;
mod golden;
mod lists;
mod objects;
mod page;
mod params;
mod site;
mod watch;
