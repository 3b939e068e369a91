//! Stories that several checks are tested with, and what is asserted of a verdict.

pub use crate::check::story::{Story, converged_of_heal, converged_of_settle, secs};
pub use crate::check::{Outcome, Status, Verdict, judge};
pub use crate::event::What;
pub use crate::experiment::{Down, Expectation, NodeQuantile};

/// Six nodes; {0,1,2} and {3,4,5} are apart from 30 s to 50 s. The first side mines three
/// blocks, the other two; at 50.5 s the second has switched to the first's chain.
pub fn fork_and_heal() -> Story {
    let mut s = Story::of(6);
    s.spreads(5.0, 0, "c1", "base");
    s.partition(30.0, Some(50.0), &[&[0, 1, 2], &[3, 4, 5]]);
    s.mines(32.0, 0, "a1", "c1");
    s.reaches(32.0, "a1", [1, 2]);
    s.mines(35.0, 3, "b1", "c1");
    s.reaches(35.0, "b1", [4, 5]);
    s.mines(38.0, 1, "a2", "a1");
    s.reaches(38.0, "a2", [0, 2]);
    s.mines(41.0, 4, "b2", "b1");
    s.reaches(41.0, "b2", [3, 5]);
    s.mines(44.0, 2, "a3", "a2");
    s.reaches(44.0, "a3", [0, 1]);
    s.reaches(50.2, "a3", [3, 4, 5]);
    s
}

/// The same with a double spend, mined on both sides.
pub fn double_spend_story() -> Story {
    let mut s = Story::of(4);
    s.partition(30.0, Some(50.0), &[&[0, 1], &[2, 3]]);
    s.double_spend(31.0, &[(0, "tx-left"), (2, "tx-right")]);
    s.mines_with(33.0, 0, "a1", "base", &["tx-left"]);
    s.reaches(33.0, "a1", [1]);
    s.mines_with(34.0, 2, "b1", "base", &["tx-right"]);
    s.reaches(34.0, "b1", [3]);
    s.mines(36.0, 1, "a2", "a1");
    s.reaches(36.0, "a2", [0]);
    s.reaches(50.1, "a2", [2, 3]);
    s
}

#[track_caller]
pub fn holds(v: &Verdict) {
    assert_eq!(v.status, Status::Held, "{v:#?}");
}

#[track_caller]
pub fn fails(v: &Verdict, measured: &str) {
    assert_eq!(v.status, Status::Failed, "{v:#?}");
    assert_eq!(v.measured.as_deref(), Some(measured), "{v:#?}");
    assert!(v.missed_by.is_some(), "{v:#?}");
}

#[track_caller]
pub fn has_nothing_to_measure(v: &Verdict) {
    assert_eq!(v.status, Status::NotMeasured, "{v:#?}");
    assert!(!v.sentence.is_empty());
}
