//! Why a probe got no answer.

use std::time::Duration;

/// Why a probe got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The connection failed: the node is down, starting, or went away.
    #[error("no answer: {0}")]
    Transport(String),
    /// The node answered with an error of its own.
    #[error("{message} (code {code})")]
    Refused {
        /// The node's error code.
        code: i64,
        /// The node's words.
        message: String,
    },
    /// The node answered with an HTTP status and nothing else.
    #[error("HTTP {0}")]
    Http(String),
    /// The program that is run to ask the node ended with another status than zero.
    #[error("the program {}: {said}", words_of(*status))]
    Failed {
        /// Exit code, or minus the signal.
        status: i32,
        /// The first line of its standard error.
        said: String,
    },
    /// The node answered something that is not what the protocol says.
    #[error("answer not understood: {0}")]
    Malformed(String),
    /// No line that the program has written matches the pattern.
    #[error("no line of its log matches {0} yet")]
    Unmatched(String),
    /// A file of the node cannot be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// No answer within the time allowed.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The node's kind of probe does not do that.
    #[error("{0} cannot be asked of this node")]
    Unable(&'static str),
}

impl From<std::io::Error> for ProbeError {
    fn from(error: std::io::Error) -> ProbeError {
        ProbeError::Transport(error.to_string())
    }
}

impl From<hyper::Error> for ProbeError {
    fn from(error: hyper::Error) -> ProbeError {
        let cause = std::error::Error::source(&error);
        let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
        ProbeError::Transport(format!("{error}{cause}"))
    }
}

fn words_of(status: i32) -> String {
    if status < 0 {
        format!("was ended by signal {}", -status)
    } else {
        format!("failed with exit code {status}")
    }
}

/// Bounds a question in time.
///
/// # Errors
/// As the question, or [`ProbeError::TimedOut`].
pub async fn bounded<T>(
    limit: Duration,
    question: impl Future<Output = Result<T, ProbeError>>,
) -> Result<T, ProbeError> {
    tokio::time::timeout(limit, question)
        .await
        .unwrap_or(Err(ProbeError::TimedOut(limit)))
}
