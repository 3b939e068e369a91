//! A verdict: what was expected, what was measured, and what came of it.

use peerlab_link::Nanos;
use serde::Serialize;

use crate::experiment::Expectation;

/// What came of an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Held,
    Failed,
    /// There was nothing to hold it against. Counts as failed.
    NotMeasured,
}

/// An expectation and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The check, by its name in the experiment file.
    pub check: &'static str,
    /// What was expected, for people.
    pub expectation: String,
    pub status: Status,
    /// What was measured, for people; `None` when nothing was.
    pub measured: Option<String>,
    /// What it had to be, for people.
    pub bound: String,
    /// By how much it was missed, for people.
    pub missed_by: Option<String>,
    /// The nodes to look at first.
    pub nodes: Vec<String>,
    /// The moment to look at first.
    pub at_ns: Option<Nanos>,
    /// Whether a failure stands even where the host could not keep up, because no lateness can
    /// cause it.
    pub regardless_of_host: bool,
    /// What happened, in one sentence.
    pub sentence: String,
}

impl Verdict {
    /// On this expectation, with nothing measured yet.
    pub(super) fn on(expectation: &Expectation) -> Verdict {
        Verdict {
            check: expectation.key(),
            expectation: expectation.title(),
            status: Status::NotMeasured,
            measured: None,
            bound: expectation.bound(),
            missed_by: None,
            nodes: Vec::new(),
            at_ns: None,
            regardless_of_host: false,
            sentence: String::new(),
        }
    }

    pub(super) fn held(mut self, measured: String, sentence: String) -> Verdict {
        self.status = Status::Held;
        self.measured = Some(measured);
        self.sentence = sentence;
        self
    }

    pub(super) fn failed(mut self, measured: String, sentence: String) -> Verdict {
        self.status = Status::Failed;
        self.measured = Some(measured);
        self.sentence = sentence;
        self
    }

    pub(super) fn not_measured(mut self, sentence: impl Into<String>) -> Verdict {
        self.status = Status::NotMeasured;
        self.sentence = sentence.into();
        self
    }

    pub(super) fn missed_by(mut self, missed_by: String) -> Verdict {
        self.missed_by = Some(missed_by);
        self
    }

    pub(super) fn look_at(mut self, nodes: Vec<String>, at: Option<Nanos>) -> Verdict {
        self.nodes = nodes;
        self.at_ns = at;
        self
    }

    pub(super) fn regardless_of_host(mut self, yes: bool) -> Verdict {
        self.regardless_of_host = yes;
        self
    }
}
