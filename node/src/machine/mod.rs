//! The node as one machine: it routes inputs to the sub-protocols of [`crate::peers`],
//! [`crate::sync`] and [`crate::relay`], and what each finds to the others, and keeps their one timer.

mod commands;
mod core;
mod deadlines;
mod ledger;
mod prefetch;

pub use self::core::Machine;
