//! `peerlab plan FILE`: everything that chance decides in an experiment, as JSON to run again or
//! as a timeline to read.

use crate::disk::{load_plan, load_topology};
use std::path::{Path, PathBuf};

use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::plan::{Plan, compile};

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
    let plan = PlanSource::read(&args.file, args.seed)?.plan;
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
    pub plan: Plan,
    /// The text of the experiment that it was drawn from, unless the file was a plan.
    pub topology: Option<String>,
}

impl PlanSource {
    /// Reads an experiment and draws a plan from it, or (`*.json`) reads a plan drawn before.
    ///
    /// # Errors
    /// [`peerlab_core::error::Kind::Input`]: the file's mistakes, or a seed for a plan.
    pub fn read(file: &Path, seed: Option<u64>) -> Result<PlanSource> {
        if file.extension().is_some_and(|ending| ending == "json") {
            if seed.is_some() {
                return Err(Error::input("a seed cannot change a plan")
                    .because("everything in it has been drawn already")
                    .hint("give the experiment file instead, or leave out --seed"));
            }
            return Ok(PlanSource {
                plan: load_plan(file)?,
                topology: None,
            });
        }
        let topology = load_topology(file)?;
        let text = std::fs::read_to_string(file);
        Ok(PlanSource {
            plan: compile(&topology, seed.unwrap_or(topology.seed))?,
            topology: Some(text.or_input(|| format!("cannot read {}", file.display()))?),
        })
    }
}
