//! `peerlab replay RUN`: the same plan again, in a directory of its own.

use crate::disk::load_plan;
use std::path::PathBuf;
use std::process::ExitCode;

use super::plan::PlanSource;
use super::run::{How, run_plan};
use crate::ui::Ui;
use peerlab_core::error::Result;
use peerlab_core::report::files;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory of an earlier run
    run: PathBuf,
    #[command(flatten)]
    how: How,
}

/// Runs a plan again.
///
/// # Errors
/// As `run`.
pub async fn replay(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let source = PlanSource {
        plan: load_plan(&args.run.join(files::PLAN))?,
        topology: None,
    };
    run_plan(source, &args.how, ui).await
}
