//! The program as its users have it: real processes, real sockets, real disks.

mod bad_input;
mod chaos;
mod cli;
mod compat;
mod crash;
#[cfg(unix)]
mod folder;
mod harness;
mod history;
mod lifecycle;
mod light;
mod record;
mod root_contracts;
mod sim;
