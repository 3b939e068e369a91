//! What foreign load does to verdicts: judges the runs in a folder by bounds that the quiet ones
//! among them give, and prints a table. `ci/bench-foreign-load` makes the runs and calls it.
//!
//! `foreign-load FOLDER`
//!
//! A run's directory is called ENGINE.LOAD.SEED.NUMBER. Of each engine and seed, the greatest figures
//! of the quiet runs and a fifth more are bounds that must hold: a run that fails them was made to.
//! The least bandwidth and a fifth less is one that must not hold: a run that passes it was made to.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use peerlab::disk::{EventReader, load_plan};
use peerlab_core::check::{Judgement, Outcome, judge};
use peerlab_core::event::RunEvent;
use peerlab_core::experiment::{Disturbance, Expectation, NodeQuantile};
use peerlab_core::plan::Plan;
use peerlab_link::Nanos;

/// How far beyond the quiet runs' figures a bound stands.
const BEYOND: f64 = 0.2;
/// Of the quiet runs, one in so many may prove nothing.
const QUIET_PER_INCONCLUSIVE: usize = 20;
/// How long agreement must last.
const HOLD: Nanos = Nanos::from_secs(1);

fn main() -> Result<ExitCode> {
    let folder = std::env::args().nth(1).context("FOLDER")?;
    let runs = runs(Path::new(&folder))?;
    let mut bounds: BTreeMap<(&str, &str), Bounds> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.load == 0) {
        let bounds = bounds.entry((&run.engine, &run.seed)).or_default();
        bounds.widen(&run.judge(vec![heal(Nanos(u64::MAX))])?);
    }
    let mut rows: BTreeMap<(&str, u32), Row> = BTreeMap::new();
    for run in &runs {
        let Some(bounds) = bounds.get(&(run.engine.as_str(), run.seed.as_str())) else {
            continue;
        };
        let row = rows.entry((&run.engine, run.load)).or_default();
        row.add(&run.judge(bounds.hold())?, &run.judge(bounds.miss())?);
    }
    println!(
        "| engine | loops | runs | passed | failed | inconclusive | false FAILED | false PASSED | \
         p50 | p90 | waited | for others |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |");
    for ((engine, load), row) in &rows {
        println!("| {engine} | {load} | {}", row.text());
    }
    let turned: usize = rows
        .values()
        .map(|row| row.false_failed + row.false_passed)
        .sum();
    let quiet = || {
        rows.iter()
            .filter(|((_, load), _)| *load == 0)
            .map(|(_, row)| row)
    };
    let inconclusive: usize = quiet().map(|row| row.inconclusive).sum();
    let quiet: usize = quiet().map(|row| row.runs).sum();
    println!("\n{turned} verdicts turned; {inconclusive} of {quiet} quiet runs inconclusive");
    let good = turned == 0 && inconclusive <= quiet.div_ceil(QUIET_PER_INCONCLUSIVE);
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A run, read.
struct Run {
    engine: String,
    load: u32,
    seed: String,
    plan: Plan,
    events: PathBuf,
}

/// All runs of a folder that came to their end, in the order of their names.
fn runs(folder: &Path) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    folders.sort();
    for path in folders
        .iter()
        .filter(|path| path.join("report.json").exists())
    {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let [engine, load, seed, _] = name.split('.').collect::<Vec<_>>()[..] else {
            continue;
        };
        runs.push(Run {
            engine: engine.to_owned(),
            load: load.parse()?,
            seed: seed.to_owned(),
            plan: load_plan(&path.join("plan.json")).map_err(|e| anyhow!("{}", e.render()))?,
            events: path.join("events.jsonl"),
        });
    }
    Ok(runs)
}

impl Run {
    /// Judges it by other expectations than those that it was made with.
    fn judge(&self, expect: Vec<Expectation>) -> Result<Judgement> {
        let plan = Plan {
            expect,
            ..self.plan.clone()
        };
        let events: Vec<RunEvent> = EventReader::open(&self.events)?.collect::<Result<_, _>>()?;
        Ok(judge(&plan, events.into_iter()))
    }
}

/// The quiet runs' figures.
#[derive(Default)]
struct Bounds {
    p50: Nanos,
    p90: Nanos,
    heal: Nanos,
    /// Whether one of them never agreed after the heal, as two branches of equal work may not.
    disagreed: bool,
    bandwidth_max: u64,
    bandwidth_min: Option<u64>,
}

impl Bounds {
    fn widen(&mut self, judgement: &Judgement) {
        let (p50, p90) = propagation(judgement);
        self.p50 = self.p50.max(p50);
        self.p90 = self.p90.max(p90);
        for partition in &judgement.figures.partitions {
            self.heal = self.heal.max(partition.agreed_after_ns.unwrap_or_default());
            self.disagreed |= partition.agreed_after_ns.is_none();
        }
        let mean = bandwidth(judgement);
        self.bandwidth_max = self.bandwidth_max.max(mean);
        self.bandwidth_min = Some(self.bandwidth_min.map_or(mean, |min| min.min(mean)));
    }

    /// What a sound run meets.
    fn hold(&self) -> Vec<Expectation> {
        let beyond = |figure: Nanos| Nanos((figure.0 as f64 * (1.0 + BEYOND)) as u64);
        let within = |quantile, figure| Expectation::Propagation {
            quantile,
            below: beyond(figure),
            phase: None,
        };
        let mut hold = vec![
            within(50, self.p50),
            within(90, self.p90),
            bandwidth_below(self.bandwidth_max as f64 * (1.0 + BEYOND)),
        ];
        hold.extend((!self.disagreed).then(|| heal(beyond(self.heal))));
        hold
    }

    /// What it does not meet.
    fn miss(&self) -> Vec<Expectation> {
        let least = self.bandwidth_min.unwrap_or_default() as f64;
        vec![bandwidth_below(least * (1.0 - BEYOND))]
    }
}

fn heal(within: Nanos) -> Expectation {
    Expectation::Converged {
        within,
        of: Disturbance::Heal,
        lag: 1,
        hold: HOLD,
    }
}

fn bandwidth_below(rate: f64) -> Expectation {
    Expectation::Bandwidth {
        of: NodeQuantile::Mean,
        below: rate as u64,
        phase: None,
    }
}

/// Of the whole run: p50 and p90.
fn propagation(judgement: &Judgement) -> (Nanos, Nanos) {
    let whole = judgement.figures.propagation.first();
    let figure = |of: Option<Nanos>| of.unwrap_or_default();
    whole.map_or_else(Default::default, |p| (figure(p.p50_ns), figure(p.p90_ns)))
}

fn bandwidth(judgement: &Judgement) -> u64 {
    let whole = judgement.figures.bandwidth.first();
    whole.map_or(0, |whole| whole.per_node.mean)
}

/// The runs of one engine beside one load.
#[derive(Default)]
struct Row {
    runs: usize,
    passed: usize,
    failed: usize,
    inconclusive: usize,
    false_failed: usize,
    false_passed: usize,
    p50: Vec<f64>,
    p90: Vec<f64>,
    waited: Vec<f64>,
    for_others: Vec<f64>,
}

impl Row {
    /// Takes in a run, judged by what it is to meet and by what it is to miss.
    fn add(&mut self, hold: &Judgement, miss: &Judgement) {
        self.runs += 1;
        match hold.outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Inconclusive => self.inconclusive += 1,
        }
        self.false_failed += usize::from(hold.outcome == Outcome::Failed);
        self.false_passed += usize::from(miss.outcome == Outcome::Passed);
        let (p50, p90) = propagation(hold);
        self.p50.push(p50.as_secs_f64() * 1e3);
        self.p90.push(p90.as_secs_f64() * 1e3);
        if let Some(waiting) = hold.figures.fidelity.waiting.first() {
            self.waited.push(waiting.waited_percent);
        }
        if let Some(waiting) = &hold.figures.fidelity.worst_waiting {
            self.for_others.push(waiting.for_others_percent);
        }
    }

    fn text(&self) -> String {
        format!(
            "{} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.runs,
            self.passed,
            self.failed,
            self.inconclusive,
            self.false_failed,
            self.false_passed,
            spread(&self.p50, "ms"),
            spread(&self.p90, "ms"),
            spread(&self.waited, "%"),
            spread(&self.for_others, "%"),
        )
    }
}

/// Median, least and greatest.
fn spread(figures: &[f64], unit: &str) -> String {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.first(), sorted.last()) {
        (Some(least), Some(greatest)) => {
            let median = sorted[sorted.len() / 2];
            format!("{median:.0} {unit} ({least:.0} to {greatest:.0})")
        }
        _ => "-".to_owned(),
    }
}
