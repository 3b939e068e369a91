//! A set of runs on a terminal, as a text file, and for other programs (`summary.json`). Pure
//! functions; what each run did is in its own report.

use std::collections::BTreeMap;

use serde::Serialize;

use super::run_report::files;
use super::screen::{Screen, TerminalStyle, WIDTH, ink};
use super::sentences::{earlier_try, failure, figure_value, from_to};
use crate::check::{EarlierTry, Estimate, OneRun, Outcome, RUNS_MIN, RunSet, SetFigure};
use crate::error::{Explain, Result, hint};
use crate::words;

/// Columns of a median, and of two values with a word between them.
const MEDIAN_COLUMNS: usize = 12;
const RANGE_COLUMNS: usize = 25;
/// Runs that did not pass are told in full up to this many.
const RUNS_SHOWN: usize = 10;
/// Warnings are told up to this many.
const WARNINGS_SHOWN: usize = 5;

/// The whole text, ending in a newline. `again` is the command that makes one of the runs by itself.
pub fn run_set(set: &RunSet, style: &TerminalStyle, again: &dyn Fn(&OneRun) -> String) -> String {
    let mut screen = Screen::of(style);
    let facts = facts(set);
    screen.headline(set.outcome, &set.name, &facts);
    for reason in left_out(set) {
        screen.paragraph("reason ", ink::YELLOW, &reason);
    }
    screen.blank();
    expectations(&mut screen, set);
    unpassed(&mut screen, set, again);
    earlier_tries(&mut screen, set);
    figures(&mut screen, set);
    warnings(&mut screen, set);
    // Again, since the table is longer than a screen.
    let verdict = format!("{}: {}", set.outcome.word(), counts(set).join(", "));
    screen.labelled("verdict", &verdict);
    if let Some(dir) = &style.run_dir {
        let page = dir.join(files::SUMMARY_HTML);
        screen.labelled("summary", &page.display().to_string());
        screen.labelled("records", &dir.display().to_string());
    }
    screen.text
}

/// How many runs, of which seeds, where, and what they came to.
pub fn facts(set: &RunSet) -> Vec<String> {
    let mut facts = vec![seeds(set)];
    let mut engines: Vec<&str> = set.runs.iter().map(|run| run.run.engine.as_str()).collect();
    engines.sort_unstable();
    engines.dedup();
    if let Some(first) = set.runs.first() {
        // A run that never started has none.
        facts.extend(engines.into_iter().map(str::to_owned));
        facts.push(words::count(u64::from(first.run.nodes), "node"));
    }
    facts.push(counts(set).join(", "));
    facts.retain(|fact| !fact.is_empty());
    facts
}

fn counts(set: &RunSet) -> [String; 3] {
    let outcomes = [Outcome::Passed, Outcome::Failed, Outcome::Inconclusive];
    outcomes.map(|outcome| format!("{} {}", set.count(outcome), outcome.word().to_lowercase()))
}

fn seeds(set: &RunSet) -> String {
    let runs = words::count(set.runs.len() as u64, "run");
    let (Some(first), Some(last)) = (set.runs.first(), set.runs.last()) else {
        return runs;
    };
    let (first, last) = (first.run.seed, last.run.seed);
    if first == last {
        format!("{runs} of seed {first}")
    } else {
        format!("{runs}, seeds {first} to {last}")
    }
}

/// What is missing in the set or its figures.
pub fn left_out(set: &RunSet) -> Vec<String> {
    let mut reasons = Vec::new();
    let made = set.runs.len();
    if made < set.planned {
        let planned = words::count(set.planned as u64, "run");
        reasons.push(format!("{made} of {planned} were made"));
    }
    let unsound = set
        .runs
        .iter()
        .filter(|run| !run.inconclusive_because.is_empty());
    match unsound.count() {
        0 => {}
        all if all == made => {
            reasons.push("no run proves anything, so neither do the figures".into())
        }
        some => reasons.push(format!(
            "the figures are of {}; left out: {some} that {} nothing",
            words::count(set.figures_of as u64, "run"),
            if some == 1 { "proves" } else { "prove" }
        )),
    }
    reasons
}

fn expectations(screen: &mut Screen, set: &RunSet) {
    if set.expectations.is_empty() {
        return;
    }
    let columns = screen.width - 2 * MEDIAN_COLUMNS - 12;
    let title = format!("  {:<w$}", "Expected", w = columns + 8);
    screen.heading(&format!("{title}{:>MEDIAN_COLUMNS$}  bound", "held in"));
    for it in &set.expectations {
        let (word, ink) = if it.held == it.of {
            ("ok", ink::GREEN)
        } else {
            ("FAILED", ink::RED)
        };
        let word = screen.ink(ink, &format!("{word:<6}"));
        let what = screen.ink(ink::PLAIN, &format!("{:<columns$}", it.expectation));
        let held = format!("{} of {}", it.held, it.of);
        let held = screen.ink(ink, &format!("{held:>MEDIAN_COLUMNS$}"));
        let bound = screen.ink(ink::PLAIN, &it.bound);
        screen.line(&format!("  {word}  {what}{held}  {bound}"));
    }
    screen.blank();
}

/// Who failed, who was inconclusive, and how to see it again.
fn unpassed(screen: &mut Screen, set: &RunSet, again: &dyn Fn(&OneRun) -> String) {
    let runs = set.unpassed();
    if runs.is_empty() {
        return;
    }
    screen.heading("  Did not pass");
    for run in runs.iter().take(RUNS_SHOWN) {
        let ink = match run.outcome {
            Outcome::Failed => ink::RED,
            Outcome::Passed | Outcome::Inconclusive => ink::YELLOW,
        };
        let name = format!("{} {}", run.folder, run.outcome.word());
        screen.paragraph("", ink, &name);
        for reason in why(run) {
            screen.paragraph("   ", ink::PLAIN, &reason);
        }
        let command = screen.ink(ink::DIM, &again(run));
        screen.line(&format!("     {command}"));
    }
    let more: Vec<&str> = runs
        .iter()
        .skip(RUNS_SHOWN)
        .map(|run| run.folder.as_str())
        .collect();
    if !more.is_empty() {
        screen.paragraph("", ink::PLAIN, &format!("and {}", more.join(", ")));
    }
    screen.blank();
}

/// The runs that were made again, with their earlier tries.
pub fn tried_again(set: &RunSet) -> impl Iterator<Item = (&OneRun, &EarlierTry)> {
    let runs = set.runs.iter();
    runs.flat_map(|run| run.earlier_tries.iter().map(move |earlier| (run, earlier)))
}

fn earlier_tries(screen: &mut Screen, set: &RunSet) {
    let mut tries = tried_again(set).peekable();
    if tries.peek().is_none() {
        return;
    }
    screen.heading("  Tried again");
    for (run, earlier) in tries {
        let text = format!("{}/{}", run.folder, earlier_try(earlier));
        screen.paragraph("", ink::YELLOW, &text);
    }
    screen.blank();
}

/// Why a run did not pass.
pub fn why(run: &OneRun) -> Vec<String> {
    match run.outcome {
        Outcome::Passed => Vec::new(),
        Outcome::Inconclusive => run.inconclusive_because.clone(),
        Outcome::Failed => run.failures().map(failure).collect(),
    }
}

fn figures(screen: &mut Screen, set: &RunSet) {
    let any_interval = set.figures.iter().any(|it| it.estimate.interval.is_some());
    let columns = Columns {
        interval: any_interval,
        range: !any_interval || screen.width == WIDTH.1,
    };
    let mut phase = None;
    for (i, figure) in set.figures.iter().enumerate() {
        if i == 0 {
            let row = columns.row(screen, "whole run", "median", "95 % interval", "range");
            screen.heading(&row);
        } else if figure.key.phase != phase {
            let name = figure.key.phase.as_deref().unwrap_or("whole run");
            screen.heading(&format!("  {name}"));
        }
        phase.clone_from(&figure.key.phase);
        let [median, interval, range] = cells(figure);
        let row = columns.row(
            screen,
            &figure_name(figure, set),
            &median,
            &interval,
            &range,
        );
        let row = screen.ink(ink::PLAIN, &row);
        screen.line(&row);
    }
    if !set.figures.is_empty() {
        screen.paragraph("", ink::DIM, &interval_story(set));
        screen.blank();
    }
}

/// Which columns the table of figures has, beside the median.
struct Columns {
    interval: bool,
    range: bool,
}

impl Columns {
    fn row(
        &self,
        screen: &Screen,
        what: &str,
        median: &str,
        interval: &str,
        range: &str,
    ) -> String {
        let shown = [(self.interval, interval), (self.range, range)];
        let shown = shown.iter().filter(|(is_shown, _)| *is_shown);
        let cells: String = shown
            .clone()
            .map(|(_, cell)| format!("{cell:>RANGE_COLUMNS$}"))
            .collect();
        let taken = 2 + MEDIAN_COLUMNS + shown.count() * RANGE_COLUMNS;
        let columns = screen.width.saturating_sub(taken);
        format!("  {what:<columns$}{median:>MEDIAN_COLUMNS$}{cells}")
    }
}

/// What a figure is, and in how many runs, where that is not in all.
pub fn figure_name(figure: &SetFigure, set: &RunSet) -> String {
    let Estimate { runs, never, .. } = figure.estimate;
    let mut notes = Vec::new();
    if runs < set.figures_of {
        notes.push(words::count(runs as u64, "run"));
    }
    if never > 0 {
        notes.push(format!("never in {never}"));
    }
    let what = &figure.key.what;
    if notes.is_empty() {
        what.clone()
    } else {
        format!("{what} ({})", notes.join(", "))
    }
}

/// Median, interval and range of a figure, in words.
pub fn cells(figure: &SetFigure) -> [String; 3] {
    let (it, unit) = (&figure.estimate, figure.key.unit);
    let interval = it.interval.map(|ends| from_to(ends, unit));
    [
        figure_value(it.median, unit),
        interval.unwrap_or_else(|| "too few runs".into()),
        from_to([it.least, it.greatest], unit),
    ]
}

/// What the interval is, or why there is none.
pub fn interval_story(set: &RunSet) -> String {
    if set.figures_of < RUNS_MIN {
        format!(
            "No 95 % interval: a median has one from {RUNS_MIN} runs on, and these are {}. The range \
             is from the least to the greatest.",
            set.figures_of
        )
    } else {
        "The median of all such runs lies in the interval with at least 95 %, whatever their \
         distribution (order statistics)."
            .into()
    }
}

fn warnings(screen: &mut Screen, set: &RunSet) {
    let mut all = BTreeMap::<&str, u64>::new();
    for warning in set.runs.iter().flat_map(|run| &run.warnings) {
        *all.entry(warning).or_default() += 1;
    }
    for (warning, runs) in all.iter().take(WARNINGS_SHOWN) {
        let text = format!("{warning} (in {})", words::count(*runs, "run"));
        screen.paragraph("warning  ", ink::YELLOW, &text);
    }
    if let Some(more) = all
        .len()
        .checked_sub(WARNINGS_SHOWN)
        .filter(|more| *more > 0)
    {
        let text = format!("and {more} more in {}", files::SUMMARY_JSON);
        screen.paragraph("warning  ", ink::YELLOW, &text);
    }
    if !all.is_empty() {
        screen.blank();
    }
}

/// Format of `summary.json`. It grows when a field changes its meaning or goes; new fields may come
/// without it.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Summary<'a> {
    schema: u32,
    #[serde(flatten)]
    set: &'a RunSet,
}

/// `summary.json`.
///
/// # Errors
/// Never in practice: all of its types can be written as JSON.
pub fn run_set_json(set: &RunSet) -> Result<String> {
    let summary = Summary {
        schema: SCHEMA,
        set,
    };
    let mut text = serde_json::to_string_pretty(&summary)
        .or_environment(|| "cannot write the summary as JSON".to_owned(), hint::BUG)?;
    text.push('\n');
    Ok(text)
}

/// How many runs were asked for, by a text of [`run_set_json`]; `None` where it does not say.
pub fn planned_in(summary: &str) -> Option<usize> {
    let summary: serde_json::Value = serde_json::from_str(summary).ok()?;
    usize::try_from(summary.get("planned")?.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::report::samples;

    fn told(set: &RunSet, width: usize) -> String {
        let style = TerminalStyle {
            width,
            run_dir: Some(PathBuf::from("runs/20261124T101500Z-quickstart")),
            command: "peerlab".into(),
            ..TerminalStyle::default()
        };
        let again = |run: &OneRun| format!("peerlab run quickstart.yaml --seed {}", run.run.seed);
        run_set(set, &style, &again)
    }

    #[test]
    fn eight_seeds_of_which_one_fails_and_one_proves_nothing() {
        insta::assert_snapshot!(told(&samples::eight_seeds(), 100));
    }

    #[test]
    fn three_runs_of_one_seed_are_too_few_for_an_interval() {
        insta::assert_snapshot!(told(&samples::three_runs(), 80));
    }

    #[test]
    fn summary_json_keeps_its_schema() {
        let text = run_set_json(&samples::three_runs()).unwrap();
        assert_eq!(planned_in(&text), Some(4));
        assert_eq!(planned_in("{}"), None);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn every_line_fits_but_commands() {
        for set in [samples::eight_seeds(), samples::three_runs()] {
            for width in [80, 100] {
                for line in told(&set, width).lines() {
                    assert!(line.chars().count() <= width, "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn what_failed_comes_first_and_all_are_named() {
        let mut set = samples::eight_seeds();
        let failed = set
            .runs
            .iter()
            .find(|run| run.outcome == Outcome::Failed)
            .cloned()
            .unwrap();
        for number in 100..120 {
            let mut another = failed.clone();
            another.folder = format!("seed-{number}");
            set.runs.push(another);
        }
        let text = told(&set, 100);
        for number in 100..120 {
            assert!(text.contains(&format!("seed-{number}")), "{text}");
        }
        assert_eq!(text.matches("peerlab run").count(), RUNS_SHOWN);
        assert!(!text.contains("INCONCLUSIVE\n"), "{text}");
    }
}
