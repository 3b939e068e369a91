//! The simulator: a plan carried out in virtual time, with the node's own code and the link model
//! of the fabric. No container, no process, no clock: the same plan gives the same record, byte
//! for byte, on any machine.
//!
//! ```text
//! director   the plan's fault schedule and workload actions, the record
//!    |
//!   pool     the nodes spread over threads, without anybody being able to tell
//!    |
//!  shard     nodes, their events in one order (queue)
//!    |
//!   life     what a node's program reads and answers, its start and end (program: what it is;
//!    |       work: how long it computes)
//!    |
//!  stream, connect   what kernels do: reliable streams, handshakes, broken connections
//!    |
//!   wire     packets, asked of the link model and counted (counters)
//!
//! prefetch: memory is at hand when it is needed
//! ```

mod account;
mod connect;
mod counters;
mod director;
mod life;
mod node;
mod packet;
mod prefetch;
mod program;
mod queue;
mod shard;
mod stream;
mod wire;
mod work;
mod worker_pool;

pub use director::{Options, simulate};
pub use shard::Simulated;

/// As in [`peerlab_core::event::What::Started`].
pub const NAME: &str = "sim";
