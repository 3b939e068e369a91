//! RunEvents: the one schema between engines on one side and checks and report on the other,
//! and the file that holds them.

mod line;
mod reason;
mod run_event;

pub use reason::Reason;
pub use run_event::{
    Block, CompactSums, FORMAT, FORMAT_BY_HAND, FORMAT_WITH_EFFECTS, HostCpu, HostFacts, Joined,
    LedgerState, PeerSums, RunEvent, Started, StateDigest, Tip, What,
};
