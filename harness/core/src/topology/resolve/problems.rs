//! Collects the mistakes of a file while resolving goes on.

use std::cell::RefCell;
use std::sync::Arc;

use crate::error::{Error, Kind, Report};
use crate::topology::marked::{Document, Path};
use crate::topology::suggest::closest;
use crate::topology::written::{BadValue, Value, Written};

/// Mistakes told of one file; more would scroll the first ones away.
const REPORTS_MAX: usize = 20;

/// The file and the mistakes found in it so far.
pub struct Problems {
    document: Arc<Document>,
    reports: RefCell<Vec<Report>>,
}

impl Problems {
    /// None yet.
    pub fn new(document: Arc<Document>) -> Problems {
        Problems {
            document,
            reports: RefCell::default(),
        }
    }

    /// The experiment file, as it was named.
    pub fn file(&self) -> &str {
        self.document.file()
    }

    /// A mistake with its cause and what to do.
    pub fn add(
        &self,
        path: &Path,
        what: impl Into<String>,
        cause: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let report = Report {
            causes: vec![cause.into()],
            hint: Some(hint.into()),
            ..Report::new(what)
        };
        self.reports
            .borrow_mut()
            .push(self.document.report(path, report));
    }

    /// The value, or a mistake and `None`.
    pub fn value<T: Value>(&self, path: &Path, written: Written<T>) -> Option<T> {
        match written.value {
            Ok(value) => Some(value),
            Err(bad) => {
                self.bad_value(path, &written.text, T::WHAT, T::FORM, bad);
                None
            }
        }
    }

    /// The value if written; a mistake counts as not written.
    pub fn optional<T: Value>(&self, path: &Path, written: Option<Written<T>>) -> Option<T> {
        written.and_then(|written| self.value(path, written))
    }

    /// Reads a word as a value, or a mistake and `None`.
    pub fn word<T: Value>(&self, path: &Path, text: &str) -> Option<T> {
        let written = Written {
            text: text.to_owned(),
            value: T::parse(text.trim()),
        };
        self.value(path, written)
    }

    /// That a name is none of those there are.
    pub fn unknown<'a>(
        &self,
        path: &Path,
        kind: &str,
        name: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) {
        let hint = match closest(name, known.clone()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => {
                let mut names: Vec<String> = known
                    .take(NAMES_SHOWN_MAX + 1)
                    .map(|name| format!("`{name}`"))
                    .collect();
                if names.len() > NAMES_SHOWN_MAX {
                    names[NAMES_SHOWN_MAX] = "...".into();
                }
                format!("there are {}", names.join(", "))
            }
        };
        self.add(
            path,
            format!("unknown {kind} `{name}`"),
            format!("this experiment has no {kind} of that name"),
            hint,
        );
    }

    fn bad_value(&self, path: &Path, text: &str, what: &str, form: &str, bad: BadValue) {
        let hint = bad.hint.unwrap_or_else(|| format!("write {form}"));
        // A number loses its written form in parsing; the file has it.
        let told = match self.document.scalar(path) {
            Some("" | "~") => format!("{what} is missing here"),
            Some(text) => format!("`{text}` is not {what}"),
            None => format!("{text} is not {what}"),
        };
        self.add(path, told, bad.cause, hint);
    }

    /// Whether a value stands at this place.
    pub fn is_written(&self, path: &Path) -> bool {
        self.document.scalar(path).is_some()
    }

    /// Whether none was found.
    pub fn none(&self) -> bool {
        self.reports.borrow().is_empty()
    }

    /// All of them, in the order of the file.
    pub fn into_error(self) -> Error {
        let mut reports = self.reports.into_inner();
        reports.sort_by_key(|report| {
            report
                .place
                .as_ref()
                .map(|place| (place.line, place.column))
        });
        let more = reports.len().saturating_sub(REPORTS_MAX);
        reports.truncate(REPORTS_MAX);
        if more > 0 {
            reports.push(Report::new(format!("{more} more mistakes in this file")));
        }
        Error {
            kind: Kind::Input,
            reports,
        }
    }
}

/// Names listed in a hint.
const NAMES_SHOWN_MAX: usize = 12;
