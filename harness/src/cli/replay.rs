//! `peerlab replay RUN`: the same plan again, in a directory of its own.

use crate::disk::{load_plan_to_run, recorded_images};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::how::How;
use super::plan::PlanSource;
use super::run::run_plan;
use super::tries::Retries;
use crate::ui::{Format, Ui};
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

impl Args {
    /// Whom the verdict is printed for.
    pub fn format(&self) -> Format {
        self.how.format
    }
}

/// Runs a plan again.
///
/// # Errors
/// As `run`.
pub async fn replay(args: &Args, ui: &Ui) -> Result<ExitCode> {
    let source = PlanSource {
        plan: Arc::new(load_plan_to_run(&args.run.join(files::PLAN))?),
        topology: None,
        images: recorded_images(&args.run),
        places: Vec::new(),
    };
    run_plan(source, Retries::NONE, &args.how, ui).await
}
