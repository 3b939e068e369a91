//! What a Docker Engine answers, whatever stands at its socket: its version, its host, containers, images,
//! logs and events, as whole HTTP answers, one after the other.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use peerlab::engine::Engine as _;
use peerlab::engine::docker::fuzz::Address;
use peerlab::engine::docker::{
    DockerEngine, Host, Images, RunId, Target, connect_to, remove_dead_runs, remove_images,
};
use peerlab::engine::programs::Programs;
use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::event::RunEvent;
use peerlab_core::plan::{Plan, compile};
use peerlab_core::topology;
use peerlab_fuzz::{parts, scripted};
use peerlab_link::NodeId;
use tokio::net::UnixListener;
use tokio::time::timeout;

const EXPERIMENT: &str = "
name: answers
seed: 1
phases: { warmup: 1s, settle: 5s }
nodes: { peers: { count: 2 } }
expect: [{ nodes_up: { min: 1 } }]
";
/// How long an engine may say nothing; the time is virtual.
const PATIENCE: Duration = Duration::from_secs(300);
const LOG_BYTES_MAX: usize = 1_000;

pub fn check(bytes: &[u8]) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("engine");
    runtime.block_on(async {
        let listener = UnixListener::bind(&socket).expect("a socket");
        let answers: Vec<Vec<u8>> = parts(bytes).into_iter().map(<[u8]>::to_vec).collect();
        tokio::spawn(serve(listener, answers));
        matches!(timeout(PATIENCE, ask(&socket)).await, Ok(Some(())))
    })
}

/// Answers one request on each connection; with the last answer nobody is there any more.
async fn serve(listener: UnixListener, answers: Vec<Vec<u8>>) {
    for answer in answers {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        scripted::answer(stream, vec![answer]).await;
    }
}

/// All that the harness asks of an engine before, in and after a run, as far as it comes.
async fn ask(socket: &Path) -> Option<()> {
    let target = Target {
        address: Address::Socket(socket.display().to_string()),
        tls: None,
        context: "default".into(),
        named_by: None,
    };
    let docker = connect_to(&target).await.ok()?;
    if let Ok(removed) = remove_dead_runs(&docker).await {
        assert!(removed.runs.len() <= removed.containers);
    }
    let _ = remove_images(&docker).await;
    let host = Host::ask(&docker, &target).await.ok()?;
    let nowhere = PathBuf::from("/nowhere");
    let _ = host.daemon();
    let _ = host.admit(&Programs {
        node: nowhere.clone(),
        fabric: nowhere.clone(),
        gate: nowhere,
    });
    let images = Images {
        node: "peerlab/node:1".into(),
        fabric: "peerlab/fabric:1".into(),
        archives: std::collections::BTreeMap::new(),
    };
    let run = RunId::from_text("1");
    let engine = DockerEngine::prepare(docker, host, run, plan(), images, &Nobody).await;
    let engine = engine.ok()?;
    let log = engine.node_log(NodeId(0), LOG_BYTES_MAX).await;
    // A line says how much was left out.
    assert!(log.is_err() || log.is_ok_and(|log| log.into_bytes().len() <= LOG_BYTES_MAX + 100));
    let _ = timeout(Duration::from_secs(1), engine.gate_ended()).await;
    let _ = engine.start_fabric().await;
    Some(())
}

fn plan() -> Arc<Plan> {
    static PLAN: OnceLock<Arc<Plan>> = OnceLock::new();
    let plan = PLAN.get_or_init(|| {
        let topology = topology::parse("answers.yaml", EXPERIMENT).expect("it is an experiment");
        Arc::new(compile(&topology, 1).expect("it has a plan"))
    });
    Arc::clone(plan)
}

struct Nobody;

impl Observer for Nobody {
    fn stage(&self, _: Stage) {}

    fn event(&self, _: &RunEvent) -> peerlab_core::error::Result<()> {
        Ok(())
    }
}

peerlab_fuzz::target!();
