//! The server from outside: its whole surface without sockets, and its listener with them.

mod boot_door;
mod boot_secrets;
mod doors;
mod enrolment;
mod events;
mod listener;
mod media;
mod menus;
mod sessions;
mod support;
mod tftp_door;
