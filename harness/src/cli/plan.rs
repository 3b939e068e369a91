//! `peerlab plan FILE`: everything that chance decides in an experiment, as JSON to run again or
//! as a timeline to read.

use crate::disk::{load_plan_to_run, load_topology};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peerlab_core::error::{Error, Place, Result};
use peerlab_core::plan::{Plan, compile};
use peerlab_core::topology::Topology;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment file (topologies/*.yaml), or a plan (*.json)
    file: PathBuf,
    /// Draw with this seed instead of the file's own
    #[arg(long)]
    seed: Option<u64>,
    /// Tell what happens when, instead of printing JSON
    #[arg(long)]
    summary: bool,
}

/// The plan as text.
///
/// # Errors
/// [`peerlab_core::error::Kind::Input`]: the file's mistakes.
pub fn plan(args: &Args) -> Result<String> {
    let plan = Experiment::read(&args.file)?.draw(args.seed)?.plan;
    if args.summary {
        Ok(plan.timeline())
    } else {
        Ok(plan.to_json())
    }
}

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct PlanSource {
    /// What is carried out.
    pub plan: Arc<Plan>,
    /// The text of the experiment that it was drawn from, unless the file was a plan.
    pub topology: Option<String>,
    /// The digests of its images, by their names, when it was carried out before.
    pub images: BTreeMap<String, String>,
    /// Where each of its expectations is written, unless the file was a plan.
    pub places: Vec<Place>,
}

/// What plans are drawn from.
#[derive(Debug)]
pub enum Experiment {
    /// A topology, and its text.
    Topology(Topology, String),
    /// One plan, which was drawn before.
    Plan(Plan),
}

impl Experiment {
    /// Reads an experiment, or (`*.json`) a plan drawn before.
    ///
    /// # Errors
    /// [`peerlab_core::error::Kind::Input`]: the file's mistakes.
    pub fn read(file: &Path) -> Result<Experiment> {
        if file.extension().is_some_and(|ending| ending == "json") {
            return Ok(Experiment::Plan(load_plan_to_run(file)?));
        }
        let (topology, text) = load_topology(file)?;
        Ok(Experiment::Topology(topology, text))
    }

    /// Its own seed.
    pub fn seed(&self) -> u64 {
        match self {
            Experiment::Topology(topology, _) => topology.seed,
            Experiment::Plan(plan) => plan.seed,
        }
    }

    /// Where each of its expectations is written; none of a plan.
    pub fn places(&self) -> Vec<Place> {
        match self {
            Experiment::Topology(topology, _) => topology.expect_places(),
            Experiment::Plan(_) => Vec::new(),
        }
    }

    /// The plan of a seed, or of its own.
    ///
    /// # Errors
    /// [`peerlab_core::error::Kind::Input`]: mistakes that only chance brings up, or a seed for a plan.
    pub fn draw(&self, seed: Option<u64>) -> Result<PlanSource> {
        let (plan, topology) = match (self, seed) {
            (Experiment::Topology(topology, text), seed) => {
                let plan = compile(topology, seed.unwrap_or(topology.seed))?;
                (plan, Some(text.clone()))
            }
            (Experiment::Plan(plan), None) => (plan.clone(), None),
            (Experiment::Plan(_), Some(_)) => {
                return Err(Error::input("a seed cannot change a plan")
                    .because("everything in it has been drawn already")
                    .hint("give the experiment file instead, or leave out --seed and --seeds"));
            }
        };
        Ok(PlanSource {
            plan: Arc::new(plan),
            topology,
            images: BTreeMap::new(),
            places: self.places(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn an_experiment_may_come_from_a_pipe_which_is_read_once() {
        let text =
            "name: x\nseed: 1\nphases: { warmup: 2s, settle: 6s }\nnodes: { a: { count: 1 } }\n";
        let (pipe, mut writer) = std::io::pipe().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        drop(writer);
        let file = format!("/dev/fd/{}", pipe.as_raw_fd());
        let Experiment::Topology(_, read) = Experiment::read(Path::new(&file)).unwrap() else {
            panic!();
        };
        assert_eq!(read, text);
    }
}
