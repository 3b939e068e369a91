//! Two sides beside each other, for a terminal. A pure function; printing is `ui`'s.

use super::sentences::{figure_value, from_to};
use crate::check::{Comparison, Estimate, Row, Unit};
use crate::words;

/// Columns of a side: with an interval beside the median, and without.
const SIDE_COLUMNS: [usize; 2] = [36, 12];

/// The whole text, ending in a newline. `names` are what the reader called the sides.
pub fn comparison(comparison: &Comparison, names: [&str; 2]) -> String {
    let mut text = String::new();
    for (i, letter) in ["A", "B"].into_iter().enumerate() {
        let [passed, failed, inconclusive] = comparison.outcomes[i];
        let (runs, figures_of) = (comparison.runs[i], comparison.figures_of[i]);
        let left_out = if figures_of < runs {
            format!("; figures of {figures_of}")
        } else {
            String::new()
        };
        text.push_str(&format!(
            "{letter}  {}: {} on {}; {passed} passed, {failed} failed, {inconclusive} inconclusive{left_out}\n",
            names[i],
            words::count(runs as u64, "run"),
            comparison.engines[i],
        ));
    }
    let columns = [0, 1].map(|side| {
        let estimates = comparison
            .rows
            .iter()
            .filter_map(|row| row.sides[side].as_ref());
        let has_interval = estimates.clone().any(|it| it.interval.is_some());
        SIDE_COLUMNS[usize::from(!has_interval)]
    });
    text.push_str(&line("", ["A", "B"], columns, "B against A"));
    for row in &comparison.rows {
        let sides = row
            .sides
            .each_ref()
            .map(|side| value(side.as_ref(), row.key.unit));
        let sides = sides.each_ref().map(String::as_str);
        text.push_str(&line(&row.key.what, sides, columns, &change(row)));
    }
    let distance = comparison
        .distance
        .map_or("no block spread on both".to_owned(), words::percent);
    text.push_str(&format!(
        "\ndistance of the propagation curves: {distance} of the mean delay\n"
    ));
    if columns != [SIDE_COLUMNS[1]; 2] {
        text.push_str(INTERVALS);
    }
    text
}

const INTERVALS: &str = "in brackets: the 95 % interval of the median, of 6 runs and more; apart: the \
                         intervals do not overlap\n";

fn line(what: &str, [a, b]: [&str; 2], [a_columns, b_columns]: [usize; 2], change: &str) -> String {
    let line = format!("   {what:<32} {a:>a_columns$} {b:>b_columns$} {change:>13}");
    format!("{}\n", line.trim_end())
}

fn value(side: Option<&Estimate>, unit: Unit) -> String {
    let Some(side) = side else {
        return "none".to_owned();
    };
    let median = figure_value(side.median, unit);
    match side.interval {
        Some(ends) => format!("{median} ({})", from_to(ends, unit)),
        None => median,
    }
}

fn change(row: &Row) -> String {
    let change = match row.change() {
        Some(change) if change.is_finite() => format!("{:+.1} %", change * 100.0),
        _ => String::new(),
    };
    if row.is_apart() {
        format!("{change} apart")
    } else {
        change
    }
}

#[cfg(test)]
mod tests {
    use peerlab_link::{Nanos, NodeId};

    use super::*;
    use crate::check::compare;
    use crate::check::story::Story;
    use crate::event::{PeerSums, What};
    use crate::report::samples;

    #[test]
    fn two_runs_side_by_side() {
        let (passed, failed) = (samples::passed(), samples::failed());
        let compared = compare([&[passed], &[failed]]);
        insta::assert_snapshot!(comparison(&compared, ["runs/before", "runs/after"]));
    }

    #[test]
    fn what_nodes_say_cannot_drive_the_terminal() {
        let mut story = Story::of(2);
        let name = "\x1b[2J\u{202e}a name without end";
        let sums = PeerSums {
            sent: [(name.to_owned(), 5)].into(),
            ..PeerSums::default()
        };
        let node = NodeId(0);
        story.tell(Nanos::from_secs(90), What::Peers { node, sums });
        let judgement = story.judge();
        let compared = compare([std::slice::from_ref(&judgement); 2]);
        let text = comparison(&compared, ["a", "b"]);
        let shown = "share of bytes: \\u{1b}[2J\\u{202e}a name  ";
        assert!(text.contains(shown), "{text}");
        assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
    }

    #[test]
    fn several_runs_have_intervals_and_are_apart_where_these_do_not_overlap() {
        let before = vec![samples::passed(); 6];
        let mut after = vec![samples::passed(); 7];
        for (run, more) in after.iter_mut().zip(1..) {
            let propagation = &mut run.figures.propagation[0];
            let p50 = &mut propagation.p50_ns;
            *p50 = p50.map(|t| Nanos(t.0 + more * 1_000_000));
        }
        after.push(samples::inconclusive());
        let compared = compare([&before, &after]);
        insta::assert_snapshot!(comparison(&compared, ["runs/before", "runs/after"]));
    }
}
