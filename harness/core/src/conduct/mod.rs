//! What carrying a plan out means, whichever engine does it.

mod conductor;
mod faults;
mod io;
mod nodes;
mod observation;
mod observer;
mod sequencer;
mod stop;
#[cfg(test)]
mod stories;

pub use conductor::{Conductor, Setup, Venue, Workload};
pub use io::{Command, Fidelity, Input, Observation, Order};
pub use observation::{BlockFacts, LedgerState, PeerSums};
pub use observer::{Observer, Stage};
pub use sequencer::KnownBlocks;
pub use stop::{Stop, interrupted};
