//! A plan carried out in this process, with everything that it told.

use peerlab::disk::load_topology;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use peerlab_core::check::{Judgement, judge};
use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::error::Result;
use peerlab_core::event::{RunEvent, What};
use peerlab_core::plan::{Plan, compile};
use peerlab_link::NodeId;
use peerlab_sim::simulator::{Options, simulate};
use sha2::{Digest, Sha256};

/// A run in memory.
pub struct Run {
    pub plan: Plan,
    pub events: Vec<RunEvent>,
}

#[derive(Default)]
struct Listener(Mutex<Vec<RunEvent>>);

impl Observer for Listener {
    fn stage(&self, _: Stage) {}

    fn event(&self, event: &RunEvent) -> Result<()> {
        self.0.lock().unwrap().push(event.clone());
        Ok(())
    }
}

/// A shipped experiment.
pub fn shipped(name: &str) -> PathBuf {
    let topologies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies");
    topologies.join(format!("{name}.yaml"))
}

/// The plan of an experiment file.
pub fn plan_of(file: &Path, seed: Option<u64>) -> Plan {
    let (topology, _) = load_topology(file).unwrap();
    let seed = seed.unwrap_or(topology.seed);
    compile(&topology, seed).unwrap()
}

/// The plan of an experiment's text.
pub fn plan_of_text(text: &str) -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("story.yaml");
    std::fs::write(&file, text).unwrap();
    plan_of(&file, None)
}

impl Run {
    pub fn of(plan: Plan, threads: usize) -> Run {
        Run::try_of(plan, threads).unwrap()
    }

    pub fn try_of(plan: Plan, threads: usize) -> Result<Run> {
        let listener = Listener::default();
        let options = Options {
            threads,
            stop: peerlab_core::conduct::Stop::never(),
        };
        simulate(&plan, &listener, &options)?;
        Ok(Run {
            plan,
            events: listener.0.into_inner().unwrap(),
        })
    }

    pub fn judged(&self) -> Judgement {
        judge(&self.plan, self.events.iter().cloned())
    }

    /// What `sha256sum` says of the record.
    pub fn trace(&self) -> String {
        let mut digest = Sha256::new();
        for event in &self.events {
            digest.update(serde_json::to_vec(event).unwrap());
            digest.update(b"\n");
        }
        let digest = digest.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn node(&self, name: &str) -> NodeId {
        let node = self.plan.nodes.iter().find(|node| node.name == name);
        node.unwrap().id
    }

    /// Seconds at which something was told of.
    pub fn times(&self, wanted: impl Fn(&What) -> bool) -> Vec<f64> {
        let events = self.events.iter().filter(|event| wanted(&event.what));
        events.map(|event| event.t.as_secs_f64()).collect()
    }
}
