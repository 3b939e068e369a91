//! Why something did not happen, in the words of whoever knows it: often a node's own. A node may be
//! hostile, so its words are cut to a length, and what would drive a terminal or hide is escaped.

use std::fmt;

use serde::{Deserialize, Serialize};

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
        let mut shown = String::new();
        // What is longer is cut, however long it is.
        for c in text.trim().chars().take(CHARS_MAX + 1) {
            if is_unseen(c) {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
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

/// Control characters, and those that change the order of others or have no width.
fn is_unseen(c: char) -> bool {
    let is_format = matches!(
        c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    );
    c.is_control() || is_format
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
