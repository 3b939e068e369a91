//! A network as it is now, for those who look at it while it is up: what its events have told so far,
//! in as little as that takes, however long it stays. It judges nothing: that is `check`, afterwards.

mod network_view;
mod text;
mod until;

pub use network_view::{
    Branch, FaultRow, NetworkView, NodeRow, NodeState, PeerCount, Status, TrafficNow,
};
pub use text::{nodes_text, status_text};
pub use until::Until;
