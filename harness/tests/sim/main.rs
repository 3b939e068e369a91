//! Experiments in virtual time: the verdicts of those that ship, every way for a node to go, and
//! that the same plan gives the same record whatever carries it out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod reproduction;
#[path = "../shared/shipped.rs"]
mod shipped;
mod simulation;
mod stories;
mod verdicts;
