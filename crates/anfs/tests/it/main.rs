//! The program as its users have it: real processes, real sockets, real disks.

mod bad_input;
mod chaos;
mod cli;
mod coins;
mod compat;
mod crash;
#[cfg(unix)]
mod folder;
mod harness;
mod history;
mod killer;
mod lifecycle;
mod light;
mod record;
mod root_contracts;
mod sim;
