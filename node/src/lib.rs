//! A full node of the Bitcoin protocol for private networks (regtest rules), as a sans-IO
//! library: it takes in what happened and what time it is, and answers with what is to be done.
//! Drivers (the tokio daemon, the simulator) own sockets, clocks and processes.

pub mod chain;
mod context;
mod hash_key;
pub mod io;
mod machine;
pub mod mempool;
pub mod options;
pub mod peers;
mod relay;
mod sync;
pub mod time;
pub mod wire;

#[cfg(feature = "planted-bugs")]
pub use context::PlantedBug;
pub use context::{Config, Timing};
pub use machine::Machine;
pub use sync::CompactTally;
