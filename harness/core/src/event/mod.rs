//! RunEvents: the one schema between engines on one side and checks and report on the other,
//! and the file that holds them.

mod run_event;

pub use run_event::{
    Block, FORMAT, HostFacts, LedgerState, PeerSums, RunEvent, Started, Tip, What,
};
