//! `peerlab logs`: what the programs of nodes wrote, in the order of time, each line with its node.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap_complete::engine::ArgValueCandidates;
use console::{Color, Style};
use peerlab_core::error::Result;
use peerlab_core::topology;
use peerlab_core::topology::by_hand::choices;
use peerlab_link::Nanos;

use super::complete::node_names;
use super::networks::{Which, ended_or, json_line};
use crate::network::{NodeLog, Reply, Request, ask_for_all, find, unexpected};
use crate::ui::Ui;

/// Bytes of each node's log that are looked at.
const BYTES: u32 = 256 << 10;
/// The same while logs are followed: a node does not write more in between.
const BYTES_FOLLOWED: u32 = 64 << 10;
/// Pause between two looks while logs are followed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A line without an instant of its own belongs to the one before it, if it was read so soon after that was
/// written, microseconds.
const SAME_MESSAGE_US: i64 = 1_000_000;
/// Colours of nodes' names: those that can be read on a dark screen and on a light one.
const COLORS: [Color; 5] = [
    Color::Cyan,
    Color::Magenta,
    Color::Green,
    Color::Blue,
    Color::Red,
];

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
    /// Only what they wrote in this last time, as 30s
    #[arg(long, value_name = "TIME", value_parser = topology::time)]
    since: Option<Nanos>,
    /// Which nodes, as for `kill` [default: all]
    #[arg(add = ArgValueCandidates::new(node_names))]
    nodes: Vec<String>,
}

/// Shows them; those that are followed until the network ends, or nobody reads any more. The last 256 KiB of
/// each node's log are looked at.
///
/// # Errors
/// When there is no such node or network.
pub async fn logs(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let network = find(args.which.network.as_deref()).await?.name;
    let mut shown = Shown::default();
    let mut bytes_max = BYTES;
    let since = args.since.map(|since| {
        let now = chrono::DateTime::<chrono::Utc>::from(SystemTime::now()).timestamp_micros();
        now.saturating_sub_unsigned(since.0 / 1_000)
    });
    loop {
        let logs = match read(&network, &args.nodes, bytes_max).await {
            Ok(logs) => logs,
            Err(error) if args.follow => return ended_or(error, &network, ui).await,
            Err(error) => return Err(error),
        };
        let mut lines = ordered(shown.new_lines(logs));
        if let Some(text) = &args.grep {
            lines.retain(|line| line.text.contains(text));
        }
        if since.is_some() {
            lines.retain(|line| line.at >= since);
        }
        let text = args.shown(&lines, ui)?;
        let is_read = text.is_empty() || ui.result(&text);
        if !args.follow || !is_read {
            return Ok(ExitCode::SUCCESS);
        }
        bytes_max = BYTES_FOLLOWED;
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

impl Args {
    fn shown(&self, lines: &[Line], ui: &Ui) -> Result<String> {
        let width = lines.iter().map(|line| line.node.len()).max().unwrap_or(0);
        let shown = |line: &Line| {
            if self.which.json {
                let at = line.at.and_then(chrono::DateTime::from_timestamp_micros);
                let at = at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
                let line = serde_json::json!({ "node": line.node, "at": at, "line": line.text });
                return json_line(&line);
            }
            let text = ui.of_node(&line.text);
            let node = Style::new().fg(color_of(&line.node));
            let node = node.force_styling(ui.colors()).apply_to(&line.node);
            let room = " ".repeat(width - line.node.len());
            Ok(format!("{node}{room} | {text}\n"))
        };
        lines.iter().map(shown).collect()
    }
}

/// The same each time, and another one for the next node of a group.
fn color_of(node: &str) -> Color {
    let sum = node.bytes().fold(0, |sum: usize, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    COLORS[sum % COLORS.len()]
}

async fn read(network: &str, nodes: &[String], bytes_max: u32) -> Result<Vec<NodeLog>> {
    let request = Request::Logs {
        nodes: choices(nodes),
        bytes_max,
    };
    let mut answers = ask_for_all(Some(network), request).await?;
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
    /// When it was written, as far as it says so, else when it was read; in microseconds since the Unix
    /// epoch.
    at: Option<i64>,
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
        for NodeLog { node, text, times } in logs {
            // The line under way is for the next time.
            let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
            let known = self.ends.get(&node).filter(|end| !end.is_empty());
            let known = known.and_then(|end| Some(whole.rfind(end.as_str())? + end.len()));
            let known = known.unwrap_or(0);
            let first_new = whole[..known].matches('\n').count();
            let instants = instants(whole, &times);
            for (text, at) in whole.lines().zip(instants).skip(first_new) {
                lines.push(Line {
                    node: node.clone(),
                    text: text.to_owned(),
                    at,
                });
            }
            if known < whole.len() {
                self.ends.insert(node, last_lines(whole).to_owned());
            }
        }
        lines
    }
}

/// In the order of time; a node's lines keep theirs.
fn ordered(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by_key(|line| line.at);
    lines
}

/// When each line was written. Lines say it themselves, as `2026-11-30T18:10:48Z` at their beginning, to more
/// than can be seen from outside; those that do not belong to the line before, or were written when they
/// were read.
fn instants(text: &str, times: &[(u32, u64)]) -> Vec<Option<i64>> {
    let mut times = times.iter().peekable();
    let (mut read, mut last) = (None, None);
    let of = |(number, text): (usize, &str)| {
        while let Some((_, ms)) = times.next_if(|(line, _)| *line as usize <= number) {
            read = i64::try_from(ms.saturating_mul(1_000)).ok();
        }
        let soon =
            |last: i64| read.is_none_or(|read: i64| read.saturating_sub(last) < SAME_MESSAGE_US);
        last = own_instant(text)
            .or(last.filter(|last| soon(*last)))
            .or(read);
        last
    };
    text.lines().enumerate().map(of).collect()
}

fn own_instant(text: &str) -> Option<i64> {
    let word = text.split(' ').next().unwrap_or_default();
    let instant = chrono::DateTime::parse_from_rfc3339(word).ok()?;
    Some(instant.timestamp_micros())
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
            times: Vec::new(),
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
    fn lines_without_an_instant_of_their_own_have_that_of_their_reading() {
        let text = "1970-01-01T00:00:05Z one\n more of it\nlong after it\nat once\n\
                    1970-01-01T01:00:20+01:00 in another zone\n";
        let s = |seconds: i64| Some(seconds * 1_000_000);
        let times = [(0, 5_300), (2, 9_000)];
        assert_eq!(instants(text, &times), [s(5), s(5), s(9), s(9), s(20)]);
        assert_eq!(instants(text, &[]), [s(5), s(5), s(5), s(5), s(20)]);
        let text = "[9 bytes before this are left out]\nno\ninstants\n";
        assert_eq!(instants(text, &[(1, 7_000)]), [None, s(7), s(7)]);
        assert_eq!(instants(text, &[(1, u64::MAX)])[1], None);
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
}
