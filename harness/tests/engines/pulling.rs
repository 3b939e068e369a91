//! What an engine is asked to pull, and with which credentials.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;

use crate::fake_engine::FakeEngine;
use crate::peerlab;

/// The head of the request to pull an image, which the engine refuses.
fn pull(settings: &Path, path: &str, image: &str) -> String {
    let engine = FakeEngine::plain();
    let said = run(&engine, settings, path, image);
    let expected = format!("cannot pull image {image}");
    assert!(said.contains(&expected), "{said}");
    let heads = engine.heads();
    let pull = heads.iter().find(|head| head.contains("/images/create"));
    pull.unwrap_or_else(|| panic!("{heads:?}")).clone()
}

/// What is said of a run with such an image, which cannot be.
fn run(engine: &FakeEngine, settings: &Path, path: &str, image: &str) -> String {
    let file = settings.join("small.yaml");
    let text = format!(
        "name: small\nseed: 1\nphases: {{ warmup: 1s, faults: 1s, settle: 6s }}\n\
         nodes:\n  miners: {{ count: 2, hashpower: 1 }}\n  others: {{ count: 1, image: '{image}' }}\n\
         network: {{ latency: 5ms, discovery: {{ mode: pure, bootstrap: 1 }} }}\n\
         ledger: {{ block_interval: 1s }}\nexpect:\n  - same_ledger: {{ at: end }}\n"
    );
    std::fs::write(&file, text).unwrap();
    for program in ["peerlab-node", "peerlab-fabric", "peerlab-gate"] {
        std::fs::write(settings.join(program), "").unwrap();
    }
    let out = image.replace(['/', ':'], "-");
    let arguments = ["run", "--engine", "docker", "--out", &out, "small.yaml"];
    let host = engine.host();
    let variables = [
        ("DOCKER_HOST", host.as_str()),
        ("PEERLAB_PROGRAMS", "."),
        ("PATH", path),
    ];
    let output = peerlab(settings, &variables, &arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    said
}

/// What the request says to log in with.
fn credentials(head: &str) -> serde_json::Value {
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("x-registry-auth: "));
    let line = line.unwrap_or_else(|| panic!("{head}"));
    let decoded = base64::engine::general_purpose::URL_SAFE.decode(line.trim());
    serde_json::from_slice(&decoded.unwrap()).unwrap()
}

#[test]
fn one_tag_is_pulled_with_the_credentials_of_its_registry() {
    let settings = tempfile::tempdir().unwrap();
    let folder = settings.path();
    // A password that is encoded with what a URL does not bear.
    let hub = base64::engine::general_purpose::STANDARD.encode("me:???>>>");
    let config = format!(
        r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{hub}"}}}},
            "credHelpers":{{"registry.example:5000":"test"}}}}"#
    );
    std::fs::write(folder.join("config.json"), config).unwrap();
    let helper = folder.join("docker-credential-test");
    let script = "#!/bin/sh\nread -r server || true\n\
                  echo \"{\\\"Username\\\":\\\"at $server\\\",\\\"Secret\\\":\\\"s\\\"}\"\n";
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());

    let head = pull(folder, &path, "redis");
    assert!(head.contains("fromImage=redis%3Alatest"), "{head}");
    let said = credentials(&head);
    assert_eq!(said["username"], "me");
    assert_eq!(said["password"], "???>>>");

    let head = pull(folder, &path, "registry.example:5000/ledger:2");
    assert!(
        head.contains("fromImage=registry.example%3A5000%2Fledger%3A2"),
        "{head}"
    );
    assert_eq!(credentials(&head)["username"], "at registry.example:5000");

    let head = pull(folder, &path, "other.example/ledger");
    assert!(!head.contains("x-registry-auth"), "{head}");

    // A helper that fails is no helper that knows nothing. (It reads what it is asked, as all do:
    // one that ends before is not written to, and what it says is not read.)
    let script = "#!/bin/sh\nread -r server || true\necho locked; exit 1\n";
    std::fs::write(&helper, script).unwrap();
    let said = run(
        &FakeEngine::plain(),
        folder,
        &path,
        "registry.example:5000/other",
    );
    assert!(
        said.contains("cannot log in at registry.example:5000"),
        "{said}"
    );
    assert!(said.contains("locked"), "{said}");
}
