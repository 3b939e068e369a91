//! From an experiment file to a verdict, without the run itself. The pipeline, in order:
//! `topology` (what a person wrote) → `plan` (everything chance decides) → `conduct` (carries it
//! out, emits `event`s) → `check` (verdicts) → `report`. Beside it `view`: a network as it is now.
//!
//! Pure: no runtime, no files, no clock, no ambient randomness (`clippy.toml` bans them). Who has
//! these, the engines and the `peerlab` command, is in the package `peerlab`.

pub mod check;
pub mod conduct;
pub mod error;
pub mod event;
pub mod experiment;
pub mod ledger;
pub mod plan;
pub mod report;
pub mod topology;
pub mod view;
pub mod words;
