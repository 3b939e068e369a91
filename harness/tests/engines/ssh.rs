//! Engines at the other end of ssh, which is a script here.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::fake_engine::FakeEngine;
use crate::{does_not_reach, reaches, write_context};

/// Puts a program `ssh` first where programs are looked for; gives the `PATH`.
fn fake_ssh(folder: &Path, script: &str) -> String {
    let program = folder.join("ssh");
    let log = folder.join("called");
    let text = format!(
        "#!/bin/bash\necho \"$*\" >> '{}'\n{script}\n",
        log.display()
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

#[test]
fn an_engine_is_reached_by_one_connection_of_ssh() {
    let engine = FakeEngine::plain();
    let folder = tempfile::tempdir().unwrap();
    write_context(folder.path(), "far", "ssh://me@far.example:2222");
    let pass_on = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{}; cat <&3 & cat >&3; kill $!",
        engine.port
    );
    let path = fake_ssh(folder.path(), &pass_on);
    reaches(folder.path(), &[("DOCKER_CONTEXT", "far"), ("PATH", &path)]);
    assert!(engine.heads().len() >= 2, "{:?}", engine.heads());
    let called = std::fs::read_to_string(folder.path().join("called")).unwrap();
    assert_eq!(
        called,
        "-o BatchMode=yes -o ConnectTimeout=20 -T -l me -p 2222 -- far.example \
         docker system dial-stdio\n"
    );
}

#[test]
fn what_ssh_says_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = fake_ssh(
        folder.path(),
        "echo 'me@far: Permission denied' >&2; exit 255",
    );
    let said = does_not_reach(
        folder.path(),
        &[("DOCKER_HOST", "ssh://me@far"), ("PATH", &path)],
    );
    for words in [
        "no Docker Engine answers at ssh://me@far",
        "DOCKER_HOST names this engine",
        "me@far: Permission denied",
        "ssh far docker version",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
