//! Deterministic simulator of one shard, and of a whole network: production cores, hostile networks, disks, clocks and seats.
//!
//! ```text
//!  swarm::draw(seed) ─► Plan ─► World ─► Report (counters, trace hash, violations)
//!                                │
//!        Queue (time, order) ────┤
//!        SeatInput ─► Seat ─► Actions ─► Disk, Network ─► Queue
//!                     │  │       └─────► Checker (agreement, validity, contradiction, …)
//!        Node(ShardCore)  byzantine actor
//! ```
//!
//! A [`Plan`] says who fails how and when; a seed and a commit determine a run to the last message. Honest
//! seats are the production [`anfs_consensus::ShardCore`] in a small node; byzantine seats sign what they like
//! with their own keys. Checkers look at everything that honest seats sign, send and decide.
//!
//! Not for: execution, storage formats, transports. Those have tests of their own.
//!
//! ```
//! let report = anfs_sim::World::new(anfs_sim::Plan::calm(1, 4, 2_000)).run();
//! assert!(report.passed());
//! assert!(report.counts.decided_heights > 10);
//! ```
//!
//! spec: PROTOCOL §4, §12

pub mod blocks;
pub mod byzantine;
pub mod check;
pub mod clock;
pub mod crypto;
pub mod disk;
mod html;
pub mod light;
pub mod network;
pub mod node;
pub mod observe;
pub mod plan;
pub mod queue;
pub mod report;
pub mod rng;
pub mod scenario;
pub mod seat;
mod summary;
pub mod swarm;
pub mod trace;
mod trail;
pub mod wires;
pub mod world;

pub use byzantine::Behaviour;
pub use clock::Skew;
pub use disk::DiskHealth;
pub use node::Node;
pub use observe::{Observer, TraceEvent};
pub use plan::{Event, Plan, Timing};
pub use report::{Counts, Report, Rule, Violation};
pub use scenario::{Scenario, ScenarioError};
pub use seat::{Action, Boot, Outbox, Seat, SeatInput, Work};
pub use trace::{Recorder, Window};
pub use wires::Weather;
pub use world::World;
