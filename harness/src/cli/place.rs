//! Which engine carries a plan out: the one that was asked for, or the first that this machine
//! has and that can carry it.

use clap::ValueEnum;

use super::screen::Screen;
use crate::engine::capacity::{self, Capacity, Load, Machine};
use crate::engine::docker::{Host, Target, connect_to};
use crate::engine::programs::Programs;
use crate::ui::Ui;
use peerlab_core::error::{Error, Result};
use peerlab_core::plan::Plan;

/// Where the nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// Docker where it answers, else this machine itself, else the simulator
    Auto,
    /// As auto, and never the simulator: without an engine of real nodes exit code 3, for CI
    Real,
    /// Each node a container of a Docker Engine
    Docker,
    /// Each node a process in namespaces of its own on this machine (Linux)
    Local,
    /// The nodes' code in virtual time: no processes, and the same record every time
    Sim,
}

impl EngineChoice {
    /// As it is written on the command line.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Where the nodes run, decided.
pub enum Place {
    /// In containers.
    Docker(bollard::Docker, Host),
    /// In namespaces.
    #[cfg(target_os = "linux")]
    Local,
    /// In virtual time.
    Sim,
}

impl Place {
    /// The choice that leads here and nowhere else.
    pub fn choice(&self) -> EngineChoice {
        match self {
            Place::Docker(..) => EngineChoice::Docker,
            #[cfg(target_os = "linux")]
            Place::Local => EngineChoice::Local,
            Place::Sim => EngineChoice::Sim,
        }
    }

    /// Finds an engine that can carry a plan out. Where the choice is ours, one line says what
    /// it is and why.
    ///
    /// # Errors
    /// When there is none, or the plan's nodes cannot fit.
    pub async fn find(choice: EngineChoice, plan: &Plan, ui: &Ui) -> Result<Place> {
        if choice != EngineChoice::Sim && plan.ledger.filler_bytes > 0 {
            return Err(
                Error::input("blocks with a filler exist in the simulator only")
                    .because("`ledger.filler` stands for transactions that are nowhere")
                    .hint("take --engine sim, or remove `filler`"),
            );
        }
        let load = Load::of(plan);
        match choice {
            EngineChoice::Docker => fitting(plan, docker(&Target::find()?, load).await),
            EngineChoice::Local => fitting(plan, local(load)),
            EngineChoice::Sim => Ok(Place::Sim),
            EngineChoice::Real => first_real(plan, load, ui)
                .await?
                .map_err(|[docker, local]| {
                    let mut both = docker;
                    both.reports.extend(local.reports);
                    both
                }),
            EngineChoice::Auto => Ok(first_real(plan, load, ui).await?.unwrap_or_else(|why| {
                let why = why.map(|error| error.in_short()).join("; ");
                ui.note(&format!("Engine: sim, nothing real runs ({why})"));
                Place::Sim
            })),
        }
    }
}

/// Docker where it answers, else this machine itself, and one line that says which and why; or why
/// neither.
///
/// # Errors
/// When an engine was named and cannot be used: no other is taken for it.
async fn first_real(plan: &Plan, load: Load, ui: &Ui) -> Result<Result<Place, [Error; 2]>> {
    let target = Target::find()?;
    let no_docker = match fitting(plan, docker(&target, load).await) {
        Ok(place) => {
            ui.note("Engine: docker (a Docker Engine answers; --engine local needs none)");
            return Ok(Ok(place));
        }
        Err(error) if target.named_by.is_some() => return Err(error),
        Err(error) => error,
    };
    let place = match fitting(plan, local(load)) {
        Ok(place) => try_local(ui).await.map(|()| place),
        refused => refused,
    };
    Ok(place
        .inspect(|_| ui.note(&format!("Engine: local ({})", no_docker.in_short())))
        .map_err(|no_local| [no_docker, no_local]))
}

/// A place, if the plan's nodes fit.
fn fitting(plan: &Plan, found: Result<(Place, Capacity)>) -> Result<Place> {
    let (place, capacity) = found?;
    capacity.admit(plan.nodes.len()).map(|()| place)
}

/// A Docker Engine, and what it can carry.
pub async fn docker(target: &Target, load: Load) -> Result<(Place, Capacity)> {
    let docker = connect_to(target).await?;
    let host = Host::ask(&docker, target).await?;
    let capacity = capacity::docker(&host.daemon(), load);
    Ok((Place::Docker(docker, host), capacity))
}

/// This machine, and what it can carry by itself.
#[cfg(target_os = "linux")]
pub fn local(load: Load) -> Result<(Place, Capacity)> {
    Ok((Place::Local, capacity::local(&Machine::read(), load)))
}

#[cfg(not(target_os = "linux"))]
pub fn local(_: Load) -> Result<(Place, Capacity)> {
    Err(Error::environment(
        "the local engine needs Linux",
        format!("this machine runs {}", std::env::consts::OS),
        "use --engine docker",
    ))
}

/// Brings up what a node needs of this machine, namespaces with a network device, and ends it again:
/// whether a machine allows that is best found out by trying.
///
/// # Errors
/// When it does not, with the command that changes it.
#[cfg(target_os = "linux")]
pub async fn try_local(ui: &Ui) -> Result<()> {
    let programs = Programs::find(&Screen::new(ui)).await?;
    crate::engine::local::try_out(&programs).await
}

#[cfg(not(target_os = "linux"))]
pub async fn try_local(_: &Ui) -> Result<()> {
    Ok(())
}
