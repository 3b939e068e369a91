//! `peerlab run FILE`: the main job. Carries an experiment out on an engine, once or several times,
//! judges it, and says what came of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;

use super::how::How;
use super::interrupt;
use super::kept::{Kept, of_set};
use super::look::watching;
use super::place::{EngineChoice, Place};
use super::plan::{Experiment, PlanSource};
use super::record::{Recording, record};
use super::report::tell_run;
use super::run_board::RunBoard;
use super::run_set::{Repeats, run_set};
use super::screen::Screen;
use super::tries::{Retries, judged};
use crate::dashboard::FullScreen;
use crate::disk;
use crate::engine::or_stop;
use crate::ui::{Format, Ui};
use peerlab_core::error::Result;
use peerlab_core::plan::Plan;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The experiment: a topology (YAML), or the plan.json of an earlier run
    file: PathBuf,
    /// Draw everything from this seed instead of the file's
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    repeats: Repeats,
    #[command(flatten)]
    retries: Retries,
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    how: How,
}

impl Args {
    /// Whom the verdict is printed for.
    pub fn format(&self) -> Format {
        self.how.format
    }
}

/// Runs an experiment.
///
/// # Errors
/// When the input is bad, the engine fails, or the run is interrupted.
pub async fn run(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let Args {
        file,
        seed,
        repeats,
        retries,
        kept,
        how,
    } = args;
    if let Some(when) = kept.when() {
        if repeats.asked() {
            return Err(of_set());
        }
        return kept
            .run(when, (file.as_path(), *seed), *retries, how, ui)
            .await;
    }
    if repeats.asked() {
        return run_set(file, *seed, repeats, *retries, how, ui).await;
    }
    let source = Experiment::read(file)?.draw(*seed)?;
    run_plan(source, *retries, how, ui).await
}

/// Runs a plan once, or until it proves something.
///
/// # Errors
/// When the engine fails, or the run is interrupted.
pub async fn run_plan(
    source: PlanSource,
    retries: Retries,
    how: &How,
    ui: &Ui,
) -> Result<ExitCode> {
    how.look.fits(how.engine)?;
    let plan = how.applied_to(source.plan)?;
    let source = PlanSource { plan, ..source };
    let stop = interrupt::stop_on_signal()?;
    let place = or_stop(&stop, Place::find(how.engine, &source.plan, ui)).await?;
    let engine = place.choice();
    how.look.fits(engine)?;
    how.look.capture_of(&source, Path::new(""))?;
    let endpoint = how.look.endpoint_told(ui).await?;
    let dir = disk::new_run_directory(how.out.as_deref(), &source.plan.name)?;
    let mut place = Some(place);
    let attempt = async |_: bool| {
        let place = match place.take() {
            Some(found) => found,
            None => or_stop(&stop, Place::find(engine, &source.plan, ui)).await?,
        };
        let recording = Recording {
            screen: screen(&source.plan, engine, how, ui),
            keep_logs: how.keep_logs,
            threads: available_parallelism().map_or(1, usize::from),
            stop: stop.clone(),
            stay: None,
            watching: watching(endpoint.as_ref(), &source.plan),
            capture: how.look.capture_of(&source, &dir)?,
        };
        let recorded = record(&source, place, &dir, recording).await;
        recorded.inspect_err(|_| ui.note(&format!("record: {}", dir.display())))?;
        judged(&dir)
    };
    let same_every_time = engine == EngineChoice::Sim;
    let report = retries.make(&dir, same_every_time, ui, attempt).await?;
    Ok(tell_run(&report, &dir, &source.places, ui))
}

/// A live screen where a person sits before a terminal and the nodes are real: in virtual time it would
/// be over before anybody had read it.
fn screen(plan: &Plan, engine: EngineChoice, how: &How, ui: &Ui) -> Screen {
    let screen = Screen::for_plan(ui, plan);
    if how.plain || engine == EngineChoice::Sim || !FullScreen::is_possible() {
        return screen;
    }
    screen.with_board(RunBoard::of(plan, ui))
}
