//! The one error type of the harness: a kind, which decides the exit code, and what a person
//! reads. Rendered here, in one form, and printed by `ui` alone.

use std::fmt;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::words;

/// What an error means for whoever called the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An expectation failed: the network under test is at fault.
    Failed,
    /// The experiment file, a plan, a run directory or the command line is wrong. Nothing was
    /// started.
    Input,
    /// The engine or this machine's environment failed.
    Environment,
    /// The host could not keep up, so the run proves nothing.
    Inconclusive,
    /// A signal ended the run; everything was removed.
    Interrupted,
}

impl Kind {
    /// The exit code. 0 is kept for "every expectation held".
    pub const fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Input => 2,
            Kind::Environment => 3,
            Kind::Inconclusive => 4,
            // 128 + SIGINT, as shells report it.
            Kind::Interrupted => 130,
        }
    }
}

impl From<Kind> for ExitCode {
    fn from(kind: Kind) -> ExitCode {
        ExitCode::from(kind.exit_code())
    }
}

/// Shorthand for results of the harness.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Something went wrong. Holds at least one [`Report`]; a file with several independent
/// mistakes gives one for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Error {
    /// What it means.
    pub kind: Kind,
    /// What a person reads, in order.
    pub reports: Vec<Report>,
}

/// One thing that went wrong, told as what, where, why and what to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What went wrong, in one line without a full stop.
    pub what: String,
    /// Where in a file.
    pub place: Option<Place>,
    /// Why, the nearest cause first.
    pub causes: Vec<String>,
    pub hint: Option<String>,
}

/// A place in a text file, with the line to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Path as the person gave it.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The whole line, without its end.
    pub text: String,
    /// How many characters to underline, at least 1.
    pub width: usize,
}

impl Report {
    /// A report of `what` alone.
    pub fn new(what: impl Into<String>) -> Report {
        Report {
            what: what.into(),
            ..Report::default()
        }
    }
}

impl Error {
    /// An error with one report.
    fn new(kind: Kind, what: impl Into<String>) -> Error {
        Error {
            kind,
            reports: vec![Report::new(what)],
        }
    }

    /// Bad input or usage (exit code 2).
    pub fn input(what: impl Into<String>) -> Error {
        Error::new(Kind::Input, what)
    }

    /// What was expected of the network does not hold (exit code 1).
    pub fn failed(what: impl Into<String>) -> Error {
        Error::new(Kind::Failed, what)
    }

    /// Engine or environment failed (exit code 3). None is without a cause, and without a hint that
    /// says what to do: the file and line that other errors have are not there to help.
    ///
    /// ```compile_fail,E0061
    /// peerlab_core::error::Error::environment("the disk is full");
    /// ```
    pub fn environment(
        what: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error>>,
        hint: impl Into<String>,
    ) -> Error {
        let error = Error::new(Kind::Environment, what);
        error.caused_by(cause).hint(hint)
    }

    /// A signal ended the run.
    pub fn interrupted(what: impl Into<String>) -> Error {
        Error::new(Kind::Interrupted, what)
    }

    /// Adds a cause, and the chain of causes behind it, to the last report.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error>>) -> Error {
        let cause = cause.into();
        let mut next: Option<&dyn std::error::Error> = Some(cause.as_ref());
        while let Some(error) = next {
            self = self.because(error.to_string());
            next = error.source();
        }
        self
    }

    /// Adds a cause in words to the last report, unless it only repeats the one before.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Error {
        let cause = cause.into();
        if let Some(report) = self.reports.last_mut()
            && report
                .causes
                .last()
                .is_none_or(|last| !last.ends_with(&cause))
        {
            report.causes.push(cause);
        }
        self
    }

    /// Says what to do about the last report.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        if let Some(report) = self.reports.last_mut() {
            report.hint = Some(hint.into());
        }
        self
    }

    /// What went wrong and why, in one line, without what to do about it.
    pub fn in_short(&self) -> String {
        let report = self.reports.first();
        report.map_or_else(String::new, |report| match report.causes.first() {
            Some(cause) => format!("{}: {cause}", report.what),
            None => report.what.clone(),
        })
    }

    /// The whole text for a terminal, without colour, ending in a newline.
    pub fn render(&self) -> String {
        let blocks: Vec<String> = self.reports.iter().map(Report::render).collect();
        blocks.join("\n")
    }
}

/// The first report's `what`; the whole text is [`Error::render`].
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reports.first().map_or("", |report| &report.what))
    }
}

impl std::error::Error for Error {}

/// Turns a foreign error into ours, saying what was being done.
pub trait Explain<T> {
    /// As exit code 2: bad input.
    ///
    /// # Errors
    /// The foreign error, explained.
    fn or_input(self, what: impl FnOnce() -> String) -> Result<T>;

    /// As exit code 3: engine or environment, with what to do about it.
    ///
    /// # Errors
    /// The foreign error, explained.
    fn or_environment(self, what: impl FnOnce() -> String, hint: &str) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error>>> Explain<T> for std::result::Result<T, E> {
    fn or_input(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::input(what()).caused_by(cause))
    }

    fn or_environment(self, what: impl FnOnce() -> String, hint: &str) -> Result<T> {
        self.map_err(|cause| Error::environment(what(), cause, hint))
    }
}

/// What to do about failures that may come from many places.
pub mod hint {
    /// Of files and folders of this machine.
    pub const DISK: &str = "is the disk full, the folder another user's, or the path too long?";
    /// Of what cannot happen unless we made a mistake.
    pub const BUG: &str = "this is a mistake in Peerlab: please report it, with the experiment and \
                           what `RUST_LOG=debug` prints";
}

/// Columns of source text that a report shows; longer lines are cut to a window.
const EXCERPT_COLUMNS_MAX: usize = 100;

impl Report {
    fn render(&self) -> String {
        let mut text = format!("Error: {}\n", self.what);
        if let Some(place) = &self.place {
            text.push_str(&place.render());
        }
        for cause in &self.causes {
            text.push_str(&format!("Caused by: {cause}\n"));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("Hint: {hint}\n"));
        }
        text
    }
}

impl Place {
    /// The line with a caret under what is meant.
    fn render(&self) -> String {
        let chars: Vec<char> = self.text.chars().map(printable).collect();
        let column = self.column.saturating_sub(1).min(chars.len());
        let first = column.saturating_sub(EXCERPT_COLUMNS_MAX * 2 / 3);
        let last = chars.len().min(first + EXCERPT_COLUMNS_MAX);
        let mut shown: String = chars[first..last].iter().collect();
        let mut offset = column - first;
        if first > 0 {
            shown.insert_str(0, "...");
            offset += 3;
        }
        if last < chars.len() {
            shown.push_str("...");
        }
        let width = self.width.clamp(1, (last - column).max(1));
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        format!(
            "{gutter}--> {}:{}:{}\n{gutter} |\n{number} | {}\n{gutter} | {}{}\n",
            self.file,
            self.line,
            self.column,
            shown.trim_end(),
            " ".repeat(offset),
            "^".repeat(width),
        )
    }
}

/// One column for each character, so that the caret stands where it should.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        _ if words::is_unseen(c) => '?',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_what_where_why_and_what_to_do() {
        let mut error = Error::input("unknown key `cuont`")
            .because("a group has no such key")
            .hint("did you mean `count`?");
        error.reports[0].place = Some(Place {
            file: "x.yaml".into(),
            line: 12,
            column: 5,
            text: "    cuont: 3".into(),
            width: 5,
        });
        assert_eq!(
            error.render(),
            "Error: unknown key `cuont`\n  --> x.yaml:12:5\n   |\n12 |     cuont: 3\n   |     ^^^^^\n\
             Caused by: a group has no such key\nHint: did you mean `count`?\n"
        );
    }

    #[test]
    fn a_line_of_any_length_and_content_is_shown_in_a_window() {
        let place = Place {
            file: "x".into(),
            line: 1,
            column: 5001,
            text: format!("{}\u{1b}[31m{}", "a".repeat(5000), "b".repeat(5000)),
            width: 90_000,
        };
        let text = place.render();
        assert!(
            text.lines()
                .all(|line| line.chars().count() < EXCERPT_COLUMNS_MAX + 20),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
        let caret = text.lines().last().unwrap().find('^').unwrap();
        assert_eq!(text.lines().nth(2).unwrap().chars().nth(caret), Some('?'));
    }

    #[test]
    fn the_chain_of_causes_is_kept_and_not_repeated() {
        let inner = std::io::Error::other("no space left");
        let error =
            Err::<(), _>(inner).or_environment(|| "cannot write the log".into(), hint::DISK);
        let error = error.unwrap_err().because("no space left");
        assert_eq!(error.kind.exit_code(), 3);
        assert_eq!(error.reports[0].causes, ["no space left"]);
    }
}
