//! Which engine carries a plan out: the one that was asked for, or the first that this machine
//! has and that can carry it.

use clap::ValueEnum;

use crate::engine::capacity::{self, Capacity, Load, Machine};
use crate::engine::docker::{connect, daemon};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::ui::Ui;

/// Where the nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// Docker where it answers, else this machine itself
    Auto,
    /// Each node a container of a Docker Engine
    Docker,
    /// Each node a process in namespaces of its own on this machine (Linux)
    Local,
}

/// Where the nodes run, decided.
pub enum Place {
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
        match choice {
            EngineChoice::Docker => Place::docker(plan).await,
            EngineChoice::Local => Place::local(plan),
            EngineChoice::Auto => match Place::docker(plan).await {
                Ok(place) => {
                    ui.note("Engine: docker (a Docker Engine answers; --engine local needs none)");
                    Ok(place)
                }
                Err(refused) => {
                    let place = Place::local(plan).map_err(|e| both(refused.clone(), e))?;
                    ui.note(&format!("Engine: local ({})", reason(&refused)));
                    Ok(place)
                }
            },
        }
    }

    async fn docker(plan: &Plan) -> Result<Place> {
        let docker = connect().await?;
        let capacity = capacity::docker(&daemon(&docker).await?, Load::of(plan));
        capacity.admit(plan.nodes.len())?;
        Ok(Place::Docker(docker))
    }

    #[cfg(target_os = "linux")]
    fn local(plan: &Plan) -> Result<Place> {
        local_capacity(Load::of(plan)).admit(plan.nodes.len())?;
        Ok(Place::Local)
    }

    #[cfg(not(target_os = "linux"))]
    fn local(_: &Plan) -> Result<Place> {
        Err(Error::environment("the local engine needs Linux").hint("use --engine docker"))
    }
}

/// What this machine can carry by itself.
pub fn local_capacity(load: Load) -> Capacity {
    capacity::local(&Machine::read(), load)
}

/// The first line of an error.
fn reason(error: &Error) -> &str {
    error.reports.first().map_or("no Docker", |r| &r.what)
}

/// Two engines' reasons.
fn both(mut one: Error, other: Error) -> Error {
    one.reports.extend(other.reports);
    one
}
