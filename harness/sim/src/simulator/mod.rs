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
//!  stream, connect   what kernels do: reliable streams, handshakes, broken connections (recovery:
//!    |               when what was lost is sent again)
//!   wire     packets, asked of the link model and counted (counters); a change of a link gives
//!            those under way other instants (retime)
//!
//! prefetch: memory is at hand when it is needed
//! ```
//!
//! The director is one of two that have shards do something. The other is the world of the node's own
//! stories (`node/tests/peers/world`): it starts machines by itself ([`Shard::start_with`]), reads and
//! writes in the place of programs that stand still ([`Shard::unread`], [`Shard::put_out`]), and looks
//! at what passes between programs and kernels ([`Shard::take_passed`]).

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
mod recovery;
#[cfg(test)]
mod recovery_stories;
mod retime;
mod shard;
mod stream;
mod wire;
mod work;
mod worker_pool;

pub use director::{Options, simulate};
pub use program::{EPOCH_SECS, Programs};
pub use shard::{Passed, Shard, Simulated};
pub use worker_pool::WorkerPool;

/// As in [`peerlab_core::event::What::Started`].
pub const NAME: &str = "sim";
