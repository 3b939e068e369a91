//! The node as one machine: it routes inputs to the sub-protocols of [`crate::peers`],
//! [`crate::sync`] and [`crate::relay`], and keeps their one timer.

mod alarm;
mod commands;
mod config;
mod core;
mod foresight;
mod ledger;
#[cfg(feature = "planted-bugs")]
mod planted;
mod randomness;

pub use self::core::Machine;
pub use config::{Config, Timing};
pub(crate) use foresight::lines_of;
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;
pub(crate) use randomness::Randomness;
