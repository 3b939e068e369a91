//! Which engine carries a plan out: the one that was asked for, or the first that this machine
//! has and that can carry it.

use clap::ValueEnum;

use crate::engine::capacity::{self, Capacity, Load, Machine};
use crate::engine::docker::{connect, daemon};
use crate::ui::Ui;
use peerlab_core::error::{Error, Result};
use peerlab_core::plan::Plan;

/// Where the nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// Docker where it answers, else this machine itself, else the simulator
    Auto,
    /// Each node a container of a Docker Engine
    Docker,
    /// Each node a process in namespaces of its own on this machine (Linux)
    Local,
    /// The nodes' code in virtual time: no processes, and the same record every time
    Sim,
}

/// Where the nodes run, decided.
pub enum Place {
    /// In containers.
    Docker(bollard::Docker),
    /// In namespaces.
    #[cfg(target_os = "linux")]
    Local,
    /// In virtual time.
    Sim,
}

impl Place {
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
        let fitting = |found: Result<(Place, Capacity)>| {
            let (place, capacity) = found?;
            capacity.admit(plan.nodes.len()).map(|()| place)
        };
        match choice {
            EngineChoice::Docker => return fitting(docker(load).await),
            EngineChoice::Local => return fitting(local(load)),
            EngineChoice::Sim => return Ok(Place::Sim),
            EngineChoice::Auto => {}
        }
        let no_docker = match fitting(docker(load).await) {
            Ok(place) => {
                ui.note("Engine: docker (a Docker Engine answers; --engine local needs none)");
                return Ok(place);
            }
            Err(error) => reason(&error).to_owned(),
        };
        match fitting(local(load)) {
            Ok(place) => {
                ui.note(&format!("Engine: local ({no_docker})"));
                Ok(place)
            }
            Err(no_local) => {
                ui.note(&format!(
                    "Engine: sim, nothing real runs ({no_docker}; {})",
                    reason(&no_local)
                ));
                Ok(Place::Sim)
            }
        }
    }
}

/// A Docker Engine, and what it can carry.
pub async fn docker(load: Load) -> Result<(Place, Capacity)> {
    let docker = connect().await?;
    let capacity = capacity::docker(&daemon(&docker).await?, load);
    Ok((Place::Docker(docker), capacity))
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

/// The first line of an error.
fn reason(error: &Error) -> &str {
    error
        .reports
        .first()
        .map_or("no reason was given", |r| &r.what)
}
