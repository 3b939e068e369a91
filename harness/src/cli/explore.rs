//! `peerlab explore FILE`: judges an experiment under faults that many seeds draw, in virtual
//! time, and shrinks the first failure to a small experiment that runs anywhere.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use peerlab_link::Nanos;
use tokio_util::sync::CancellationToken;

use super::{interrupt, job};
use crate::disk::{self, load_topology};
use crate::engine::stop_asked_by;
use crate::ui::{Format, Ui};
use peerlab_core::error::{Kind, Result};
use peerlab_core::report::annotation::{Annotation, of_failure};
use peerlab_core::report::text_markdown;
use peerlab_core::topology;
use peerlab_core::words;
use peerlab_sim::explore::{
    Audience, Base, FailingSeed, Failure, Found, Intensity, Limits, Simulator, Size, Telling,
    Watch, head, search, shrink, summary, yaml,
};

/// Seeds that are judged when neither a count nor a time is given.
const SEEDS_DEFAULT: u64 = 100;
/// How much is done to the network by default.
const INTENSITY_DEFAULT: f64 = 1.0;
/// Most that may be asked for: beyond, hardly a node is up.
const INTENSITY_MAX: f64 = 20.0;
/// The failing seed's whole experiment, and the shrunk one, in the directory of the results.
const WHOLE_FILE: &str = "failing.yaml";
const SHRUNK_FILE: &str = "shrunk.yaml";

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The experiment: a topology (YAML)
    file: PathBuf,
    /// Judge so many seeds [default: 100, or without end where --for is given]
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// Begin no further seed after this time, as 60s or 10m
    #[arg(long = "for", value_name = "TIME", value_parser = topology::time)]
    time: Option<Nanos>,
    /// The first seed; the others follow [default: the file's]
    #[arg(long, value_name = "SEED")]
    first_seed: Option<u64>,
    /// How many seeds are judged at a time [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Where failing experiments are written [default: runs/TIME-explore-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave the first failing seed as it is
    #[arg(long)]
    no_shrink: bool,
    /// Shrink the first failing seed (the default)
    #[arg(long, overrides_with = "no_shrink")]
    shrink: bool,
    /// Most plans that shrinking may judge
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    shrink_runs: usize,
    /// How much is done to the network: 0 only what the file says, 1 usual, 2 twice as much
    #[arg(long, value_name = "X", default_value_t = INTENSITY_DEFAULT, value_parser = intensity)]
    fault_intensity: f64,
    /// Whom the result is printed for
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

fn intensity(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(intensity) if (0.0..=INTENSITY_MAX).contains(&intensity) => Ok(intensity),
        _ => Err(format!(
            "write a number from 0 to {INTENSITY_MAX}, as 1 or 0.5"
        )),
    }
}

/// Explores.
///
/// # Errors
/// When the input is bad, a plan cannot be judged, or a file cannot be written.
pub async fn explore(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let (topology, _) = load_topology(&args.file)?;
    let first = args.first_seed.unwrap_or(topology.seed);
    let base = Base::new(topology, Intensity(args.fault_intensity))?;
    // Mistakes that only chance brings up are told before anything begins.
    base.draw(first)?;
    let stop = interrupt::stop_on_signal()?;
    let exploration = Exploration {
        telling: telling(args, ui, &base),
        ui,
        judge: Simulator::new(stop_asked_by(&stop)),
        first,
        base,
        args,
        stop,
    };
    // It fills the cores it has; the thread that listens to signals goes on.
    tokio::task::block_in_place(|| exploration.run())
}

fn telling(args: &Args, ui: &Ui, base: &Base) -> Telling {
    let options = if args.fault_intensity == INTENSITY_DEFAULT {
        String::new()
    } else {
        format!(" --fault-intensity {}", args.fault_intensity)
    };
    Telling {
        name: base.name().to_owned(),
        command: ui.style(None).command,
        file: args.file.display().to_string(),
        options,
    }
}

struct Exploration<'a> {
    args: &'a Args,
    ui: &'a Ui,
    telling: Telling,
    base: Base,
    first: u64,
    judge: Simulator,
    stop: CancellationToken,
}

impl Exploration<'_> {
    fn run(&self) -> Result<ExitCode> {
        let found = self.search()?;
        let told = summary(&self.telling, &found);
        self.ui.result(&told);
        job::tell(self.ui, || {
            let page = text_markdown(&format!("explore {}", self.telling.name), &told);
            (self.annotations(&found), page)
        });
        if let Some(failing) = found.failing.first() {
            let dir = self.write_whole(failing)?;
            if !self.args.no_shrink && !found.interrupted {
                self.shrink(failing, &dir)?;
            }
        }
        if self.stop.is_cancelled() {
            Ok(Kind::Interrupted.into())
        } else if found.failing.is_empty() {
            Ok(ExitCode::SUCCESS)
        } else {
            Ok(Kind::Failed.into())
        }
    }

    /// An annotation for each expectation that fails, with the first seed in which it does.
    fn annotations(&self, found: &Found) -> Vec<Annotation> {
        let mut failures: BTreeMap<usize, Vec<(u64, &Failure)>> = BTreeMap::new();
        for failing in &found.failing {
            for failure in &failing.failures {
                let of_one = failures.entry(failure.index).or_default();
                of_one.push((failing.seed, failure));
            }
        }
        let places = self.base.expect_places();
        let annotation = |(index, of_one): (usize, Vec<(u64, &Failure)>)| {
            let (seed, failure) = of_one.first()?;
            let message = format!(
                "in {} of {}, as in seed {seed}: {}\n{}",
                of_one.len(),
                words::count(found.judged, "seed"),
                failure.sentence,
                self.telling.again(*seed)
            );
            let title = format!("{} fails", failure.check);
            Some(of_failure(&title, message, places.get(index)))
        };
        failures.into_iter().filter_map(annotation).collect()
    }

    fn search(&self) -> Result<Found> {
        let time = self.args.time.map(Duration::from);
        let seeds = self.args.seeds.or(time.is_none().then_some(SEEDS_DEFAULT));
        let began = Instant::now();
        let limits = Limits {
            seeds,
            out_of_time: &|| time.is_some_and(|limit| began.elapsed() >= limit),
        };
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let jobs = self.args.jobs.map_or_else(cores, NonZeroUsize::get);
        let progress = Progress {
            ui: self.ui,
            telling: &self.telling,
            line: self.ui.line(),
            began,
            seeds,
            time,
        };
        progress.show(0, 0);
        search(
            &self.base,
            &self.judge,
            self.first,
            limits,
            jobs,
            &stop_asked_by(&self.stop),
            &progress,
        )
    }

    /// Writes down what the first failing seed drew, before anything else can go wrong.
    fn write_whole(&self, failing: &FailingSeed) -> Result<PathBuf> {
        let dir = disk::new_run_directory(
            self.args.out.as_deref(),
            &format!("explore-{}", self.base.name()),
        )?;
        let scenario = self.base.draw(failing.seed)?;
        let file = dir.join(WHOLE_FILE);
        disk::write(&file, yaml(&scenario, &head(&self.telling, failing)))?;
        self.ui.note(&format!(
            "seed {} written out: {}",
            failing.seed,
            file.display()
        ));
        Ok(dir)
    }

    fn shrink(&self, failing: &FailingSeed, dir: &Path) -> Result<()> {
        let Some(failure) = failing.failures.first() else {
            return Ok(());
        };
        let scenario = self.base.draw(failing.seed)?;
        let watch = Shrinking {
            line: self.ui.line(),
            seed: failing.seed,
        };
        let simulations_max = self.args.shrink_runs;
        let shrunk = shrink(&scenario, failure, &self.judge, simulations_max, &watch)?;
        drop(watch);
        let file = dir.join(SHRUNK_FILE);
        let head = self.telling.head(failing.seed, &shrunk, SHRUNK_FILE);
        disk::write(&file, yaml(&shrunk.scenario, &head))?;
        let file = file.display().to_string();
        let told = self.telling.shrunk(failing.seed, &shrunk, &file);
        self.ui.result(&told);
        Ok(())
    }
}

/// Shows how far the search is.
struct Progress<'a> {
    ui: &'a Ui,
    telling: &'a Telling,
    line: ProgressBar,
    began: Instant,
    seeds: Option<u64>,
    time: Option<Duration>,
}

impl Progress<'_> {
    fn show(&self, judged: u64, failing: usize) {
        let of = self
            .seeds
            .map_or(String::new(), |seeds| format!(" of {seeds}"));
        let elapsed = self.began.elapsed();
        let time = match self.time {
            Some(time) => format!("{} s of {} s", elapsed.as_secs(), time.as_secs()),
            None => format!("{} s", elapsed.as_secs()),
        };
        let pace = judged as f64 / elapsed.as_secs_f64().max(0.001);
        self.line.set_message(format!(
            "exploring  {judged}{of} seeds judged, {failing} failing  {time}, {pace:.1} seeds/s"
        ));
    }
}

impl Audience for Progress<'_> {
    fn judged(&self, judged: u64, failing: usize) {
        self.show(judged, failing);
    }

    fn fails(&self, seed: &FailingSeed) {
        self.ui.note(&self.telling.failing(seed));
    }
}

/// Shows how far shrinking is.
struct Shrinking {
    line: ProgressBar,
    seed: u64,
}

impl Watch for Shrinking {
    fn shrunk(&self, simulations: usize, size: Size) {
        self.line.set_message(format!(
            "shrinking seed {}  {} nodes, {} events  {simulations} simulations",
            self.seed, size.nodes, size.events
        ));
    }
}
