//! A place in the file while its sections are resolved, and the mistakes that were found so far.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use peerlab_link::Nanos;

use crate::error::{Error, Kind, Report};
use crate::topology::marked::{Document, Path};
use crate::topology::suggest::{did_you_mean, quoted};
use crate::topology::written::{BadValue, Value, Written};

/// Mistakes told of one file; more would scroll the first ones away.
const REPORTS_MAX: usize = 20;
/// Names listed in a hint.
const NAMES_SHOWN_MAX: usize = 12;

/// A place in the file. All places of a file share the list of mistakes found in it.
#[derive(Clone)]
pub struct At {
    /// How one comes to it.
    pub path: Path,
    document: Arc<Document>,
    reports: Rc<RefCell<Vec<Report>>>,
}

impl At {
    /// The whole file, without a mistake yet.
    pub fn root(document: Arc<Document>) -> At {
        At {
            path: Path::root(),
            document,
            reports: Rc::default(),
        }
    }

    fn with(&self, path: Path) -> At {
        At {
            path,
            ..self.clone()
        }
    }

    /// The value of a key.
    pub fn key(&self, key: &str) -> At {
        self.with(self.path.key(key))
    }

    /// An item of a list, from 0.
    pub fn item(&self, index: usize) -> At {
        self.with(self.path.item(index))
    }

    /// A key itself.
    pub fn name(&self, key: &str) -> At {
        self.with(self.path.name(key))
    }

    /// From the top of the file.
    pub fn top(&self) -> At {
        self.with(Path::root())
    }

    /// The experiment file, as it was named.
    pub fn file(&self) -> &std::path::Path {
        self.document.file()
    }

    /// A mistake here, with its cause and what to do.
    pub fn add(&self, what: impl Into<String>, cause: impl Into<String>, hint: impl Into<String>) {
        let report = Report {
            causes: vec![cause.into()],
            hint: Some(hint.into()),
            ..Report::new(what)
        };
        let report = self.document.report(&self.path, report);
        self.reports.borrow_mut().push(report);
    }

    /// The value, or a mistake and `None`.
    pub fn value<T: Value>(&self, written: Written<T>) -> Option<T> {
        let bad = |bad| self.bad_value(&written.text, T::WHAT, T::FORM, bad);
        written.value.map_err(bad).ok()
    }

    /// The value if written; a mistake counts as not written.
    pub fn optional<T: Value>(&self, written: Option<Written<T>>) -> Option<T> {
        self.value(written?)
    }

    /// Reads a word as a value, or a mistake and `None`.
    pub fn word<T: Value>(&self, text: &str) -> Option<T> {
        self.value(Written::read(text))
    }

    /// That a name is none of those there are.
    pub fn unknown<'a>(
        &self,
        kind: &str,
        name: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) {
        let hint = did_you_mean(name, known.clone(), || {
            let more = known.clone().nth(NAMES_SHOWN_MAX).map_or("", |_| ", ...");
            format!("there are {}{more}", quoted(known.take(NAMES_SHOWN_MAX)))
        });
        self.add(
            format!("unknown {kind} `{name}`"),
            format!("this experiment has no {kind} of that name"),
            hint,
        );
    }

    /// That keys of the map here mean nothing beside what else stands in it: those that are there.
    pub fn refuse<const N: usize>(&self, keys: [(&str, bool); N], cause: &str, hint: &str) {
        for (key, _) in keys.into_iter().filter(|(_, there)| *there) {
            let what = format!("`{key}` has no meaning here");
            self.name(key).add(what, cause, hint);
        }
    }

    fn bad_value(&self, text: &str, what: &str, form: &str, bad: BadValue) {
        let hint = bad.hint.unwrap_or_else(|| format!("write {form}"));
        // A number loses its written form in parsing; the file has it.
        let told = match self.document.scalar(&self.path) {
            Some("" | "~") => format!("{what} is missing here"),
            Some(text) => format!("`{text}` is not {what}"),
            None => format!("{text} is not {what}"),
        };
        self.add(told, bad.cause, hint);
    }

    /// Whether no mistake was found in the file.
    pub fn none(&self) -> bool {
        self.reports.borrow().is_empty()
    }

    /// All mistakes, in the order of the file.
    pub fn into_error(self) -> Error {
        let mut reports = self.reports.take();
        let line = |report: &Report| {
            report
                .place
                .as_ref()
                .map(|place| (place.line, place.column))
        };
        reports.sort_by_key(line);
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

/// A time, in what is told of mistakes.
pub fn seconds(time: Nanos) -> String {
    format!("{}s", time.as_secs_f64())
}
