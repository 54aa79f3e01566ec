//! The program as its users have it: real processes, real sockets, real disks.

mod bad_input;
mod crash;
mod harness;
mod lifecycle;
