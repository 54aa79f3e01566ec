//! The simulator against itself, and the shard against the simulator.

mod claims;
mod network;
mod picture;
mod runs;
mod scenarios;
mod text;
