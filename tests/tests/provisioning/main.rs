//! Provisioning: machines that wait in Discovery mode become machines that run an operating system, real Debian, by
//! each kind of image, on BIOS and UEFI; and what happens when something goes wrong on the way. Run with two threads on
//! two cores.

mod command;
mod cuts;
mod faults;
mod full;
mod layouts;
mod returns;
mod site;
mod whole;
