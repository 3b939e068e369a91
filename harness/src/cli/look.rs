//! `--metrics` and `--capture`: what those get who look at real nodes while they run, in `run`, `replay` and
//! `up` alike.

use std::path::Path;
use std::sync::{Arc, Mutex};

use peerlab_core::error::{Error, Result};
use peerlab_core::plan::{Plan, Roster};
use peerlab_core::report::files;
use peerlab_core::topology::by_hand::choices;
use peerlab_core::topology::{self, Topology};
use peerlab_core::view::NetworkView;

use super::place::EngineChoice;
use super::plan::PlanSource;
use super::record::Watching;
use crate::disk::CaptureFolder;
use crate::metrics::Endpoint;
use crate::ui::Ui;

/// What is to be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Look {
    /// Offer metrics for Prometheus at http://127.0.0.1:PORT/metrics; 0 is a port that is free
    #[arg(long, value_name = "PORT")]
    pub metrics: Option<u16>,
    /// Write the packets of these nodes into the record (folder `capture`), for Wireshark: `peers-0`,
    /// `miners`, `peers 0-9`, `random 3 of peers`, `all`
    #[arg(long, value_name = "NODES")]
    pub capture: Vec<String>,
}

impl Look {
    /// Whether that can be had where the nodes run.
    ///
    /// # Errors
    /// As bad input, in the simulator.
    pub fn fits(&self, engine: EngineChoice) -> Result<()> {
        let refuse = |option: &str, cause: &str| {
            Err(Error::input(format!("{option} is for real nodes"))
                .because(cause)
                .hint(format!(
                    "take --engine docker or --engine local, or leave {option} out"
                )))
        };
        match engine {
            EngineChoice::Sim if self.metrics.is_some() => refuse(
                "--metrics",
                "the simulator's time passes as fast as it is computed: nobody could look on",
            ),
            EngineChoice::Sim if !self.capture.is_empty() => refuse(
                "--capture",
                "in the simulator streams have sizes and times, and no packets with bytes in them",
            ),
            _ => Ok(()),
        }
    }

    /// Listens where that is asked for.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn endpoint(&self) -> Result<Option<Endpoint>> {
        match self.metrics {
            Some(port) => Endpoint::listen(port).await.map(Some),
            None => Ok(None),
        }
    }

    /// The same, and says where.
    ///
    /// # Errors
    /// As [`Look::endpoint`].
    pub async fn endpoint_told(&self, ui: &Ui) -> Result<Option<Endpoint>> {
        let endpoint = self.endpoint().await?;
        if let Some(endpoint) = &endpoint {
            ui.note(&format!("Metrics: {}", endpoint.url()));
        }
        Ok(endpoint)
    }

    /// The capture that is asked for of a run, in its directory.
    ///
    /// # Errors
    /// As bad input, when there are no such nodes.
    pub fn capture_of(&self, source: &PlanSource, dir: &Path) -> Result<Option<CaptureFolder>> {
        if self.capture.is_empty() {
            return Ok(None);
        }
        let text = source.topology.as_deref();
        let topology = text.map(|text| topology::parse(files::TOPOLOGY, text));
        self.capture(topology.transpose()?.as_ref(), &source.plan, dir)
    }

    /// The capture that is asked for, in a run's directory. Without a topology, as of a plan that was
    /// drawn before, nodes are known by their names, and groups by theirs.
    ///
    /// # Errors
    /// As bad input, when there are no such nodes.
    pub fn capture(
        &self,
        topology: Option<&Topology>,
        plan: &Plan,
        dir: &Path,
    ) -> Result<Option<CaptureFolder>> {
        if self.capture.is_empty() {
            return Ok(None);
        }
        let chosen = choices(&self.capture);
        let nodes = match topology {
            Some(topology) => Roster::new(topology, plan).choose(&chosen)?,
            None => of_plan(plan, &chosen)?,
        };
        CaptureFolder::of_run(dir, &plan.nodes, &nodes).map(Some)
    }
}

/// Nodes by name.
fn of_plan(plan: &Plan, chosen: &[String]) -> Result<Vec<peerlab_link::NodeId>> {
    let mut nodes = Vec::new();
    for choice in chosen {
        let before = nodes.len();
        for node in &plan.nodes {
            let group = plan.groups.get(node.group as usize);
            let of_group = group.is_some_and(|group| group.name == *choice);
            if choice == "all" || node.name == *choice || of_group {
                nodes.push(node.id);
            }
        }
        if nodes.len() == before {
            return Err(Error::input(format!("`{choice}` is no node"))
                .because("a plan that was drawn before knows nodes and groups by their names only")
                .hint("name a node, as `peers-0`, a group, or `all`"));
        }
    }
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

/// What a run is watched by that metrics tell of.
pub fn watching(endpoint: Option<&Endpoint>, plan: &Plan) -> Watching {
    let Some(endpoint) = endpoint else {
        return Watching::default();
    };
    let view = Arc::new(Mutex::new(NetworkView::new(plan)));
    let watched = endpoint.watch(&plan.name, &view);
    Watching {
        view: Some(view),
        live: Some(watched.when_live()),
    }
}

#[cfg(test)]
mod tests {
    use peerlab_core::plan::compile;

    use super::*;

    const EXPERIMENT: &str = "
name: some
seed: 1
phases: { warmup: 2s, settle: 6s }
nodes:
  miners: { count: 2, hashpower: 1 }
  peers: { count: 10 }
ledger: { block_interval: 1s }
";

    fn look(capture: &[&str]) -> Look {
        Look {
            capture: capture.iter().map(|&it| it.to_owned()).collect(),
            ..Look::default()
        }
    }

    fn captured(capture: &[&str], with_topology: bool) -> Result<Vec<u32>> {
        let topology = topology::parse("some.yaml", EXPERIMENT)?;
        let plan = compile(&topology, 1)?;
        let topology = with_topology.then_some(&topology);
        let folder = look(capture).capture(topology, &plan, Path::new("run"))?;
        let nodes = folder.map(|folder| folder.nodes()).unwrap_or_default();
        Ok(nodes.into_iter().map(|node| node.0).collect())
    }

    #[test]
    fn nodes_are_chosen_in_the_words_of_experiments() {
        let both = |capture: &[&str]| {
            let of_topology = captured(capture, true).unwrap();
            assert_eq!(captured(capture, false).unwrap(), of_topology);
            of_topology
        };
        assert_eq!(both(&[]), [0; 0]);
        assert_eq!(both(&["peers-0"]), [2]);
        assert_eq!(both(&["peers-0,miners"]), [0, 1, 2]);
        assert_eq!(both(&["all"]).len(), 12);
        assert_eq!(captured(&["peers 0-2"], true).unwrap(), [2, 3, 4]);
        assert_eq!(captured(&["random 3 of peers"], true).unwrap().len(), 3);
        captured(&["nobody"], true).unwrap_err();
        let error = captured(&["peers 0-2"], false).unwrap_err();
        assert_eq!(error.kind, peerlab_core::error::Kind::Input);
    }

    #[test]
    fn the_simulator_has_neither() {
        let metrics = Look {
            metrics: Some(0),
            ..Look::default()
        };
        let said = |look: &Look| look.fits(EngineChoice::Sim).unwrap_err().render();
        let both = [said(&metrics), said(&look(&["all"]))];
        insta::assert_snapshot!(both.join("\n"));
        metrics.fits(EngineChoice::Local).unwrap();
        Look::default().fits(EngineChoice::Sim).unwrap();
    }
}
