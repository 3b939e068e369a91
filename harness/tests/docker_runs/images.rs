//! Images of others: brought in an archive, and exported from the engine for the local engine.

use std::path::Path;
use std::process::{Command, Output};

use crate::foreign_image::{COMMAND, saved_image};
use crate::support::{Engine, small};
use bollard::query_parameters::{ListImagesOptions, RemoveImageOptions};

/// Runs the small experiment with peers of this image.
fn run(folder: &Path, engine: &str, image: &str) -> Output {
    let text = std::fs::read_to_string(small()).unwrap();
    let peers = format!("peers: {{ count: 2, image: '{image}', command: {COMMAND} }}");
    let file = folder.join("foreign.yaml");
    std::fs::write(&file, text.replace("peers: { count: 2 }", &peers)).unwrap();
    Command::new(assert_cmd::cargo::cargo_bin("peerlab"))
        .args(["run", "--engine", engine, "--out"])
        .arg(folder.join(format!("record-{engine}")))
        .arg(file)
        .env("XDG_CACHE_HOME", folder)
        .output()
        .unwrap()
}

fn held(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 4)), "{said}\n{errors}");
    assert_eq!(said.matches("\n  ok ").count(), 2, "{said}\n{errors}");
}

#[test]
fn an_archives_image_runs_on_the_engine_and_an_engines_image_without_it() {
    let folder = tempfile::tempdir().unwrap();
    saved_image(&folder.path().join("ledger.tar"));
    held(&run(folder.path(), "docker", "oci:ledger.tar"));

    // Now the engine has it, under a name.
    let engine = Engine::new();
    let name = engine.block_on(async |docker| {
        let images = docker.list_images(None::<ListImagesOptions>).await.unwrap();
        let mut names = images.into_iter().flat_map(|image| image.repo_tags);
        names.find(|name| name.starts_with("peerlab/archive:"))
    });
    let name = name.unwrap();
    held(&run(folder.path(), "local", &name));
    engine.block_on(async |docker| {
        let options = None::<RemoveImageOptions>;
        docker.remove_image(&name, options, None).await.unwrap()
    });
}
