//! Peerlab's harness: from an experiment file to a verdict. The pipeline, in order:
//! `topology` (what a person wrote) → `plan` (everything chance decides) → `engine` (carries it
//! out, emits `event`s) → `check` (verdicts) → `report`.

pub mod check;
pub mod cli;
pub mod engine;
pub mod error;
pub mod event;
pub mod explore;
pub mod ledger;
pub mod plan;
pub mod probe;
pub mod report;
pub mod topology;
mod ui;
