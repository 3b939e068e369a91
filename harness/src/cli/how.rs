//! How a plan is carried out: what `run` and `replay` ask for alike.

use std::path::PathBuf;
use std::sync::Arc;

use peerlab_link::Nanos;

use super::look::Look;
use super::place::EngineChoice;
use crate::ui::Format;
use peerlab_core::error::{Error, Result};
use peerlab_core::plan::Plan;
use peerlab_core::topology;

/// Most that a block may take, percent: some seconds of a full one.
const BLOCK_WORK_MAX: i64 = 100_000;

/// How a plan is carried out.
#[derive(Debug, clap::Args)]
pub struct How {
    /// Where the nodes run
    #[arg(long, value_enum, default_value_t = EngineChoice::Auto)]
    pub engine: EngineChoice,
    /// The run's directory, or that of a set [default: runs/TIME-NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// In the simulator: let all nodes share so many CPUs, as containers on one machine do [each
    /// has its own]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    cpus: Option<u16>,
    /// With --cpus: the CPU time of one message, as 150us [200us, which is a slow machine's]
    #[arg(long, value_name = "TIME", value_parser = topology::time, requires = "cpus")]
    message_work: Option<Nanos>,
    /// In the simulator: how long a program takes to check and store a block, of the usual [default: 100]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=BLOCK_WORK_MAX))]
    block_work: Option<u32>,
    #[command(flatten)]
    pub look: Look,
    /// Keep the logs of all nodes, not only of those that ended by themselves or never answered
    #[arg(long)]
    pub keep_logs: bool,
    /// Plain progress instead of the live screen
    #[arg(long)]
    pub plain: bool,
    /// Whom the verdict is printed for
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

impl How {
    /// Whether it says something of the plan itself.
    pub fn changes_plan(&self) -> bool {
        self.cpus.is_some() || self.block_work.is_some()
    }

    /// What was said of the plan itself: the record is to show it.
    pub fn applied_to(&self, mut plan: Arc<Plan>) -> Result<Arc<Plan>> {
        if self.cpus.is_some() && self.engine != EngineChoice::Sim {
            return Err(Error::input("--cpus is for the simulator")
                .because("real nodes share the CPUs of their machine")
                .hint("add --engine sim, or leave --cpus out"));
        }
        if self.block_work.is_some() && self.engine != EngineChoice::Sim {
            return Err(Error::input("--block-work is for the simulator")
                .because("real nodes take as long as they take")
                .hint("add --engine sim, or leave --block-work out"));
        }
        if self.changes_plan() {
            let plan = Arc::make_mut(&mut plan);
            plan.cpus = self.cpus.or(plan.cpus);
            plan.message_work = self.message_work.or(plan.message_work);
            plan.block_work_percent = self.block_work.or(plan.block_work_percent);
        }
        Ok(plan)
    }
}
