//! The file as a tree in which every key and value knows its place. It gives errors their line
//! and column and finds duplicate keys; what the values mean is not known here.

use crate::error::{Place, Report};

/// Longest file, bytes: an explicit graph of 10,000 nodes fits many times.
pub const FILE_BYTES_MAX: usize = 8 << 20;

/// A stretch of one line: line and column from 1, width in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// In characters; zero for what goes over several lines.
    pub width: usize,
}

/// A key or value.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub content: Content,
}

/// What a key or value is.
#[derive(Clone, Debug)]
pub enum Content {
    /// One value.
    Scalar(String),
    /// Items.
    List(Vec<Node>),
    /// Keys and values.
    Map(Vec<(Node, Node)>),
}

/// The way from the root to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
    /// The key itself, not its value.
    Name(String),
}

impl Path {
    /// The whole document.
    pub fn root() -> Path {
        Path::default()
    }

    /// The value of a key.
    #[must_use]
    pub fn key(&self, key: &str) -> Path {
        self.with(Step::Key(key.to_owned()))
    }

    /// An item of a list, from 0.
    #[must_use]
    pub fn item(&self, index: usize) -> Path {
        self.with(Step::Item(index))
    }

    /// A key itself.
    #[must_use]
    pub fn name(&self, key: &str) -> Path {
        self.with(Step::Name(key.to_owned()))
    }

    fn with(&self, step: Step) -> Path {
        let mut path = self.clone();
        path.0.push(step);
        path
    }
}

/// A parsed file.
#[derive(Clone, Debug)]
pub struct Document {
    file: std::path::PathBuf,
    lines: Vec<String>,
    root: Node,
}

impl Document {
    /// The file, as it was named.
    pub fn file(&self) -> &std::path::Path {
        &self.file
    }

    /// The whole of it.
    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// Of what was parsed from this text.
    pub(super) fn new(file: &std::path::Path, text: &str, root: Node) -> Document {
        Document {
            file: file.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            root,
        }
    }

    /// Puts a report at the place of `path`, or of its nearest ancestor that is written.
    pub fn report(&self, path: &Path, report: Report) -> Report {
        self.report_at(self.locate(path), report)
    }

    /// Puts a report at a line and column (from 1); what stands there is underlined.
    pub fn report_at_mark(&self, line: usize, column: usize, report: Report) -> Report {
        let span = Span {
            line,
            column,
            width: self.root.width_at(line, column).unwrap_or(1),
        };
        self.report_at(span, report)
    }

    /// The text of the scalar at `path`.
    pub fn scalar(&self, path: &Path) -> Option<&str> {
        let mut node = &self.root;
        for step in &path.0 {
            node = node.child(step)?.1;
        }
        match &node.content {
            Content::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// Whether anything is written at `path`, given as serde_yaml shows it (`a.b[3].c`).
    pub fn has_dotted(&self, path: &str) -> bool {
        let mut node = &self.root;
        for step in path
            .replace('[', ".[")
            .split('.')
            .filter(|step| !step.is_empty())
        {
            let step = match step
                .strip_prefix('[')
                .and_then(|index| index.strip_suffix(']'))
            {
                Some(index) => index.parse().map_or(Step::Key(step.to_owned()), Step::Item),
                None => Step::Key(step.to_owned()),
            };
            match node.child(&step) {
                Some((_, child)) => node = child,
                None => return false,
            }
        }
        true
    }

    /// The place of `path`, or of its nearest ancestor that is written.
    pub fn place(&self, path: &Path) -> Place {
        self.place_at(self.locate(path))
    }

    pub(super) fn report_at(&self, span: Span, report: Report) -> Report {
        Report {
            place: Some(self.place_at(span)),
            ..report
        }
    }

    fn place_at(&self, span: Span) -> Place {
        Place {
            file: self.file.display().to_string(),
            line: span.line,
            column: span.column,
            text: self.lines.get(span.line - 1).cloned().unwrap_or_default(),
            width: span.width,
        }
    }

    fn locate(&self, path: &Path) -> Span {
        let mut node = &self.root;
        let mut span = node.shown();
        for step in &path.0 {
            let Some((key, child)) = node.child(step) else {
                break;
            };
            // A block of many lines is best shown by the key that names it.
            span = match (&child.content, key, step) {
                (_, Some(key), Step::Name(_)) => key.span,
                // Nothing is written there (the parser calls it `~`).
                (Content::Scalar(text), Some(key), _) if matches!(text.as_str(), "" | "~") => {
                    key.span
                }
                (Content::Scalar(_), _, _) | (_, None, _) => child.shown(),
                (_, Some(_), _) if child.span.width > 0 => child.span,
                (_, Some(key), _) => key.span,
            };
            node = child;
        }
        span
    }
}

impl Node {
    fn child(&self, step: &Step) -> Option<(Option<&Node>, &Node)> {
        match (&self.content, step) {
            (Content::Map(entries), Step::Key(name) | Step::Name(name)) => entries
                .iter()
                .find(|(key, _)| key.is(name))
                .map(|(key, value)| (Some(key), value)),
            (Content::List(items), Step::Item(index)) => items.get(*index).map(|item| (None, item)),
            _ => None,
        }
    }

    fn is(&self, name: &str) -> bool {
        matches!(&self.content, Content::Scalar(text) if text == name)
    }

    /// Its own span, or that of its first word when it is a collection over several lines.
    pub(super) fn shown(&self) -> Span {
        match &self.content {
            Content::Map(entries) if self.span.width == 0 => {
                entries.first().map_or(self.span, |(key, _)| key.span)
            }
            Content::List(items) if self.span.width == 0 => {
                items.first().map_or(self.span, Node::shown)
            }
            _ => self.span,
        }
    }

    fn width_at(&self, line: usize, column: usize) -> Option<usize> {
        let inner = match &self.content {
            Content::Scalar(_) => None,
            Content::List(items) => items.iter().find_map(|item| item.width_at(line, column)),
            Content::Map(entries) => entries.iter().find_map(|(key, value)| {
                key.width_at(line, column)
                    .or_else(|| value.width_at(line, column))
            }),
        };
        inner.or_else(|| {
            (self.span.line == line && self.span.column == column).then_some(self.span.width)
        })
    }

    /// How many keys and values it has, itself included.
    pub fn size(&self) -> usize {
        1 + match &self.content {
            Content::Scalar(_) => 0,
            Content::List(items) => items.iter().map(Node::size).sum(),
            Content::Map(entries) => entries
                .iter()
                .map(|(key, value)| key.size() + value.size())
                .sum(),
        }
    }
}

impl Span {
    /// The first character of the file.
    pub const START: Span = Span {
        line: 1,
        column: 1,
        width: 1,
    };
}

#[cfg(test)]
mod tests {
    use super::super::marking::parse;
    use super::*;

    fn underlined(text: &str, path: &Path) -> String {
        let document = parse("x.yaml", text).unwrap();
        let place = document.report(path, Report::new("x")).place.unwrap();
        let chars = place
            .text
            .chars()
            .skip(place.column - 1)
            .take(place.width.max(1));
        format!("{}:{}", place.line, chars.collect::<String>())
    }

    #[test]
    fn every_key_and_value_has_its_place() {
        let text = "a: 1\nb:\n  - { c: déjà, d: [1, 2] }\n  - e: f\n    g: 'h i'\n";
        let root = Path::root();
        assert_eq!(underlined(text, &root.key("a")), "1:1");
        assert_eq!(underlined(text, &root.name("a")), "1:a");
        assert_eq!(underlined(text, &root.key("b")), "2:b");
        assert_eq!(
            underlined(text, &root.key("b").item(0)),
            "3:{ c: déjà, d: [1, 2] }"
        );
        assert_eq!(underlined(text, &root.key("b").item(0).key("c")), "3:déjà");
        assert_eq!(
            underlined(text, &root.key("b").item(0).key("d").item(1)),
            "3:2"
        );
        assert_eq!(underlined(text, &root.key("b").item(1)), "4:e");
        assert_eq!(underlined(text, &root.key("b").item(1).key("g")), "5:'h i'");
        assert_eq!(
            underlined(text, &root.key("b").item(1).key("missing")),
            "4:e"
        );
    }

    #[test]
    fn duplicate_keys_are_all_told() {
        let error = parse("x.yaml", "a: 1\nb: 2\na: 3\nb: 4\n").unwrap_err();
        let lines: Vec<usize> = error
            .reports
            .iter()
            .map(|r| r.place.as_ref().unwrap().line)
            .collect();
        assert_eq!(lines, [3, 4]);
    }

    #[test]
    fn bombs_do_not_go_off() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
        }
        let error = parse("x.yaml", &bomb).unwrap_err();
        assert!(error.reports[0].causes[0].contains("aliases included"));
        let deep = "[".repeat(100_000);
        parse("x.yaml", &deep).unwrap_err();
        parse("x.yaml", "a: &a [*a]").unwrap_err();
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\n\t{}\\[\\]:,&*!|>'\"#%@-]{0,200}") {
            let _ = parse("x.yaml", &text);
        }
    }
}
