//! A verdict: what was expected, what was measured, and what came of it.

use peerlab_link::Nanos;
use serde::Serialize;

use crate::experiment::Expectation;

/// What came of an expectation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Held,
    Failed,
    /// There was nothing to hold it against. Counts as failed.
    #[default]
    NotMeasured,
}

/// An expectation and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
    /// What is made of the figures says what came of it; of which expectation is added here.
    pub(super) fn on(self, expectation: &Expectation) -> Verdict {
        Verdict {
            check: expectation.key(),
            expectation: expectation.title(),
            bound: expectation.bound(),
            ..self
        }
    }

    pub(super) fn held(measured: String, sentence: String) -> Verdict {
        Verdict {
            status: Status::Held,
            measured: Some(measured),
            sentence,
            ..Verdict::default()
        }
    }

    pub(super) fn failed(measured: String, missed_by: String, sentence: String) -> Verdict {
        Verdict {
            status: Status::Failed,
            measured: Some(measured),
            missed_by: Some(missed_by),
            sentence,
            ..Verdict::default()
        }
    }

    /// Held, unless it was missed: by how much, and how the story then ends.
    pub(super) fn told(
        measured: String,
        story: String,
        missed: Option<(String, String)>,
    ) -> Verdict {
        match missed {
            None => Verdict::held(measured, format!("{story}.")),
            Some((by, end)) => Verdict::failed(measured, by, format!("{story}{end}.")),
        }
    }

    pub(super) fn not_measured(sentence: impl Into<String>) -> Verdict {
        Verdict {
            sentence: sentence.into(),
            ..Verdict::default()
        }
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
