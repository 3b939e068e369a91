//! The last lines that somebody wrote, for error messages: shared between who reads and who asks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Lines that are kept.
const LINES_MAX: usize = 50;

#[derive(Clone, Debug, Default)]
pub struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    /// Keeps what a program writes, to its end; each line is shown.
    pub async fn follow(&self, written: impl AsyncRead + Unpin, show: impl Fn(&str)) {
        let mut lines = BufReader::new(written).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            show(&line);
            self.push(line);
        }
    }

    /// Adds a line, and forgets the oldest where there are too many.
    pub fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    pub fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }
}
