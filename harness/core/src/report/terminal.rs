//! The verdict on one screen of a terminal: what was run, what was expected and measured, the
//! story of the forks, the costs. A pure function; printing is `ui`'s.

use peerlab_link::Nanos;

use super::run_report::files;
use super::screen::{Screen, TerminalStyle, ink, wrap};
use super::sentences::{
    COST_TITLES, block_sums, cost_cells, double_spend_story, drops, earlier_try, for_others,
    partition_story,
};
use crate::check::{CompactBlocks, DoubleSpend, GroupDelay, Judgement, Outcome, Status, Verdict};
use crate::words;

/// Columns of an expectation's measured value and bound.
const VALUE_COLUMNS: usize = 14;

/// Short forks that no partition made are listed up to this many.
const OTHER_FORKS_SHOWN: usize = 2;

/// The whole text, ending in a newline.
pub fn terminal(judgement: &Judgement, style: &TerminalStyle) -> String {
    let mut screen = Screen::of(style);
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

fn headline(screen: &mut Screen, judgement: &Judgement) {
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
    screen.headline(judgement.outcome, &run.name, &facts);
    for reason in &judgement.inconclusive_because {
        screen.paragraph("reason ", ink::YELLOW, reason);
    }
    for earlier in &judgement.earlier_tries {
        screen.paragraph("tried  ", ink::YELLOW, &earlier_try(earlier));
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
    let waiting = figures.fidelity.waiting.first();
    // Where the host does not tell, there is no such column.
    let row = |mut cells: [String; 8]| {
        if waiting.is_none() {
            cells[7].clear();
        }
        let [phase, blocks, p50, p90, p99, mean, p95, waited] = cells;
        format!("  {phase:<10}{blocks:>7}{p50:>10}{p90:>10}{p99:>10}{mean:>11}{p95:>12}{waited:>8}")
    };
    screen.heading(&row(COST_TITLES.map(str::to_owned)));
    for costs in judgement.costs() {
        let (_, propagation, bandwidth, _) = costs;
        if propagation.is_some() || bandwidth.is_some() {
            let row = screen.ink(ink::PLAIN, &row(cost_cells(costs)));
            screen.line(&row);
        }
    }
    if let Some(waiting) = waiting {
        screen.paragraph("waited  ", ink::DIM, &for_others(waiting));
    }
    if let Some(delays) = group_delays(&figures.group_delays) {
        screen.labelled("blocks", &delays);
    }
    for compact in &figures.compact_blocks {
        screen.labelled("compact", &compact_blocks(compact));
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

/// Of a group's compact blocks, how many were put together at once, and what the others cost.
fn compact_blocks(compact: &CompactBlocks) -> String {
    let all = compact.rebuilt.saturating_add(compact.asked);
    let rebuilt = compact.rebuilt as f64 / all as f64;
    let others = compact.waited_mean_ns.zip(compact.missing_mean);
    let others = others.map(|(waited, missing)| {
        let waited = words::duration(waited);
        format!(", others after {waited} for {missing:.1} transactions")
    });
    let (group, share) = (&compact.group, words::percent(rebuilt));
    let others = others.unwrap_or_default();
    format!(
        "{group} rebuilt {share} of {} at once{others}",
        words::thousands(all)
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::report::samples;
    use crate::report::screen::WIDTH;

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
