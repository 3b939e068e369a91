//! Runs held against a baseline, for a terminal and for other programs. Pure functions; what is worse
//! is decided in `check::baseline`.

use super::screen::{Screen, TerminalStyle, ink};
use super::sentences::{by_chance, figure_value, worse_figure};
use crate::check::{BaselineCheck, HeldFigure};
use crate::error::{Explain, Result, hint};
use crate::words;

/// Columns of a value or a change, and of a chance.
const VALUE_COLUMNS: usize = 10;
const CHANCE_COLUMNS: usize = 18;

/// The whole text, ending in a newline.
pub fn baseline_check(check: &BaselineCheck, style: &TerminalStyle) -> String {
    let mut screen = Screen::of(style);
    screen.headline(check.outcome, &check.experiment.name, &facts(check));
    for reason in &check.inconclusive_because {
        screen.paragraph("reason ", ink::YELLOW, reason);
    }
    screen.blank();
    let columns = screen.width - 3 * VALUE_COLUMNS - CHANCE_COLUMNS - 10;
    let mut row = |ink, word: &str, cells: [&str; 5]| {
        let [what, before, after, change, chance] = cells;
        let word = screen.ink(ink, &format!("{word:<6}"));
        let cells = format!(
            "{what:<columns$}{before:>VALUE_COLUMNS$}{after:>VALUE_COLUMNS$}\
             {change:>VALUE_COLUMNS$}{chance:>CHANCE_COLUMNS$}"
        );
        let cells = screen.ink(ink::PLAIN, &cells);
        screen.line(&format!("  {word}  {cells}"));
    };
    row(
        ink::PLAIN,
        "",
        ["median", "baseline", "now", "change", "by chance"],
    );
    for figure in &check.figures {
        let (word, ink) = match figure.is_worse {
            true => ("WORSE", ink::RED),
            false => ("ok", ink::GREEN),
        };
        let cells = cells(figure);
        row(ink, word, cells.each_ref().map(String::as_str));
    }
    screen.blank();
    for figure in check.figures.iter().filter(|figure| figure.is_worse) {
        screen.paragraph("worse  ", ink::RED, &worse_figure(figure));
    }
    screen.paragraph("", ink::DIM, &meaning(check));
    screen.text
}

/// How many runs are held against how many.
pub fn facts(check: &BaselineCheck) -> Vec<String> {
    let runs = words::count(check.runs as u64, "run");
    let mut facts = vec![format!("{runs} against {}", check.baseline_runs)];
    facts.push(check.experiment.engine.clone());
    facts.push(words::count(u64::from(check.experiment.nodes), "node"));
    if check.left_out > 0 {
        facts.push(format!("{} inconclusive, left out", check.left_out));
    }
    facts
}

/// What a figure is, both medians, the change, and its chance.
pub fn cells(figure: &HeldFigure) -> [String; 5] {
    let value = |value| figure_value(value, figure.unit);
    let change = figure.change();
    [
        figure.what.clone(),
        value(figure.baseline.median),
        value(figure.runs.median),
        change.map_or(String::new(), |change| format!("{:+.1} %", change * 100.0)),
        by_chance(figure.by_chance),
    ]
}

/// What the last column means.
pub fn meaning(check: &BaselineCheck) -> String {
    format!(
        "By chance: how likely a difference like that or greater is where nothing has changed, in the \
         direction that is worse, all figures considered (rank-sum test, Holm's correction). Worse \
         is what has {} or less.",
        words::percent(check.false_alarms)
    )
}

/// For other programs.
///
/// # Errors
/// Never in practice: all of its types can be written as JSON.
pub fn baseline_check_json(check: &BaselineCheck) -> Result<String> {
    let mut text = serde_json::to_string_pretty(check)
        .or_environment(|| "cannot write the check as JSON".to_owned(), hint::BUG)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;
    use crate::report::samples;

    fn told(check: &BaselineCheck, width: usize) -> String {
        let style = TerminalStyle {
            width,
            ..TerminalStyle::default()
        };
        baseline_check(check, &style)
    }

    #[test]
    fn a_figure_that_is_worse() {
        insta::assert_snapshot!(told(&samples::slower(), 100));
    }

    #[test]
    fn nothing_worse_but_a_figure_missing() {
        let mut check = samples::slower();
        check.outcome = Outcome::Inconclusive;
        check.left_out = 2;
        check.inconclusive_because = vec!["no run has a value of: agreement at settle".into()];
        for figure in &mut check.figures {
            figure.is_worse = false;
        }
        insta::assert_snapshot!(told(&check, 80));
    }

    #[test]
    fn every_line_fits() {
        for width in [80, 100] {
            for line in told(&samples::slower(), width).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn its_json_keeps_its_schema() {
        let mut check = samples::slower();
        check.figures.truncate(2);
        insta::assert_snapshot!(baseline_check_json(&check).unwrap());
    }
}
