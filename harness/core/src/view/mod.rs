//! A network as it is now, for those who look at it while it is up: what its events have told so far,
//! in as little as that takes, however long it stays. It judges nothing: that is `check`, afterwards.

mod marks;
mod metrics;
mod network_view;
mod placement;
mod text;
#[cfg(test)]
mod told;
mod until;

pub use marks::{LEGEND, Mark, Marks};
pub use metrics::Metrics;
pub use network_view::{
    Branch, Deliveries, FaultRow, FidelityNow, NetworkView, NodeRow, NodeState, PeerCount,
    Snapshot, Status, TrafficNow,
};
pub use placement::{Disc, Placement, SIZE, place};
pub use text::{
    NODE_TITLES, agreement, fidelity_text, node_cells, nodes_text, short, status_text, traffic_text,
};
pub use until::Until;
