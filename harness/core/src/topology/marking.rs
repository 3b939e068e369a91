//! Builds the marked tree from the parser's events, within limits: nesting, size, and what aliases
//! multiply.

use std::collections::BTreeMap;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScanError, Span as YamlSpan};

use super::marked::{Content, Document, Node, Span};
use crate::error::{Error, Kind, Report};

/// Most keys and values in a file, those repeated by aliases included.
const NODES_MAX: usize = 500_000;
/// Deepest nesting; the format itself needs seven.
const DEPTH_MAX: usize = 32;
/// What to do about most syntax errors.
const SYNTAX_HINT: &str = "check indentation (spaces only), brackets and quotes on this line and the one above; \
                           inside { } and [ ] a value with any of , [ ] { } needs quotes";

/// Parses YAML and finds duplicate keys.
///
/// # Errors
/// [`Kind::Input`], with a place: a syntax error, the limits of this module, more than one
/// document, keys that are no words, duplicate keys (all of them).
pub fn parse(file: impl AsRef<Path>, text: &str) -> Result<Document, Error> {
    let file = file.as_ref();
    let mut builder = Builder::new(text);
    let faults = match builder.document() {
        Ok(root) if builder.duplicates.is_empty() => return Ok(Document::new(file, text, root)),
        Ok(_) => builder.duplicates,
        Err(fault) => vec![*fault],
    };
    let nothing = Node {
        span: Span::START,
        content: Content::Map(Vec::new()),
    };
    let document = Document::new(file, text, nothing);
    let reports = faults
        .into_iter()
        .map(|fault| document.report_at(fault.span, fault.report));
    Err(Error {
        kind: Kind::Input,
        reports: reports.collect(),
    })
}

/// A mistake whose file name is not known yet.
struct Fault {
    span: Span,
    /// Without a place.
    report: Report,
}

type Built<T> = Result<T, Box<Fault>>;

/// Reads one document.
struct Builder<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    /// Duplicate keys found so far.
    duplicates: Vec<Fault>,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str) -> Builder<'a> {
        Builder {
            parser: Parser::new_from_str(text),
            anchors: BTreeMap::new(),
            nodes: 0,
            duplicates: Vec::new(),
        }
    }

    /// The root of the only document.
    ///
    /// # Errors
    /// The first mistake that ends the reading.
    fn document(&mut self) -> Built<Node> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_), _) => {}
                (Event::StreamEnd | Event::Nothing, span) => {
                    return Err(fault(
                        Span { width: 1, ..span },
                        "the file is empty",
                        "no key stands in it",
                        "an experiment begins with `name:`; see topologies/quickstart.yaml",
                    ));
                }
                (event, span) => {
                    let root = self.node(event, span, 0)?;
                    self.end_of_stream()?;
                    return Ok(root);
                }
            }
        }
    }

    fn end_of_stream(&mut self) -> Built<()> {
        loop {
            match self.next()? {
                (Event::DocumentEnd, _) => {}
                (Event::StreamEnd | Event::Nothing, _) => return Ok(()),
                (_, span) => {
                    return Err(fault(
                        span,
                        "a second YAML document begins here",
                        "a file holds one experiment",
                        "put each experiment into a file of its own",
                    ));
                }
            }
        }
    }

    fn next(&mut self) -> Built<(Event<'static>, Span)> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((owned(event), place(&span))),
            Some(Err(error)) => Err(syntax(&error)),
            None => Ok((Event::Nothing, Span::START)),
        }
    }

    fn node(&mut self, event: Event<'static>, span: Span, depth: usize) -> Built<Node> {
        self.count(1, span)?;
        if depth > DEPTH_MAX {
            return Err(fault(
                span,
                "the file is nested too deeply",
                format!("here are more than {DEPTH_MAX} levels"),
                "an experiment needs seven; `peerlab schema` describes them",
            ));
        }
        let (content, anchor, end) = match event {
            Event::Alias(id) => return self.alias(id, span),
            Event::Scalar(text, _, anchor, _) => (Content::Scalar(text.into_owned()), anchor, None),
            Event::SequenceStart(anchor, _) => {
                let (items, end) = self.list(depth)?;
                (Content::List(items), anchor, Some(end))
            }
            Event::MappingStart(anchor, _) => {
                let (entries, end) = self.map(depth)?;
                (Content::Map(entries), anchor, Some(end))
            }
            _ => return Err(unexpected(span)),
        };
        // A collection's first event spans its opening bracket, its last the closing one; those
        // without brackets have no width of their own.
        let width = match end {
            None => span.width,
            Some(end) if span.width > 0 && end.line == span.line => {
                (end.column + end.width).saturating_sub(span.column)
            }
            Some(_) => 0,
        };
        let node = Node {
            span: Span { width, ..span },
            content,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, span: Span) -> Built<Node> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(fault(
                span,
                "an alias contains itself",
                "it refers to a value that is not complete yet",
                "write the value out",
            ));
        };
        let size = node.size();
        self.count(size, span)?;
        self.anchors
            .get(&id)
            .cloned()
            .ok_or_else(|| unexpected(span))
    }

    fn list(&mut self, depth: usize) -> Built<(Vec<Node>, Span)> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, end) => return Ok((items, end)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Built<(Vec<(Node, Node)>, Span)> {
        let mut entries = Vec::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok((entries, span));
            }
            let key = self.node(event, span, depth + 1)?;
            let Content::Scalar(name) = &key.content else {
                return Err(fault(
                    span,
                    "this is not a key",
                    "a list or map stands where a key should",
                    "write a word; a value that begins with [ or { as a text needs quotes",
                ));
            };
            if let Some(line) = lines.get(name) {
                let report = Report {
                    causes: vec![format!("`{name}` stands already in line {line}")],
                    hint: Some("keep one of the two".into()),
                    ..Report::new(format!("duplicate key `{name}`"))
                };
                self.duplicates.push(Fault {
                    span: key.span,
                    report,
                });
            } else {
                lines.insert(name.clone(), key.span.line);
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            entries.push((key, value));
        }
    }

    fn count(&mut self, nodes: usize, span: Span) -> Built<()> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(fault(
                span,
                "the file is too large",
                format!(
                    "up to here it has more than {NODES_MAX} keys and values, aliases included"
                ),
                "use fewer aliases of aliases, or a graph by its kind instead of its edges",
            ));
        }
        Ok(())
    }
}

fn fault(span: Span, what: &str, cause: impl Into<String>, hint: &str) -> Box<Fault> {
    Box::new(Fault {
        span,
        report: Report {
            causes: vec![cause.into()],
            hint: Some(hint.to_owned()),
            ..Report::new(what)
        },
    })
}

fn unexpected(span: Span) -> Box<Fault> {
    fault(
        span,
        "this is not YAML",
        "nothing of this kind may stand here",
        SYNTAX_HINT,
    )
}

fn syntax(error: &ScanError) -> Box<Fault> {
    let mark = error.marker();
    let span = Span {
        line: mark.line().max(1),
        column: mark.col() + 1,
        width: 1,
    };
    fault(span, "this is not YAML", error.info(), SYNTAX_HINT)
}

fn owned(event: Event<'_>) -> Event<'static> {
    match event {
        Event::Scalar(text, style, anchor, _) => {
            Event::Scalar(text.into_owned().into(), style, anchor, None)
        }
        Event::SequenceStart(anchor, _) => Event::SequenceStart(anchor, None),
        Event::MappingStart(anchor, _) => Event::MappingStart(anchor, None),
        Event::Nothing => Event::Nothing,
        Event::StreamStart => Event::StreamStart,
        Event::StreamEnd => Event::StreamEnd,
        Event::DocumentStart(explicit) => Event::DocumentStart(explicit),
        Event::DocumentEnd => Event::DocumentEnd,
        Event::Alias(id) => Event::Alias(id),
        Event::SequenceEnd => Event::SequenceEnd,
        Event::MappingEnd => Event::MappingEnd,
    }
}

fn place(span: &YamlSpan) -> Span {
    let (start, end) = (&span.start, &span.end);
    let one_line = start.line() == end.line();
    Span {
        line: start.line().max(1),
        column: start.col() + 1,
        width: if one_line {
            end.col().saturating_sub(start.col())
        } else {
            0
        },
    }
}
