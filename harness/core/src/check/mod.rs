//! Verdicts from a plan and its RunEvents. The checks stand outside what they check: they never
//! know which engine ran, open no file, and read no clock, so that they judge last week's run
//! directory as they judged it then.
//!
//! The events pass once, into small tables (`record`); who was live when, with which tip, is
//! `timeline`; each further file measures one thing and defines its terms; `verdict` holds the
//! measures against the plan's expectations, and `judgement` sums up. What several runs come to
//! together is `run_set`, two sides beside each other `comparison`, runs held against earlier ones
//! `baseline`.

mod bandwidth;
mod baseline;
mod charts;
mod compact;
mod comparison;
mod convergence;
mod double_spend;
mod effects;
mod estimate;
mod fidelity;
mod figure;
mod forks;
mod judgement;
mod missed;
mod propagation;
mod quantile;
mod rank_test;
mod record;
mod run;
mod run_set;
mod state;
#[cfg(test)]
mod stories;
#[cfg(test)]
pub mod story;
mod timeline;
mod tree;
mod verdict;
mod waiting;
mod why;

pub use bandwidth::{Bandwidth, MessageShare, NodeRate, Quantiles};
pub use baseline::{Baseline, BaselineCheck, Experiment, HeldFigure, hold};
pub use charts::{BlockDot, Branch, Charts, GraphNode, NodeRow, RateSample, Stretch, TipSpan};
pub use compact::CompactBlocks;
pub use comparison::{Comparison, Row, compare};
pub use convergence::Convergence;
pub use double_spend::{DoubleSpend, SpendSide};
pub use effects::WithoutEffect;
pub use estimate::{Estimate, RUNS_MIN};
pub use fidelity::Fidelity;
pub use figure::{Key, Unit, Worse};
pub use forks::{Episode, Forks, Reorg};
pub use judgement::{
    EarlierTry, Figures, Judgement, Outcome, PartitionStory, PhaseCosts, RunFacts, judge,
};
pub use missed::{Missed, MissedKind, story as missed_story};
pub use propagation::{GroupDelay, Propagation};
pub use record::DeadNode;
pub use run_set::{OneRun, RunSet, SetExpectation, SetFigure};
pub use verdict::{Status, Verdict};
pub use waiting::Waiting;
