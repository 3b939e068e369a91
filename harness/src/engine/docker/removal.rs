//! Removing containers, and making sure that they are gone.

use crate::engine::hint;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptions,
};
use futures::StreamExt;
use tokio::time::{Instant, sleep};

use super::label::{self, RunId};
use peerlab_core::error::{Error, Explain, Result};

/// Removals under way at once: more gain nothing, each is mostly the engine's own work.
const AT_ONCE: usize = 8;
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How long removal may take, and what each container adds to it.
const LIMIT: Duration = Duration::from_secs(60);
const LIMIT_SHARE: Duration = Duration::from_millis(500);
/// A container that was created longer ago and never started belongs to a dead run.
const CREATED_AGE_MAX: Duration = Duration::from_secs(120);

/// What `clean` removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Runs that had left something.
    pub runs: Vec<String>,
    pub containers: usize,
}

/// The containers of a run, or of all runs.
pub async fn list(docker: &Docker, run: Option<&RunId>) -> Result<Vec<ContainerSummary>> {
    let filter = run.map_or_else(
        || HashMap::from([("label".into(), vec![label::RUN.to_owned()])]),
        RunId::filter,
    );
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filter)
        .build();
    docker.list_containers(Some(options)).await.or_environment(
        || "cannot list the engine's containers".into(),
        hint::DOCKER,
    )
}

/// Removes every container of a run with its anonymous volume, until none is left.
///
/// # Errors
/// When some are left at the end, or the engine fails.
pub async fn remove_run(docker: &Docker, run: &RunId) -> Result<()> {
    let first = list(docker, Some(run)).await?;
    let deadline = Instant::now() + LIMIT + LIMIT_SHARE * first.len() as u32;
    let mut left = first;
    while !left.is_empty() {
        // The fabric last: with it all nodes would end at once.
        let (nodes, fabric): (Vec<_>, Vec<_>) = left.into_iter().partition(is_node);
        let next = if nodes.is_empty() { &fabric } else { &nodes };
        remove_each(docker, next).await;
        sleep(PAUSE).await;
        left = list(docker, Some(run)).await?;
        if Instant::now() >= deadline && !left.is_empty() {
            let names: Vec<String> = left.iter().take(5).map(name_of).collect();
            return Err(Error::environment(
                format!(
                    "{} containers of run {run} could not be removed",
                    left.len()
                ),
                format!("still there: {}", names.join(", ")),
                "`peerlab clean` tries again",
            ));
        }
    }
    Ok(())
}

/// One attempt at each. Somebody else may be removing it as well: the engine itself, since the
/// containers are removed when they end.
async fn remove_each(docker: &Docker, containers: &[ContainerSummary]) {
    let options = RemoveContainerOptionsBuilder::default()
        .force(true)
        .v(true)
        .build();
    futures::stream::iter(containers.iter().filter_map(|c| c.id.as_ref()))
        .for_each_concurrent(AT_ONCE, |id| {
            let options = options.clone();
            async move {
                match docker.remove_container(id, Some(options)).await {
                    Ok(())
                    | Err(DockerError::DockerResponseServerError {
                        status_code: 404 | 409,
                        ..
                    }) => {}
                    Err(error) => tracing::debug!("removing {id}: {error}"),
                }
            }
        })
        .await;
}

/// Removes what runs have left behind that are over: those whose fabric is gone.
///
/// # Errors
/// When the engine fails, or something cannot be removed.
pub async fn remove_dead_runs(docker: &Docker) -> Result<Removed> {
    let mut runs: BTreeMap<String, Vec<ContainerSummary>> = BTreeMap::new();
    for container in list(docker, None).await? {
        if let Some(run) = container.labels.as_ref().and_then(|l| l.get(label::RUN)) {
            runs.entry(run.clone()).or_default().push(container);
        }
    }
    let mut removed = Removed::default();
    for (run, containers) in runs {
        if containers.iter().any(holds_a_run_alive) {
            continue;
        }
        removed.containers += containers.len();
        remove_run(docker, &RunId::from_text(&run)).await?;
        removed.runs.push(run);
    }
    Ok(removed)
}

/// Whether this is a fabric that runs, or one that is just being started.
fn holds_a_run_alive(container: &ContainerSummary) -> bool {
    if is_node(container) {
        return false;
    }
    match container.state {
        Some(ContainerSummaryStateEnum::RUNNING) => true,
        Some(ContainerSummaryStateEnum::CREATED) => age(container) < CREATED_AGE_MAX,
        _ => false,
    }
}

fn is_node(container: &ContainerSummary) -> bool {
    let labels = container.labels.as_ref();
    labels.is_some_and(|l| l.contains_key(label::NODE))
}

fn age(container: &ContainerSummary) -> Duration {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let created = u64::try_from(container.created.unwrap_or(0)).unwrap_or(0);
    now.saturating_sub(Duration::from_secs(created))
}

/// Removes the images that Peerlab built and no container uses; gives their references.
///
/// # Errors
/// When the engine fails.
pub async fn remove_images(docker: &Docker) -> Result<Vec<String>> {
    let filter = HashMap::from([("label".to_owned(), vec![label::IMAGE.to_owned()])]);
    let options = ListImagesOptionsBuilder::default().filters(&filter).build();
    let images = docker
        .list_images(Some(options))
        .await
        .or_environment(|| "cannot list the engine's images".into(), hint::DOCKER)?;
    let tags: BTreeSet<String> = images.into_iter().flat_map(|i| i.repo_tags).collect();
    let mut removed = Vec::new();
    for tag in tags {
        match docker
            .remove_image(&tag, None::<RemoveImageOptions>, None)
            .await
        {
            Ok(_) => removed.push(tag),
            Err(error) => tracing::warn!("image {tag} stays: {error}"),
        }
    }
    Ok(removed)
}

fn name_of(container: &ContainerSummary) -> String {
    let names = container.names.iter().flatten();
    names
        .map(|name| name.trim_start_matches('/').to_owned())
        .next()
        .unwrap_or_default()
}
