//! Reaching the engine, and agreeing on the version of its API.

use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::http::uri::PathAndQuery;
use tokio::time::timeout;

use peerlab_core::error::{Error, Explain, Result};

/// Where the engine is.
const HOST_VARIABLE: &str = "DOCKER_HOST";
/// Where it is by default.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// How long the first answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Connects to the engine that `DOCKER_HOST` names, or to the one of this machine.
///
/// # Errors
/// When none answers there.
pub async fn connect() -> Result<Docker> {
    let host = host();
    let unreachable = || format!("no Docker Engine answers at {host}");
    let docker = Docker::connect_with_host(&host).or_environment(unreachable, &advice(&host))?;
    let version = match timeout(ANSWER_TIMEOUT, docker.version()).await {
        Ok(answer) => answer.or_environment(unreachable, &advice(&host))?,
        Err(_) => {
            return Err(Error::environment(
                unreachable(),
                format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
                advice(&host),
            ));
        }
    };
    let theirs = version.api_version.as_deref().and_then(parse_version);
    let theirs = theirs.ok_or_else(|| {
        let what = format!("what answers at {host} is no Docker Engine");
        Error::environment(what, "it tells no API version", advice(&host))
    })?;
    let ours = (
        API_DEFAULT_VERSION.major_version,
        API_DEFAULT_VERSION.minor_version,
    );
    let agreed = theirs.min(ours);
    tracing::debug!("engine at {host}: API {theirs:?}, ours {ours:?}, speaking {agreed:?}");
    let prefix = format!("/v{}.{}", agreed.0, agreed.1);
    // The client leaves the version out of its paths; an engine may refuse such requests, or
    // take them as its newest version.
    Ok(docker.with_request_modifier(move |request| with_prefix(request, &prefix)))
}

/// Whether the engine runs on this machine (or this process in a container of it).
pub fn is_local() -> bool {
    host().starts_with("unix://")
}

fn host() -> String {
    std::env::var(HOST_VARIABLE)
        .ok()
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| DEFAULT_HOST.to_owned())
}

fn advice(host: &str) -> String {
    let path = host.strip_prefix("unix://").unwrap_or_default();
    let exists = std::fs::metadata(path).is_ok();
    if exists {
        format!(
            "is the engine running, and may this user open {path}? (often: be in the group docker)"
        )
    } else {
        format!("start a Docker Engine, or say with {HOST_VARIABLE} where one is")
    }
}

fn parse_version(text: &str) -> Option<(usize, usize)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Puts the version before a path that has none.
fn with_prefix(mut request: BollardRequest, prefix: &str) -> BollardRequest {
    let path = request.uri().path_and_query().map(PathAndQuery::as_str);
    let path = path.unwrap_or("/");
    if has_version(path) {
        return request;
    }
    let mut parts = request.uri().clone().into_parts();
    if let Ok(prefixed) = format!("{prefix}{path}").parse() {
        parts.path_and_query = Some(prefixed);
        if let Ok(uri) = hyper::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

fn has_version(path: &str) -> bool {
    path.strip_prefix("/v")
        .and_then(|rest| rest.split('/').next())
        .is_some_and(|word| parse_version(word).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_gets_the_version_once() {
        let request = |uri: &str| {
            let body = bollard::body_full(Default::default());
            hyper::Request::builder().uri(uri).body(body).unwrap()
        };
        for (before, after) in [
            (
                "unix://2f/containers/json?all=1",
                "unix://2f/v1.41/containers/json?all=1",
            ),
            ("unix://2f/v1.41/info", "unix://2f/v1.41/info"),
            ("http://host:1/volumes", "http://host:1/v1.41/volumes"),
        ] {
            let prefixed = with_prefix(request(before), "/v1.41");
            assert_eq!(prefixed.uri().to_string(), after);
        }
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(parse_version("1.9") < parse_version("1.41"));
        assert_eq!(parse_version("podman"), None);
    }
}
