//! What every engine shares about the emulated network: the pure link model, and the
//! messages that harness, fabric and gate speak. No socket, clock or file is opened here.

pub mod change;
pub mod framing;
pub mod id;
pub mod model;
pub mod proto;
pub mod starter;

pub use change::{Change, Loss, Network, NodeLink, PathDelay, Shape};
pub use id::{Nanos, NodeId};
pub use model::{LinkModel, Passage, Retiming, Verdict};
