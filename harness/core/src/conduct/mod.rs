//! What carrying a plan out means, whichever engine does it.

mod by_hand;
mod conductor;
mod faults;
mod hand_faults;
#[cfg(test)]
mod hand_stories;
mod io;
mod measuring;
#[cfg(test)]
mod member_stories;
mod membership;
mod nodes;
mod observer;
mod open_actions;
mod outstanding;
mod readiness;
mod replacements;
mod sequencer;
mod stop;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod story;

pub use by_hand::{Done, Failure};
pub use conductor::{Conductor, Setup, Venue, Workload};
pub use io::{BlockFacts, Command, Input, KnownBlocks, Observation, Order, Said, Ticket};
pub use observer::{Observer, Stage};
pub use stop::{Stop, ended, interrupted};
