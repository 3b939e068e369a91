//! Why a probe got no answer.

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
    /// The node answered something that is not what the protocol says.
    #[error("answer not understood: {0}")]
    Malformed(String),
    /// No answer within the time allowed.
    #[error("no answer within {0:?}")]
    TimedOut(std::time::Duration),
    /// The node's kind of probe does not do that.
    #[error("{0} cannot be asked of this node")]
    Unable(&'static str),
}
