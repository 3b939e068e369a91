//! `peerlab record`: what was done to a network by hand, as an experiment file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use peerlab_core::check::judge;
use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::report::files;
use peerlab_link::Nanos;
use peerlab_sim::explore::{History, check_written, recorded as as_experiment, yaml};
use serde::Serialize;

use super::networks::Which;
use crate::disk::{EventReader, load_plan, load_topology, whole_plan};
use crate::network::find;
use crate::ui::Ui;

/// How long nodes must have agreed for it to count, at most.
const AGREED_FOR: Nanos = Nanos::from_secs(1);

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The directory of a network's record, where it is down [a network that is up]
    #[arg(conflicts_with = "network")]
    run: Option<PathBuf>,
}

/// The answer as JSON.
#[derive(Serialize)]
struct Written {
    /// The experiment file.
    yaml: String,
}

/// Prints the experiment.
///
/// # Errors
/// When there is no such network, or its record cannot be told as an experiment.
pub async fn recorded(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let dir = match &args.run {
        Some(run) => run.clone(),
        None => find(args.which.network.as_deref()).await?.dir,
    };
    let yaml = experiment(&dir)?;
    let written = Written { yaml };
    args.which.show(ui, &written, || written.yaml.clone())?;
    Ok(ExitCode::SUCCESS)
}

/// The experiment of a record. It is whole up to the last event, also where the network is still up.
fn experiment(dir: &Path) -> Result<String> {
    if !load_plan(&dir.join(files::PLAN))?.stays() {
        return Err(Error::input(format!("{} is no network's", dir.display()))
            .because("it is the record of a run from start to end")
            .hint("its experiment is the file `topology.yaml` in it"));
    }
    let plan = whole_plan(dir)?;
    let (topology, _) = load_topology(&dir.join(files::TOPOLOGY))?;
    let events = || {
        let reader = EventReader::open(&dir.join(files::EVENTS));
        let reader = reader.or_input(|| format!("cannot read the record in {}", dir.display()))?;
        Ok(reader.map_while(std::result::Result::ok))
    };
    let history = History::of(events()?);
    // Agreement counts that has lasted as long as this: the record need not go on for a block interval.
    let mut judged = plan.clone();
    judged.ledger.block_interval = plan.ledger.block_interval.map(|it| it.min(AGREED_FOR));
    let judgement = judge(&judged, events()?);
    let (scenario, head) = as_experiment(&topology, &plan, &history, &judgement)?;
    let text = yaml(&scenario, &head);
    check_written(&text)?;
    Ok(text)
}
