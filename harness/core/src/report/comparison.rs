//! Two sides beside each other, for a terminal. A pure function; printing is `ui`'s.

use peerlab_link::Nanos;

use crate::check::{Comparison, Row, Unit};
use crate::words;

/// The whole text, ending in a newline. `names` are what the reader called the sides.
pub fn comparison(comparison: &Comparison, names: [&str; 2]) -> String {
    let mut text = String::new();
    for (i, letter) in ["A", "B"].into_iter().enumerate() {
        let [passed, failed, inconclusive] = comparison.outcomes[i];
        text.push_str(&format!(
            "{letter}  {}: {} on {}; {passed} passed, {failed} failed, {inconclusive} inconclusive\n",
            names[i],
            words::count(comparison.runs[i] as u64, "run"),
            comparison.engines[i],
        ));
    }
    text.push_str(&line("", "A", "B", "B against A"));
    for row in &comparison.rows {
        text.push_str(&line(
            &row.what,
            &value(row.sides[0], row.unit),
            &value(row.sides[1], row.unit),
            &change(row),
        ));
    }
    if !comparison.messages.is_empty() {
        text.push_str("\nbytes by message type\n");
    }
    for (name, [a, b]) in &comparison.messages {
        text.push_str(&line(name, &words::percent(*a), &words::percent(*b), ""));
    }
    let distance = comparison
        .distance
        .map_or("no block spread on both".to_owned(), words::percent);
    text.push_str(&format!(
        "\ndistance of the propagation curves: {distance} of the mean delay\n"
    ));
    text
}

fn line(what: &str, a: &str, b: &str, change: &str) -> String {
    let line = format!("   {what:<26} {a:>12} {b:>12} {change:>13}");
    format!("{}\n", line.trim_end())
}

fn value(value: Option<f64>, unit: Unit) -> String {
    match (value, unit) {
        (None, _) => "none".to_owned(),
        (Some(v), Unit::Time) => words::duration(Nanos(v as u64)),
        (Some(v), Unit::Rate) => words::rate(v as u64),
        (Some(v), Unit::Count) => format!("{v}"),
    }
}

fn change(row: &Row) -> String {
    match row.change() {
        Some(change) if change.is_finite() => format!("{:+.1} %", change * 100.0),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::compare;
    use crate::report::samples;

    #[test]
    fn two_runs_side_by_side() {
        let (passed, failed) = (samples::passed(), samples::failed());
        let compared = compare([&[passed], &[failed]]);
        insta::assert_snapshot!(comparison(&compared, ["runs/before", "runs/after"]));
    }
}
