//! Verdicts from a plan and its RunEvents. The checks stand outside what they check: they never
//! know which engine ran, open no file, and read no clock, so that they judge last week's run
//! directory as they judged it then.
//!
//! The events pass once, into small tables (`record`); who was live when, with which tip, is
//! `timeline`; each further file measures one thing and defines its terms; `verdict` holds the
//! measures against the plan's expectations, and `judgement` sums up.

mod bandwidth;
mod charts;
mod comparison;
mod convergence;
mod double_spend;
mod fidelity;
mod forks;
mod judgement;
mod propagation;
mod quantile;
mod record;
mod run;
mod state;
#[cfg(test)]
mod stories;
#[cfg(test)]
pub mod story;
mod timeline;
mod tree;
mod verdict;

pub use bandwidth::{Bandwidth, MessageShare, NodeRate, Quantiles};
pub use charts::{BlockDot, Branch, Charts, NodeRow, RateSample, Stretch, TipSpan};
pub use comparison::{Comparison, Row, Unit, compare};
pub use convergence::Convergence;
pub use double_spend::{DoubleSpend, SpendSide};
pub use fidelity::Fidelity;
pub use forks::{Episode, Forks, Reorg};
pub use judgement::{Figures, Judgement, Outcome, PartitionStory, RunFacts, judge};
pub use propagation::{GroupDelay, Propagation};
pub use record::DeadNode;
pub use verdict::{Status, Verdict};
