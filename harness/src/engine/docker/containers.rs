//! The calls that a run makes on containers: create and start, attach, standard input, logs.

use crate::engine::hint;
use std::io;

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, LogsOptionsBuilder,
    StartContainerOptions,
};
use futures::{StreamExt, TryStreamExt};
use hyper::body::Bytes;
use tokio::io::AsyncWriteExt;
use tokio_util::io::StreamReader;

use super::timeouts::in_time;
use crate::engine::{ByteStream, LastLines, end_of_log};
use peerlab_core::error::{Explain, Result};

/// Lines of a node's log that are asked for: more than the bytes that are kept.
const LOG_LINES_MAX: &str = "20000";

/// Creates a container; it is not running.
///
/// # Errors
/// As the engine says.
pub async fn create(docker: &Docker, name: &str, body: ContainerCreateBody) -> Result<()> {
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let created = in_time(docker.create_container(Some(options), body))
        .await
        .or_environment(|| format!("cannot create container {name}"), hint::DOCKER)?;
    for warning in created.warnings {
        tracing::debug!("{name}: {warning}");
    }
    Ok(())
}

/// Starts a container.
///
/// # Errors
/// As the engine says.
pub async fn start(docker: &Docker, name: &str) -> Result<()> {
    in_time(docker.start_container(name, None::<StartContainerOptions>))
        .await
        .or_environment(|| format!("cannot start container {name}"), hint::DOCKER)
}

/// Attaches to a container that is not running yet: its stdin and stdout become the stream, its
/// stderr goes to the log.
///
/// # Errors
/// As the engine says.
pub async fn attach(docker: &Docker, name: &str, log: LastLines) -> Result<ByteStream> {
    let options = AttachContainerOptionsBuilder::default()
        .stdin(true)
        .stdout(true)
        .stderr(true)
        .stream(true)
        .build();
    let attached = in_time(docker.attach_container(name, Some(options)))
        .await
        .or_environment(
            || format!("cannot attach to container {name}"),
            hint::DOCKER,
        )?;
    let stdout = attached.output.filter_map(move |piece| {
        let bytes = match piece {
            Ok(LogOutput::StdOut { message }) => Some(Ok::<Bytes, io::Error>(message)),
            Ok(other) => {
                for line in String::from_utf8_lossy(other.as_ref()).lines() {
                    tracing::info!(target: "peerlab::fabric", "{line}");
                    log.push(line.to_owned());
                }
                None
            }
            Err(e) => Some(Err(io::Error::other(e))),
        };
        std::future::ready(bytes)
    });
    let reader = StreamReader::new(Box::pin(stdout));
    Ok(Box::new(tokio::io::join(reader, attached.input)))
}

/// Sends something to the standard input of a container that is not running yet. It is there when the
/// container starts; until then, what is returned must be kept.
///
/// # Errors
/// As the engine says.
pub async fn give(docker: &Docker, name: &str, bytes: &[u8]) -> Result<AttachContainerResults> {
    let what = || format!("cannot attach to container {name}");
    let options = AttachContainerOptionsBuilder::default()
        .stdin(true)
        .stream(true)
        .build();
    let mut attached = in_time(docker.attach_container(name, Some(options)))
        .await
        .or_environment(what, hint::DOCKER)?;
    let input = &mut attached.input;
    input
        .write_all(bytes)
        .await
        .or_environment(what, hint::DOCKER)?;
    input.flush().await.or_environment(what, hint::DOCKER)?;
    Ok(attached)
}

/// The end of a container's log. What the engine itself has left out before is not said.
///
/// # Errors
/// As the engine says.
pub async fn log(docker: &Docker, name: &str, bytes_max: usize) -> Result<Vec<u8>> {
    let options = LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .tail(LOG_LINES_MAX)
        .build();
    let mut pieces = docker.logs(name, Some(options));
    let mut log = Vec::new();
    let mut left_out = 0;
    let mut cut =
        |log: &mut Vec<u8>| left_out += log.drain(..log.len().saturating_sub(bytes_max)).len();
    let read = async {
        while let Some(piece) = pieces.try_next().await? {
            log.extend_from_slice(piece.as_ref());
            if log.len() > 2 * bytes_max {
                cut(&mut log);
            }
        }
        Ok(())
    };
    in_time(read).await.or_environment(
        || format!("cannot read the log of container {name}"),
        hint::DOCKER,
    )?;
    cut(&mut log);
    Ok(end_of_log(left_out as u64, log))
}
