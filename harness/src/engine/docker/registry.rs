//! Images in registries: which tag a name means, and how to log in for it, as the docker command has it.

use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential};

use peerlab_core::error::hint::BUG;
use peerlab_core::error::{Error, Explain, Result};

/// The registry of names that have none, as the docker configuration calls it.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// What helpers say that know of no credentials.
const NOT_FOUND: &str = "credentials not found";

/// A reference with the tag that it means: without any an engine pulls all that there are.
pub fn tagged(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains([':', '@']) {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

/// What the docker configuration, or the helper that it names, knows to log in with.
///
/// # Errors
/// When a helper fails.
pub async fn credentials(reference: &str) -> Result<Option<DockerCredentials>> {
    let registry = registry(reference);
    let server = registry.clone();
    // A helper is a program, which may ask a person.
    let found = tokio::task::spawn_blocking(move || get_credential(&server)).await;
    let found = match found.or_environment(|| "cannot ask for credentials".into(), BUG)? {
        Ok(found) => found,
        Err(
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError,
        ) => return Ok(None),
        Err(CredentialRetrievalError::HelperFailure { stdout, .. })
            if stdout.contains(NOT_FOUND) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(Error::environment(
                format!("cannot log in at {registry}"),
                error,
                "`docker login` writes what is needed; the helper is named in its config.json",
            ));
        }
    };
    let credentials = DockerCredentials {
        serveraddress: Some(registry),
        ..DockerCredentials::default()
    };
    Ok(Some(match found {
        DockerCredential::IdentityToken(token) => DockerCredentials {
            identitytoken: Some(token),
            ..credentials
        },
        DockerCredential::UsernamePassword(name, password) => DockerCredentials {
            username: Some(name),
            password: Some(password),
            ..credentials
        },
    }))
}

/// Where an image is pulled from, as the docker configuration calls it.
fn registry(reference: &str) -> String {
    match reference.split_once('/') {
        Some(("docker.io" | "index.docker.io", _)) => DOCKER_HUB.to_owned(),
        Some((host, _)) if host == "localhost" || host.contains(['.', ':']) => host.to_owned(),
        _ => DOCKER_HUB.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_its_latest_tag_and_docker_hub() {
        for (reference, meant, from) in [
            ("redis", "redis:latest", DOCKER_HUB),
            ("redis:7", "redis:7", DOCKER_HUB),
            ("me/redis", "me/redis:latest", DOCKER_HUB),
            (
                "docker.io/me/redis",
                "docker.io/me/redis:latest",
                DOCKER_HUB,
            ),
            ("localhost/a", "localhost/a:latest", "localhost"),
            ("host:5000/a/b", "host:5000/a/b:latest", "host:5000"),
            ("ghcr.io/a/b:1", "ghcr.io/a/b:1", "ghcr.io"),
            ("a@sha256:12", "a@sha256:12", DOCKER_HUB),
        ] {
            assert_eq!(tagged(reference), meant);
            assert_eq!(registry(reference), from);
        }
    }
}
