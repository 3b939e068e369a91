//! Several runs of one experiment judged as one: with other seeds, or again with the same.
//!
//! What they come to: **failed** when any run failed; else **inconclusive** when any was, or when
//! fewer runs were made than were asked for; else **passed**. Figures are those of the runs that no
//! reason for inconclusive has touched (of all, where there is no such run).

use serde::Serialize;

use super::estimate::Estimate;
use super::figure::{Figure, Key, figures, keys, telling, value};
use super::judgement::{EarlierTry, Judgement, Outcome, RunFacts};
use super::verdict::{Status, Verdict};

/// What a set keeps of a run; the rest is in the run's own report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OneRun {
    /// Its folder in the set's.
    pub folder: String,
    pub outcome: Outcome,
    pub inconclusive_because: Vec<String>,
    pub warnings: Vec<String>,
    /// See [`Judgement`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier_tries: Vec<EarlierTry>,
    pub run: RunFacts,
    /// Without the nodes.
    pub verdicts: Vec<Verdict>,
    #[serde(skip)]
    pub(super) figures: Vec<Figure>,
}

/// An expectation, over the runs that are not inconclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetExpectation {
    /// See [`Verdict`].
    pub check: &'static str,
    pub expectation: String,
    pub bound: String,
    /// Runs in which it held.
    pub held: usize,
    /// Of so many.
    pub of: usize,
}

/// A figure over the runs that have it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetFigure {
    #[serde(flatten)]
    pub key: Key,
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Of each run in the set's order, whether it counts or not; `null` in JSON where it has none,
    /// and where it never came to be.
    pub values: Vec<Option<f64>>,
}

/// A set of runs, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSet {
    pub outcome: Outcome,
    /// The experiment's name.
    pub name: String,
    /// Runs that were asked for.
    pub planned: usize,
    /// Those that were made, by seed.
    pub runs: Vec<OneRun>,
    /// How many of them the figures are of.
    pub figures_of: usize,
    pub expectations: Vec<SetExpectation>,
    /// The whole run first, then by phase.
    pub figures: Vec<SetFigure>,
}

impl OneRun {
    pub fn of(folder: String, judgement: Judgement) -> OneRun {
        let figures = figures(&judgement);
        let mut verdicts = judgement.verdicts;
        for verdict in &mut verdicts {
            verdict.nodes.clear();
        }
        OneRun {
            folder,
            outcome: judgement.outcome,
            inconclusive_because: judgement.inconclusive_because,
            warnings: judgement.warnings,
            earlier_tries: judgement.earlier_tries,
            run: judgement.run,
            verdicts,
            figures,
        }
    }

    /// The expectations that failed, or had nothing to be held against.
    pub fn failures(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|v| v.status != Status::Held)
    }
}

impl RunSet {
    /// Of the runs of an experiment that were made, of so many.
    pub fn of(name: String, mut runs: Vec<OneRun>, planned: usize) -> RunSet {
        // Of the same seed: run-2 before run-10.
        runs.sort_by(|a, b| {
            let key = |run: &OneRun| (run.run.seed, run.folder.len());
            key(a).cmp(&key(b)).then_with(|| a.folder.cmp(&b.folder))
        });
        let telling = telling(&runs, |run| &run.inconclusive_because);
        let figures_of = telling.len();
        let figures = set_figures(&runs, &telling);
        RunSet {
            outcome: outcome(&runs, planned),
            name,
            planned,
            figures_of,
            expectations: expectations(&runs),
            figures,
            runs,
        }
    }

    /// How many runs came to this.
    pub fn count(&self, outcome: Outcome) -> usize {
        let same = |run: &&OneRun| run.outcome == outcome;
        self.runs.iter().filter(same).count()
    }

    /// The runs that did not pass, those that failed first.
    pub fn unpassed(&self) -> Vec<&OneRun> {
        let mut runs: Vec<&OneRun> = self.runs.iter().collect();
        runs.retain(|run| run.outcome != Outcome::Passed);
        runs.sort_by_key(|run| run.outcome != Outcome::Failed);
        runs
    }

    /// Whether all runs have one seed.
    pub fn is_of_one_seed(&self) -> bool {
        let mut seeds = self.runs.iter().map(|run| run.run.seed);
        let first = seeds.next();
        seeds.len() > 0 && seeds.all(|seed| Some(seed) == first)
    }
}

fn outcome(runs: &[OneRun], planned: usize) -> Outcome {
    let any = |outcome| runs.iter().any(|run| run.outcome == outcome);
    if any(Outcome::Failed) {
        Outcome::Failed
    } else if any(Outcome::Inconclusive) || runs.len() < planned {
        Outcome::Inconclusive
    } else {
        Outcome::Passed
    }
}

fn expectations(runs: &[OneRun]) -> Vec<SetExpectation> {
    let mut all: Vec<SetExpectation> = Vec::new();
    let counted = |run: &&OneRun| run.outcome != Outcome::Inconclusive;
    for verdict in runs.iter().filter(counted).flat_map(|run| &run.verdicts) {
        let same = |it: &&mut SetExpectation| {
            it.expectation == verdict.expectation && it.bound == verdict.bound
        };
        let held = usize::from(verdict.status == Status::Held);
        if let Some(known) = all.iter_mut().find(same) {
            known.held += held;
            known.of += 1;
        } else {
            all.push(SetExpectation {
                check: verdict.check,
                expectation: verdict.expectation.clone(),
                bound: verdict.bound.clone(),
                held,
                of: 1,
            });
        }
    }
    all
}

fn set_figures(runs: &[OneRun], telling: &[&OneRun]) -> Vec<SetFigure> {
    let told: Vec<&[Figure]> = telling.iter().map(|run| run.figures.as_slice()).collect();
    let figure = |key: &Key| {
        let values = told.iter().filter_map(|run| value(run, key));
        Some(SetFigure {
            key: key.clone(),
            estimate: Estimate::of(values.collect())?,
            values: runs.iter().map(|run| value(&run.figures, key)).collect(),
        })
    };
    keys(&told).into_iter().filter_map(figure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::story::{Story, converged_of_settle};

    /// A run of a seed; each hop of a block takes so many milliseconds.
    fn told(seed: u64, hop_ms: u64) -> Story {
        let mut story = Story::of(10).expect(converged_of_settle(10.0));
        story.plan.seed = seed;
        for (t, block, prev) in [(5.0, "c1", "base"), (10.0, "c2", "c1")] {
            story.mines(t, 0, block, prev);
            for node in 1..10_u32 {
                let delay = u64::from(node) * hop_ms;
                story.takes(t + delay as f64 / 1e3, node, block);
            }
        }
        story
    }

    fn one(story: Story) -> OneRun {
        let judgement = story.judge();
        OneRun::of(format!("seed-{}", judgement.run.seed), judgement)
    }

    fn passed(seed: u64) -> OneRun {
        one(told(seed, 100 * seed))
    }

    /// One node forgets the blocks.
    fn failed(seed: u64) -> OneRun {
        let mut story = told(seed, 100);
        story.takes(15.0, 9, "base");
        one(story)
    }

    fn inconclusive(seed: u64) -> OneRun {
        let mut story = told(seed, 5_000);
        story.late_host(0.08);
        one(story)
    }

    fn set(runs: Vec<OneRun>) -> RunSet {
        let planned = runs.len();
        RunSet::of("x".into(), runs, planned)
    }

    fn median(set: &RunSet, what: &str) -> f64 {
        let wanted = |it: &&SetFigure| it.key.what == what && it.key.phase.is_none();
        set.figures.iter().find(wanted).unwrap().estimate.median
    }

    #[test]
    fn one_run_that_fails_turns_the_whole_red() {
        assert_eq!(set((1..4).map(passed).collect()).outcome, Outcome::Passed);
        let red = set(vec![passed(1), failed(2), passed(3), inconclusive(4)]);
        assert_eq!(red.outcome, Outcome::Failed);
        let counts = [Outcome::Passed, Outcome::Failed, Outcome::Inconclusive];
        assert_eq!(counts.map(|outcome| red.count(outcome)), [2, 1, 1]);
        let expectation = &red.expectations[0];
        assert_eq!((expectation.held, expectation.of), (2, 3));
        let names: Vec<&str> = red.runs[1].failures().map(|v| v.check).collect();
        assert_eq!(names, ["converged"]);
    }

    #[test]
    fn an_inconclusive_run_or_a_missing_one_leaves_it_open() {
        let open = set(vec![passed(1), inconclusive(2)]);
        assert_eq!(open.outcome, Outcome::Inconclusive);
        let cut_short = RunSet::of("x".into(), vec![passed(1)], 2);
        assert_eq!(cut_short.outcome, Outcome::Inconclusive);
        let none = RunSet::of("x".into(), Vec::new(), 2);
        assert_eq!(none.outcome, Outcome::Inconclusive);
        assert!(none.figures.is_empty());
    }

    #[test]
    fn the_figures_of_a_run_that_proves_nothing_are_left_out() {
        let three = set(vec![passed(3), inconclusive(4), passed(1)]);
        assert_eq!(three.figures_of, 2);
        // Five of ten nodes have a block when its miner and the first four others do.
        assert_eq!(median(&three, "block propagation p50"), 0.8e9);
        let seeds: Vec<u64> = three.runs.iter().map(|run| run.run.seed).collect();
        assert_eq!(seeds, [1, 3, 4]);
        let first = three
            .figures
            .iter()
            .find(|it| it.key.what == "block propagation p50");
        assert_eq!(
            first.unwrap().values,
            [Some(0.4e9), Some(1.2e9), Some(20e9)]
        );
        // They are better than nothing.
        assert_eq!(set(vec![inconclusive(1)]).figures_of, 1);
    }

    #[test]
    fn a_phase_without_a_block_has_mined_none_rather_than_nothing() {
        let mut late = Story::of(10);
        late.plan.seed = 2;
        late.mines(15.0, 0, "c1", "base");
        let two = set(vec![passed(1), one(late)]);
        let of_phases = |it: &&SetFigure| it.key.what == "blocks mined" && it.key.phase.is_some();
        let mined: Vec<_> = two.figures.iter().filter(of_phases).collect();
        assert!(mined.iter().any(|it| it.values.contains(&Some(0.0))));
        for figure in mined {
            assert_eq!(figure.estimate.runs, 2, "{:?}", figure.key);
        }
    }

    #[test]
    fn what_never_came_to_be_counts_as_the_greatest() {
        let mut runs: Vec<OneRun> = (1..4).map(passed).collect();
        runs.extend((4..8).map(failed));
        let seven = set(runs);
        let settle = seven
            .figures
            .iter()
            .find(|it| it.key.what == "agreement at settle");
        let estimate = &settle.unwrap().estimate;
        assert_eq!((estimate.runs, estimate.never), (7, 4));
        assert!(estimate.median.is_infinite());
    }

    #[test]
    fn runs_of_one_seed_stand_in_the_order_of_their_numbers() {
        let run = |number: u32| OneRun {
            folder: format!("run-{number}"),
            ..passed(1)
        };
        let ten = set((1..=10).rev().map(run).collect());
        assert!(ten.is_of_one_seed());
        assert_eq!(ten.runs[1].folder, "run-2");
        assert_eq!(ten.runs[9].folder, "run-10");
        assert!(!set(vec![passed(1), passed(2)]).is_of_one_seed());
        assert!(!set(vec![passed(1)]).is_of_one_seed());
    }

    #[test]
    fn a_kind_of_message_that_a_run_does_not_have_is_none_of_it() {
        let mut without = told(2, 100).judge();
        without.figures.messages.retain(|it| it.message != "inv");
        let both = set(vec![passed(1), OneRun::of("seed-2".into(), without)]);
        assert_eq!(median(&both, "share of bytes: inv"), 0.125);
    }
}
