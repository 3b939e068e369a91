//! Removing containers with what they share, and making sure that they are gone.

use crate::engine::hint;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptions, RemoveContainerOptionsBuilder, RemoveImageOptions, RemoveVolumeOptions,
};
use futures::TryStreamExt;
use tokio::sync::Mutex;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};

use super::label::{self, RunId};
use super::timeouts;
use peerlab_core::error::{Error, Explain, Result};

/// Removals under way at once: more gain nothing, each is mostly the engine's own work.
const AT_ONCE: usize = 8;
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// What each container adds to how long removal may take.
const LIMIT_SHARE: Duration = Duration::from_millis(500);
/// How long a container may be just ending.
const ENDING_LIMIT: Duration = Duration::from_secs(10);
/// Containers that an error names.
const NAMES_MAX: usize = 5;
/// What to do about containers that stay.
const TRY_AGAIN: &str = "`peerlab clean` tries again";
/// Requests that may go unanswered, one after another, within the limit.
const REQUESTS_WITHIN: u32 = 4;
/// What to do about an engine that has locked itself up.
const RESTART: &str = "restart the engine (often: `systemctl restart docker`); then `peerlab clean` removes what \
                       is left";

/// What `clean` removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Runs that had left something.
    pub runs: Vec<String>,
    pub containers: usize,
    /// Volumes without a container.
    pub volumes: usize,
    /// Runs that were left alone although they do not run: they may be starting.
    pub starting: Vec<String>,
}

/// What is of a run, or of any.
fn filter(run: Option<&RunId>) -> HashMap<String, Vec<String>> {
    run.map_or_else(
        || HashMap::from([("label".into(), vec![label::RUN.to_owned()])]),
        RunId::filter,
    )
}

/// The containers of a run, or of all runs. Podman has a state for a container that is just ending which
/// the client does not know: then it is asked again.
pub async fn list(docker: &Docker, run: Option<&RunId>) -> Result<Vec<ContainerSummary>> {
    let filter = filter(run);
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filter)
        .build();
    let deadline = Instant::now() + ENDING_LIMIT;
    loop {
        let listed = docker.list_containers(Some(options.clone()));
        match timeouts::within(timeouts::one_removal(), listed).await {
            Err(DockerError::JsonDataError { .. }) if Instant::now() < deadline => {
                sleep(PAUSE).await;
            }
            listed => {
                return listed.or_environment(
                    || "cannot list the engine's containers".into(),
                    hint::DOCKER,
                );
            }
        }
    }
}

/// Removes every container of a run with its anonymous volume, until none is left. Where the engine has
/// removed them, as one does that restarts, it may have left the volume.
///
/// # Errors
/// When some are left at the end, or the engine does not answer any more then.
pub async fn remove_run(docker: &Docker, run: &RunId) -> Result<()> {
    remove_within(docker, run, timeouts::removal()).await
}

/// Removes one container with its anonymous volume, and waits until it is gone.
///
/// # Errors
/// When it is there still at the end, or the engine refuses.
pub async fn remove_one(docker: &Docker, name: &str) -> Result<()> {
    let cannot = || format!("container {name} could not be removed");
    let deadline = Instant::now() + timeouts::one_removal();
    loop {
        let removed = docker.remove_container(name, Some(by_force()));
        match timeouts::within(timeouts::one_removal(), removed).await {
            // Gone: as by the engine itself, which removes those that end.
            Ok(())
            | Err(DockerError::DockerResponseServerError {
                status_code: 404, ..
            }) => return Ok(()),
            // It is being removed, or the engine may do a moment later what it refuses now.
            Err(DockerError::DockerResponseServerError { .. }) if Instant::now() < deadline => {
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error).or_environment(cannot, TRY_AGAIN),
        }
    }
}

/// As [`remove_run`], with another limit. What an engine refuses or leaves unanswered now it may do a
/// moment later; one that has answered no removal for all of the limit hangs.
async fn remove_within(docker: &Docker, run: &RunId, limit: Duration) -> Result<()> {
    let one = limit / REQUESTS_WITHIN;
    let began = Instant::now();
    let (mut deadline, mut heard) = (began + limit, began);
    let mut last = not_removed("the", run, "there was no time");
    let mut has_removed = false;
    while Instant::now() < deadline && heard.elapsed() < limit {
        match timeout(one, list(docker, Some(run))).await {
            Ok(Ok(left)) if left.is_empty() && has_removed => return Ok(()),
            Ok(Ok(left)) if left.is_empty() => {
                match timeout(one, remove_volumes(docker, Some(run))).await {
                    Ok(Ok(_)) => return Ok(()),
                    Ok(Err(error)) => {
                        heard = Instant::now();
                        last = error;
                    }
                    Err(_) => {}
                }
            }
            Ok(Ok(left)) => {
                has_removed = true;
                deadline = deadline.max(began + limit + LIMIT_SHARE * left.len() as u32);
                last = still_there(run, &left);
                let round = remove_next(docker, &left, one).await;
                heard = round.heard.unwrap_or(heard);
                if let Some(refused) = round.refused {
                    last = last.caused_by(refused);
                }
            }
            Ok(Err(error)) => {
                heard = Instant::now();
                last = explained(not_removed("the", run, error.to_string()), error);
            }
            Err(_) => {}
        }
        sleep(PAUSE).await;
    }
    if heard.elapsed() < limit {
        return Err(last);
    }
    let cause = format!("the engine hangs: it gave no answer for {limit:?}");
    Err(last.because(cause).hint(RESTART))
}

/// Also where it runs, and with its anonymous volumes.
fn by_force() -> RemoveContainerOptions {
    RemoveContainerOptionsBuilder::default()
        .force(true)
        .v(true)
        .build()
}

fn not_removed(which: &str, run: &RunId, cause: impl Into<String>) -> Error {
    let what = format!("{which} containers of run {run} could not be removed");
    Error::environment(what, cause.into(), TRY_AGAIN)
}

/// An error with the causes of the one that led to it.
fn explained(error: Error, by: Error) -> Error {
    let causes = by.reports.into_iter().flat_map(|report| report.causes);
    causes.fold(error, Error::because)
}

fn still_there(run: &RunId, left: &[ContainerSummary]) -> Error {
    let names: Vec<String> = left.iter().take(NAMES_MAX).map(name_of).collect();
    let and_more = if left.len() > NAMES_MAX { ", ..." } else { "" };
    let cause = format!("still there: {}{and_more}", names.join(", "));
    not_removed(&left.len().to_string(), run, cause)
}

/// What one attempt at each of some containers came to.
#[derive(Default)]
struct Round {
    /// When the engine last answered.
    heard: Option<Instant>,
    /// An error that it answered with.
    refused: Option<DockerError>,
}

/// One attempt at each of the nodes; at the fabric when they are gone, since with it all nodes would
/// end at once.
async fn remove_next(docker: &Docker, left: &[ContainerSummary], one: Duration) -> Round {
    let nodes: Vec<&ContainerSummary> = left.iter().filter(|c| is_node(c)).collect();
    let next = if nodes.is_empty() {
        left.iter().collect()
    } else {
        nodes
    };
    remove_each(docker, &next, one).await
}

/// One attempt at each, until one is not answered. Somebody else may be removing it as well: the engine
/// itself, since the containers are removed when they end.
async fn remove_each(docker: &Docker, containers: &[&ContainerSummary], one: Duration) -> Round {
    let round = Mutex::new(Round::default());
    let ids = containers.iter().filter_map(|c| c.id.as_ref());
    let unanswered = futures::stream::iter(ids.map(Ok))
        .try_for_each_concurrent(AT_ONCE, |id| {
            let round = &round;
            async move {
                let answer = timeout(one, docker.remove_container(id, Some(by_force()))).await?;
                let mut round = round.lock().await;
                round.heard = Some(Instant::now());
                match answer {
                    Ok(())
                    | Err(DockerError::DockerResponseServerError {
                        status_code: 404 | 409,
                        ..
                    }) => {}
                    Err(error) => round.refused = Some(error),
                }
                Ok::<_, Elapsed>(())
            }
        })
        .await;
    if unanswered.is_err() {
        tracing::debug!("a removal was not answered");
    }
    round.into_inner()
}

/// Removes the volumes of a run, or of all runs, that no container uses any more; gives how many.
///
/// # Errors
/// When the engine fails, or does not remove one.
async fn remove_volumes(docker: &Docker, run: Option<&RunId>) -> Result<usize> {
    let cannot = || "cannot list the engine's volumes".to_owned();
    let mut filter = filter(run);
    filter.insert("dangling".into(), vec!["true".into()]);
    let options = ListVolumesOptionsBuilder::default()
        .filters(&filter)
        .build();
    let listed = docker.list_volumes(Some(options)).await;
    let listed = listed.or_environment(cannot, TRY_AGAIN)?;
    let mut count = 0;
    for volume in listed.volumes.into_iter().flatten() {
        let options = None::<RemoveVolumeOptions>;
        match docker.remove_volume(&volume.name, options).await {
            Ok(()) => count += 1,
            // Somebody else has removed it, or it has come into use.
            Err(DockerError::DockerResponseServerError {
                status_code: 404 | 409,
                ..
            }) => {}
            Err(error) => {
                let cannot = || format!("volume {} could not be removed", volume.name);
                return Err(error).or_environment(cannot, TRY_AGAIN);
            }
        }
    }
    Ok(count)
}

/// Removes what runs have left behind that are over: those whose fabric is gone.
///
/// # Errors
/// When the engine fails, or something cannot be removed; then what can be is.
pub async fn remove_dead_runs(docker: &Docker) -> Result<Removed> {
    let mut runs: BTreeMap<String, Vec<ContainerSummary>> = BTreeMap::new();
    for container in list(docker, None).await? {
        if let Some(run) = container.labels.as_ref().and_then(|l| l.get(label::RUN)) {
            runs.entry(run.clone()).or_default().push(container);
        }
    }
    let mut removed = Removed::default();
    let mut failed = None;
    // Those of runs that have containers are not: they are in use.
    removed.volumes = remove_volumes(docker, None).await?;
    for (run, containers) in runs {
        if containers.iter().any(is_running_fabric) {
            continue;
        }
        if containers.iter().any(is_new_fabric) {
            removed.starting.push(run);
            continue;
        }
        match remove_run(docker, &RunId::from_text(&run)).await {
            Ok(()) => {
                removed.containers += containers.len();
                removed.runs.push(run);
            }
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(removed), Err)
}

fn is_running_fabric(container: &ContainerSummary) -> bool {
    !is_node(container) && container.state == Some(ContainerSummaryStateEnum::RUNNING)
}

/// Whether this is a fabric that may be being started just now. One that was created longer ago than
/// an engine may take belongs to a dead run.
fn is_new_fabric(container: &ContainerSummary) -> bool {
    let is_created = container.state == Some(ContainerSummaryStateEnum::CREATED);
    !is_node(container) && is_created && age(container) < timeouts::answer()
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

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, container};
    use super::*;
    use peerlab_core::error::Kind;

    const QUICK: Duration = Duration::from_millis(500);
    /// Enough for several answers of an engine on a machine that has much else to do.
    const ENOUGH: Duration = Duration::from_secs(4);

    #[tokio::test]
    async fn an_engine_that_fails_now_and_then_is_asked_again() {
        let run = RunId::random();
        let node = container("a", &run.node_labels(peerlab_link::NodeId(0), "a"));
        let fake = Fake::start(move |method, _, count| match (method, count) {
            ("GET", 0 | 2) => (500, "busy".into()),
            ("GET", 1 | 3) => (200, format!("[{node}]")),
            ("GET", _) => (200, "[]".into()),
            ("DELETE", 0) => (500, "busy".into()),
            (_, _) => (204, String::new()),
        });
        remove_run(&fake.client(), &run).await.unwrap();
        assert_eq!(fake.asked("DELETE"), 2);
        assert_eq!(fake.asked("GET"), 5);
    }

    #[tokio::test]
    async fn a_container_that_an_engine_will_not_remove_yet_is_asked_for_again() {
        let fake = Fake::start(|_, _, count| match count {
            0 => (500, "device busy".into()),
            1 => (409, "removal is in progress".into()),
            _ => (404, "no such container".into()),
        });
        remove_one(&fake.client(), "node").await.unwrap();
        assert_eq!(fake.asked("DELETE"), 3);
    }

    #[tokio::test]
    async fn what_fails_to_the_end_is_told_with_the_last_reason() {
        let run = RunId::random();
        let fake = Fake::start(|_, _, count| (500, format!("reason {}", count.min(2))));
        let error = remove_within(&fake.client(), &run, ENOUGH)
            .await
            .unwrap_err();
        let said = error.render();
        assert!(said.contains("reason 2"), "{said}");
        assert!(said.contains("`peerlab clean`"), "{said}");

        let node = container("left", &run.fabric_labels());
        let fake = Fake::start(move |method, _, _| match method {
            "GET" => (200, format!("[{node}]")),
            _ => (500, "device busy".into()),
        });
        let said = remove_within(&fake.client(), &run, ENOUGH)
            .await
            .unwrap_err()
            .render();
        assert!(said.contains("still there: left"), "{said}");
        assert!(said.contains("device busy"), "{said}");
    }

    #[tokio::test]
    async fn what_the_engine_has_left_of_containers_that_it_removed_itself_goes() {
        let run = RunId::random();
        let volume = r#"{ "Name": "left", "Driver": "local", "Mountpoint": "/left", "Labels": {},
                          "Scope": "local", "Options": {} }"#;
        let fake = Fake::start(move |method, path, count| match method {
            "GET" if !path.contains("/volumes") => (200, "[]".into()),
            "GET" => (200, format!("{{ \"Volumes\": [{volume}] }}")),
            _ if count == 0 => (500, "device busy".into()),
            _ => (204, String::new()),
        });
        remove_run(&fake.client(), &run).await.unwrap();
        assert_eq!(fake.asked("DELETE"), 2);
        assert!(fake.last_path().contains("/volumes/left"));
    }

    #[tokio::test]
    async fn an_engine_that_locks_itself_up_is_told_so() {
        let run = RunId::random();
        let node = |name: &str| container(name, &run.node_labels(peerlab_link::NodeId(0), name));
        let left: Vec<String> = (0..20).map(|i| node(&format!("n{i}"))).collect();
        let fake = Fake::start(move |method, _, count| match (method, count) {
            ("GET", 0) => (200, format!("[{}]", left.join(","))),
            ("GET", _) => (200, format!("[{}]", left[5..].join(","))),
            // Some are still removed.
            ("DELETE", 0..5) => (204, String::new()),
            (_, _) => (0, String::new()),
        });
        let error = remove_within(&fake.client(), &run, QUICK).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind, Kind::Environment);
        let said = error.render().replace(&run.to_string(), "RUN");
        insta::assert_snapshot!(said, @r"
        Error: 15 containers of run RUN could not be removed
        Caused by: still there: n5, n6, n7, n8, n9, ...
        Caused by: the engine hangs: it gave no answer for 500ms
        Hint: restart the engine (often: `systemctl restart docker`); then `peerlab clean` removes what is left
        ");
        // After the first round no more at once than may be under way.
        let rounds = fake.asked("GET");
        assert!(fake.asked("DELETE") <= 5 + AT_ONCE * rounds);

        let fake = Fake::start(|_, _, _| (0, String::new()));
        let error = remove_within(&fake.client(), &run, QUICK).await;
        let said = error.unwrap_err().render();
        assert!(said.contains("the engine hangs"), "{said}");
    }
}
