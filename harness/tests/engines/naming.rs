//! The engine that is named is taken, or none.

use crate::fake_engine::FakeEngine;
use crate::{does_not_reach, peerlab, reaches, write_context};

/// A port that nobody listens on: of the lowest.
const NOBODY: &str = "tcp://127.0.0.1:1";
const EXPERIMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/experiments/small.yaml");

#[test]
fn a_host_counts_before_a_context_and_that_before_the_current_one() {
    let engine = FakeEngine::plain();
    let settings = tempfile::tempdir().unwrap();
    write_context(settings.path(), "here", &engine.host());
    write_context(settings.path(), "gone", NOBODY);
    let current = r#"{"currentContext":"gone"}"#;
    std::fs::write(settings.path().join("config.json"), current).unwrap();
    reaches(
        settings.path(),
        &[("DOCKER_HOST", &engine.host()), ("DOCKER_CONTEXT", "gone")],
    );
    reaches(settings.path(), &[("DOCKER_CONTEXT", "here")]);
    let said = does_not_reach(settings.path(), &[]);
    assert!(said.contains("the current context gone"), "{said}");
    let said = does_not_reach(settings.path(), &[("DOCKER_CONTEXT", "lost")]);
    assert!(
        said.contains("cannot use the Docker context lost"),
        "{said}"
    );
}

#[test]
fn no_other_engine_is_taken_for_the_one_that_is_named() {
    let settings = tempfile::tempdir().unwrap();
    for engine in ["auto", "real", "docker"] {
        let arguments = ["run", "--engine", engine, "--out", "record", EXPERIMENT];
        let output = peerlab(settings.path(), &[("DOCKER_HOST", NOBODY)], &arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(
            said.contains("DOCKER_HOST names this engine, and no other"),
            "{said}"
        );
        assert!(!settings.path().join("record").exists());
    }
}
