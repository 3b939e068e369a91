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
    /// As programs of their own.
    Real(RealPlace),
    /// In virtual time.
    Sim,
}

/// What starts programs.
pub enum RealPlace {
    /// In containers.
    Docker(bollard::Docker),
    /// In namespaces.
    #[cfg(target_os = "linux")]
    Local,
}

impl Place {
    /// Finds an engine that can carry a plan out. Where the choice is ours, one line says what
    /// it is and why.
    ///
    /// # Errors
    /// When there is none, or the plan's nodes cannot fit.
    pub async fn find(choice: EngineChoice, plan: &Plan, ui: &Ui) -> Result<Place> {
        let real = !matches!(choice, EngineChoice::Sim);
        if real && plan.ledger.filler_bytes > 0 {
            return Err(
                Error::input("blocks with a filler exist in the simulator only")
                    .because("`ledger.filler` stands for transactions that are nowhere")
                    .hint("take --engine sim, or remove `filler`"),
            );
        }
        match choice {
            EngineChoice::Docker => Place::docker(plan).await,
            EngineChoice::Local => Place::local(plan),
            EngineChoice::Sim => Ok(Place::Sim),
            EngineChoice::Auto => match Place::docker(plan).await {
                Ok(place) => {
                    ui.note("Engine: docker (a Docker Engine answers; --engine local needs none)");
                    Ok(place)
                }
                Err(no_docker) => {
                    let because = reason(&no_docker).to_owned();
                    match Place::local(plan) {
                        Ok(place) => {
                            ui.note(&format!("Engine: local ({because})"));
                            Ok(place)
                        }
                        Err(no_local) => {
                            ui.note(&format!(
                                "Engine: sim, nothing real runs ({because}; {})",
                                reason(&no_local)
                            ));
                            Ok(Place::Sim)
                        }
                    }
                }
            },
        }
    }

    async fn docker(plan: &Plan) -> Result<Place> {
        let docker = connect().await?;
        let capacity = capacity::docker(&daemon(&docker).await?, Load::of(plan));
        capacity.admit(plan.nodes.len())?;
        Ok(Place::Real(RealPlace::Docker(docker)))
    }

    #[cfg(target_os = "linux")]
    fn local(plan: &Plan) -> Result<Place> {
        local_capacity(Load::of(plan)).admit(plan.nodes.len())?;
        Ok(Place::Real(RealPlace::Local))
    }

    #[cfg(not(target_os = "linux"))]
    fn local(_: &Plan) -> Result<Place> {
        Err(Error::environment(
            "the local engine needs Linux",
            format!("this machine runs {}", std::env::consts::OS),
            "use --engine docker",
        ))
    }
}

/// What this machine can carry by itself.
pub fn local_capacity(load: Load) -> Capacity {
    capacity::local(&Machine::read(), load)
}

/// The first line of an error.
fn reason(error: &Error) -> &str {
    error
        .reports
        .first()
        .map_or("no reason was given", |r| &r.what)
}
