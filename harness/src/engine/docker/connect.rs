//! Reaching the engine, and agreeing on the version of its API.

use std::error::Error as StdError;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;
use tokio::time::timeout;

use super::dial::{self, SshConnector};
use super::target::{Address, HOST_VARIABLE, Target};
use super::timeouts;
use peerlab_core::error::{Error, Result};

/// Credentials for a registry.
const CREDENTIALS_HEADER: &str = "x-registry-auth";

/// Connects to the engine that is meant, and to no other.
///
/// # Errors
/// When none answers there.
pub async fn connect() -> Result<Docker> {
    connect_to(&Target::find()?).await
}

/// Connects to an engine.
///
/// # Errors
/// When none answers there.
pub async fn connect_to(target: &Target) -> Result<Docker> {
    let ssh = match &target.address {
        Address::Ssh(ssh) => Some(SshConnector::new(ssh)),
        Address::Socket(_) | Address::Tcp(_) => None,
    };
    let docker = client(target, ssh.as_ref()).map_err(|e| no_answer(target, e))?;
    let version = match timeout(timeouts::first_answer(), docker.version()).await {
        Ok(answer) => answer.map_err(|e| no_answer(target, e)),
        Err(_) => {
            let cause = format!("no answer within {} s", timeouts::first_answer().as_secs());
            Err(no_answer(target, cause))
        }
    };
    let version = match (version, ssh) {
        (Err(error), Some(ssh)) => {
            let said = ssh.said().await;
            return Err(said.into_iter().fold(error, Error::because));
        }
        (version, _) => version?,
    };
    let theirs = version.api_version.as_deref().and_then(parse_version);
    let theirs = theirs.ok_or_else(|| {
        let what = format!("what answers at {} is no Docker Engine", target.address);
        Error::environment(what, "it tells no API version", advice(target))
    })?;
    let ours = (
        API_DEFAULT_VERSION.major_version,
        API_DEFAULT_VERSION.minor_version,
    );
    let agreed = theirs.min(ours);
    let address = &target.address;
    tracing::debug!("engine at {address}: API {theirs:?}, ours {ours:?}, speaking {agreed:?}");
    let prefix = format!("/v{}.{}", agreed.0, agreed.1);
    // The client leaves the version out of its paths; an engine may refuse such requests, or
    // take them as its newest version.
    Ok(docker
        .with_request_modifier(move |request| with_prefix(with_safe_credentials(request), &prefix)))
}

/// A client that has asked nothing yet.
fn client(target: &Target, ssh: Option<&SshConnector>) -> Result<Docker, Box<dyn StdError>> {
    let seconds = timeouts::answer().as_secs();
    Ok(match (&target.address, &target.tls, ssh) {
        (_, _, Some(ssh)) => ssh.client()?,
        (Address::Tcp(authority), Some(tls), None) => dial::by_tls(authority, tls)?,
        (Address::Socket(path), _, None) => {
            Docker::connect_with_unix(path, seconds, API_DEFAULT_VERSION)?
        }
        (address, _, None) => {
            Docker::connect_with_http(&address.to_string(), seconds, API_DEFAULT_VERSION)?
        }
    })
}

/// That the engine does not answer, and who said that it is this one.
fn no_answer(target: &Target, cause: impl Into<Box<dyn StdError>>) -> Error {
    let what = format!("no Docker Engine answers at {}", target.address);
    let error = Error::environment(what, cause, advice(target));
    match &target.named_by {
        Some(named_by) => error.because(format!(
            "{named_by} names this engine, and no other is taken for it; --engine local \
             and sim need none"
        )),
        None => error,
    }
}

fn advice(target: &Target) -> String {
    match &target.address {
        Address::Socket(path) if std::fs::metadata(path).is_ok() => format!(
            "is the engine running, and may this user open {path}? (often: be in the group docker)"
        ),
        Address::Socket(_) => format!(
            "start a Docker Engine, or say with {HOST_VARIABLE} or `docker context use` where one is"
        ),
        Address::Tcp(_) => {
            "is an engine listening there, with TLS as it is asked for here and its \
                            certificates? `docker version` must answer as well"
                .into()
        }
        Address::Ssh(ssh) => format!(
            "`ssh {} docker version` must answer without asking anything: which keys and hosts are \
             trusted is up to ssh",
            ssh.host
        ),
    }
}

/// The client encodes credentials with two characters that engines do not read there.
fn with_safe_credentials(mut request: BollardRequest) -> BollardRequest {
    if let Some(value) = request.headers_mut().get_mut(CREDENTIALS_HEADER)
        && let Ok(text) = value.to_str()
        && let Ok(safe) = HeaderValue::from_str(&text.replace('+', "-").replace('/', "_"))
    {
        *value = safe;
    }
    request
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
    fn credentials_are_encoded_as_engines_read_them() {
        let request = hyper::Request::builder()
            .header("X-Registry-Auth", "a+b/c=")
            .body(bollard::body_full(Default::default()));
        let safe = with_safe_credentials(request.unwrap());
        assert_eq!(safe.headers()[CREDENTIALS_HEADER], "a-b_c=");
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(parse_version("1.9") < parse_version("1.41"));
        assert_eq!(parse_version("podman"), None);
    }
}
