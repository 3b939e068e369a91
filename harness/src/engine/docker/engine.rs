//! The engine of one run: [`Engine`] over the Docker API.

use crate::engine::hint;
use peerlab_core::error::hint::BUG;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use bollard::Docker;
use bollard::models::{EventMessage, ImageConfig, ImageInspect};
use bollard::query_parameters::{CreateImageOptionsBuilder, EventsOptionsBuilder};
use futures::StreamExt;
use peerlab_link::proto::Secret;
use peerlab_link::{Nanos, NodeId};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::containers;
use super::host::Host;
use super::images::{self, Images};
use super::label::{self, RunId};
use super::{processes, registry, removal, specification, timeouts};
use crate::engine::cpu_time::Processes;
use crate::engine::{ByteStream, Engine, LastLines, NodeLog, WayIn, command};
use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::event::HostFacts;
use peerlab_core::experiment::Image;
use peerlab_core::plan::Plan;
use peerlab_core::plan::spec::Node;

/// Starts under way at once for each CPU of the engine's host.
const STARTS_PER_CPU: usize = 3;
/// Starts under way at once in any case, and at most.
const STARTS_MIN: usize = 4;
const STARTS_MAX: usize = 32;
/// Ended gates that nobody has asked about yet.
const ENDED_MAX: usize = 1024;

/// One run's containers.
#[derive(Debug)]
pub struct DockerEngine {
    docker: Docker,
    run: RunId,
    plan: Arc<Plan>,
    images: Images,
    /// The images' own configuration, by reference.
    configs: HashMap<String, ImageConfig>,
    /// The digests of those that are not ours, by the plan's names.
    digests: BTreeMap<String, String>,
    host: Host,
    /// The engine's own processes, where they are on this machine.
    own: Processes,
    /// Those that served others' containers before there were any of this run.
    foreign: BTreeSet<i32>,
    /// Creates and starts under way: removal waits for them, or it would miss some.
    launches: TaskTracker,
    removing: CancellationToken,
    /// The names of nodes that joined.
    joined: StdMutex<BTreeMap<NodeId, String>>,
    /// Whether one of them failed: what it was to create may come to be nonetheless, and late.
    launch_failed: Arc<AtomicBool>,
    fabric_log: LastLines,
    ended: Mutex<mpsc::Receiver<(NodeId, String)>>,
    _events: AbortOnDropHandle<()>,
}

impl DockerEngine {
    /// Prepares a run; no container is created yet. Images that are named and missing are
    /// pulled. It can be given up at any time.
    ///
    /// # Errors
    /// When the engine fails, or an image cannot be had.
    pub async fn prepare(
        docker: Docker,
        host: Host,
        run: RunId,
        plan: Arc<Plan>,
        images: Images,
        observer: &dyn Observer,
    ) -> Result<DockerEngine> {
        let mut configs = HashMap::new();
        let mut digests = BTreeMap::new();
        let named: BTreeMap<&str, &Image> = plan
            .groups
            .iter()
            .map(|group| (specification::reference(&images, group), &group.image))
            .collect();
        for (reference, image) in named {
            let inspected = inspect(&docker, reference, image, observer).await?;
            configs.insert(reference.to_owned(), inspected.config.unwrap_or_default());
            if let (Some(name), Some(digest)) = (image.reference(), inspected.id) {
                digests.insert(name, digest);
            }
        }
        for (index, group) in plan.groups.iter().enumerate() {
            if let Some(config) = configs.get(specification::reference(&images, group)) {
                let entrypoint = config.entrypoint.as_deref().unwrap_or_default();
                let cmd = config.cmd.as_deref().unwrap_or_default();
                command::check(&plan, index, entrypoint, cmd)?;
            }
        }
        let removing = CancellationToken::new();
        let (ended_sender, ended) = mpsc::channel(ENDED_MAX);
        let events = tokio::spawn(follow_ends(
            docker.clone(),
            run.clone(),
            removing.clone(),
            ended_sender,
        ));
        Ok(DockerEngine {
            docker,
            run,
            plan,
            images,
            configs,
            digests,
            own: Processes::default(),
            foreign: processes::of_containers(),
            host,
            launches: TaskTracker::new(),
            removing,
            joined: StdMutex::default(),
            launch_failed: Arc::default(),
            fabric_log: LastLines::default(),
            ended: Mutex::new(ended),
            _events: AbortOnDropHandle::new(events),
        })
    }

    /// Whether the engine may still create what it did not answer for before everything was removed.
    pub fn may_create_late(&self) -> bool {
        self.launch_failed.load(Ordering::Relaxed) || !self.launches.is_empty()
    }

    /// Has something created and started, to the end, whoever stops waiting for it.
    fn launched<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let failed = self.launch_failed.clone();
        self.launches.spawn(async move {
            let launched = work.await;
            failed.fetch_or(launched.is_err(), Ordering::Relaxed);
            launched
        })
    }

    fn container_name(&self, node: NodeId) -> String {
        let joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        let name = joined.get(&node).cloned();
        self.run
            .node_name(&name.unwrap_or_else(|| self.plan.node_name(node)))
    }

    /// The engine's processes that serve this run's containers are its own as well.
    fn count_own_processes(&self) {
        if self.host.is_here {
            let of_run = &processes::of_containers() - &self.foreign;
            self.own.add(processes::daemons().into_iter().chain(of_run));
        }
    }

    /// Creates and starts a node's container.
    async fn launch(&self, node: &Node, secret: Secret) -> Result<NodeId> {
        let group = &self.plan.groups[node.group as usize];
        let reference = specification::reference(&self.images, group);
        let config = self.configs.get(reference).ok_or_else(|| {
            Error::environment(
                format!("image {reference} was not looked at before"),
                "the images of all nodes are looked at before any is started",
                BUG,
            )
        })?;
        let body = specification::node(&self.run, &self.images, &self.plan, node, config);
        let name = self.run.node_name(&node.name);
        let docker = self.docker.clone();
        let removing = self.removing.clone();
        let launch = self.launched(async move {
            if removing.is_cancelled() {
                return Ok(());
            }
            containers::create(&docker, &name, body).await?;
            let input = containers::give(&docker, &name, &secret.0).await?;
            containers::start(&docker, &name).await?;
            drop(input);
            Ok(())
        });
        launch
            .await
            .or_environment(|| "a start was lost".into(), BUG)??;
        Ok(node.id)
    }
}

impl Engine for DockerEngine {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn host(&self) -> HostFacts {
        HostFacts {
            images: self.digests.clone(),
            ..self.host.facts()
        }
    }

    fn shares_host(&self) -> bool {
        self.host.is_here
    }

    fn own_cpu(&self) -> Nanos {
        self.own.cpu()
    }

    async fn start_fabric(&self) -> Result<ByteStream> {
        let name = self.run.fabric_name();
        let body = specification::fabric(&self.run, &self.images);
        let docker = self.docker.clone();
        let log = self.fabric_log.clone();
        let launch = self.launched(async move {
            containers::create(&docker, &name, body).await?;
            let stream = containers::attach(&docker, &name, log).await?;
            containers::start(&docker, &name).await?;
            Ok(stream)
        });
        launch
            .await
            .or_environment(|| "the start was lost".into(), BUG)?
    }

    async fn start_gates(
        &self,
        secrets: &[Secret],
        started: &(dyn Fn(NodeId) + Sync),
    ) -> Result<()> {
        let at_once = self.host.facts().cpus as usize * STARTS_PER_CPU;
        let at_once = at_once.clamp(STARTS_MIN, STARTS_MAX);
        let mut launches = futures::stream::iter(0..self.plan.nodes.len())
            .map(|index| self.launch(&self.plan.nodes[index], secrets[index]))
            .buffer_unordered(at_once);
        while let Some(node) = launches.next().await {
            started(node?);
        }
        self.count_own_processes();
        Ok(())
    }

    async fn start_gate(&self, node: &Node, secret: Secret) -> Result<()> {
        {
            let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
            joined.insert(node.id, node.name.clone());
        }
        self.launch(node, secret).await?;
        self.count_own_processes();
        Ok(())
    }

    async fn remove_node(&self, node: NodeId) -> Result<()> {
        removal::remove_one(&self.docker, &self.container_name(node)).await
    }

    async fn gate_ended(&self) -> (NodeId, String) {
        match self.ended.lock().await.recv().await {
            Some(ended) => ended,
            // The engine tells no more; what ends is then seen by the fabric alone.
            None => std::future::pending().await,
        }
    }

    fn way_in(&self) -> Result<WayIn> {
        Err(Error::input("no program can come into a network of containers")
            .because("its fabric is in a container, which nothing of this machine's reaches")
            .hint("`peerlab forward NODE:PORT` reaches a node's port; a network that is brought up with \
                   `--engine local` can be connected to"))
    }

    async fn node_log(&self, node: NodeId, bytes_max: usize) -> Result<NodeLog> {
        containers::log(&self.docker, &self.container_name(node), bytes_max).await
    }

    fn fabric_log(&self) -> Vec<String> {
        self.fabric_log.lines()
    }

    async fn remove_all(&self) -> Result<()> {
        self.removing.cancel();
        self.launches.close();
        if timeout(timeouts::launches(), self.launches.wait())
            .await
            .is_err()
        {
            tracing::warn!("the engine does not finish what it has begun");
        }
        removal::remove_run(&self.docker, &self.run).await
    }
}

/// What the engine says of an image, which is pulled where it is missing and not ours.
async fn inspect(
    docker: &Docker,
    reference: &str,
    image: &Image,
    observer: &dyn Observer,
) -> Result<ImageInspect> {
    if let Some(found) = images::find(docker, reference).await? {
        return Ok(found);
    }
    if matches!(image, Image::Named(_)) {
        observer.stage(Stage::Preparing(format!("pulling image {reference}")));
        let options = CreateImageOptionsBuilder::default()
            .from_image(&registry::tagged(reference))
            .build();
        let credentials = registry::credentials(reference).await?;
        let mut progress = docker.create_image(Some(options), None, credentials);
        while let Some(step) = progress.next().await {
            step.or_environment(|| format!("cannot pull image {reference}"), hint::IMAGE)?;
        }
    }
    docker.inspect_image(reference).await.or_environment(
        || format!("the engine does not have image {reference}"),
        hint::IMAGE,
    )
}

/// Tells of every node's container that ends before the run is over.
async fn follow_ends(
    docker: Docker,
    run: RunId,
    removing: CancellationToken,
    ended: mpsc::Sender<(NodeId, String)>,
) {
    let mut filter = run.filter();
    filter.insert("event".into(), vec!["die".into()]);
    filter.insert("type".into(), vec!["container".into()]);
    let options = EventsOptionsBuilder::default().filters(&filter).build();
    let mut events = docker.events(Some(options));
    while let Some(Ok(event)) = events.next().await {
        if removing.is_cancelled() {
            return;
        }
        if let Some(end) = node_end(&event)
            && ended.send(end).await.is_err()
        {
            return;
        }
    }
}

/// Which node's container ended, and how.
fn node_end(event: &EventMessage) -> Option<(NodeId, String)> {
    let attributes = event.actor.as_ref()?.attributes.as_ref()?;
    let node = attributes.get(label::NODE)?.parse().ok()?;
    let code = attributes.get("exitCode").map_or("?", String::as_str);
    Some((
        NodeId(node),
        format!("its container ended with exit code {code}"),
    ))
}
