//! Images of others: brought in an archive, and exported from the engine for the local engine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use crate::foreign_image::{COMMAND, FOLDER, RUN_CONFIG, VOLUME, saved_image};
use crate::running::Running;
use crate::support::{Engine, UNDISTURBED, every_expectation_held, small};
use bollard::query_parameters::{ListImagesOptions, RemoveImageOptions};

/// The small experiment with peers of this image.
fn with_peers_of(folder: &Path, image: &str) -> PathBuf {
    let text = std::fs::read_to_string(small()).unwrap();
    let peers = format!("peers: {{ count: 2, image: '{image}', command: {COMMAND} }}");
    let file = folder.join("foreign.yaml");
    std::fs::write(&file, text.replace("peers: { count: 2 }", &peers)).unwrap();
    file
}

/// Runs it on the local engine.
fn run_locally(folder: &Path, image: &str) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin("peerlab"))
        .args(["run", "--engine", "local", "--out"])
        .arg(folder.join("record"))
        .arg(with_peers_of(folder, image))
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

/// Of the images that the engine has from archives, each test here looks for its own.
static ONE_ARCHIVE: Mutex<()> = Mutex::new(());

/// The image that the engine has from an archive; removed in the end.
struct LoadedImage<'a> {
    engine: &'a Engine,
    name: String,
}

impl LoadedImage<'_> {
    fn find(engine: &Engine) -> LoadedImage<'_> {
        let name = engine.block_on(async |docker| {
            let images = docker.list_images(None::<ListImagesOptions>).await.unwrap();
            let mut names = images.into_iter().flat_map(|image| image.repo_tags);
            names.find(|name| name.starts_with("peerlab/archive:"))
        });
        let name = name.unwrap();
        LoadedImage { engine, name }
    }
}

impl Drop for LoadedImage<'_> {
    fn drop(&mut self) {
        let options = None::<RemoveImageOptions>;
        self.engine.block_on(async |docker| {
            docker
                .remove_image(&self.name, options, None)
                .await
                .unwrap();
        });
    }
}

#[test]
fn programs_start_as_the_experiment_says() {
    let _alone = ONE_ARCHIVE.lock();
    crate::launched::programs_start_as_the_experiment_says("docker");
    let engine = Engine::new();
    drop(LoadedImage::find(&engine));
}

#[test]
fn an_archives_image_runs_on_the_engine_and_an_engines_image_without_it() {
    let _alone = ONE_ARCHIVE.lock();
    let folder = tempfile::tempdir().unwrap();
    saved_image(&folder.path().join("ledger.tar"), RUN_CONFIG);
    let engine = Engine::new();
    let mut run = Running::start(&with_peers_of(folder.path(), "oci:ledger.tar"));
    run.wait_for("phase faults");
    // The image has a check of its own, which would have the gate's rights.
    assert_eq!(engine.checked_for_health(&run.run), Vec::<String>::new());
    assert_eq!(engine.in_networks(&run.run), Vec::<String>::new());
    let status = run.wait();
    assert!(UNDISTURBED.contains(&status.code()), "{}", run.said);
    every_expectation_held(&run);

    // Now the engine has it, under a name.
    let image = LoadedImage::find(&engine);
    held(&run_locally(folder.path(), &image.name));
}

#[test]
fn a_network_of_a_foreign_image_is_saved() {
    let _alone = ONE_ARCHIVE.lock();
    let engine = Engine::new();
    let write = |file: &Path| saved_image(file, RUN_CONFIG);
    let command = COMMAND.replace("/data", FOLDER);
    crate::saved_networks::a_network_of_a_foreign_image_is_saved("docker", write, &command);
    let _image = LoadedImage::find(&engine);
}

#[test]
fn an_image_that_says_nothing_to_run_is_the_files_mistake() {
    let _alone = ONE_ARCHIVE.lock();
    let folder = tempfile::tempdir().unwrap();
    saved_image(&folder.path().join("ledger.tar"), "{}");
    let text = std::fs::read_to_string(small()).unwrap();
    let file = folder.path().join("foreign.yaml");
    let peers = "peers: { count: 2, image: 'oci:ledger.tar' }";
    std::fs::write(&file, text.replace("peers: { count: 2 }", peers)).unwrap();
    let engine = Engine::new();
    let mut run = Running::start(&file);
    let status = run.wait();
    let _image = LoadedImage::find(&engine);
    assert_eq!(status.code(), Some(2), "{}", run.said);
    let cause = "ledger.tar has neither an entrypoint nor a command";
    assert!(run.said.contains(cause), "{}", run.said);
}

/// Except in a file of its image, of which a container has no second copy: then that is said.
#[test]
fn a_node_is_replaced_wherever_it_keeps_its_data() {
    let _alone = ONE_ARCHIVE.lock();
    let folder = tempfile::tempdir().unwrap();
    saved_image(&folder.path().join("ledger.tar"), RUN_CONFIG);
    let engine = Engine::new();
    let mut loaded = None;
    let mut replace = |data: &str| {
        let file = with_peers_of(folder.path(), "oci:ledger.tar");
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace("/data", data);
        std::fs::write(&file, text.replace("kill: peers-0", "replace: peers-0")).unwrap();
        let mut run = Running::start(&file);
        let status = run.wait();
        loaded.get_or_insert_with(|| LoadedImage::find(&engine));
        let report = std::fs::read_to_string(run.record("report.json")).unwrap();
        (status.code(), report, run)
    };
    for data in [VOLUME, "/ledger", "/dev/shm"] {
        let (_, report, run) = replace(data);
        every_expectation_held(&run);
        assert!(!report.contains("had no effect"), "{data}: {report}");
        let log = std::fs::read_to_string(run.record("events.jsonl")).unwrap();
        let emptied = log.lines().find(|line| line.contains("emptied")).unwrap();
        assert!(!emptied.contains(r#""entries":0}"#), "{data}: {emptied}");
    }
    let (code, report, _) = replace(FOLDER);
    assert_eq!(code, Some(4), "{report}");
    let expected = "the wipe of peers-0 at 7 s (replace of peers-0 for 2s) had no effect: cannot restore \
                    /var/ledger/regtest/chain.redb";
    assert!(report.contains(expected), "{report}");
}
