//! `peerlab logs`: what the programs of nodes wrote, in the order of time, each line with its node.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use peerlab_core::error::Result;
use peerlab_core::event::Reason;
use peerlab_core::topology::by_hand::choices;

use super::networks::{Which, unexpected};
use crate::network::{NodeLog, Reply, Request, ask_for_all};
use crate::ui::Ui;

/// Bytes of each node's log that are looked at.
const BYTES: u32 = 256 << 10;
/// The same while logs are followed: a node does not write more in between.
const BYTES_FOLLOWED: u32 = 64 << 10;
/// Pause between two looks while logs are followed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Characters of an instant as logs have it, to the second: `2026-11-30T18:10:48`.
const INSTANT_CHARS: usize = 19;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Go on with what they write from now on
    #[arg(short, long)]
    follow: bool,
    /// Only lines with this text in them
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Which nodes, as for `kill` [default: all]
    nodes: Vec<String>,
}

/// Shows them. The last 256 KiB of each node's log are looked at.
///
/// # Errors
/// When there is no such node, or the network has ended.
pub async fn logs(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let mut shown = Shown::default();
    let mut bytes_max = BYTES;
    loop {
        let logs = read(args, bytes_max).await?;
        let mut lines = ordered(shown.new_lines(logs));
        if let Some(text) = &args.grep {
            lines.retain(|line| line.text.contains(text));
        }
        let text = args.shown(&lines);
        if !text.is_empty() {
            ui.result(&text);
        }
        if !args.follow {
            return Ok(ExitCode::SUCCESS);
        }
        bytes_max = BYTES_FOLLOWED;
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

impl Args {
    fn shown(&self, lines: &[Line]) -> String {
        let width = lines.iter().map(|line| line.node.len()).max().unwrap_or(0);
        let shown = |line: &Line| {
            if self.which.json {
                let line = serde_json::json!({ "node": line.node, "line": line.text });
                return format!("{line}\n");
            }
            // Whatever a node writes must not drive the terminal.
            let text: String = line.text.chars().map(harmless).collect();
            format!("{:<width$} | {text}\n", line.node)
        };
        lines.iter().map(shown).collect()
    }
}

fn harmless(c: char) -> char {
    let is_shown = !c.is_control() && Reason::from(c.to_string()).to_string().chars().count() <= 1;
    if is_shown || c == '\t' { c } else { '?' }
}

async fn read(args: &Args, bytes_max: u32) -> Result<Vec<NodeLog>> {
    let request = Request::Logs {
        nodes: choices(&args.nodes),
        bytes_max,
    };
    let mut answers = ask_for_all(args.which.network.as_deref(), request).await?;
    let mut logs = Vec::new();
    loop {
        match answers.next().await? {
            Reply::Log(log) => logs.push(log),
            Reply::Did(_) => return Ok(logs),
            other => return Err(unexpected(&other)),
        }
    }
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    node: String,
    text: String,
    /// When it was written, where it says so, else when the line before it was.
    at: String,
}

/// Which lines were shown.
#[derive(Default)]
struct Shown {
    /// The last whole lines of each node.
    ends: BTreeMap<String, String>,
}

impl Shown {
    /// Of each log what was not there before.
    fn new_lines(&mut self, logs: Vec<NodeLog>) -> Vec<Line> {
        let mut lines = Vec::new();
        for NodeLog { node, text } in logs {
            // The line under way is for the next time.
            let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
            let known = self.ends.get(&node).filter(|end| !end.is_empty());
            let known = known.and_then(|end| Some(whole.rfind(end.as_str())? + end.len()));
            let new = &whole[known.unwrap_or(0)..];
            let mut at = String::new();
            for text in new.lines() {
                let instant = text.get(..INSTANT_CHARS).filter(|it| is_instant(it));
                if instant.is_some() {
                    at = first_word(text).to_owned();
                }
                lines.push(Line {
                    node: node.clone(),
                    text: text.to_owned(),
                    at: at.clone(),
                });
            }
            if !new.is_empty() {
                self.ends.insert(node, last_lines(whole).to_owned());
            }
        }
        lines
    }
}

/// In the order of time; a node's lines keep theirs.
fn ordered(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by(|a, b| a.at.cmp(&b.at));
    lines
}

fn is_instant(text: &str) -> bool {
    let form = "dddd-dd-ddTdd:dd:dd";
    text.chars().zip(form.chars()).all(|(c, form)| match form {
        'd' => c.is_ascii_digit(),
        _ => c == form,
    })
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// The last lines, by which the place is found again: several, since one alone may come twice.
fn last_lines(whole: &str) -> &str {
    const LINES: usize = 5;
    let mut ends = whole.trim_end_matches('\n').rmatch_indices('\n');
    ends.nth(LINES - 1)
        .map_or(whole, |(newline, _)| &whole[newline + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(node: &str, text: &str) -> NodeLog {
        NodeLog {
            node: node.into(),
            text: text.into(),
        }
    }

    fn told(lines: &[Line]) -> Vec<String> {
        let told = |line: &Line| format!("{}: {}", line.node, line.text);
        lines.iter().map(told).collect()
    }

    #[test]
    fn lines_of_all_nodes_come_in_the_order_of_time() {
        let mut shown = Shown::default();
        let lines = shown.new_lines(vec![
            log(
                "a",
                "2026-11-30T18:10:48.5Z one\n  more of one\n2026-11-30T18:10:50.1Z three\n",
            ),
            log("b", "2026-11-30T18:10:49.0Z two\nand a part of a li"),
        ]);
        assert_eq!(
            told(&ordered(lines)),
            [
                "a: 2026-11-30T18:10:48.5Z one",
                "a:   more of one",
                "b: 2026-11-30T18:10:49.0Z two",
                "a: 2026-11-30T18:10:50.1Z three"
            ]
        );
    }

    #[test]
    fn what_was_shown_is_not_shown_again() {
        let mut shown = Shown::default();
        let first = "one\ntwo\nthree\nfour\nfive\nsix\n";
        assert_eq!(shown.new_lines(vec![log("a", first)]).len(), 6);
        assert_eq!(shown.new_lines(vec![log("a", first)]), []);
        // The beginning is left out meanwhile, and a line was under way.
        let next = shown.new_lines(vec![log("a", "two\nthree\nfour\nfive\nsix\nseven\neig")]);
        assert_eq!(told(&next), ["a: seven"]);
        let next = shown.new_lines(vec![log("a", "three\nfour\nfive\nsix\nseven\neight\n")]);
        assert_eq!(told(&next), ["a: eight"]);
        // So much was written that the place is gone.
        let next = shown.new_lines(vec![log("a", "x\ny\n")]);
        assert_eq!(told(&next), ["a: x", "a: y"]);
    }

    #[test]
    fn what_drives_a_terminal_is_not_shown() {
        let text: String = "\u{1b}[2Jgo\u{202e}ne\t!".chars().map(harmless).collect();
        assert_eq!(text, "?[2Jgo?ne\t!");
    }
}
