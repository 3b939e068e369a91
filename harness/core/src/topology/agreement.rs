//! The two parsers of a file held against each other. They follow different versions of YAML, so that what
//! one takes for a key may be a comment to the other: a file that they read in two ways is refused.

use serde_yaml::Value;

use super::marked::{Content, Document, Node};
use crate::error::Report;

/// Where they part, if they do.
pub fn disagreement(document: &Document, value: &Value) -> Option<Report> {
    let place = parting(document.root(), value)?.shown();
    let report = Report {
        causes: vec!["versions of YAML differ about what stands here, or just before".into()],
        hint: Some("put texts with unusual characters in quotes, and each key on a line".into()),
        ..Report::new("this can be read in two ways")
    };
    Some(document.report_at(place, report))
}

/// The first key or value that is another one to serde_yaml.
fn parting<'a>(node: &'a Node, value: &Value) -> Option<&'a Node> {
    match (&node.content, value) {
        (_, Value::Tagged(tagged)) => parting(node, &tagged.value),
        (Content::List(items), Value::Sequence(values)) => {
            let mut pairs = items.iter().zip(values);
            let within = pairs.find_map(|(item, value)| parting(item, value));
            within.or_else(|| (items.len() != values.len()).then_some(node))
        }
        (Content::Map(entries), Value::Mapping(mapping)) => {
            let mut pairs = entries.iter().zip(mapping);
            let within = pairs.find_map(|((key, item), (name, value))| {
                parting(key, name).or_else(|| parting(item, value))
            });
            within.or_else(|| (entries.len() != mapping.len()).then_some(node))
        }
        (Content::Scalar(text), Value::String(value)) => (text != value).then_some(node),
        (Content::Scalar(text), Value::Null | Value::Bool(_) | Value::Number(_)) => {
            // What the word means by itself.
            let alone = serde_yaml::from_str::<Value>(text).ok();
            (alone.as_ref() != Some(value)).then_some(node)
        }
        _ => Some(node),
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::parse;

    #[test]
    fn what_the_two_parsers_read_in_two_ways_is_refused_at_its_place() {
        for (text, line) in [
            // A line ends at U+2028 and U+0085 in YAML 1.1, and not in 1.2.
            (
                "name: x # no key:\u{2028}seed: 1\nphases: { settle: 6s }\n",
                2,
            ),
            ("# no key:\u{85}name: x\nseed: 1\n", 2),
            // A key begins so in 1.1, and a word in 1.2.
            ("name: x\nphases: {?settle: 6s}\n", 2),
        ] {
            let error = parse("x.yaml", text).unwrap_err();
            let report = &error.reports[0];
            assert_eq!(report.what, "this can be read in two ways", "{text:?}");
            assert_eq!(report.place.as_ref().unwrap().line, line, "{text:?}");
        }
    }
}
