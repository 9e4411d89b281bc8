//! The machine model driven from outside: a real client, real agents, kills and hostile requests.

mod boots;
mod crash;
mod drppy;
mod hostile;
mod runners;
mod work;
