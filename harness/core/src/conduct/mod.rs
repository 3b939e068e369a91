//! What carrying a plan out means, whichever engine does it.

mod conductor;
mod faults;
mod io;
mod nodes;
mod observer;
mod sequencer;
mod stop;
#[cfg(test)]
mod stories;

pub use conductor::{Conductor, Setup, Venue, Workload};
pub use io::{BlockFacts, Command, Input, KnownBlocks, Observation, Order};
pub use observer::{Observer, Stage};
pub use stop::{Stop, interrupted};
