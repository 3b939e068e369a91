//! An experiment file written out for people: sections as blocks, and what fits on a line as
//! `{ .. }` and `[ .. ]`. What is not said is left out. It says nothing of what keys mean.

use serde_yaml::{Mapping, Value};

use super::file::File;

/// Longest line of a value that is written on one line.
const LINE_CHARS_MAX: usize = 100;
/// Spaces of a level.
const INDENT: usize = 2;

impl File {
    /// As YAML; `head` becomes a comment at its top.
    pub fn to_yaml(&self, head: &str) -> String {
        let mut text = String::new();
        for line in head.lines() {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        }
        if !head.is_empty() {
            text.push('\n');
        }
        // Strings, numbers, lists and maps with words for keys only: serde_yaml cannot refuse them.
        let value = serde_yaml::to_value(self).unwrap_or_default();
        if let Value::Mapping(sections) = said(value).unwrap_or_default() {
            for (key, value) in &sections {
                if !fits(value, 0) {
                    text.push('\n');
                }
                entry(&mut text, 0, key, value);
            }
        }
        text
    }
}

/// Without what is not said: null, and maps in which nothing else is.
fn said(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Mapping(map) => {
            let was_empty = map.is_empty();
            let left: Mapping = map
                .into_iter()
                .filter_map(|(key, value)| Some((key, said(value)?)))
                .collect();
            (was_empty || !left.is_empty()).then_some(Value::Mapping(left))
        }
        Value::Sequence(items) => Some(items.into_iter().filter_map(said).collect()),
        scalar => Some(scalar),
    }
}

/// Whether a value is written on one line: a list of names; within a section, what is short; a
/// section itself, and a list of what happens, only where it holds nothing but scalars.
fn fits(value: &Value, depth: usize) -> bool {
    let is_scalar = |value: &Value| !value.is_mapping() && !value.is_sequence();
    let is_flat = match value {
        Value::Mapping(map) => map.values().all(is_scalar),
        Value::Sequence(items) => items.iter().all(is_scalar),
        _ => true,
    };
    let is_listing = depth == 0 || depth == 1 && value.is_sequence();
    let is_short = depth * INDENT + flow(value).chars().count() <= LINE_CHARS_MAX;
    is_flat && value.is_sequence() || is_short && (is_flat || !is_listing)
}

/// `key: value`, on one line or with a block below.
fn entry(text: &mut String, depth: usize, key: &Value, value: &Value) {
    let indent = " ".repeat(depth * INDENT);
    text.push_str(&format!("{indent}{}:", flow(key)));
    if fits(value, depth) {
        text.push_str(&format!(" {}\n", flow(value)));
    } else {
        text.push('\n');
        block(text, depth + 1, value);
    }
}

fn block(text: &mut String, depth: usize, value: &Value) {
    match value {
        Value::Mapping(map) => {
            for (key, value) in map {
                entry(text, depth, key, value);
            }
        }
        Value::Sequence(items) => {
            for item in items {
                let mut inner = String::new();
                match item {
                    // `- key: value` rather than `- { key: value }`.
                    Value::Mapping(map) if map.len() == 1 || !fits(item, depth + 1) => {
                        block(&mut inner, depth + 1, item);
                    }
                    _ => inner = format!("{}{}\n", " ".repeat((depth + 1) * INDENT), flow(item)),
                }
                let dash = format!("{}- ", " ".repeat(depth * INDENT));
                inner.replace_range(..dash.len(), &dash);
                text.push_str(&inner);
            }
        }
        scalar => text.push_str(&flow(scalar)),
    }
}

/// On one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Mapping(map) if map.is_empty() => "{}".to_owned(),
        Value::Mapping(map) => {
            let entries: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", flow(key), flow(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Sequence(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) => scalar(text),
        Value::Number(number) => number.to_string(),
        Value::Bool(choice) => choice.to_string(),
        Value::Null | Value::Tagged(_) => "~".to_owned(),
    }
}

/// A text that YAML could take for something else is put in quotes; JSON's are YAML's as well.
fn scalar(text: &str) -> String {
    const KEYWORDS: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "nan"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric()) || text.starts_with("< ");
    let inner = |c: char| c.is_ascii_alphanumeric() || " -_.%/()<".contains(c);
    // `12`, `1e3`, `0x1f` and their like.
    let number = text.starts_with(|c: char| c.is_ascii_digit()) && !has_unit(text);
    let keyword = KEYWORDS.contains(&text.to_lowercase().as_str());
    let other = number || keyword || text.len() < 2 || text.ends_with(' ');
    let plain = begins && text.chars().all(inner) && !other;
    if plain {
        text.to_owned()
    } else {
        serde_json::Value::String(text.to_owned()).to_string()
    }
}

/// Whether a text that begins with digits goes on as no number does.
fn has_unit(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    rest.starts_with('%') || rest.contains(' ') || rest.ends_with('s')
}
