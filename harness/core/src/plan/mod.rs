//! From topology and seed to a plan: all chance is spent here. Pure; no engine is known here.
//!
//! `compile` draws the plan; `spec` is its data; `stored` writes and reads it; `summary` tells it.

mod arguments;
pub mod chance;
mod churn;
mod compile;
mod discover;
mod disturb;
mod down;
mod graph;
mod lottery;
mod place;
mod sample;
pub mod spec;
mod stored;
mod summary;

pub use arguments::{P2P_PORT, RPC_AUTH};
pub use chance::Chance;
pub use compile::compile;
pub use disturb::draw_churn;
pub use down::Downtime;
pub use place::Placement;
pub use spec::Plan;
