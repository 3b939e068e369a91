//! The verdict on one screen of a terminal: what was run, what was expected and measured, the
//! story of the forks, the costs. A pure function; printing is `ui`'s.

use std::path::PathBuf;

use peerlab_link::Nanos;

use super::run_report::files;
use super::sentences::{block_sums, double_spend_story, drops, partition_story};
use crate::check::{
    Bandwidth, DoubleSpend, GroupDelay, Judgement, Outcome, Propagation, Status, Verdict,
};
use crate::words;

/// Least and greatest width, columns: below, tables break; above, lines are hard to read.
const WIDTH: (usize, usize) = (80, 100);

/// Columns of an expectation's measured value and bound.
const VALUE_COLUMNS: usize = 14;

/// Short forks that no partition made are listed up to this many.
const OTHER_FORKS_SHOWN: usize = 2;

/// How the verdict is shown.
#[derive(Clone, Debug, Default)]
pub struct TerminalStyle {
    /// Whether ANSI colours may be used.
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// Where the run's files are; `None` when there are none.
    pub run_dir: Option<PathBuf>,
    /// How the reader calls Peerlab, as `peerlab` or `cargo run --release --`.
    pub command: String,
}

/// The whole text, ending in a newline.
pub fn terminal(judgement: &Judgement, style: &TerminalStyle) -> String {
    let mut screen = Screen {
        text: String::new(),
        color: style.color,
        width: style.width.clamp(WIDTH.0, WIDTH.1),
    };
    headline(&mut screen, judgement);
    expectations(&mut screen, &judgement.verdicts);
    forks(&mut screen, judgement);
    double_spends(&mut screen, &judgement.figures.double_spends);
    costs(&mut screen, judgement);
    for warning in &judgement.warnings {
        screen.paragraph("warning  ", ink::YELLOW, warning);
    }
    if !judgement.warnings.is_empty() {
        screen.blank();
    }
    if let Some(trace) = &judgement.run.trace {
        screen.labelled("trace", &format!("{trace} (sha256 of {})", files::EVENTS));
    }
    if let Some(dir) = &style.run_dir {
        let command = &style.command;
        let file = |name| dir.join(name).display().to_string();
        screen.labelled("report", &file(files::REPORT_HTML));
        screen.labelled("replay", &format!("{command} replay {}", dir.display()));
        if judgement.outcome == Outcome::Inconclusive {
            screen.labelled("doctor", &format!("{command} doctor {}", file(files::PLAN)));
        }
    }
    screen.text
}

/// ANSI's codes of colours and weights.
mod ink {
    pub const PLAIN: &str = "0";
    pub const BOLD: &str = "1";
    pub const DIM: &str = "2";
    pub const GREEN: &str = "32";
    pub const RED: &str = "31";
    pub const YELLOW: &str = "33";
    pub const ON_GREEN: &str = "1;30;42";
    pub const ON_RED: &str = "1;97;41";
    pub const ON_YELLOW: &str = "1;30;43";
}

struct Screen {
    text: String,
    color: bool,
    width: usize,
}

impl Screen {
    fn ink(&self, ink: &str, text: &str) -> String {
        // What comes from nodes and files must not drive the terminal.
        let safe: String = text
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect();
        if self.color && ink != ink::PLAIN {
            format!("\x1b[{ink}m{safe}\x1b[0m")
        } else {
            safe
        }
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn heading(&mut self, text: &str) {
        let text = self.ink(ink::BOLD, text);
        self.line(&text);
    }

    /// Text after a label, wrapped and indented under its own start.
    fn paragraph(&mut self, label: &str, ink: &str, text: &str) {
        let indent = label.chars().count() + 2;
        for (i, row) in wrap(text, self.width.saturating_sub(indent))
            .iter()
            .enumerate()
        {
            let lead = match i {
                0 => self.ink(ink, label),
                _ => " ".repeat(indent - 2),
            };
            let row = self.ink(ink::PLAIN, row);
            self.line(&format!("  {lead}{row}"));
        }
    }

    fn labelled(&mut self, label: &str, text: &str) {
        let label = self.ink(ink::DIM, &format!("{label:<8}"));
        let text = self.ink(ink::PLAIN, text);
        self.line(&format!("  {label} {text}"));
    }
}

/// Breaks text at spaces, but not between a number and its unit; what is longer than a row
/// stands alone.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        let mut word = word.to_owned();
        while word.ends_with(|c: char| c.is_ascii_digit())
            && let Some(unit) = words.next()
        {
            word.push(' ');
            word.push_str(unit);
        }
        let row = rows.last().map_or(0, |r| r.chars().count());
        if row > 0 && row + 1 + word.chars().count() > columns {
            rows.push(String::new());
        }
        if let Some(row) = rows.last_mut() {
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(&word);
        }
    }
    rows
}

fn headline(screen: &mut Screen, judgement: &Judgement) {
    let ink = match judgement.outcome {
        Outcome::Passed => ink::ON_GREEN,
        Outcome::Failed => ink::ON_RED,
        Outcome::Inconclusive => ink::ON_YELLOW,
    };
    let run = &judgement.run;
    let mut facts = vec![format!("seed {}", run.seed)];
    if !run.engine.is_empty() {
        facts.push(run.engine.clone());
    }
    facts.push(words::count(u64::from(run.nodes), "node"));
    facts.push(format!("{} observed", words::duration(run.observed_ns)));
    // In virtual time nothing has to come up.
    if run.bring_up_ns > Nanos::ZERO {
        facts.push(format!("up in {}", words::duration(run.bring_up_ns)));
    }
    let word = screen.ink(ink, &format!(" {} ", judgement.outcome.word()));
    let name = screen.ink(ink::BOLD, &run.name);
    screen.blank();
    screen.line(&format!("{word} {name}"));
    screen.paragraph("", ink::PLAIN, &facts.join(" | "));
    for reason in &judgement.inconclusive_because {
        screen.paragraph("reason ", ink::YELLOW, reason);
    }
    screen.blank();
}

fn expectations(screen: &mut Screen, verdicts: &[Verdict]) {
    if verdicts.is_empty() {
        return;
    }
    // Status, measured, bound and their gaps take the rest of the line.
    let columns = screen.width - 2 * VALUE_COLUMNS - 12;
    let title = format!("  {:<w$}", "Expected", w = columns + 8);
    screen.heading(&format!(
        "{title}{:>v$}  {:<v$}",
        "measured",
        "bound",
        v = VALUE_COLUMNS
    ));
    for verdict in verdicts {
        let (word, ink) = match verdict.status {
            Status::Held => ("ok", ink::GREEN),
            Status::Failed | Status::NotMeasured => ("FAILED", ink::RED),
        };
        let measured = verdict.measured.as_deref().unwrap_or("not measured");
        let status = screen.ink(ink, &format!("{word:<6}"));
        let mut rows = wrap(&verdict.expectation, columns).into_iter();
        let first = format!("{:<columns$}", rows.next().unwrap_or_default());
        let first = screen.ink(ink::PLAIN, &first);
        let value = screen.ink(ink, &format!("{measured:>VALUE_COLUMNS$}"));
        let bound = screen.ink(ink::PLAIN, &verdict.bound);
        screen.line(&format!("  {status}  {first}{value}  {bound}"));
        for row in rows {
            screen.paragraph("        ", ink::PLAIN, &row);
        }
        if verdict.status != Status::Held {
            screen.paragraph("        ", ink::PLAIN, &verdict.sentence);
        }
    }
    screen.blank();
}

fn forks(screen: &mut Screen, judgement: &Judgement) {
    let forks = &judgement.figures.forks;
    screen.heading("  Forks");
    for partition in &judgement.figures.partitions {
        screen.paragraph("", ink::PLAIN, &partition_story(partition));
    }
    let others = forks.episodes.iter().filter(|e| e.partition.is_none());
    for episode in others.clone().take(OTHER_FORKS_SHOWN) {
        let lasted = match episode.end_ns {
            Some(end) => {
                let lasted = words::duration(end.saturating_sub(episode.start_ns));
                format!("over after {lasted}")
            }
            None => "never over".to_owned(),
        };
        let text = format!(
            "fork at {} without a partition: {} deep, {lasted}",
            words::instant(episode.start_ns),
            words::count(u64::from(episode.depth), "block"),
        );
        screen.paragraph("", ink::PLAIN, &text);
    }
    let more = others.skip(OTHER_FORKS_SHOWN).count() as u64;
    if more > 0 {
        let text = format!("and {} more", words::count(more, "such fork"));
        screen.paragraph("", ink::DIM, &text);
    }
    screen.paragraph("", ink::PLAIN, &block_sums(judgement));
    screen.blank();
}

fn double_spends(screen: &mut Screen, double_spends: &[DoubleSpend]) {
    if double_spends.is_empty() {
        return;
    }
    screen.heading("  Double spend");
    for spend in double_spends {
        screen.paragraph("", ink::PLAIN, &double_spend_story(spend));
    }
    screen.blank();
}

fn costs(screen: &mut Screen, judgement: &Judgement) {
    let figures = &judgement.figures;
    screen.heading(&format!(
        "  {:<10}{:>7}{:>10}{:>10}{:>10}{:>14}{:>12}",
        "", "blocks", "to 50 %", "to 90 %", "to 99 %", "mean/node", "p95/node"
    ));
    for (phase, propagation, bandwidth) in judgement.costs() {
        if propagation.is_some() || bandwidth.is_some() {
            let row = cost_row(phase.unwrap_or("whole run"), propagation, bandwidth);
            let row = screen.ink(ink::PLAIN, &row);
            screen.line(&row);
        }
    }
    if let Some(delays) = group_delays(&figures.group_delays) {
        screen.labelled("blocks", &delays);
    }
    let shares: Vec<String> = figures
        .messages
        .iter()
        .take(5)
        .map(|m| format!("{} {}", m.message, words::percent(m.share)))
        .collect();
    if !shares.is_empty() {
        screen.labelled("messages", &shares.join(", "));
    }
    if let Some(drops) = drops(figures) {
        screen.labelled("dropped", &format!("{drops} (packets)"));
    }
    screen.blank();
}

/// How late blocks come to each group, where there are several to compare.
fn group_delays(delays: &[GroupDelay]) -> Option<String> {
    let told: Vec<String> = delays
        .iter()
        .filter_map(|d| {
            let [median, mean] = [words::duration(d.median_ns?), words::duration(d.mean_ns?)];
            Some(format!("{} in {median} (mean {mean})", d.group))
        })
        .collect();
    (told.len() > 1).then(|| format!("reach {}", told.join(", ")))
}

fn cost_row(
    phase: &str,
    propagation: Option<&Propagation>,
    bandwidth: Option<&Bandwidth>,
) -> String {
    let reach = |figure: fn(&Propagation) -> Option<Nanos>| {
        propagation
            .and_then(figure)
            .map_or_else(|| "-".to_owned(), words::duration)
    };
    let rate = |figure: fn(&Bandwidth) -> u64| {
        bandwidth.map_or_else(|| "-".to_owned(), |b| words::rate(figure(b)))
    };
    format!(
        "  {:<10}{:>7}{:>10}{:>10}{:>10}{:>14}{:>12}",
        phase,
        propagation.map_or(0, |p| p.blocks),
        reach(|p| p.p50_ns),
        reach(|p| p.p90_ns),
        reach(|p| p.p99_ns),
        rate(|b| b.per_node.mean),
        rate(|b| b.per_node.p95),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    fn plain(width: usize) -> TerminalStyle {
        TerminalStyle {
            color: false,
            width,
            run_dir: Some(PathBuf::from("runs/20261124T101500Z-quickstart")),
            command: "peerlab".into(),
        }
    }

    #[test]
    fn groups_are_compared_where_there_are_several() {
        let delay = |group: &str, mean_ms: Option<u64>| GroupDelay {
            group: group.into(),
            receipts: 2,
            median_ns: mean_ms.map(|ms| Nanos::from_millis(ms / 2)),
            mean_ns: mean_ms.map(Nanos::from_millis),
        };
        let (miners, idle) = (delay("miners", Some(48)), delay("idle", None));
        let told = group_delays(&[miners.clone(), delay("peers", Some(1_240)), idle.clone()]);
        assert_eq!(
            told.as_deref(),
            Some("reach miners in 24 ms (mean 48 ms), peers in 620 ms (mean 1.24 s)")
        );
        assert_eq!(group_delays(&[miners, idle]), None);
    }

    #[test]
    fn a_passed_run() {
        insta::assert_snapshot!(terminal(&samples::passed(), &plain(90)));
    }

    #[test]
    fn a_failed_run() {
        insta::assert_snapshot!(terminal(&samples::failed(), &plain(90)));
    }

    #[test]
    fn an_inconclusive_run() {
        insta::assert_snapshot!(terminal(&samples::inconclusive(), &plain(80)));
    }

    #[test]
    fn every_screen_fits() {
        for (name, judgement) in samples::all() {
            for width in [0, 80, 100, 300] {
                let text = terminal(&judgement, &plain(width));
                let columns = width.clamp(WIDTH.0, WIDTH.1);
                for line in text.lines() {
                    assert!(line.chars().count() <= columns, "{name} at {width}: {line}");
                }
                assert!(text.lines().count() <= 50, "{name} is longer than a screen");
            }
        }
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let judgement = samples::failed();
        let plain_text = terminal(&judgement, &plain(90));
        let colored = terminal(
            &judgement,
            &TerminalStyle {
                color: true,
                ..plain(90)
            },
        );
        assert_ne!(colored, plain_text);
        let mut stripped = String::new();
        let mut rest = colored.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            stripped.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        stripped.push_str(rest);
        let lines = |text: &str| {
            text.lines()
                .map(|l| l.trim_end().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(&stripped), lines(&plain_text));
    }

    #[test]
    fn what_nodes_say_cannot_drive_the_terminal() {
        let mut judgement = samples::failed();
        judgement.warnings.push("\x1b[2Jgone\u{7}".into());
        assert!(!terminal(&judgement, &plain(90)).contains('\x1b'));
    }
}
