//! Swarms of root cores on a virtual network: delay, loss, partitions, crashes torn at any log record, twins, forgers,
//! captured shards.

mod byzantine;
mod checks;
mod crypto;
mod execution;
mod focus;
mod net;
mod shards;
mod swarm;
