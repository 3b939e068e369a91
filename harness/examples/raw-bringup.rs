//! What the engine can do by itself: creates and starts N containers with network `none` over
//! the raw API, and removes them again. The yardstick for `ci/bench-bringup`; no part of Peerlab
//! but its API client is used.
//!
//! `raw-bringup N IMAGE CONCURRENCY` prints seconds and containers per second.

use std::time::Instant;

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use futures::stream::{self, StreamExt, TryStreamExt};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let count: usize = args.next().context("N")?.parse()?;
    let image = args.next().context("IMAGE")?;
    let concurrency: usize = args.next().context("CONCURRENCY")?.parse()?;
    let docker = Docker::connect_with_local_defaults()?;

    let begin = Instant::now();
    let ids: Vec<String> = stream::iter(0..count)
        .map(|_| create_and_start(&docker, &image))
        .buffer_unordered(concurrency)
        .try_collect()
        .await?;
    let seconds = begin.elapsed().as_secs_f64();
    println!("{seconds:.2} {:.2}", count as f64 / seconds);

    let force = RemoveContainerOptionsBuilder::default()
        .force(true)
        .v(true)
        .build();
    stream::iter(ids.iter().map(Ok))
        .try_for_each_concurrent(concurrency, |id| {
            let (docker, force) = (&docker, force.clone());
            async move { docker.remove_container(id, Some(force)).await }
        })
        .await?;
    Ok(())
}

async fn create_and_start(docker: &Docker, image: &str) -> Result<String> {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        labels: Some([("peerlab.bench".to_owned(), "raw".to_owned())].into()),
        cmd: Some(vec!["-datadir=/data".to_owned()]),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            tmpfs: Some([("/data".to_owned(), "mode=1777".to_owned())].into()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(None, body).await?.id;
    docker.start_container(&id, None).await?;
    Ok(id)
}
