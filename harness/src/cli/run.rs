//! `peerlab run FILE`: the main job. Carries an experiment out on an engine, judges it, and says
//! what came of it.

use peerlab_core::error::hint::DISK;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use peerlab_link::Nanos;
use tokio_util::sync::CancellationToken;

use super::interrupt::stop_asked_by;
use super::place::{EngineChoice, Place};
use super::plan::PlanSource;
use super::screen::Screen;
use super::{interrupt, report};
use crate::disk::{self, EventLog};
use crate::engine::Engine;
use crate::engine::capacity::peak_memory_bytes;
use crate::engine::docker::{DockerEngine, Guard, Images, RunId};
use crate::engine::drive::{CarriedOut, Drive, Logs, or_stop};
#[cfg(target_os = "linux")]
use crate::engine::local::LocalEngine;
use crate::engine::programs::Programs;
use crate::ui::Ui;
use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::event::RunEvent;
use peerlab_core::plan::Plan;
use peerlab_core::report::files;
use peerlab_core::topology;
use peerlab_core::words;
use peerlab_sim::simulator as sim;

/// The experiment file, in a run's directory.
const TOPOLOGY: &str = "topology.yaml";
/// Folder of the nodes' logs there.
const LOGS: &str = "logs";

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The experiment: a topology (YAML), or the plan.json of an earlier run
    file: PathBuf,
    /// Draw everything from this seed instead of the file's
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    how: How,
}

/// How a plan is carried out.
#[derive(Debug, clap::Args)]
pub struct How {
    /// Where the nodes run
    #[arg(long, value_enum, default_value_t = EngineChoice::Auto)]
    engine: EngineChoice,
    /// The run's directory [default: runs/TIME-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// In the simulator: let all nodes share so many CPUs, as containers on one machine do [each
    /// has its own]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    cpus: Option<u16>,
    /// With --cpus: the CPU time of one message, as 150us [200us, which is a slow machine's]
    #[arg(long, value_name = "TIME", value_parser = topology::time, requires = "cpus")]
    message_work: Option<Nanos>,
    /// Keep the logs of all nodes, not only of those that ended by themselves
    #[arg(long)]
    keep_logs: bool,
}

impl How {
    /// What was said of the plan itself: the record is to show it.
    fn applied_to(&self, plan: Plan) -> Result<Plan> {
        if self.cpus.is_some() && self.engine != EngineChoice::Sim {
            return Err(Error::input("--cpus is for the simulator")
                .because("real nodes share the CPUs of their machine")
                .hint("add --engine sim, or leave --cpus out"));
        }
        let cpus = self.cpus.or(plan.cpus);
        let message_work = self.message_work.or(plan.message_work);
        Ok(Plan {
            cpus,
            message_work,
            ..plan
        })
    }
}

/// Runs an experiment.
///
/// # Errors
/// When the input is bad, the engine fails, or the run is interrupted.
pub async fn run(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let source = PlanSource::read(&args.file, args.seed)?;
    run_plan(source, &args.how, ui).await
}

/// Runs a plan.
///
/// # Errors
/// When the engine fails, or the run is interrupted.
pub async fn run_plan(source: PlanSource, how: &How, ui: &Ui) -> Result<ExitCode> {
    let plan = Arc::new(how.applied_to(source.plan)?);
    let stop = interrupt::stop_on_signal()?;
    let place = Place::find(how.engine, &plan, ui).await?;
    let dir = disk::new_run_directory(how.out.as_deref(), &plan.name)?;
    if let Some(text) = source.topology {
        disk::write(&dir.join(TOPOLOGY), text)?;
    }
    disk::write(&dir.join(files::PLAN), plan.to_json())?;
    let recorder = Recorder {
        log: Mutex::new(
            EventLog::create(&dir.join(files::EVENTS))
                .or_environment(|| "cannot record the run".into(), DISK)?,
        ),
        screen: Screen::for_plan(ui, &plan),
    };
    let logs = Logs {
        folder: dir.join(LOGS),
        all: how.keep_logs,
    };
    let outcome = carry_out(&plan, place, logs, &recorder, stop).await;
    let Recorder { log, screen } = recorder;
    drop(screen);
    let log = log.into_inner().unwrap_or_else(PoisonError::into_inner);
    let written = log
        .finish()
        .or_environment(|| "cannot record the run".into(), DISK);
    match outcome.and(written) {
        Ok(()) => report::judge(&dir, ui),
        Err(error) => {
            ui.note(&format!("record: {}", dir.display()));
            Err(error)
        }
    }
}

/// Carries the plan out where it is to be: real nodes are brought up, and everything is removed.
async fn carry_out(
    plan: &Arc<Plan>,
    place: Place,
    logs: Logs,
    recorder: &Recorder,
    stop: CancellationToken,
) -> Result<()> {
    let programs = async || or_stop(&stop, Programs::find(recorder)).await;
    match place {
        Place::Sim => simulate(plan, recorder, &stop),
        Place::Docker(docker) => {
            let programs = programs().await?;
            let images = or_stop(&stop, Images::ensure(&docker, &programs, recorder)).await?;
            let run = RunId::random();
            tracing::info!("run {run}, seed {}", plan.seed);
            let guard = Guard::start(&run);
            let engine = DockerEngine::prepare(docker, run, plan.clone(), images, recorder).await?;
            let carried_out = drive(&engine, plan, recorder, logs, stop).await;
            if carried_out.everything_removed {
                guard.dismiss().await;
            }
            carried_out.result
        }
        #[cfg(target_os = "linux")]
        Place::Local => {
            let engine = LocalEngine::prepare(plan.clone(), &programs().await?, recorder).await?;
            drive(&engine, plan, recorder, logs, stop).await.result
        }
    }
}

/// Carries the plan out in virtual time, and says what that took. It fills the cores it has: other
/// threads go on with theirs.
fn simulate(plan: &Plan, observer: &Recorder, stop: &CancellationToken) -> Result<()> {
    let options = sim::Options {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        stop: stop_asked_by(stop),
    };
    let began = Instant::now();
    let simulated = tokio::task::block_in_place(|| sim::simulate(plan, observer, &options))?;
    let took = began.elapsed().as_secs_f64();
    observer.screen.say(&format!(
        "simulated {} in {took:.1} s: {:.1} million events, {:.2} million a second; \
         {} read{}",
        words::duration(plan.end()),
        simulated.events as f64 / 1e6,
        simulated.events as f64 / 1e6 / took.max(1e-9),
        words::count(simulated.messages, "message"),
        peak_memory_bytes().map_or(String::new(), |bytes| format!(
            ", {:.0} MB of memory at most",
            bytes as f64 / 1e6
        )),
    ));
    Ok(())
}

/// Carries the plan out on an engine.
async fn drive<E: Engine>(
    engine: &E,
    plan: &Plan,
    observer: &Recorder,
    logs: Logs,
    stop: CancellationToken,
) -> CarriedOut {
    let drive = Drive {
        engine,
        plan,
        observer,
        logs,
        stop,
    };
    drive.run().await
}

/// Writes events down, and shows them.
struct Recorder {
    log: Mutex<EventLog>,
    screen: Screen,
}

impl Observer for Recorder {
    fn stage(&self, stage: Stage) {
        self.screen.stage(stage);
    }

    fn event(&self, event: &RunEvent) -> Result<()> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.write(event)
            .or_environment(|| "cannot record the run".into(), DISK)?;
        self.screen.event(event)
    }
}
