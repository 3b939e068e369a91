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
use chrono::DateTime;
use futures::{StreamExt, TryStreamExt};
use hyper::body::Bytes;
use peerlab_link::starter::LogPiece;
use tokio::io::AsyncWriteExt;
use tokio_util::io::StreamReader;

use super::timeouts::in_time;
use crate::engine::{ByteStream, LastLines, NodeLog};
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

/// The end of a container's log, with when its engine read it. What the engine itself has left out before
/// is not said.
///
/// # Errors
/// As the engine says.
pub async fn log(docker: &Docker, name: &str, bytes_max: usize) -> Result<NodeLog> {
    let options = LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .tail(LOG_LINES_MAX)
        .build();
    let mut pieces = docker.logs(name, Some(options));
    let mut log = NodeLog::default();
    let read = async {
        while let Some(piece) = pieces.try_next().await? {
            add_piece(&mut log, piece.as_ref());
            if log.bytes.len() > 2 * bytes_max {
                cut(&mut log, bytes_max);
            }
        }
        Ok(())
    };
    in_time(read).await.or_environment(
        || format!("cannot read the log of container {name}"),
        hint::DOCKER,
    )?;
    cut(&mut log, bytes_max);
    Ok(log)
}

/// Adds what an engine gives at once: a line, or a part of one, with its instant before it.
fn add_piece(log: &mut NodeLog, piece: &[u8]) {
    let (bytes, unix_ms) = without_instant(piece);
    let at = u32::try_from(log.bytes.len()).unwrap_or(u32::MAX);
    let last = log.read.last().map(|piece| piece.unix_ms);
    if let Some(unix_ms) = unix_ms.filter(|unix_ms| last != Some(*unix_ms)) {
        log.read.push(LogPiece { at, unix_ms });
    }
    log.bytes.extend_from_slice(bytes);
}

/// A line, and its instant, `2026-11-30T18:10:48.123456789Z` and a space before it.
fn without_instant(piece: &[u8]) -> (&[u8], Option<u64>) {
    let instant = || {
        let end = piece.iter().position(|it| *it == b' ')?;
        let text = std::str::from_utf8(&piece[..end]).ok()?;
        let instant = DateTime::parse_from_rfc3339(text).ok()?;
        let unix_ms = u64::try_from(instant.timestamp_millis()).ok()?;
        Some((&piece[end + 1..], Some(unix_ms)))
    };
    instant().unwrap_or((piece, None))
}

/// Keeps the end.
fn cut(log: &mut NodeLog, bytes_max: usize) {
    let surplus = log.bytes.len().saturating_sub(bytes_max);
    if surplus == 0 {
        return;
    }
    log.bytes.drain(..surplus);
    log.left_out += surplus as u64;
    let before = log.read.partition_point(|it| it.at as usize <= surplus);
    // The last that begins before belongs to what is kept.
    log.read.drain(..before.saturating_sub(1));
    for piece in &mut log.read {
        piece.at = piece.at.saturating_sub(surplus as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engines_instants_are_taken_from_the_lines_before_which_they_stand() {
        let mut log = NodeLog::default();
        for piece in [
            "1970-01-01T00:00:01.5Z one\n",
            "1970-01-01T00:00:01.500900000Z at once\n",
            "1970-01-01T00:00:02Z \n",
            "no instant\n",
            "",
        ] {
            add_piece(&mut log, piece.as_bytes());
        }
        assert_eq!(log.line_times(), [(0, 1_500), (2, 2_000)]);
        cut(&mut log, 20);
        assert_eq!(log.line_times(), [(1, 1_500), (2, 2_000)]);
        let text = String::from_utf8(log.into_bytes()).unwrap();
        assert_eq!(
            text,
            "[4 bytes before this are left out]\nat once\n\nno instant\n"
        );
    }
}
