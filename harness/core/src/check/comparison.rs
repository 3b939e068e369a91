//! Two sides set beside each other, each one run or several of the same experiment (other seeds):
//! engine against engine, before against after. A figure of a side is the median over those of its
//! runs that prove something (see `run_set`).
//!
//! **Distance of propagation**: the area between the two sides' curves of block delays over all
//! blocks and receivers (the first Wasserstein distance), as a share of the mean delay of the
//! first side. 0 is the same curve; 0.1 means that a delay is on average a tenth of the mean
//! longer or shorter.

use std::collections::BTreeSet;

use peerlab_link::Nanos;

use super::estimate::Estimate;
use super::figure::{Figure, Key, figures, keys, telling, value};
use super::judgement::{Judgement, Outcome};

/// One figure of both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub key: Key,
    /// What each side's runs that have it say of it.
    pub sides: [Option<Estimate>; 2],
}

impl Row {
    /// How far the second side's median is from the first's, as a share of the first: -0.1 is a tenth
    /// less. `None` where one has no figure.
    pub fn change(&self) -> Option<f64> {
        let [a, b] = [self.sides[0].as_ref()?, self.sides[1].as_ref()?].map(|side| side.median);
        Some(if a == b { 0.0 } else { (b - a) / a })
    }

    /// Whether the sides differ by more than chance.
    pub fn is_apart(&self) -> bool {
        let [Some(a), Some(b)] = &self.sides else {
            return false;
        };
        a.is_apart_from(b)
    }
}

/// Two sides, compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// How many runs each has.
    pub runs: [usize; 2],
    /// How many of them the figures are of.
    pub figures_of: [usize; 2],
    /// The engines that ran each side.
    pub engines: [String; 2],
    /// How many runs of each passed, failed, and were inconclusive.
    pub outcomes: [[usize; 3]; 2],
    /// Of the whole run.
    pub rows: Vec<Row>,
    /// See the module; `None` where a side has no block that spread.
    pub distance: Option<f64>,
}

/// Compares two sides.
pub fn compare(sides: [&[Judgement]; 2]) -> Comparison {
    let telling = sides.map(|runs| telling(runs, |run| &run.inconclusive_because));
    Comparison {
        runs: sides.map(<[_]>::len),
        figures_of: telling.each_ref().map(Vec::len),
        engines: sides.map(engines),
        outcomes: sides.map(outcomes),
        rows: rows(&telling),
        distance: distance(telling.map(|runs| curve(&runs))),
    }
}

fn rows(sides: &[Vec<&Judgement>; 2]) -> Vec<Row> {
    let whole = |run: &&Judgement| {
        let mut figures = figures(run);
        figures.retain(|figure| figure.key.phase.is_none());
        figures
    };
    let sides = sides
        .each_ref()
        .map(|runs| runs.iter().map(whole).collect::<Vec<_>>());
    let all: Vec<&[Figure]> = sides.iter().flatten().map(Vec::as_slice).collect();
    let row = |key: &Key| Row {
        key: key.clone(),
        sides: sides.each_ref().map(|runs| {
            let values = runs.iter().filter_map(|run| value(run, key));
            Estimate::of(values.collect())
        }),
    };
    keys(&all).into_iter().map(row).collect()
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
fn curve(runs: &[&Judgement]) -> Vec<f64> {
    let curves: Vec<&[Nanos]> = runs
        .iter()
        .filter_map(|run| Some(run.figures.propagation.first()?.curve_ns.as_slice()))
        .filter(|curve| !curve.is_empty())
        .collect();
    let points = curves.iter().map(|curve| curve.len()).min().unwrap_or(0);
    let at = |i: usize| Estimate::of(curves.iter().map(|curve| curve[i].0 as f64).collect());
    (0..points)
        .filter_map(at)
        .map(|point| point.median)
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

impl Comparison {
    /// The bounded figures that differ by more than a share, or that a side does not have.
    pub fn beyond(&self, share: f64) -> Vec<&Row> {
        let within = |row: &Row| row.change().is_some_and(|change| change.abs() <= share);
        let bounded = self.rows.iter().filter(|row| row.key.bounded);
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
        rows.find(|row| row.key.what.contains(what)).unwrap()
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
