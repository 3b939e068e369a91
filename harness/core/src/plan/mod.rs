//! From topology and seed to a plan: all chance is spent here. Pure; no engine is known here.
//!
//! `compile` draws the plan; `spec` is its data; `stored` writes and reads it; `summary` tells it.
//! `stay` makes that of a network that stays, `roster` names its nodes, and `by_hand` completes the plan by
//! what was done to it.

mod arguments;
mod by_hand;
pub mod chance;
mod churn;
mod compile;
mod discover;
mod disturb;
mod down;
mod graph;
mod launch;
mod lottery;
mod place;
mod roster;
mod sample;
pub mod spec;
mod stay;
mod stored;
mod summary;

pub use arguments::{P2P_PORT, RPC_AUTH};
pub use by_hand::completed;
pub use chance::Chance;
pub use compile::compile;
pub use disturb::{draw_churn, label_nodes};
pub use down::{Downtime, MergedOutage, merge_outages};
pub use lottery::{Endless, OutputsTaken, Weighted};
pub use place::Placement;
pub use roster::Roster;
pub use spec::Plan;
pub use stay::{Past, Staying, stay, stay_after};
