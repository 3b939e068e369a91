//! From topology and seed to a plan: all chance is spent here. Pure; no engine is known here.
//!
//! `compile` draws the plan; `spec` is its data; `stored` writes and reads it; `summary` tells it.

mod arguments;
pub(crate) mod chance;
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
pub(crate) use chance::Chance;
pub use compile::compile;
pub(crate) use disturb::draw_churn;
pub use down::{Downtime, PERIOD_MIN};
pub(crate) use place::Placement;
pub use spec::Plan;
