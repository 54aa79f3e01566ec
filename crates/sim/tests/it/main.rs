//! The simulator against itself, and the shard against the simulator.

mod picture;
mod runs;
mod scenarios;
mod text;
