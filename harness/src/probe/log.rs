//! A probe for any program: what it writes. It is up once a line matches a pattern, and what the last
//! line that does has in it is what the node says.

use std::time::Duration;

use peerlab_core::experiment::pattern::{compile, last_match};
use regex::Regex;

use super::polled::{Ask, value};
use super::{Answer, ProbeError, Reach, Said};

pub struct Log<R> {
    reach: R,
    pattern: Regex,
    /// What was found last.
    found: Option<Said>,
}

impl<R: Reach> Log<R> {
    /// Reads nothing yet.
    ///
    /// # Errors
    /// When the pattern is none.
    pub fn new(reach: R, pattern: &str) -> Result<Log<R>, ProbeError> {
        Ok(Log {
            reach,
            pattern: compile(pattern).map_err(ProbeError::Malformed)?,
            found: None,
        })
    }

    /// Looks at the end of what the program has written; what was found before stays where there is
    /// nothing in it any more.
    async fn look(&mut self) -> Result<Said, ProbeError> {
        let written = self.reach.written().await?;
        let mut lines = written.lines().rev();
        if let Some(found) = lines.find_map(|line| last_match(&self.pattern, line)) {
            self.found = Some(value(found)?);
        }
        let found = self.found.clone();
        found.ok_or_else(|| ProbeError::Unmatched(self.pattern.to_string()))
    }
}

impl<R: Reach> Ask for Log<R> {
    /// The end of a log is more to read than an answer.
    const INTERVAL: Duration = Duration::from_secs(1);

    fn ask(&mut self) -> Answer<'_, Said> {
        Box::pin(self.look())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::scripted::Scripted;

    #[tokio::test]
    async fn it_is_up_once_a_line_matches_and_says_what_the_last_one_has() {
        let reach = Scripted::writes(&[
            "starting\n",
            "starting\nheight 3\nheight 4\nidle\n",
            "much\nmore\n",
            "height 5\n",
        ]);
        let mut log = Log::new(reach, r"^height (\d+)$").unwrap();
        let error = log.ask().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            r"no line of its log matches ^height (\d+)$ yet"
        );
        for found in ["4", "4", "5"] {
            assert_eq!(log.ask().await, Ok(Said::Value(found.into())));
        }
        assert!(matches!(log.ask().await, Err(ProbeError::Transport(_))));
    }

    #[tokio::test]
    async fn a_match_across_lines_is_none() {
        let reach = Scripted::writes(&["a\nb\n"]);
        let mut log = Log::new(reach, r"a\sb").unwrap();
        assert!(log.ask().await.is_err());
    }
}
