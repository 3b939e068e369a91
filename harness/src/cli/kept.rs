//! `run --keep` and `--keep-on-failure`: a run whose network stays once it has its verdict, for those who
//! want to see why. The run is carried out by a process that can go on without the terminal; that one shows
//! it there as any run, and whoever called waits for the verdict alone.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;

use peerlab_core::check::Outcome;
use peerlab_core::error::hint::BUG;
use peerlab_core::error::{Error, Result};
use peerlab_core::report::Report;
use peerlab_core::topology::Topology;
use peerlab_core::view::NetworkView;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::how::How;
use super::interrupt;
use super::look::Look;
use super::place::{EngineChoice, Place};
use super::plan::{Experiment, PlanSource};
use super::record::{Recording, Watching, record};
use super::report::{exit_number, tell_run};
use super::screen::Screen;
use super::tries::{Retries, judged};
use super::up::{REQUESTS_MAX, network_name, serve};
use crate::disk;
use crate::engine::drive::{AfterRun, Stay};
use crate::engine::or_stop;
use crate::metrics::Endpoint;
use crate::network::{Claim, Folder, Held, Network, Parts, Reply, have_run, log};
use crate::ui::Ui;

/// How the process that carries the run out is told so.
const HELD: &str = "--held";

/// Whether the network stays.
#[derive(Debug, clap::Args)]
pub struct Kept {
    /// Leave the network up after the verdict, until `peerlab down`
    #[arg(long, group = "kept")]
    keep: bool,
    /// The same where the verdict is not PASSED
    #[arg(long, group = "kept")]
    keep_on_failure: bool,
    /// The name of a network that is kept [default: the experiment's]
    #[arg(long, value_name = "NAME", requires = "kept")]
    name: Option<String>,
    /// Carry the run out for whoever started this process
    #[arg(long, hide = true, requires = "kept")]
    held: bool,
}

/// When a network stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    NotPassed,
}

impl When {
    /// Whether it stays with such a verdict.
    fn holds(self, outcome: Outcome) -> bool {
        self == When::Always || outcome != Outcome::Passed
    }
}

/// Why a set of runs keeps no network.
pub fn of_set() -> Error {
    Error::input("the networks of several runs cannot be kept")
        .because("each run has a network of its own, and a machine to itself")
        .hint("run the seed in question by itself: `--seed N --keep`")
}

impl Kept {
    /// When the network is to stay; `None` for never.
    pub fn when(&self) -> Option<When> {
        match (self.keep, self.keep_on_failure) {
            (true, _) => Some(When::Always),
            (false, true) => Some(When::NotPassed),
            (false, false) => None,
        }
    }

    /// Carries a run out whose network may stay: the verdict, and then the exit code.
    ///
    /// # Errors
    /// As `run`; and when the network's name is taken.
    pub async fn run(
        &self,
        when: When,
        (file, seed): (&Path, Option<u64>),
        retries: Retries,
        how: &How,
        ui: &Ui,
    ) -> Result<ExitCode> {
        let stop = interrupt::stop_on_signal()?;
        if !self.held {
            let code = have_run(with_held(std::env::args_os().skip(1)), &stop).await?;
            return Ok(code.into());
        }
        let held = Held::begin(&stop)?;
        let wanted = self.wanted(when, file, seed, how)?;
        wanted.run(held, retries, how, ui, stop).await
    }

    fn wanted(&self, when: When, file: &Path, seed: Option<u64>, how: &How) -> Result<Wanted> {
        let engine = real(how.engine)?;
        let experiment = Experiment::read(file)?;
        let source = experiment.draw(seed)?;
        let plan = how.applied_to(source.plan.clone())?;
        let Experiment::Topology(topology, _) = experiment else {
            return Err(Error::input("the network of a plan cannot be kept")
                .because("a plan does not say how nodes are named by hand: by group, by region")
                .hint("give the experiment file that it was drawn from"));
        };
        let name = network_name(self.name.as_deref(), &topology)?;
        Ok(Wanted {
            when,
            engine,
            topology,
            source: PlanSource { plan, ..source },
            claim: Folder::of_user()?.claim(&name)?,
            name,
        })
    }
}

/// The engine, which is one of real nodes.
fn real(choice: EngineChoice) -> Result<EngineChoice> {
    match choice {
        EngineChoice::Sim => Err(Error::input("a simulated network cannot be kept")
            .because("nothing of it is there once its plan is over: its nodes are no processes")
            .hint(
                "take --engine docker or --engine local; in the simulator the run can be repeated",
            )),
        EngineChoice::Auto => Ok(EngineChoice::Real),
        other => Ok(other),
    }
}

/// What this process was called with, and that it is to carry the run out.
fn with_held(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = arguments.collect();
    // What comes behind `--` is no option.
    let end = all.iter().position(|it| it == "--");
    all.insert(end.unwrap_or(all.len()), HELD.into());
    all
}

/// What is carried out, and kept.
struct Wanted {
    when: When,
    engine: EngineChoice,
    topology: Topology,
    source: PlanSource,
    name: String,
    claim: Claim,
}

impl Wanted {
    /// Carries the run out, as often as its verdict asks for, and holds its network where that stays.
    async fn run(
        self,
        held: Held,
        retries: Retries,
        how: &How,
        ui: &Ui,
        stop: CancellationToken,
    ) -> Result<ExitCode> {
        let place = or_stop(&stop, Place::find(self.engine, &self.source.plan, ui)).await?;
        let engine = place.choice();
        how.look.capture_of(&self.source, Path::new(""))?;
        let endpoint = how.look.endpoint_told(ui).await?;
        let dir = disk::new_run_directory(how.out.as_deref(), &self.source.plan.name)?;
        let holding = Holding {
            when: self.when,
            engine: engine.name(),
            topology: &self.topology,
            source: &self.source,
            name: &self.name,
            dir: &dir,
            keep_logs: how.keep_logs,
            look: &how.look,
            endpoint: endpoint.as_ref(),
            ui,
            stop: &stop,
        };
        let (mut place, mut own) = (Some(place), Some((held, self.claim)));
        let attempt = async |is_last: bool| {
            let place = match place.take() {
                Some(found) => found,
                None => or_stop(&stop, Place::find(engine, &self.source.plan, ui)).await?,
            };
            holding.run(place, is_last, &mut own).await
        };
        let report = retries.make(&dir, false, ui, attempt).await?;
        match own {
            // It has been told, and its network is down.
            None => Ok(ExitCode::SUCCESS),
            Some(_) => Ok(tell_run(&report, &dir, &self.source.places, ui)),
        }
    }
}

/// What each try of the run is made with.
struct Holding<'a> {
    when: When,
    engine: String,
    topology: &'a Topology,
    source: &'a PlanSource,
    name: &'a str,
    dir: &'a Path,
    keep_logs: bool,
    look: &'a Look,
    endpoint: Option<&'a Endpoint>,
    ui: &'a Ui,
    stop: &'a CancellationToken,
}

impl Holding<'_> {
    /// Carries the run out once. Where its network stays, whoever called is told, and it is held until
    /// it is taken down; `own` is used up then.
    async fn run(
        &self,
        place: Place,
        is_last: bool,
        own: &mut Option<(Held, Claim)>,
    ) -> Result<Report> {
        let view = Arc::new(Mutex::new(NetworkView::new(&self.source.plan)));
        let watched = self.endpoint.map(|it| it.watch(self.name, &view));
        let (over, is_over) = oneshot::channel();
        let (want, wanted) = oneshot::channel();
        let recording = Recording {
            screen: Screen::for_plan(self.ui, &self.source.plan),
            keep_logs: self.keep_logs,
            threads: available_parallelism().map_or(1, usize::from),
            stop: self.stop.clone(),
            stay: Some(Stay::AfterRun(AfterRun { over, wanted })),
            watching: Watching {
                view: Some(view.clone()),
                live: watched.map(|watched| watched.when_live()),
            },
            capture: self.look.capture_of(self.source, self.dir)?,
        };
        let running = record(self.source, place, self.dir, recording);
        let running = async {
            let recorded = running.await;
            recorded.inspect_err(|_| self.ui.note(&format!("record: {}", self.dir.display())))
        };
        tokio::pin!(running);
        let live = tokio::select! {
            result = &mut running => result.and(Err(unsaid()))?,
            live = is_over => live,
        };
        let Ok(live) = live else {
            // Its sender went with the run, which tells why.
            return running.await.and(Err(unsaid()));
        };
        let report = tokio::task::block_in_place(|| judged(self.dir));
        let outcome = report.as_ref().ok().map(|report| report.judgement.outcome);
        let stays = outcome.is_some_and(|outcome| {
            self.when.holds(outcome) && (is_last || outcome != Outcome::Inconclusive)
        });
        let Some((held, claim)) = own.take_if(|_| stays) else {
            drop(want);
            running.await?;
            return report;
        };
        let report = report?;
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        let network = Network::new(Parts {
            name: self.name.to_owned(),
            dir: self.dir,
            engine: self.engine.clone(),
            topology: self.topology,
            plan: &self.source.plan,
            // All of them are for the plan's own payments.
            outputs: 0..0,
            view,
            live,
            requests,
            metrics: self.endpoint.map(Endpoint::url),
            // Its chain is that of its plan's payments.
            origin: None,
        });
        let told = async {
            // Where the run has ended meanwhile, it tells why.
            let _ = want.send(asked);
            self.tell(held, &report).await;
        };
        let _log = log::keep_bounded(self.dir.to_owned());
        serve(network, claim, self.endpoint, self.stop, running, told).await?;
        Ok(report)
    }

    /// Tells the verdict, and leaves the screen to whoever called.
    async fn tell(&self, held: Held, report: &Report) {
        let exit_code = exit_number(report.judgement.outcome);
        tell_run(report, self.dir, &self.source.places, self.ui);
        self.ui.note(&format!(
            "{} stays up, held by process {}; `peerlab down -n {}` ends it",
            self.name,
            std::process::id(),
            self.name
        ));
        if let Err(error) = log::write_to(self.dir) {
            self.ui.error(&error);
        }
        if let Err(error) = held.tell(&Reply::Kept { exit_code }).await {
            tracing::error!("{error}");
        }
    }
}

fn unsaid() -> Error {
    Error::environment("the run has ended", "it was not judged", BUG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_stays_always_or_where_its_run_has_not_passed() {
        for outcome in [Outcome::Passed, Outcome::Failed, Outcome::Inconclusive] {
            assert!(When::Always.holds(outcome));
            assert_eq!(When::NotPassed.holds(outcome), outcome != Outcome::Passed);
        }
    }

    #[test]
    fn whoever_carries_the_run_out_is_called_alike() {
        let called = |words: &str| {
            let words = words.split(' ').map(OsString::from);
            with_held(words).join(" ".as_ref()).into_string().unwrap()
        };
        assert_eq!(called("run x.yaml --keep"), "run x.yaml --keep --held");
        assert_eq!(called("-v run --keep -- -x"), "-v run --keep --held -- -x");
    }
}
