//! From a file's text to its sections: two parsers look at it. The marked one finds syntax errors,
//! duplicate keys and places; serde_yaml reads the values; both must see the same. Errors of the latter are put into our
//! form here.

use std::sync::Arc;

use serde_yaml::Value;

use super::agreement::disagreement;
use super::file::File;
use super::marked::{Document, FILE_BYTES_MAX, Path};
use super::marking;
use super::resolve::resolve;
use super::resolved::Topology;
use super::suggest::{did_you_mean, quoted};
use crate::error::{Error, Kind, Report, Result};

/// The format of experiment files that is read.
pub const FILE_VERSION: u32 = 1;

/// Reads an experiment from its text. `file` is for errors, and images in archives are looked for
/// from its folder.
///
/// # Errors
/// [`Kind::Input`]: the mistakes of the text, with their places.
pub fn parse(file: impl AsRef<std::path::Path>, text: &str) -> Result<Topology> {
    let file = file.as_ref();
    if text.len() > FILE_BYTES_MAX {
        let file = file.display();
        return Err(Error::input(format!(
            "{file} is too large to be an experiment"
        )));
    }
    let document = marking::parse(file, text)?;
    let wrong = |report| Error {
        kind: Kind::Input,
        reports: vec![report],
    };
    let refused = |error| wrong(explain(&document, &error));
    let value = serde_yaml::from_str::<Value>(text).map_err(refused)?;
    if let Some(report) = disagreement(&document, &value) {
        return Err(wrong(report));
    }
    check_version(&document)?;
    let file = serde_yaml::from_str::<File>(text).map_err(refused)?;
    resolve(file, Arc::new(document))
}

/// Keys that had another name, the old one first: what such a file wants is known.
const RENAMED: [(&str, &str); 1] = [("away", "outages")];

/// That the file is of this format, before any key in it is found to be wrong.
fn check_version(document: &Document) -> Result<()> {
    let path = Path::root().key("version");
    let version = document.scalar(&path).and_then(|text| text.parse().ok());
    let Some(version) = version.filter(|version: &u32| *version != FILE_VERSION) else {
        return Ok(());
    };
    let age = if version > FILE_VERSION {
        "a newer"
    } else {
        "an older"
    };
    let report = Report {
        causes: vec![format!(
            "it has version {version}, and this Peerlab reads version {FILE_VERSION}"
        )],
        hint: Some(
            "use the Peerlab that it was written for; or write `version: 1` and mend what is \
             then told of its keys"
                .into(),
        ),
        ..Report::new(format!("this file has {age} format"))
    };
    Err(Error {
        kind: Kind::Input,
        reports: vec![document.report(&path, report)],
    })
}

/// serde's message in our form.
fn explain(document: &Document, error: &serde_yaml::Error) -> Report {
    let (line, column) = error
        .location()
        .map_or((1, 1), |mark| (mark.line(), mark.column()));
    let mut message = error.to_string();
    let place = format!(" at line {line} column {column}");
    if let Some(bare) = message.strip_suffix(&place) {
        message = bare.to_owned();
    }
    // serde_yaml puts the path before the message.
    if let Some((path, bare)) = message.split_once(": ")
        && !path.contains(['`', ' '])
        && document.has_dotted(path)
    {
        message = bare.to_owned();
    }
    document.report_at_mark(line, column, reword(&message))
}

/// serde's message in plain words, with a hint.
fn reword(message: &str) -> Report {
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown field") {
        let (key, known) = (
            words.first().copied().unwrap_or_default(),
            words.get(1..).unwrap_or_default(),
        );
        let renamed = RENAMED
            .iter()
            .find(|(old, new)| *old == key && known.contains(new));
        let hint = match renamed {
            Some((_, new)) => format!("it is called `{new}` now"),
            None => did_you_mean(key, known.iter().copied(), || {
                if key.ends_with(')') {
                    "inside { } a comma ends the value before it: separate parameters by spaces, as \
                     in `weibull(shape 0.6 mean 60s)`, or put the value in quotes"
                        .to_owned()
                } else {
                    format!("keys here: {}", quoted(known.iter().copied()))
                }
            }),
        };
        return Report {
            causes: vec!["there is no such key here".into()],
            hint: Some(hint),
            ..Report::new(format!("unknown key `{key}`"))
        };
    }
    if message.starts_with("missing field") {
        let key = words.first().copied().unwrap_or_default();
        return Report {
            causes: vec!["it is required here".into()],
            hint: Some(format!(
                "add `{key}:`; `peerlab schema` describes every key"
            )),
            ..Report::new(format!("`{key}` is missing"))
        };
    }
    if let Some(rest) = message.strip_prefix("invalid type: ")
        && let Some((found, expected)) = rest.split_once(", expected ")
    {
        return Report {
            causes: vec![format!(
                "{} stands where {} should",
                plain(found),
                plain(expected)
            )],
            hint: Some(
                "compare topologies/quickstart.yaml; `peerlab schema` describes every key".into(),
            ),
            ..Report::new("wrong kind of value")
        };
    }
    Report {
        hint: Some("`peerlab schema` describes every key".into()),
        ..Report::new(message.to_owned())
    }
}

/// serde's names for kinds of values, in YAML's words.
fn plain(kind: &str) -> String {
    match kind {
        "unit value" => "nothing".into(),
        "sequence" | "a sequence" => "a list".into(),
        "map" | "a map" => "a map (`key: value`)".into(),
        "a string" => "a text".into(),
        _ => match kind.split_once(' ') {
            Some((kind @ ("string" | "integer" | "boolean"), value)) => {
                let value = value.trim_matches(['`', '"']);
                let kind = if kind == "string" {
                    "the text"
                } else if kind == "integer" {
                    "the number"
                } else {
                    "the word"
                };
                format!("{kind} `{value}`")
            }
            _ => kind.to_owned(),
        },
    }
}
