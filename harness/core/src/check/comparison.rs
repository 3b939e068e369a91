//! Two sides set beside each other, each one run or several of the same experiment (other seeds):
//! engine against engine, before against after. A figure of a side is the median over its runs.
//!
//! **Distance of propagation**: the area between the two sides' curves of block delays over all
//! blocks and receivers (the first Wasserstein distance), as a share of the mean delay of the
//! first side. 0 is the same curve; 0.1 means that a delay is on average a tenth of the mean
//! longer or shorter.

use std::collections::BTreeSet;

use peerlab_link::Nanos;

use super::judgement::{Judgement, Outcome};

/// What a figure counts, which says how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Time,
    /// Bytes per second.
    Rate,
    Count,
}

/// One figure of both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub what: String,
    /// What it counts.
    pub unit: Unit,
    /// Its median over each side's runs that have it.
    pub sides: [Option<f64>; 2],
    /// Whether it is held against a bound: figures that follow from few events, such as the
    /// depth of one fork, differ by chance.
    pub bounded: bool,
}

impl Row {
    /// How far the second side is from the first, as a share of the first: -0.1 is a tenth less.
    /// `None` where one has no figure.
    pub fn change(&self) -> Option<f64> {
        match self.sides {
            [Some(a), Some(b)] if a == b => Some(0.0),
            [Some(a), Some(b)] => Some((b - a) / a),
            _ => None,
        }
    }
}

/// Two sides, compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// How many runs each has.
    pub runs: [usize; 2],
    /// The engines that ran each side.
    pub engines: [String; 2],
    /// How many runs of each passed, failed, and were inconclusive.
    pub outcomes: [[usize; 3]; 2],
    pub rows: Vec<Row>,
    /// See the module; `None` where a side has no block that spread.
    pub distance: Option<f64>,
    /// Message types by share of bytes on both sides, most first.
    pub messages: Vec<(String, [f64; 2])>,
}

/// How many message types are shown.
const MESSAGES_SHOWN: usize = 8;

/// Compares two sides.
pub fn compare(sides: [&[Judgement]; 2]) -> Comparison {
    let mut rows = Vec::new();
    let mut add = |what: &str, unit, bounded, of: &dyn Fn(&Judgement) -> Option<f64>| {
        rows.push(Row {
            what: what.to_owned(),
            unit,
            sides: sides.map(|runs| median(runs.iter().filter_map(of).collect())),
            bounded,
        });
    };
    let time = |t: Option<Nanos>| t.map(|t| t.0 as f64);
    add("block propagation p50", Unit::Time, true, &|run| {
        time(run.figures.propagation.first()?.p50_ns)
    });
    add("block propagation p90", Unit::Time, true, &|run| {
        time(run.figures.propagation.first()?.p90_ns)
    });
    add("block propagation p99", Unit::Time, false, &|run| {
        time(run.figures.propagation.first()?.p99_ns)
    });
    add("bytes of a node, mean", Unit::Rate, true, &|run| {
        Some(run.figures.bandwidth.first()?.per_node.mean as f64)
    });
    add("bytes of a node, p95", Unit::Rate, false, &|run| {
        Some(run.figures.bandwidth.first()?.per_node.p95 as f64)
    });
    add("agreement after a heal", Unit::Time, false, &|run| {
        let stories = run.figures.partitions.iter();
        median(stories.filter_map(|p| time(p.agreed_after_ns)).collect())
    });
    add("agreement at settle", Unit::Time, false, &|run| {
        time(run.figures.settle.as_ref()?.time_ns)
    });
    add("blocks mined", Unit::Count, false, &|run| {
        Some(run.figures.forks.mined_blocks.into())
    });
    add("blocks that went stale", Unit::Count, false, &|run| {
        Some(run.figures.forks.stale_blocks.into())
    });
    add("deepest reorganisation", Unit::Count, false, &|run| {
        Some(run.figures.forks.deepest_reorg.as_ref()?.depth.into())
    });
    Comparison {
        runs: sides.map(<[_]>::len),
        engines: sides.map(engines),
        outcomes: sides.map(outcomes),
        rows,
        distance: distance(sides.map(curve)),
        messages: messages(sides),
    }
}

/// The median; of an even number of values, the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(values[low], values[high]))
}

fn engines(runs: &[Judgement]) -> String {
    let names: BTreeSet<&str> = runs.iter().map(|run| run.run.engine.as_str()).collect();
    Vec::from_iter(names).join("+")
}

fn outcomes(runs: &[Judgement]) -> [usize; 3] {
    [Outcome::Passed, Outcome::Failed, Outcome::Inconclusive]
        .map(|outcome| runs.iter().filter(|run| run.outcome == outcome).count())
}

/// A side's curve: at each percent the median over its runs.
fn curve(runs: &[Judgement]) -> Vec<f64> {
    let curves: Vec<&[Nanos]> = runs
        .iter()
        .filter_map(|run| Some(run.figures.propagation.first()?.curve_ns.as_slice()))
        .filter(|curve| !curve.is_empty())
        .collect();
    let points = curves.iter().map(|curve| curve.len()).min().unwrap_or(0);
    (0..points)
        .filter_map(|i| median(curves.iter().map(|curve| curve[i].0 as f64).collect()))
        .collect()
}

fn distance(curves: [Vec<f64>; 2]) -> Option<f64> {
    let [first, second] = curves;
    let whole: f64 = first.iter().sum();
    if whole <= 0.0 || first.len() != second.len() {
        return None;
    }
    let between = first.iter().zip(&second).map(|(a, b)| (a - b).abs());
    Some(between.sum::<f64>() / whole)
}

fn messages(sides: [&[Judgement]; 2]) -> Vec<(String, [f64; 2])> {
    let messages = sides
        .into_iter()
        .flatten()
        .flat_map(|run| &run.figures.messages);
    let names: BTreeSet<&str> = messages.map(|m| m.message.as_str()).collect();
    let share = |runs: &[Judgement], name: &str| {
        let of = |run: &Judgement| {
            let found = run.figures.messages.iter().find(|m| m.message == name);
            found.map_or(0.0, |m| m.share)
        };
        median(runs.iter().map(of).collect()).unwrap_or(0.0)
    };
    let mut all: Vec<(String, [f64; 2])> = names
        .into_iter()
        .map(|name| (name.to_owned(), sides.map(|runs| share(runs, name))))
        .collect();
    all.sort_by(|(_, a), (_, b)| (b[0] + b[1]).total_cmp(&(a[0] + a[1])));
    all.truncate(MESSAGES_SHOWN);
    all
}

impl Comparison {
    /// The bounded figures that differ by more than a share, or that a side does not have.
    pub fn beyond(&self, share: f64) -> Vec<&Row> {
        let within = |row: &Row| row.change().is_some_and(|change| change.abs() <= share);
        let bounded = self.rows.iter().filter(|row| row.bounded);
        bounded.filter(|row| !within(row)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::story::Story;

    /// A run whose blocks take so many milliseconds from each node to the next.
    fn told(hop_ms: u64) -> Judgement {
        let mut story = Story::of(10);
        for (t, block, prev) in [(5.0, "c1", "base"), (25.0, "c2", "c1"), (65.0, "c3", "c2")] {
            story.mines(t, 0, block, prev);
            for node in 1..10_u32 {
                let delay = u64::from(node) * hop_ms;
                story.takes(t + delay as f64 / 1e3, node, block);
            }
        }
        story.judge()
    }

    fn row<'a>(comparison: &'a Comparison, what: &str) -> &'a Row {
        let mut rows = comparison.rows.iter();
        rows.find(|row| row.what.contains(what)).unwrap()
    }

    #[test]
    fn a_run_is_no_different_from_itself() {
        let run = [told(100)];
        let same = compare([&run, &run]);
        assert_eq!(same.distance, Some(0.0));
        assert!(
            same.rows
                .iter()
                .all(|row| row.change().is_none_or(|c| c == 0.0))
        );
        assert!(row(&same, "propagation p50").change().is_some());
    }

    #[test]
    fn slower_blocks_are_seen_as_that() {
        let comparison = compare([&[told(100)], &[told(150)]]);
        let change = row(&comparison, "propagation p50").change().unwrap();
        assert!((change - 0.5).abs() < 1e-9, "{change}");
        assert!((comparison.distance.unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_side_of_several_runs_shows_their_median() {
        let several = [told(100), told(1_000), told(120)];
        let comparison = compare([&several, &[told(120)]]);
        assert_eq!(row(&comparison, "propagation p50").change(), Some(0.0));
        assert_eq!(comparison.runs, [3, 1]);
    }

    #[test]
    fn what_a_side_does_not_have_is_no_equality() {
        let comparison = compare([&[told(100)], &[]]);
        assert_eq!(comparison.distance, None);
        assert!(comparison.rows.iter().all(|row| row.change().is_none()));
    }

    #[test]
    fn what_differs_by_more_or_is_missing_is_beyond() {
        let run = [told(100)];
        let same = compare([&run, &run]);
        assert!(same.beyond(0.0).is_empty());
        let missing = compare([&run, &[]]);
        assert_eq!(missing.beyond(1.0).len(), 3);
    }
}
