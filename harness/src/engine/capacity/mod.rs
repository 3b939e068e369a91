//! What a machine can carry: each of its limits, with the number of nodes that it carries and the
//! command that raises it. `peerlab doctor` prints them; a run asks first, and does not begin
//! what cannot fit.
//!
//! `machine` reads this machine's limits, `local` and `docker` say what they mean for an engine,
//! `load` estimates how busy an experiment keeps the CPUs. All but the reading is pure.

mod docker;
mod limit;
mod load;
mod local;
mod machine;

pub use docker::{Daemon, docker};
pub use limit::{Capacity, Limit};
pub use load::Load;
pub use local::local;
pub use machine::{Machine, hard_limit, peak_memory_bytes};
