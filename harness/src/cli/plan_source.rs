//! What a run is made of: the plan, and the experiment file that it was drawn from, for the
//! run's directory.

use std::path::Path;

use super::plan::draw;
use peerlab_core::error::{Explain, Result};
use peerlab_core::plan::Plan;

/// A plan, and the text of the experiment that it was drawn from.
#[derive(Clone, Debug)]
pub struct PlanSource {
    /// What is carried out.
    pub plan: Plan,
    /// The experiment file's text, unless the file was a plan.
    pub topology: Option<String>,
}

/// Reads a file: a plan if it is called `*.json`, an experiment otherwise.
///
/// # Errors
/// [`peerlab_core::error::Kind::Input`] with all that is wrong with it.
pub fn read(path: &Path, seed: Option<u64>) -> Result<PlanSource> {
    let plan = draw(path, seed)?;
    let is_plan = path.extension().is_some_and(|ending| ending == "json");
    let text =
        || std::fs::read_to_string(path).or_input(|| format!("cannot read {}", path.display()));
    Ok(PlanSource {
        plan,
        topology: (!is_plan).then(text).transpose()?,
    })
}
