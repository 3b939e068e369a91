//! What the pages are made of: the frame around them, sections, tables.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use crate::check::Outcome;

/// The style sheet of all pages.
pub const STYLE: &str = include_str!("style.css");

/// A whole file, around what it shows, with a script or none.
pub fn frame(name: &str, outcome: Outcome, body: &Markup, script: Option<&str>) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy(script));
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (name) " " (outcome.word().to_lowercase()) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main { (body) }
                @if let Some(script) = script { script { (PreEscaped(script)) } }
            }
        }
    };
    // What comes from nodes and files must not be more than text.
    let text = page.into_string();
    text.replace(|c: char| c.is_control() && c != '\n', " ") + "\n"
}

/// What a browser may do with the file: run this script, and load nothing.
fn policy(script: Option<&str>) -> String {
    let scripts = script.map_or_else(
        || "'none'".to_owned(),
        |script| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(script))),
    );
    format!("default-src 'none'; style-src 'unsafe-inline'; script-src {scripts}")
}

/// The top of a page.
pub fn head(name: &str, outcome: Outcome) -> Markup {
    let word = outcome.word();
    html! {
        header {
            span class={ "pill " (word.to_lowercase()) } { (word) }
            h1 { (name) }
        }
    }
}

pub fn section(title: &str, body: Markup) -> Markup {
    html! { section { h2 { (title) } (body) } }
}

pub fn hint(text: &str) -> Markup {
    html! { p.hint { (text) } }
}

/// A table; columns whose title begins with `#` hold numbers.
pub fn table<const N: usize>(
    titles: [&str; N],
    rows: impl IntoIterator<Item = [Markup; N]>,
) -> Markup {
    let class = titles.map(|title| title.starts_with('#').then_some("n"));
    html! {
        table {
            thead { tr {
                @for (title, class) in titles.iter().zip(class) {
                    th class=[class] { (title.trim_start_matches('#')) }
                }
            } }
            tbody {
                @for row in rows {
                    tr { @for (cell, class) in row.iter().zip(class) { td class=[class] { (cell) } } }
                }
            }
        }
    }
}

/// A cell with nothing but text in it.
pub fn text(text: impl AsRef<str>) -> Markup {
    html! { (text.as_ref()) }
}
