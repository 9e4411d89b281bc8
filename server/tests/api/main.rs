//! The server from outside: its whole surface without sockets, and its listener with them.

mod boot_door;
mod boot_secrets;
mod doors;
mod enrolment;
mod events;
mod hostile;
mod listener;
mod logins;
mod media;
mod member;
mod menus;
mod mesh;
mod sessions;
mod support;
mod terminals;
mod tftp_door;
