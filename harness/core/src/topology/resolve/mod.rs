//! From the file's sections to the [`super::Topology`]: names become indices, defaults are filled
//! in, rules are checked. All independent mistakes are told, in the order of the file.

mod abilities;
mod by_hand;
mod churn;
mod expect;
mod faults;
mod known;
mod launch;
mod ledger;
mod network;
mod nodes;
mod probe;
mod problems;
mod regions;
mod selection;
mod whole;

pub use by_hand::{resolve_by_hand, resolve_nodes};
pub use network::MTU_DEFAULT;
pub use nodes::QUEUE_BYTES_DEFAULT;
pub use regions::REGION_DEFAULT;
pub use whole::resolve;
