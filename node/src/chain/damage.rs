//! What start-up found wrong with a store.

use std::fmt;

/// Something in the store is not as the node wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which part: "file", "blocks", "coins", ...
    pub part: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl Damage {
    pub(crate) fn new(part: &'static str, what: impl Into<String>) -> Damage {
        Damage {
            part,
            what: what.into(),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.part, self.what)
    }
}
