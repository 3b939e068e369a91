//! The last lines that somebody wrote, for error messages: shared between who reads and who asks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// Lines that are kept.
const LINES_MAX: usize = 50;
/// Bytes of a line; a longer one is several.
const LINE_BYTES_MAX: u64 = 4 << 10;

#[derive(Clone, Debug, Default)]
pub struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    /// Keeps what a program writes, to its end; each line is shown.
    pub async fn follow(&self, written: impl AsyncRead + Unpin, show: impl Fn(&str)) {
        let mut written = BufReader::new(written);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut next = (&mut written).take(LINE_BYTES_MAX);
            let Ok(1..) = next.read_until(b'\n', &mut line).await else {
                return;
            };
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\r', '\n']);
            show(text);
            self.push(text.to_owned());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_text_or_no_line_is_kept_as_far_as_it_goes() {
        let long = "x".repeat(LINE_BYTES_MAX as usize + 3);
        let written = [b"one \xff\r\n\n", long.as_bytes(), b"\nlast"].concat();
        let lines = LastLines::default();
        lines.follow(&written[..], |_| {}).await;
        let (first, rest) = long.split_at(LINE_BYTES_MAX as usize);
        assert_eq!(lines.lines(), ["one \u{fffd}", "", first, rest, "last"]);
    }
}
