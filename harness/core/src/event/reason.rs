//! Why something did not happen, in the words of whoever knows it: often a node's own. A node may be
//! hostile, so its words are cut to a length, and what would drive a terminal or hide is escaped.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::words;

/// Longest reason, characters: two lines of a terminal.
const CHARS_MAX: usize = 200;
/// Stands for what was cut off.
const ELLIPSIS: &str = "...";

/// A reason, as the record and all reports show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct Reason(String);

impl From<&str> for Reason {
    fn from(text: &str) -> Reason {
        // What is longer is cut, however long it is.
        let end = text.trim().char_indices().nth(CHARS_MAX + 1);
        let text = end.map_or(text.trim(), |(end, _)| &text.trim()[..end]);
        let mut shown = words::visible(text);
        if shown.chars().count() > CHARS_MAX {
            let kept = CHARS_MAX - ELLIPSIS.len();
            shown = shown.chars().take(kept).chain(ELLIPSIS.chars()).collect();
        }
        Reason(shown)
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Reason {
        Reason::from(text.as_str())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_or_hides_is_escaped() {
        let reason = Reason::from(" \u{1b}[2Jgone\n\u{202e}é\u{0} ");
        assert_eq!(reason.to_string(), r"\u{1b}[2Jgone\n\u{202e}é\u{0}");
    }

    #[test]
    fn a_reason_of_any_length_is_cut_and_stays_so_when_it_is_read_again() {
        for text in ["é".repeat(100_000), "\u{7}".repeat(100_000)] {
            let reason = Reason::from(text);
            assert_eq!(reason.to_string().chars().count(), CHARS_MAX);
            let line = serde_json::to_string(&reason).unwrap();
            assert_eq!(serde_json::from_str::<Reason>(&line).unwrap(), reason);
        }
        // So it is when somebody else has written it.
        let long = format!("\"{}\"", "x".repeat(1_000));
        let read: Reason = serde_json::from_str(&long).unwrap();
        assert_eq!(read.to_string().len(), CHARS_MAX);
    }
}
