//! What the checks must say of small stories. Each check has stories in which it holds, in which
//! it fails, and in which it has nothing to measure.

mod bandwidth;
mod convergence;
mod double_spends;
mod effects;
mod forks;
mod ledgers;
mod nodes_up;
mod outcome;
mod propagation;
mod properties;
mod told;
mod values;
mod waiting;
