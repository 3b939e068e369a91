//! Which Docker Engine is taken, and how it is reached: the `peerlab` command against engines that are
//! made up here and know a handful of answers.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

mod authority;
#[path = "../../src/engine/docker/fake.rs"]
mod fake;
mod fake_engine;
mod naming;
mod pulling;
mod ssh;
mod tls;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What the environment may say of engines.
const VARIABLES: [&str; 5] = [
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
];

/// `peerlab` with the docker command's settings in a folder, and these variables.
fn peerlab(settings: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerlab"));
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command
        .args(arguments)
        .current_dir(settings)
        .env("DOCKER_CONFIG", settings)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Asks the engine for what runs have left, and expects an answer.
fn reaches(settings: &Path, variables: &[(&str, &str)]) {
    let output = peerlab(settings, variables, &["clean"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{variables:?}: {errors}");
    assert_eq!(output.stdout, b"no run has left anything\n");
}

/// As [`reaches`], of an engine that cannot be reached; gives what is said.
fn does_not_reach(settings: &Path, variables: &[(&str, &str)]) -> String {
    let output = peerlab(settings, variables, &["clean"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{variables:?}: {errors}");
    errors
}

/// Writes a context of this name into a folder of settings; gives the folder of its certificates.
fn write_context(settings: &Path, name: &str, host: &str) -> std::path::PathBuf {
    use sha2::{Digest as _, Sha256};
    let id = format!("{:x}", Sha256::digest(name));
    let contexts = settings.join("contexts");
    let meta = contexts.join("meta").join(&id);
    std::fs::create_dir_all(&meta).unwrap();
    let text =
        format!("{{\"Name\":\"{name}\",\"Endpoints\":{{\"docker\":{{\"Host\":\"{host}\"}}}}}}");
    std::fs::write(meta.join("meta.json"), text).unwrap();
    let certificates = contexts.join("tls").join(id).join("docker");
    std::fs::create_dir_all(&certificates).unwrap();
    certificates
}
