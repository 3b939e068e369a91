//! Engines that speak TLS.

use crate::authority::Authority;
use crate::fake_engine::FakeEngine;
use crate::{does_not_reach, reaches, write_context};

#[test]
fn certificates_that_the_variables_name_are_used_both_ways() {
    let authority = Authority::new();
    let engine = FakeEngine::tls(authority.engine());
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let host = engine.host();
    let variables = [
        ("DOCKER_HOST", host.as_str()),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", place),
    ];
    // Without an authority nothing can be verified.
    let said = does_not_reach(folder.path(), &variables);
    assert!(said.contains("ca.pem"), "{said}");
    // The engine wants to know who asks.
    authority.write(folder.path());
    does_not_reach(folder.path(), &variables);
    assert_eq!(engine.heads(), [""; 0]);
    authority.write_client(folder.path());
    reaches(folder.path(), &variables);

    // Somebody else's engine is not spoken to, unless that was asked for.
    Authority::new().write(folder.path());
    let asked = engine.heads().len();
    let said = does_not_reach(folder.path(), &variables);
    assert!(
        said.contains(&format!("no Docker Engine answers at {host}")),
        "{said}"
    );
    assert!(said.contains("DOCKER_HOST names this engine"), "{said}");
    assert_eq!(engine.heads().len(), asked);
    let unverified = [
        ("DOCKER_HOST", host.as_str()),
        ("DOCKER_TLS", "1"),
        ("DOCKER_CERT_PATH", place),
    ];
    reaches(folder.path(), &unverified);
}

#[test]
fn nothing_goes_out_in_plain_text_where_tls_was_asked_for() {
    let engine = FakeEngine::plain();
    let folder = tempfile::tempdir().unwrap();
    Authority::new().write(folder.path());
    let host = engine.host();
    let variables = [("DOCKER_HOST", host.as_str()), ("DOCKER_TLS_VERIFY", "1")];
    does_not_reach(folder.path(), &variables);
    assert_eq!(engine.heads(), [""; 0]);
    // The same engine answers to who does not ask for it.
    reaches(folder.path(), &variables[..1]);
}

#[test]
fn a_context_brings_its_certificates() {
    let authority = Authority::new();
    let engine = FakeEngine::tls(authority.engine());
    let settings = tempfile::tempdir().unwrap();
    let certificates = write_context(settings.path(), "safe", &engine.host());
    authority.write(&certificates);
    authority.write_client(&certificates);
    let current = r#"{"currentContext":"safe"}"#;
    std::fs::write(settings.path().join("config.json"), current).unwrap();
    reaches(settings.path(), &[]);
}
