//! The image of the harness itself, as many CI systems run it: static programs FROM scratch. It runs an
//! experiment with nothing of the host but the engine's socket and a folder, and no network, leaves
//! nothing, and simulates with no more than the folder.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

#[path = "shared/running.rs"]
mod running;
#[path = "docker_runs/support.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    BuildImageOptionsBuilder, CreateContainerOptions, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptions, StartContainerOptions, WaitContainerOptions,
};
use futures::StreamExt;
use support::{Engine, UNDISTURBED, small};

const IMAGE: &str = "peerlab/peerlab:test";

/// The image, removed in the end.
struct Image<'a>(&'a Engine);

impl Image<'_> {
    fn build(engine: &Engine) -> Image<'_> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let context = tempfile::tempdir().unwrap();
        let programs = Path::new(env!("CARGO_BIN_EXE_peerlab")).parent().unwrap();
        let made = Command::new(top.join("ci/release"))
            .arg("--context")
            .args([context.path(), programs])
            .status();
        assert!(made.unwrap().success());
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_dir_all(".", context.path()).unwrap();
        let tar = tar.into_inner().unwrap();
        engine.block_on(async |docker| {
            let options = BuildImageOptionsBuilder::default().t(IMAGE).build();
            let mut steps = docker.build_image(options, None, Some(bollard::body_full(tar.into())));
            while let Some(step) = steps.next().await {
                step.unwrap();
            }
        });
        Image(engine)
    }

    /// Runs the image with `arguments`, and a folder as its own; gives the exit code and what it said.
    fn run(&self, arguments: &[&str], folder: &Path, binds: &[String]) -> (i64, String) {
        let mut binds = binds.to_vec();
        binds.push(format!("{}:/work", folder.display()));
        let container = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            cmd: Some(arguments.iter().map(|it| (*it).to_owned()).collect()),
            host_config: Some(HostConfig {
                binds: Some(binds),
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        self.0.block_on(async |docker| {
            let id = docker.create_container(None::<CreateContainerOptions>, container);
            let id = id.await.unwrap().id;
            let started = docker.start_container(&id, None::<StartContainerOptions>);
            started.await.unwrap();
            let mut ended = docker.wait_container(&id, None::<WaitContainerOptions>);
            let code = match ended.next().await.unwrap() {
                Ok(ended) => ended.status_code,
                Err(bollard::errors::Error::DockerContainerWaitError { code, .. }) => code,
                Err(error) => panic!("{error}"),
            };
            let options = LogsOptionsBuilder::default()
                .stdout(true)
                .stderr(true)
                .build();
            let said = docker.logs(&id, Some(options));
            let said: Vec<String> = said.map(|line| line.unwrap().to_string()).collect().await;
            let options = RemoveContainerOptionsBuilder::default().force(true).build();
            docker.remove_container(&id, Some(options)).await.unwrap();
            (code, said.concat())
        })
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        self.0.block_on(async |docker| {
            let removed = docker.remove_image(IMAGE, None::<RemoveImageOptions>, None);
            let _ = removed.await;
        });
    }
}

/// The engine's socket, where it has one.
fn socket() -> Option<PathBuf> {
    match std::env::var("DOCKER_HOST") {
        Ok(host) => host.strip_prefix("unix://").map(PathBuf::from),
        Err(_) => Some(PathBuf::from("/var/run/docker.sock")),
    }
}

#[test]
fn it_needs_nothing_but_the_engines_socket() {
    let socket = socket().expect("this test hands the engine's socket to a container");
    let engine = Engine::new();
    let image = Image::build(&engine);
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(small(), folder.path().join("small.yaml")).unwrap();
    let run = |engine: &str, binds: &[String]| {
        let out = format!("of-{engine}");
        let arguments = ["-v", "run", "small.yaml", "--engine", engine, "--out", &out];
        let (code, said) = image.run(&arguments, folder.path(), binds);
        let junit = folder.path().join(out).join("junit.xml");
        assert!(junit.is_file(), "{code}: {said}");
        (i32::try_from(code).unwrap(), said)
    };
    let socket = format!("{}:/var/run/docker.sock", socket.display());
    let (code, said) = run("docker", &[socket]);
    assert!(UNDISTURBED.contains(&Some(code)), "{code}: {said}");
    assert!(said.contains("4 equal"), "{said}");
    let (_, run_of) = said.split_once("INFO run ").unwrap();
    let (run_of, _) = run_of.split_once(',').unwrap();
    assert_eq!(engine.containers(run_of), Vec::<String>::new());
    let (code, said) = run("sim", &[]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = image.run(&["version"], folder.path(), &[]);
    assert_eq!(
        (code, said),
        (0, format!("peerlab {}\n", env!("CARGO_PKG_VERSION")))
    );
}
