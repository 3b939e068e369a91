//! The engine of one run: [`Engine`] over the Docker API.

use crate::engine::hint;
use peerlab_core::error::hint::BUG;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{EventMessage, ImageConfig};
use bollard::query_parameters::{CreateImageOptionsBuilder, EventsOptionsBuilder};
use futures::StreamExt;
use peerlab_link::NodeId;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::containers;
use super::images::Images;
use super::label::{self, RunId};
use super::{connect, removal, specification};
use crate::engine::{ByteStream, Engine, LastLines};
use peerlab_core::conduct::{Observer, Stage};
use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::event::HostFacts;
use peerlab_core::experiment::Image;
use peerlab_core::plan::Plan;

/// Starts under way at once for each CPU of the engine's host.
const STARTS_PER_CPU: usize = 3;
/// Starts under way at once in any case, and at most.
const STARTS_MIN: usize = 4;
const STARTS_MAX: usize = 32;
/// How long starts that are under way may take when everything is to be removed.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
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
    host: HostFacts,
    /// Creates and starts under way: removal waits for them, or it would miss some.
    launches: TaskTracker,
    removing: CancellationToken,
    fabric_log: LastLines,
    ended: Mutex<mpsc::Receiver<(NodeId, String)>>,
    _events: AbortOnDropHandle<()>,
}

impl DockerEngine {
    /// Prepares a run; no container is created yet. Images that are named and missing are
    /// pulled.
    ///
    /// # Errors
    /// When the engine fails, or an image cannot be had.
    pub async fn prepare(
        docker: Docker,
        run: RunId,
        plan: Arc<Plan>,
        mut images: Images,
        observer: &dyn Observer,
    ) -> Result<DockerEngine> {
        images.load_archives(&docker, &plan, observer).await?;
        let mut configs = HashMap::new();
        let named: BTreeMap<&str, &Image> = plan
            .groups
            .iter()
            .map(|group| (specification::reference(&images, group), &group.image))
            .collect();
        for (reference, image) in named {
            let config = image_config(&docker, reference, image, observer).await?;
            configs.insert(reference.to_owned(), config);
        }
        let info = docker.info().await.or_environment(
            || "cannot ask the engine about its host".into(),
            hint::DOCKER,
        )?;
        let host = HostFacts {
            os: info.operating_system.unwrap_or_default(),
            kernel: info.kernel_version.unwrap_or_default(),
            cpus: info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            memory_bytes: info.mem_total.map_or(0, i64::unsigned_abs),
            engine_version: info.server_version.unwrap_or_default(),
        };
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
            host,
            launches: TaskTracker::new(),
            removing,
            fabric_log: LastLines::default(),
            ended: Mutex::new(ended),
            _events: AbortOnDropHandle::new(events),
        })
    }

    fn container_name(&self, node: NodeId) -> String {
        self.run.node_name(&self.plan.nodes[node.index()].name)
    }

    /// Creates and starts a node's container, to the end, whoever stops waiting for it.
    async fn launch(&self, index: usize) -> Result<NodeId> {
        let node = &self.plan.nodes[index];
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
        let launch = self.launches.spawn(async move {
            if removing.is_cancelled() {
                return Ok(());
            }
            containers::create(&docker, &name, body).await?;
            containers::start(&docker, &name).await
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
        self.host.clone()
    }

    fn shares_host(&self) -> bool {
        connect::is_local()
    }

    async fn start_fabric(&self) -> Result<ByteStream> {
        let name = self.run.fabric_name();
        let body = specification::fabric(&self.run, &self.images);
        let docker = self.docker.clone();
        let log = self.fabric_log.clone();
        let launch = self.launches.spawn(async move {
            containers::create(&docker, &name, body).await?;
            let stream = containers::attach(&docker, &name, log).await?;
            containers::start(&docker, &name).await?;
            Ok(stream)
        });
        launch
            .await
            .or_environment(|| "the start was lost".into(), BUG)?
    }

    async fn start_gates(&self, started: &(dyn Fn(NodeId) + Sync)) -> Result<()> {
        let at_once = self.host.cpus as usize * STARTS_PER_CPU;
        let at_once = at_once.clamp(STARTS_MIN, STARTS_MAX);
        let mut launches = futures::stream::iter(0..self.plan.nodes.len())
            .map(|index| self.launch(index))
            .buffer_unordered(at_once);
        while let Some(node) = launches.next().await {
            started(node?);
        }
        Ok(())
    }

    async fn gate_ended(&self) -> (NodeId, String) {
        match self.ended.lock().await.recv().await {
            Some(ended) => ended,
            // The engine tells no more; what ends is then seen by the fabric alone.
            None => std::future::pending().await,
        }
    }

    async fn node_log(&self, node: NodeId, bytes_max: usize) -> Result<Vec<u8>> {
        containers::log(&self.docker, &self.container_name(node), bytes_max).await
    }

    fn fabric_log(&self) -> Vec<String> {
        self.fabric_log.lines()
    }

    async fn remove_all(&self) -> Result<()> {
        self.removing.cancel();
        self.launches.close();
        if timeout(SETTLE_TIMEOUT, self.launches.wait()).await.is_err() {
            tracing::warn!("the engine does not finish what it has begun");
        }
        removal::remove_run(&self.docker, &self.run).await
    }
}

/// An image's own configuration; the image is pulled where it is missing and not ours.
async fn image_config(
    docker: &Docker,
    reference: &str,
    image: &Image,
    observer: &dyn Observer,
) -> Result<ImageConfig> {
    let missing = docker.inspect_image(reference).await.is_err();
    if missing && matches!(image, Image::Named(_)) {
        observer.stage(Stage::Preparing(format!("pulling image {reference}")));
        let options = CreateImageOptionsBuilder::default()
            .from_image(reference)
            .build();
        let mut progress = docker.create_image(Some(options), None, None);
        while let Some(step) = progress.next().await {
            step.or_environment(|| format!("cannot pull image {reference}"), hint::IMAGE)?;
        }
    }
    let image = docker.inspect_image(reference).await.or_environment(
        || format!("the engine does not have image {reference}"),
        hint::IMAGE,
    )?;
    Ok(image.config.unwrap_or_default())
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
