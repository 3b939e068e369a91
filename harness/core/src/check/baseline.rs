//! A set of runs held against those of earlier runs of the same experiment, the *baseline*: whether
//! the network has got worse, in which figure, and how likely a difference like that is by chance.
//!
//! Figures are those of the whole run that say which way they get worse. Each is asked by itself
//! (`rank_test`: one-sided, so that getting better is no alarm), and their chances are corrected for
//! their number. A figure *is worse* where its corrected chance is at most the share of checks that
//! may alarm though nothing has changed. Runs that prove nothing are left out on both sides. A figure
//! that is the same in all runs of both sides cannot tell them apart, and is not counted as a question;
//! that is decided before it is known which value belongs to which side, so it favours neither.
//!
//! What cannot be told is never an all clear: too few runs are an error, and a check is *inconclusive*
//! where too few of its runs prove anything, or a figure that the baseline has is missing in all, or in so
//! many that those which have it could not tell it from chance.

use std::collections::BTreeSet;

use peerlab_link::Nanos;
use serde::{Deserialize, Serialize};

use super::estimate::Estimate;
use super::figure::{Figure, Key, Unit, Worse, keys, value};
use super::judgement::{Outcome, RunFacts};
use super::rank_test::{chance_of_greater, corrected, least_chance};
use super::run_set::OneRun;
use crate::error::{Error, Explain, Kind, Result, hint};

/// Format of the file. It grows when a field changes its meaning or goes.
const SCHEMA: u32 = 1;
/// Most runs and figures of a baseline that is read.
const RUNS_MAX: usize = 10_000;
const FIGURES_MAX: usize = 1_000;
/// Runs that could help where there are too few: more are not counted up.
const RUNS_TRIED_MAX: usize = 1_000;

/// The figures of some runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    schema: u32,
    pub experiment: Experiment,
    /// Version of Peerlab that made the runs.
    pub peerlab_version: String,
    /// Of the runs, in their order.
    pub seeds: Vec<u64>,
    figures: Vec<Stored>,
}

/// What two sides must have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    pub name: String,
    pub engine: String,
    pub nodes: u32,
    pub length_ns: Nanos,
}

/// A figure of the runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stored {
    what: String,
    unit: Unit,
    worse: Worse,
    /// Of each run.
    values: Vec<Option<Value>>,
}

/// What a run has of a figure; nothing where there was nothing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Word(Never),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Never {
    /// It never came to be.
    Never,
}

impl Value {
    fn of(value: f64) -> Value {
        match value.is_infinite() {
            true => Value::Word(Never::Never),
            false => Value::Number(value),
        }
    }

    fn number(self) -> f64 {
        match self {
            Value::Number(value) => value,
            Value::Word(Never::Never) => f64::INFINITY,
        }
    }
}

impl Experiment {
    fn of(run: &RunFacts) -> Experiment {
        Experiment {
            name: run.name.clone(),
            engine: run.engine.clone(),
            nodes: run.nodes,
            length_ns: run.planned_ns,
        }
    }

    /// What tells it from another, in words.
    fn unlike(&self, other: &Experiment) -> Option<String> {
        let differ = |what: &str, a: String, b: String| {
            (a != b).then(|| format!("{what}: one has {a}, the other {b}"))
        };
        differ("the name", self.name.clone(), other.name.clone())
            .or_else(|| differ("the engine", self.engine.clone(), other.engine.clone()))
            .or_else(|| differ("nodes", self.nodes.to_string(), other.nodes.to_string()))
            .or_else(|| {
                let seconds = |it: &Experiment| format!("{} s", it.length_ns.as_secs_f64());
                differ("the length", seconds(self), seconds(other))
            })
    }
}

/// The runs that prove something, and the experiment that they are of.
fn sound(runs: &[OneRun]) -> Result<(Vec<&OneRun>, Experiment)> {
    let mut sound: Vec<&OneRun> = runs.iter().collect();
    sound.retain(|run| run.inconclusive_because.is_empty());
    let Some(first) = sound.first() else {
        let error = Error::input("none of these runs proves anything")
            .because("all of them are inconclusive")
            .hint("`peerlab report RUN` says why; make them again on a host that keeps up");
        let kind = Kind::Inconclusive;
        return Err(Error { kind, ..error });
    };
    let experiment = Experiment::of(&first.run);
    let mut others = sound.iter().map(|run| Experiment::of(&run.run));
    match others.find_map(|it| experiment.unlike(&it)) {
        Some(difference) => Err(Error::input("these runs are of several experiments")
            .because(difference)
            .hint("name runs of one experiment, on one engine")),
        None => Ok((sound, experiment)),
    }
}

/// The figures that can get worse, with the values of each run.
fn judged(runs: &[&OneRun]) -> Vec<(Key, Worse, Vec<Option<f64>>)> {
    let told: Vec<&[Figure]> = runs.iter().map(|run| run.figures.as_slice()).collect();
    let whole = keys(&told).into_iter().filter(|key| key.phase.is_none());
    let figure = |key: &Key| {
        let values = told.iter().map(|run| value(run, key)).collect();
        Some((key.clone(), key.worse?, values))
    };
    whole.filter_map(figure).collect()
}

impl Baseline {
    /// Of some runs, of which those are left out that prove nothing.
    ///
    /// # Errors
    /// As bad input, when they are of several experiments; as inconclusive, when no run is left.
    pub fn of(runs: &[OneRun]) -> Result<Baseline> {
        let (runs, experiment) = sound(runs)?;
        let stored = |(key, worse, values): (Key, Worse, Vec<Option<f64>>)| Stored {
            what: key.what,
            unit: key.unit,
            worse,
            values: values.into_iter().map(|it| it.map(Value::of)).collect(),
        };
        Ok(Baseline {
            schema: SCHEMA,
            experiment,
            peerlab_version: runs[0].run.peerlab_version.clone(),
            seeds: runs.iter().map(|run| run.run.seed).collect(),
            figures: judged(&runs).into_iter().map(stored).collect(),
        })
    }

    /// How many runs it is of.
    pub fn runs(&self) -> usize {
        self.seeds.len()
    }

    /// The file's text.
    ///
    /// # Errors
    /// Never in practice: all of its types can be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let mut text = serde_json::to_string_pretty(self)
            .or_environment(|| "cannot write the baseline as JSON".to_owned(), hint::BUG)?;
        text.push('\n');
        Ok(text)
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// As bad input, when it is no baseline of this format, or contradicts itself.
    pub fn parse(file: &str, text: &str) -> Result<Baseline> {
        let what = || format!("{file} is not a baseline");
        let baseline: Baseline = serde_json::from_str(text)
            .or_input(what)
            .map_err(|error| error.hint("`peerlab baseline save` writes one"))?;
        let wrong = |cause: &str| Err(Error::input(what()).because(cause));
        let Baseline {
            schema,
            seeds,
            figures,
            ..
        } = &baseline;
        if *schema != SCHEMA {
            let cause = format!("it has format {schema}, and this Peerlab reads {SCHEMA}");
            let hint = "use the Peerlab that wrote it, or save it anew";
            return Err(Error::input(what()).because(cause).hint(hint));
        }
        if seeds.is_empty() || seeds.len() > RUNS_MAX || figures.len() > FIGURES_MAX {
            return wrong("it has no run, or more runs or figures than are read");
        }
        if figures.iter().any(|it| it.values.len() != seeds.len()) {
            return wrong("a figure has not one value for each run");
        }
        let names: BTreeSet<&str> = figures.iter().map(|it| it.what.as_str()).collect();
        if names.len() != figures.len() {
            return wrong("a figure is there twice");
        }
        Ok(baseline)
    }
}

/// A figure of both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldFigure {
    pub what: String,
    pub unit: Unit,
    pub worse_if: Worse,
    /// What each side's runs that have it say of it.
    pub baseline: Estimate,
    pub runs: Estimate,
    /// How likely a difference like this or greater, in the direction that is worse, is by chance,
    /// all figures considered. 1 where it is not: for instance since it is better.
    pub by_chance: f64,
    pub is_worse: bool,
}

impl HeldFigure {
    /// How far the runs' median is from the baseline's, as a share of the latter.
    pub fn change(&self) -> Option<f64> {
        let (before, after) = (self.baseline.median, self.runs.median);
        let change = (after - before) / before;
        Some(if after == before { 0.0 } else { change }).filter(|change| change.is_finite())
    }
}

/// Runs held against a baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BaselineCheck {
    pub outcome: Outcome,
    pub experiment: Experiment,
    /// How many runs each side has that prove something.
    pub baseline_runs: usize,
    pub runs: usize,
    /// How many of this side prove nothing, and are left out.
    pub left_out: usize,
    /// The share of checks that may alarm though nothing has changed.
    pub false_alarms: f64,
    /// Why it says nothing for sure.
    pub inconclusive_because: Vec<String>,
    /// Those that are worse first, else in the order of reports.
    pub figures: Vec<HeldFigure>,
}

/// Holds runs against a baseline. Of so great a share of checks one may alarm though nothing has
/// changed.
///
/// # Errors
/// As bad input, when the runs are of another experiment, or there are too few for any difference to
/// be told from chance; as inconclusive, when none proves anything.
pub fn hold(baseline: &Baseline, runs: &[OneRun], false_alarms: f64) -> Result<BaselineCheck> {
    let all = runs.len();
    let (runs, experiment) = sound(runs)?;
    if let Some(difference) = baseline.experiment.unlike(&experiment) {
        return Err(
            Error::input("the runs and the baseline are of different experiments")
                .because(difference)
                .hint("hold runs against a baseline of the same experiment and engine"),
        );
    }
    let now = judged(&runs);
    let mut reasons = Vec::new();
    let mut sides = Vec::new();
    for stored in &baseline.figures {
        let before: Vec<f64> = stored.values.iter().flatten().map(|v| v.number()).collect();
        let now = now.iter().find(|(key, ..)| key.what == stored.what);
        let after: Vec<f64> = now.map_or_else(Vec::new, |(.., values)| {
            values.iter().flatten().copied().collect()
        });
        match (before.is_empty(), after.is_empty()) {
            (true, _) => {}
            (false, true) => reasons.push(format!("no run has a value of: {}", stored.what)),
            (false, false) => sides.push(Sides {
                stored,
                before,
                after,
            }),
        }
    }
    let questions = sides.iter().filter(|it| it.vary()).count();
    let enough = |more: usize| {
        let least = least_chance(baseline.runs(), more);
        least * questions.max(1) as f64 <= false_alarms
    };
    if !enough(all) {
        return Err(too_few(baseline.runs(), all, enough));
    }
    if !enough(runs.len()) {
        reasons.push(format!(
            "too few of the {all} runs prove something: {} are left",
            runs.len()
        ));
    } else {
        let rare = |it: &&Sides<'_>| {
            let least = least_chance(it.before.len(), it.after.len());
            least * questions.max(1) as f64 > false_alarms
        };
        let counts = [baseline.runs(), runs.len()];
        reasons.extend(sides.iter().filter(rare).map(|it| it.too_few(counts)));
    }
    let figures = figures(sides, false_alarms);
    let outcome = if figures.iter().any(|figure| figure.is_worse) {
        Outcome::Failed
    } else if reasons.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Inconclusive
    };
    Ok(BaselineCheck {
        outcome,
        experiment,
        baseline_runs: baseline.runs(),
        runs: runs.len(),
        left_out: all - runs.len(),
        false_alarms,
        inconclusive_because: reasons,
        figures,
    })
}

fn too_few(baseline: usize, runs: usize, enough: impl Fn(usize) -> bool) -> Error {
    let hint = match (runs + 1..=RUNS_TRIED_MAX).find(|more| enough(*more)) {
        Some(more) => format!("make {more} runs or more: `peerlab run FILE --seeds {more}`"),
        None => "save a baseline of more runs".to_owned(),
    };
    Error::input("there are too few runs to tell a difference from chance")
        .because(format!(
            "even if each of the {runs} were worse than each of the {baseline} of the baseline, \
             that could be chance"
        ))
        .hint(hint)
}

/// A figure's values on both sides; each has one at least.
struct Sides<'a> {
    stored: &'a Stored,
    before: Vec<f64>,
    after: Vec<f64>,
}

impl Sides<'_> {
    /// Whether any two values differ, whatever their side.
    fn vary(&self) -> bool {
        let first = self.before[0];
        let mut all = self.before.iter().chain(&self.after);
        all.any(|value| *value != first)
    }

    /// How likely it is by chance that these are so much worse than those before.
    fn chance(&self) -> f64 {
        match self.stored.worse {
            Worse::Greater => chance_of_greater(&self.before, &self.after),
            Worse::Less => chance_of_greater(&self.after, &self.before),
        }
    }

    /// Why nothing can be told of it, by how many runs each side has.
    fn too_few(&self, [before, after]: [usize; 2]) -> String {
        format!(
            "too few runs have a value of: {} ({} of {before} of the baseline, {} of {after} of these)",
            self.stored.what,
            self.before.len(),
            self.after.len()
        )
    }

    fn held(self, by_chance: f64, false_alarms: f64) -> Option<HeldFigure> {
        Some(HeldFigure {
            what: self.stored.what.clone(),
            unit: self.stored.unit,
            worse_if: self.stored.worse,
            baseline: Estimate::of(self.before)?,
            runs: Estimate::of(self.after)?,
            by_chance,
            is_worse: by_chance <= false_alarms,
        })
    }
}

fn figures(sides: Vec<Sides<'_>>, false_alarms: f64) -> Vec<HeldFigure> {
    let (asked, constant): (Vec<_>, Vec<_>) = sides.into_iter().partition(Sides::vary);
    let chances: Vec<f64> = asked.iter().map(Sides::chance).collect();
    let asked = asked.into_iter().zip(corrected(&chances));
    let all = asked.chain(constant.into_iter().map(|sides| (sides, 1.0)));
    let held = |(sides, by_chance): (Sides<'_>, f64)| sides.held(by_chance, false_alarms);
    let mut figures: Vec<HeldFigure> = all.filter_map(held).collect();
    figures.sort_by_key(|figure| !figure.is_worse);
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::story::Story;

    const FALSE_ALARMS: f64 = 0.01;

    /// A run of a seed; each hop of a block takes so many milliseconds, and one more for each seed.
    fn run(seed: u64, hop_ms: u64) -> OneRun {
        let mut story = Story::of(10);
        story.plan.seed = seed;
        for (t, block, prev) in [(5.0, "c1", "base"), (10.0, "c2", "c1")] {
            story.mines(t, 0, block, prev);
            for node in 1..10_u32 {
                let delay = u64::from(node) * (hop_ms + seed % 7);
                story.takes(t + delay as f64 / 1e3, node, block);
            }
        }
        OneRun::of(format!("seed-{seed}"), story.judge())
    }

    fn runs(seeds: std::ops::Range<u64>, hop_ms: u64) -> Vec<OneRun> {
        seeds.map(|seed| run(seed, hop_ms)).collect()
    }

    fn unsound(mut run: OneRun) -> OneRun {
        run.outcome = Outcome::Inconclusive;
        run.inconclusive_because = vec!["the host was busy".into()];
        run
    }

    fn baseline() -> Baseline {
        Baseline::of(&runs(0..14, 100)).unwrap()
    }

    fn worse(check: &BaselineCheck) -> Vec<&str> {
        let worse = check.figures.iter().filter(|figure| figure.is_worse);
        worse.map(|figure| figure.what.as_str()).collect()
    }

    #[test]
    fn equal_networks_pass_and_a_faster_one_does() {
        for hop_ms in [100, 50] {
            let check = hold(&baseline(), &runs(20..30, hop_ms), FALSE_ALARMS).unwrap();
            assert_eq!(check.outcome, Outcome::Passed);
            assert!(worse(&check).is_empty());
        }
    }

    #[test]
    fn a_slower_one_fails_and_the_figure_is_named_with_its_chance() {
        let check = hold(&baseline(), &runs(20..30, 120), FALSE_ALARMS).unwrap();
        assert_eq!(check.outcome, Outcome::Failed);
        let p50 = check.figures.iter();
        let p50 = p50.filter(|figure| figure.what == "block propagation p50");
        let p50 = p50.clone().next().unwrap();
        assert!(p50.is_worse && p50.by_chance < 1e-4, "{p50:?}");
        assert!((0.15..0.25).contains(&p50.change().unwrap()), "{p50:?}");
        assert!(check.figures[0].is_worse, "those come first");
        let live = check.figures.iter();
        let live = live
            .clone()
            .find(|it| it.what == "nodes live at the end")
            .unwrap();
        assert_eq!((live.by_chance, live.is_worse), (1.0, false));
    }

    #[test]
    fn fewer_is_worse_where_less_is() {
        let mut fewer = runs(20..30, 100);
        for run in &mut fewer {
            let mut figures = run.figures.iter_mut();
            let live = figures.find(|it| it.key.what == "nodes live at the end");
            live.unwrap().value = Some(9.0);
        }
        let check = hold(&baseline(), &fewer, FALSE_ALARMS).unwrap();
        assert_eq!(worse(&check), ["nodes live at the end"]);
        let back = Baseline::of(&fewer).unwrap();
        let check = hold(&back, &runs(0..14, 100), FALSE_ALARMS).unwrap();
        assert!(worse(&check).is_empty());
    }

    #[test]
    fn what_never_came_to_be_is_worse_and_survives_the_file() {
        let mut late = runs(20..30, 100);
        for run in &mut late {
            let mut figures = run.figures.iter_mut();
            let p99 = figures.find(|it| it.key.what == "block propagation p99");
            p99.unwrap().value = Some(f64::INFINITY);
        }
        let check = hold(&baseline(), &late, FALSE_ALARMS).unwrap();
        assert_eq!(worse(&check), ["block propagation p99"]);
        let text = Baseline::of(&late).unwrap().to_json().unwrap();
        assert!(text.contains("\"never\""), "{text}");
        let read = Baseline::parse("x.json", &text).unwrap();
        assert_eq!(read, Baseline::of(&late).unwrap());
        assert_eq!(
            hold(&read, &late, FALSE_ALARMS).unwrap().outcome,
            Outcome::Passed
        );
    }

    #[test]
    fn a_figure_that_is_gone_is_no_all_clear() {
        let mut gone = runs(20..30, 100);
        for run in &mut gone {
            run.figures
                .retain(|it| it.key.what != "block propagation p50");
        }
        let check = hold(&baseline(), &gone, FALSE_ALARMS).unwrap();
        assert_eq!(check.outcome, Outcome::Inconclusive);
        assert!(check.inconclusive_because[0].contains("block propagation p50"));
    }

    #[test]
    fn a_figure_that_most_runs_lack_is_no_all_clear() {
        let mut rare = runs(20..30, 100);
        for run in &mut rare[1..] {
            let mut figures = run.figures.iter_mut();
            let p50 = figures.find(|it| it.key.what == "block propagation p50");
            p50.unwrap().value = None;
        }
        let check = hold(&baseline(), &rare, FALSE_ALARMS).unwrap();
        assert_eq!(check.outcome, Outcome::Inconclusive);
        assert_eq!(
            check.inconclusive_because,
            ["too few runs have a value of: block propagation p50 \
              (14 of 14 of the baseline, 1 of 10 of these)"]
        );
    }

    #[test]
    fn too_few_runs_are_an_error_that_says_how_many_would_do() {
        let error = hold(&baseline(), &runs(20..21, 900), FALSE_ALARMS).unwrap_err();
        let text = error.render();
        assert!(text.contains("too few runs"), "{text}");
        assert!(text.contains("make 3 runs or more"), "{text}");
        let one = Baseline::of(&runs(0..1, 100)).unwrap();
        let text = hold(&one, &runs(20..30, 900), FALSE_ALARMS)
            .unwrap_err()
            .render();
        assert!(text.contains("runs or more"), "{text}");
    }

    #[test]
    fn runs_that_prove_nothing_are_left_out_and_may_leave_too_few() {
        let mut some = runs(20..30, 900);
        some[9] = unsound(some[9].clone());
        let check = hold(&baseline(), &some, FALSE_ALARMS).unwrap();
        assert_eq!((check.runs, check.left_out), (9, 1));
        assert_eq!(check.outcome, Outcome::Failed);
        let mut most: Vec<OneRun> = runs(20..30, 900).into_iter().map(unsound).collect();
        let error = hold(&baseline(), &most, FALSE_ALARMS).unwrap_err();
        assert_eq!(error.kind, Kind::Inconclusive);
        most[0] = run(20, 900);
        let check = hold(&baseline(), &most, FALSE_ALARMS).unwrap();
        assert_eq!(check.outcome, Outcome::Inconclusive);
    }

    #[test]
    fn what_is_of_another_experiment_is_refused_with_the_difference() {
        let mut others = runs(20..30, 100);
        others
            .iter_mut()
            .for_each(|it| it.run.engine = "local".into());
        let error = hold(&baseline(), &others, FALSE_ALARMS).unwrap_err();
        assert!(
            error.render().contains("the engine: "),
            "{}",
            error.render()
        );
        others[0].run.nodes += 1;
        let text = Baseline::of(&others).unwrap_err().render();
        assert!(text.contains("several experiments"), "{text}");
        assert!(text.contains("nodes: one has"), "{text}");
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let sound = baseline().to_json().unwrap();
        for (from, to, said) in [
            ("{", "[", "not a baseline"),
            ("\"schema\": 1", "\"schema\": 2", "it has format 2"),
            (
                "\"worse\": \"less\"",
                "\"worse\": \"more\"",
                "not a baseline",
            ),
            ("\"seeds\": [", "\"seeds\": [ 1,", "one value for each run"),
            (
                "block propagation p90",
                "block propagation p50",
                "is there twice",
            ),
        ] {
            assert!(sound.contains(from), "{from}");
            let text = sound.replacen(from, to, 1);
            let error = Baseline::parse("x.json", &text).unwrap_err().render();
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
