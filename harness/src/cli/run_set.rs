//! `peerlab run FILE --seeds N` and `--runs N`: several runs, each with a record of its own in one
//! folder, and what they come to together. Real nodes have the machine for themselves: one run after
//! the other. Simulated runs go side by side as cores and memory allow; the first, which has all
//! cores, shows how much memory one takes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Instant;

use peerlab_link::Nanos;
use tokio_util::sync::CancellationToken;

use super::how::How;
use super::interrupt;
use super::look::watching;
use super::place::{self, EngineChoice};
use super::plan::{Experiment, PlanSource};
use super::record::{Recording, record};
use super::report::{replay_command, tell_set};
use super::screen::Screen;
use super::tries::{Retries, judged};
use crate::disk::{self, begin_run_set, judge_one, one_run};
use crate::engine::capacity::{Machine, peak_memory_bytes};
use crate::engine::or_stop;
use crate::metrics::Endpoint;
use crate::ui::Ui;
use peerlab_core::check::{OneRun, RunSet};
use peerlab_core::error::hint::DISK;
use peerlab_core::error::{Error, Explain, Kind, Place, Result};
use peerlab_core::report::why;
use peerlab_core::words;

/// Most runs of a set: beyond, an interval hardly becomes narrower, and all are in one folder.
const RUNS_MAX: i64 = 1_000;

/// How often an experiment is run.
#[derive(Debug, clap::Args)]
pub struct Repeats {
    /// Run with N seeds, the file's or --seed and those that follow: one verdict over all, medians
    /// and 95 % intervals
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=RUNS_MAX))]
    seeds: Option<u16>,
    /// Run N times with the one seed, likewise
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=RUNS_MAX))]
    runs: Option<u16>,
}

impl Repeats {
    /// Whether it is to be a set of runs.
    pub fn asked(&self) -> bool {
        self.seeds.or(self.runs).is_some()
    }
}

/// One run of a set.
struct Member {
    /// `None` for the experiment's own.
    seed: Option<u64>,
    folder: String,
}

fn members(experiment: &Experiment, seed: Option<u64>, repeats: &Repeats) -> Result<Vec<Member>> {
    let Some(count) = repeats.seeds else {
        let again = |number| Member {
            seed,
            folder: format!("run-{number}"),
        };
        return Ok((1..=repeats.runs.unwrap_or(1)).map(again).collect());
    };
    let first = seed.unwrap_or(experiment.seed());
    let last = first.checked_add(u64::from(count) - 1).ok_or_else(|| {
        Error::input(format!("there are no {count} seeds from {first} on"))
            .because(format!("the greatest seed is {}", u64::MAX))
            .hint("begin with a smaller one: --seed")
    })?;
    let of_seed = |seed| Member {
        seed: Some(seed),
        folder: format!("seed-{seed}"),
    };
    Ok((first..=last).map(of_seed).collect())
}

/// Runs an experiment several times.
///
/// # Errors
/// When the input is bad, the engine fails, or the set is interrupted: what was done until then is
/// summed up first.
pub async fn run_set(
    file: &Path,
    seed: Option<u64>,
    repeats: &Repeats,
    retries: Retries,
    how: &How,
    ui: &Ui,
) -> Result<ExitCode> {
    how.look.fits(how.engine)?;
    let experiment = Experiment::read(file)?;
    let members = members(&experiment, seed, repeats)?;
    let draw = |member: &Member| -> Result<PlanSource> {
        let source = experiment.draw(member.seed)?;
        let plan = how.applied_to(source.plan)?;
        Ok(PlanSource { plan, ..source })
    };
    // Mistakes that only chance brings up are told before anything begins.
    for member in &members[1..] {
        draw(member).map_err(|error| error.because(came_of(member)))?;
    }
    let first = draw(&members[0])?;
    let plan = &first.plan;
    let stop = interrupt::stop_on_signal()?;
    let place = or_stop(&stop, place::Place::find(how.engine, plan, ui)).await?;
    let engine = place.choice();
    if engine == EngineChoice::Sim && repeats.runs.is_some_and(|runs| runs > 1) {
        return Err(
            Error::input("the simulator makes the same run of a seed every time")
                .because("nothing is left to chance there, so several runs say no more than one")
                .hint("take --seeds for other chance, or --engine real"),
        );
    }
    how.look.fits(engine)?;
    how.look.capture_of(&first, Path::new(""))?;
    let endpoint = how.look.endpoint_told(ui).await?;
    let dir = disk::new_run_directory(how.out.as_deref(), &plan.name)?;
    let _making = begin_run_set(&plan.name, members.len(), &dir)?;
    let set = Set {
        file,
        repeats,
        retries,
        how,
        ui,
        draw: &draw,
        places: experiment.places(),
        name: plan.name.clone(),
        engine,
        dir,
        members,
        stop,
        endpoint,
        state: Mutex::default(),
    };
    set.make_all().await;
    set.tell()
}

fn came_of(member: &Member) -> String {
    format!("this came of {}", member.folder)
}

struct Set<'a> {
    file: &'a Path,
    repeats: &'a Repeats,
    retries: Retries,
    how: &'a How,
    ui: &'a Ui,
    draw: &'a (dyn Fn(&Member) -> Result<PlanSource> + Sync),
    /// Where the expectations are written.
    places: Vec<Place>,
    name: String,
    engine: EngineChoice,
    dir: PathBuf,
    members: Vec<Member>,
    stop: CancellationToken,
    /// Where the metrics of the run under way are.
    endpoint: Option<Endpoint>,
    state: Mutex<State>,
}

/// How far a set is.
#[derive(Default)]
struct State {
    begun: usize,
    runs: Vec<OneRun>,
    /// What ended it early.
    error: Option<Error>,
}

impl Set<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn make_all(&self) {
        let cores = available_parallelism().map_or(1, usize::from);
        self.make(cores, 1).await;
        let left = self.members.len() - 1;
        let jobs = match self.engine {
            EngineChoice::Sim => jobs(
                cores,
                left,
                peak_memory_bytes(),
                Machine::read().memory_free,
            ),
            _ => 1,
        };
        if jobs == 1 {
            return self.make(cores, left).await;
        }
        let runtime = tokio::runtime::Handle::current();
        // They fill the cores; the thread that listens to signals goes on.
        tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                for _ in 0..jobs {
                    scope.spawn(|| runtime.block_on(self.make(cores / jobs, left)));
                }
            });
        });
    }

    /// Makes the runs that nobody has begun, so many at most. One that cannot be made ends the set:
    /// what is at fault there would meet the next as well.
    async fn make(&self, threads: usize, most: usize) {
        for _ in 0..most {
            let Some(number) = self.next() else {
                return;
            };
            if let Err(error) = self.make_one(number, threads).await {
                let error = match error.kind {
                    Kind::Interrupted => error,
                    _ => error.because(came_of(&self.members[number])),
                };
                self.state().error.get_or_insert(error);
            }
        }
    }

    fn next(&self) -> Option<usize> {
        let mut state = self.state();
        let ended = state.error.is_some() || self.stop.is_cancelled();
        let next = Some(state.begun).filter(|n| !ended && *n < self.members.len())?;
        state.begun += 1;
        Some(next)
    }

    async fn make_one(&self, number: usize, threads: usize) -> Result<()> {
        let Member { folder, .. } = &self.members[number];
        let source = (self.draw)(&self.members[number])?;
        let began = Instant::now();
        let dir = self.dir.join(folder);
        std::fs::create_dir(&dir)
            .or_environment(|| format!("cannot make {}", dir.display()), DISK)?;
        let which = format!("{folder} ({} of {})", number + 1, self.members.len());
        let attempt = async |_: bool| {
            let place = place::Place::find(self.engine, &source.plan, self.ui);
            let place = or_stop(&self.stop, place).await?;
            let how = Recording {
                screen: Screen::for_plan(self.ui, &source.plan).of_set(which.clone(), number == 0),
                keep_logs: self.how.keep_logs,
                threads,
                stop: self.stop.clone(),
                stay: None,
                watching: watching(self.endpoint.as_ref(), &source.plan),
                capture: self.how.look.capture_of(&source, &dir)?,
            };
            record(&source, place, &dir, how).await?;
            judged(&dir)
        };
        let same_every_time = self.engine == EngineChoice::Sim;
        let made = self.retries.make(&dir, same_every_time, self.ui, attempt);
        match made.await {
            Ok(report) => {
                let took = Nanos(began.elapsed().as_nanos() as u64);
                self.take_in(one_run(&dir, report.judgement), took);
                Ok(())
            }
            Err(error) => {
                // What was cut short is judged as far as it came.
                self.state().runs.extend(judge_one(&dir, true));
                // One that never began leaves no folder.
                let _ = std::fs::remove_dir(&dir);
                Err(error)
            }
        }
    }

    fn take_in(&self, run: OneRun, took: Nanos) {
        let reasons = why(&run);
        let more = match reasons.len() {
            0 | 1 => String::new(),
            all => format!(" And {} more.", all - 1),
        };
        let mut state = self.state();
        self.ui.note(&format!(
            "{} of {}: {} {}, took {}{}{}{more}",
            state.runs.len() + 1,
            self.members.len(),
            run.folder,
            run.outcome.word(),
            words::duration(took),
            if reasons.is_empty() { "" } else { ". " },
            reasons.first().map_or("", String::as_str),
        ));
        state.runs.push(run);
    }

    /// Says and writes down what all runs come to.
    fn tell(self) -> Result<ExitCode> {
        let State { runs, error, .. } = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let interrupted = self
            .stop
            .is_cancelled()
            .then(peerlab_core::conduct::interrupted);
        if runs.is_empty()
            && let Some(error) = error
        {
            self.ui.note(&format!("records: {}", self.dir.display()));
            return Err(error);
        }
        let set = RunSet::of(self.name, runs, self.members.len());
        let replays = self.repeats.runs.is_some() || self.how.changes_plan();
        let command = self.ui.style(None).command;
        let again = |run: &OneRun| match replays {
            true => replay_command(&command, &self.dir, run),
            false => format!(
                "{command} run {} --seed {} --engine {}",
                self.file.display(),
                run.run.seed,
                self.engine.name()
            ),
        };
        let exit = tell_set(&set, &self.dir, &again, &self.places, self.ui)?;
        error.or(interrupted).map_or(Ok(exit), Err)
    }
}

/// How many of the runs that are left go on at a time: as many as cores, if each finds as much memory
/// as one took.
fn jobs(cores: usize, left: usize, one_takes: Option<u64>, free: Option<u64>) -> usize {
    let fit = match (one_takes, free) {
        (Some(one), Some(free)) => free / one.max(1),
        _ => 1,
    };
    let fit = usize::try_from(fit).unwrap_or(usize::MAX);
    cores.min(left).min(fit).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_go_side_by_side_as_cores_and_memory_allow() {
        const GB: u64 = 1 << 30;
        assert_eq!(jobs(8, 99, Some(GB / 2), Some(3 * GB)), 6);
        assert_eq!(jobs(2, 99, Some(GB / 2), Some(3 * GB)), 2);
        assert_eq!(jobs(8, 3, Some(GB / 2), Some(3 * GB)), 3);
        assert_eq!(jobs(8, 99, Some(4 * GB), Some(3 * GB)), 1);
        assert_eq!(jobs(8, 99, None, Some(3 * GB)), 1);
        assert_eq!(jobs(8, 0, Some(GB), Some(3 * GB)), 1);
    }
}
