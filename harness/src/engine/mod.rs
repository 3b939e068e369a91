//! Engines carry a plan out and emit RunEvents; they decide nothing. An engine of real nodes
//! (`docker`, `local`) only knows how to start a fabric and nodes on some machine: [`Engine`] is
//! all that it implements. `drive` does the rest, the same for each: it talks to the fabric, keeps
//! the workload, watches the nodes, and writes down what happened. The simulator (`sim`) does
//! everything in virtual time.

pub mod archive;
pub mod capacity;
mod command;
mod cpu_time;
pub mod docker;
pub mod drive;
pub mod hint;
mod interrupt;
mod last_lines;
#[cfg(target_os = "linux")]
pub mod local;
mod node_log;
pub mod programs;
mod provider;

pub use interrupt::{blocking, or_stop, stop_asked_by};
pub use last_lines::LastLines;
pub use node_log::NodeLog;
use provider::socket_pair;
pub use provider::{ByteStream, Engine, WayIn};
