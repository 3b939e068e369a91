//! The engine of one run: [`Engine`] over a starter.

use crate::engine::hint;
use peerlab_core::error::hint::BUG;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use peerlab_link::proto::{SHARED_DIR, SOCKET_NAME, Secret};
use peerlab_link::starter::{NodeSpec, ToStarter};
use peerlab_link::{Nanos, NodeId};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::host;
use super::images::Images;
use super::starter::{Channels, NODE_PROGRAM, Starter};
use crate::engine::archive::RunConfig;
use crate::engine::cpu_time::Processes;
use crate::engine::programs::Programs;
use crate::engine::{ByteStream, Engine, LastLines, NodeLog, WayIn, command};
use peerlab_core::error::{Error, Result};
use peerlab_core::event::HostFacts;
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::Node;

/// Size of the data folder where the group has no memory limit.
const DATA_BYTES_MAX: u64 = 1 << 30;
/// How long the starter may take to give a log, which it has in its memory.
const LOG_TIMEOUT: Duration = Duration::from_secs(10);
/// The fabric's name among the processes, of which the kernel keeps the beginning.
const FABRIC_NAME: &str = "(peerlab-fabric";
/// How long a node may take to end that is killed.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// What our node's image runs it with where the plan has no arguments.
const DEFAULT_ARGUMENT: &str = "-datadir=/data";

/// One run's processes.
pub struct LocalEngine {
    plan: Arc<Plan>,
    starter: Mutex<Starter>,
    fabric: StdMutex<Option<UnixStream>>,
    started: Mutex<mpsc::UnboundedReceiver<NodeId>>,
    ended: Mutex<mpsc::UnboundedReceiver<(NodeId, i32)>>,
    words: LastLines,
    /// The starter, which reads what nodes write.
    own: Processes,
    images: Images,
    /// The gate's binary.
    gate: PathBuf,
    starter_pid: i32,
}

impl LocalEngine {
    /// Prepares a run: makes the namespaces in which everything will be started. It can be given up
    /// at any time.
    ///
    /// # Errors
    /// When this machine does not allow namespaces or network devices to this user; then with the
    /// command that changes it.
    pub async fn prepare(
        plan: Arc<Plan>,
        programs: &Programs,
        images: Images,
    ) -> Result<LocalEngine> {
        tell_what_is_not_limited(&plan);
        for index in 0..plan.groups.len() {
            if let Some((_, run)) = images.of_group(index as u32) {
                command::check(&plan, index, &run.entrypoint, &run.cmd)?;
            }
        }
        let (starter, channels) = Starter::start(programs, &images.roots).await?;
        let Channels {
            fabric,
            started,
            ended,
            words,
            pid,
        } = channels;
        let own = Processes::default();
        own.add([pid]);
        Ok(LocalEngine {
            plan,
            starter: Mutex::new(starter),
            fabric: StdMutex::new(Some(fabric)),
            started: Mutex::new(started),
            ended: Mutex::new(ended),
            words,
            own,
            images,
            gate: programs.gate.clone(),
            starter_pid: pid,
        })
    }

    /// The fabric's number on this machine: it is the only child of the starter's with that name.
    fn fabric_process(&self) -> Option<i32> {
        let processes = std::fs::read_dir("/proc").ok()?;
        let mut numbers = processes.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
        let is_fabric = |pid: &i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            let stat = stat.unwrap_or_default();
            let fields = stat.rsplit_once(')');
            // State, then the parent.
            let parent = fields.and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1));
            stat.contains(FABRIC_NAME) && parent == Some(self.starter_pid.to_string().as_str())
        };
        numbers.find(is_fabric)
    }

    fn spec(&self, node: &Node, secret: Secret) -> NodeSpec {
        let group = &self.plan.groups[node.group as usize];
        let spec = NodeSpec {
            node: node.id,
            secret,
            name: node.name.clone(),
            command: Vec::new(),
            memory_bytes: group.memory_bytes,
            data_bytes_max: group.memory_bytes.unwrap_or(DATA_BYTES_MAX),
            image: None,
            env: Vec::new(),
            workdir: None,
            replaced: self.plan.replaces(node.id),
        };
        let own;
        let (image, run) = match self.images.of_group(node.group) {
            None => {
                own = own_image();
                (None, &own)
            }
            Some((index, run)) => (Some(index), run),
        };
        let launch = &node.launch;
        let image_workdir = Some(&run.workdir).filter(|folder| !folder.is_empty());
        NodeSpec {
            command: command::of_node(node, &run.entrypoint, &run.cmd),
            image,
            env: environment(run).chain(launch.env.clone()).collect(),
            workdir: launch.workdir.as_ref().or(image_workdir).cloned(),
            ..spec
        }
    }
}

/// What our own node's image says.
fn own_image() -> RunConfig {
    RunConfig {
        entrypoint: vec![NODE_PROGRAM.to_owned()],
        cmd: vec![DEFAULT_ARGUMENT.to_owned()],
        ..RunConfig::default()
    }
}

/// An image's environment.
fn environment(run: &RunConfig) -> impl Iterator<Item = (String, String)> {
    let pairs = run.env.iter().filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// Says what this engine cannot enforce.
fn tell_what_is_not_limited(plan: &Plan) {
    for group in &plan.groups {
        if group.cpu_millis.is_some() {
            tracing::warn!(
                "the local engine does not limit the CPU of group {}; its memory limit holds for \
                 each process",
                group.name
            );
        }
    }
    for (index, group) in plan.groups.iter().enumerate() {
        let nodes = plan.nodes.iter().filter(|it| it.group as usize == index);
        let other = |user: &&String| !matches!(user.split(':').next(), Some("" | "0" | "root"));
        let mut users = nodes.filter_map(|node| node.launch.user.as_ref());
        if let Some(user) = users.find(other) {
            tracing::warn!(
                "group {}: it wants the user {user}; the local engine knows one user only",
                group.name
            );
        }
    }
}

impl Engine for LocalEngine {
    fn name(&self) -> &'static str {
        "local"
    }

    fn host(&self) -> HostFacts {
        HostFacts {
            images: self.images.digests.clone(),
            ..host::facts()
        }
    }

    fn shares_host(&self) -> bool {
        true
    }

    fn own_cpu(&self) -> Nanos {
        self.own.cpu()
    }

    async fn start_fabric(&self) -> Result<ByteStream> {
        let stream = self
            .fabric
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let stream = stream.ok_or_else(|| {
            Error::environment("cannot start the fabric", "it was started before", BUG)
        })?;
        self.starter
            .lock()
            .await
            .tell(&ToStarter::StartFabric)
            .await?;
        Ok(Box::new(stream))
    }

    async fn start_gates(
        &self,
        secrets: &[Secret],
        started: &(dyn Fn(NodeId) + Sync),
    ) -> Result<()> {
        let ask = async {
            let nodes = self.plan.nodes.iter().zip(secrets);
            let messages = nodes
                .map(|(node, secret)| ToStarter::StartNode(Box::new(self.spec(node, *secret))));
            self.starter.lock().await.tell_all(messages).await
        };
        let hear = async {
            let mut channel = self.started.lock().await;
            for _ in &self.plan.nodes {
                match channel.recv().await {
                    Some(node) => started(node),
                    // The starter has ended; asking it anything says why.
                    None => return,
                }
            }
            // Of nodes that join later nobody counts the starts.
            channel.close();
        };
        let (asked, ()) = tokio::join!(ask, hear);
        asked
    }

    async fn start_gate(&self, node: &Node, secret: Secret) -> Result<()> {
        let message = ToStarter::StartNode(Box::new(self.spec(node, secret)));
        self.starter.lock().await.tell(&message).await
    }

    async fn remove_node(&self, node: NodeId) -> Result<()> {
        let ended = self.starter.lock().await.end_node(node).await?;
        let answered = timeout(END_TIMEOUT, ended).await;
        if answered.is_ok_and(|it| it.is_ok()) {
            return Ok(());
        }
        Err(Error::environment(
            "a node does not end",
            format!("nothing came of it within {} s", END_TIMEOUT.as_secs()),
            hint::FABRIC,
        ))
    }

    async fn gate_ended(&self) -> (NodeId, String) {
        match self.ended.lock().await.recv().await {
            Some((node, status)) if status < 0 => {
                (node, format!("its gate was ended by signal {}", -status))
            }
            Some((node, status)) => (node, format!("its gate ended with exit code {status}")),
            // The fabric is gone as well then, which is told elsewhere.
            None => std::future::pending().await,
        }
    }

    fn way_in(&self) -> Result<WayIn> {
        let fabric = self.fabric_process().ok_or_else(|| {
            Error::environment(
                "no program can come into this network",
                "its fabric is not found among the processes",
                hint::FABRIC,
            )
        })?;
        let shared = SHARED_DIR.trim_start_matches('/');
        let root = PathBuf::from(format!("/proc/{fabric}/root"));
        Ok(WayIn {
            gate: self.gate.clone(),
            socket: root.join(shared).join(SOCKET_NAME),
        })
    }

    async fn node_log(&self, node: NodeId, bytes_max: usize) -> Result<NodeLog> {
        let bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        let answer = self.starter.lock().await.ask_log(node, bytes_max).await?;
        let answered = timeout(LOG_TIMEOUT, answer).await;
        answered.ok().and_then(Result::ok).ok_or_else(|| {
            Error::environment(
                "no log of a node",
                format!(
                    "the starter of the local engine ended before it gave one, or did not within {} s",
                    LOG_TIMEOUT.as_secs()
                ),
                hint::FABRIC,
            )
        })
    }

    fn fabric_log(&self) -> Vec<String> {
        self.words.lines()
    }

    async fn remove_all(&self) -> Result<()> {
        self.starter.lock().await.end().await
    }
}
