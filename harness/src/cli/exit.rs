//! How a command ended, when nothing went wrong with the command itself.

use std::process::ExitCode;

use peerlab_core::check::Outcome;
use peerlab_core::error::Kind;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for holds.
    Good,
    /// It was carried out, and the answer is no: what that means.
    Bad(Kind),
}

impl Exit {
    /// What a judged run means for the exit code.
    pub fn of(outcome: Outcome) -> Exit {
        match outcome {
            Outcome::Passed => Exit::Good,
            Outcome::Failed => Exit::Bad(Kind::Failed),
            Outcome::Inconclusive => Exit::Bad(Kind::Inconclusive),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        match exit {
            Exit::Good => ExitCode::SUCCESS,
            Exit::Bad(kind) => kind.into(),
        }
    }
}
