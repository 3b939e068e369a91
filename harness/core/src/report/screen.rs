//! How text is laid out for a terminal: colours, wrapping, labels. What is said is not known here.

use std::path::PathBuf;

use crate::check::Outcome;
use crate::words;

/// Least and greatest width, columns: below, tables break; above, lines are hard to read.
pub const WIDTH: (usize, usize) = (80, 100);

/// How the verdict is shown.
#[derive(Clone, Debug, Default)]
pub struct TerminalStyle {
    /// Whether ANSI colours may be used.
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// Where the run's files are; `None` when there are none.
    pub run_dir: Option<PathBuf>,
    /// How the reader calls Peerlab, as `peerlab` or `cargo run --release --`.
    pub command: String,
}

/// ANSI's codes of colours and weights.
pub mod ink {
    pub const PLAIN: &str = "0";
    pub const BOLD: &str = "1";
    pub const DIM: &str = "2";
    pub const GREEN: &str = "32";
    pub const RED: &str = "31";
    pub const YELLOW: &str = "33";
    pub const ON_GREEN: &str = "1;30;42";
    pub const ON_RED: &str = "1;97;41";
    pub const ON_YELLOW: &str = "1;30;43";
}

/// Text in the making.
pub struct Screen {
    pub text: String,
    color: bool,
    /// Columns.
    pub width: usize,
}

impl Screen {
    pub fn of(style: &TerminalStyle) -> Screen {
        Screen {
            text: String::new(),
            color: style.color,
            width: style.width.clamp(WIDTH.0, WIDTH.1),
        }
    }

    pub fn ink(&self, ink: &str, text: &str) -> String {
        // What comes from nodes and files must not drive the terminal.
        let safe = words::visible(text);
        if self.color && ink != ink::PLAIN {
            format!("\x1b[{ink}m{safe}\x1b[0m")
        } else {
            safe
        }
    }

    pub fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    pub fn blank(&mut self) {
        self.text.push('\n');
    }

    pub fn heading(&mut self, text: &str) {
        let text = self.ink(ink::BOLD, text);
        self.line(&text);
    }

    /// What it came to, of what, and facts about it.
    pub fn headline(&mut self, outcome: Outcome, name: &str, facts: &[String]) {
        let ink = match outcome {
            Outcome::Passed => ink::ON_GREEN,
            Outcome::Failed => ink::ON_RED,
            Outcome::Inconclusive => ink::ON_YELLOW,
        };
        let word = self.ink(ink, &format!(" {} ", outcome.word()));
        let name = self.ink(ink::BOLD, name);
        self.blank();
        self.line(&format!("{word} {name}"));
        self.paragraph("", ink::PLAIN, &facts.join(" | "));
    }

    /// Text after a label, wrapped and indented under its own start.
    pub fn paragraph(&mut self, label: &str, ink: &str, text: &str) {
        let indent = label.chars().count() + 2;
        for (i, row) in wrap(text, self.width.saturating_sub(indent))
            .iter()
            .enumerate()
        {
            let lead = match i {
                0 => self.ink(ink, label),
                _ => " ".repeat(indent - 2),
            };
            let row = self.ink(ink::PLAIN, row);
            self.line(&format!("  {lead}{row}"));
        }
    }

    pub fn labelled(&mut self, label: &str, text: &str) {
        let label = self.ink(ink::DIM, &format!("{label:<8}"));
        let text = self.ink(ink::PLAIN, text);
        self.line(&format!("  {label} {text}"));
    }
}

/// Breaks text at spaces, but not between a number and its unit; what is longer than a row
/// stands alone.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        let mut word = word.to_owned();
        while word.ends_with(|c: char| c.is_ascii_digit())
            && let Some(unit) = words.next()
        {
            word.push(' ');
            word.push_str(unit);
        }
        let row = rows.last().map_or(0, |r| r.chars().count());
        if row > 0 && row + 1 + word.chars().count() > columns {
            rows.push(String::new());
        }
        if let Some(row) = rows.last_mut() {
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(&word);
        }
    }
    rows
}
