//! Experiment files and plans, read from disk.

use std::io::Read;
use std::path::Path;

use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::plan::Plan;
use peerlab_core::topology::{self, Topology};

/// Longest plan file, bytes: ten thousand nodes with churn take some tens of millions.
const PLAN_BYTES_MAX: u64 = 1 << 30;

/// Reads an experiment file.
///
/// # Errors
/// [`peerlab_core::error::Kind::Input`]: the file cannot be read, or has mistakes; each of these
/// with its place.
pub fn load_topology(path: &Path) -> Result<Topology> {
    let text = read(path, topology::FILE_BYTES_MAX as u64, "an experiment")
        .map_err(|error| error.hint("the experiments that ship are in topologies/"))?;
    topology::parse(&path.display().to_string(), &text)
}

/// Reads and checks a plan.
///
/// # Errors
/// [`peerlab_core::error::Kind::Input`]: the file cannot be read, is no plan of this version, or
/// contradicts itself.
pub fn load_plan(path: &Path) -> Result<Plan> {
    let text = read(path, PLAN_BYTES_MAX, "a plan")?;
    Plan::parse(&path.display().to_string(), &text)
}

/// A text file of a bounded length, whatever its kind (a pipe has none to ask for).
fn read(path: &Path, bytes_max: u64, what: &str) -> Result<String> {
    let name = path.display();
    let file = std::fs::File::open(path).or_input(|| format!("cannot read {name}"))?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large.
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .or_input(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Error::input(format!("{name} is too large to be {what}"))
            .because(format!("more than {bytes_max} bytes are not read")));
    }
    String::from_utf8(bytes).or_input(|| format!("{name} is not a text file"))
}
