//! The harness run from inside a container that has nothing but the engine's socket, as many CI
//! systems run it: static programs in an image FROM scratch, no host path, no network.

use std::path::{Path, PathBuf};
use std::process::Command;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    BuildImageOptionsBuilder, CreateContainerOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptions, StartContainerOptions, WaitContainerOptions,
};
use futures::StreamExt;

use crate::support::{Engine, small};

const SOCKET: &str = "/var/run/docker.sock";
const DOCKERFILE: &str = "FROM scratch\nCOPY . /\nENTRYPOINT [\"/peerlab\"]\n";

/// Builds the programs that run in nodes, as the harness does, and says where they are.
fn programs() -> Vec<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let names = ["peerlab-node", "peerlab-fabric", "peerlab-gate"];
    let built = Command::new(env!("CARGO"))
        .current_dir(workspace)
        .args(["build", "-q"])
        .args((!cfg!(debug_assertions)).then_some("--release"))
        .args(names.iter().flat_map(|name| ["-p", name]))
        .status()
        .unwrap();
    assert!(built.success());
    let peerlab = assert_cmd::cargo::cargo_bin("peerlab");
    let beside = |name: &&str| peerlab.with_file_name(name);
    let others: Vec<PathBuf> = names.iter().map(beside).collect();
    std::iter::once(peerlab).chain(others).collect()
}

/// A build context of the Dockerfile, the programs and the experiment.
fn context() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8], mode| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    add("Dockerfile", DOCKERFILE.as_bytes(), 0o644);
    add("small.yaml", &std::fs::read(small()).unwrap(), 0o644);
    for program in programs() {
        let name = program.file_name().unwrap().to_str().unwrap();
        add(name, &std::fs::read(&program).unwrap(), 0o755);
    }
    tar.into_inner().unwrap()
}

#[test]
fn the_harness_runs_inside_a_container_with_only_the_socket() {
    let engine = Engine::new();
    let name = format!("peerlab-test-{}", std::process::id());
    let (code, log) = engine.block_on(async |docker| {
        let build = BuildImageOptionsBuilder::default()
            .t(&name)
            .rm(true)
            .build();
        let mut steps = docker.build_image(build, None, Some(bollard::body_full(context().into())));
        while let Some(step) = steps.next().await {
            step.unwrap();
        }
        let command = ["-v", "run", "/small.yaml", "--engine", "docker"];
        let body = ContainerCreateBody {
            image: Some(name.clone()),
            cmd: Some(command.map(str::to_owned).to_vec()),
            host_config: Some(HostConfig {
                network_mode: Some("none".into()),
                binds: Some(vec![format!("{SOCKET}:{SOCKET}")]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        docker.create_container(Some(options), body).await.unwrap();
        docker
            .start_container(&name, None::<StartContainerOptions>)
            .await
            .unwrap();
        let waited = docker
            .wait_container(&name, None::<WaitContainerOptions>)
            .next()
            .await;
        let logs = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .build();
        let log: Vec<String> = docker
            .logs(&name, Some(logs))
            .map(|piece| piece.unwrap().to_string())
            .collect()
            .await;
        let remove = RemoveContainerOptionsBuilder::default().force(true).build();
        docker.remove_container(&name, Some(remove)).await.unwrap();
        docker
            .remove_image(&name, None::<RemoveImageOptions>, None)
            .await
            .unwrap();
        let code = match waited {
            Some(Ok(end)) => end.status_code,
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
            other => panic!("{other:?}"),
        };
        (code, log.concat())
    });
    assert!([0, 4].contains(&code), "exit code {code}\n{log}");
    assert!(log.contains("4 equal"), "{log}");
    let run = log.split_once("INFO run ").unwrap().1;
    let run = run.split_once(',').unwrap().0;
    assert_eq!(engine.containers(run), Vec::<String>::new());
}
