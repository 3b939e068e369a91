//! What carrying a plan out means, whichever engine does it.

mod faults;
mod observation;
mod observer;
mod stop;

pub use faults::{Effect, Faults, calendar, meant_way};
pub use observation::{BlockFacts, LedgerState, PeerSums};
pub use observer::{Observer, Stage};
pub use stop::{Stop, interrupted};
