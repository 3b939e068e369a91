//! `peerlab check FILE...`: whether experiments are right, without starting anything.

use crate::disk::load_topology;
use std::path::PathBuf;

use peerlab_core::error::{Error, Kind, Result};
use peerlab_core::plan::compile;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment files (topologies/*.yaml)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Use this seed instead of the files' own
    #[arg(long)]
    seed: Option<u64>,
}

/// A summary of the experiment; of several, one line each.
///
/// # Errors
/// [`Kind::Input`]: the mistakes of all files.
pub fn check(args: &Args) -> Result<String> {
    let mut text = String::new();
    let mut reports = Vec::new();
    for file in &args.files {
        let plan = load_topology(file).and_then(|(topology, _)| {
            let seed = args.seed.unwrap_or(topology.seed);
            let plan = compile(&topology, seed)?;
            Ok((topology, plan))
        });
        match plan {
            Ok((topology, plan)) if args.files.len() == 1 => {
                text = plan.summary(topology.description.as_deref());
            }
            Ok((_, plan)) => text.push_str(&format!(
                "ok: {} ({} nodes)\n",
                file.display(),
                plan.nodes.len()
            )),
            Err(error) => reports.extend(error.reports),
        }
    }
    if reports.is_empty() {
        Ok(text)
    } else {
        Err(Error {
            kind: Kind::Input,
            reports,
        })
    }
}
