//! What the tests with real containers share: looks at the engine that do not go through Peerlab.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test program uses a part of this, and what goes wrong here fails the test"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};

use crate::running::Running;

/// What a killed harness leaves goes away in seconds, on an idle machine; this tells it only from what
/// stays.
pub const GONE_WITHIN: Duration = Duration::from_secs(100);

/// Exit codes of a run that nothing disturbed: all held, or the host was too busy to tell.
pub const UNDISTURBED: [Option<i32>; 2] = [Some(0), Some(4)];

/// Fails unless every expectation of the run's report held.
pub fn every_expectation_held(run: &Running) {
    let text = std::fs::read(run.record("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let verdicts = report["verdicts"].as_array().unwrap();
    assert!(!verdicts.is_empty());
    for verdict in verdicts {
        assert_eq!(verdict["status"], "held", "{verdict:#}");
    }
}

/// A small experiment of all phases.
pub fn small() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/experiments/small.yaml")
}

/// The engine, asked directly.
pub struct Engine {
    docker: Docker,
    runtime: tokio::runtime::Runtime,
}

impl Engine {
    /// The engine that the environment names.
    pub fn new() -> Engine {
        Engine::with(Docker::connect_with_defaults)
    }

    /// With the client of another.
    pub fn with(connect: impl FnOnce() -> Result<Docker, bollard::errors::Error>) -> Engine {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        // The client wants a runtime even to be made.
        let docker = runtime.block_on(async { connect().unwrap() });
        Engine { docker, runtime }
    }

    /// Does something with the engine's client.
    pub fn block_on<T>(&self, work: impl AsyncFnOnce(&Docker) -> T) -> T {
        self.runtime.block_on(work(&self.docker))
    }

    /// Names of all containers of a run, in whatever state.
    pub fn containers(&self, run: &str) -> Vec<String> {
        assert!(!run.is_empty(), "the run's name is not known");
        self.labelled(format!("peerlab.run={run}"))
    }

    /// Names of the containers of all runs.
    pub fn of_all_runs(&self) -> Vec<String> {
        self.labelled("peerlab.run".into())
    }

    fn labelled(&self, label: String) -> Vec<String> {
        let filter = [("label".to_owned(), vec![label])];
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filter.into())
            .build();
        let list = self.docker.list_containers(Some(options));
        let containers = match self.runtime.block_on(list) {
            // Podman's state of a container that is just ending is none that the client knows.
            Err(bollard::errors::Error::JsonDataError { message, .. }) => return vec![message],
            containers => containers.unwrap(),
        };
        containers
            .into_iter()
            .flat_map(|c| c.names.unwrap_or_default())
            .collect()
    }

    /// Names of a run's containers on which the engine runs a health check.
    pub fn checked_for_health(&self, run: &str) -> Vec<String> {
        let mut names = self.containers(run);
        names.retain(|name| {
            let state = self.inspect(name).state.unwrap();
            let health = state.health.and_then(|health| health.status);
            !matches!(
                health,
                None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE)
            )
        });
        names
    }

    /// Names of a run's containers that are in a network of the engine's, be it `none`.
    pub fn in_networks(&self, run: &str) -> Vec<String> {
        let mut names = self.containers(run);
        names.retain(|name| {
            let settings = self.inspect(name).network_settings.unwrap_or_default();
            !settings.networks.unwrap_or_default().is_empty()
        });
        names
    }

    fn inspect(&self, name: &str) -> ContainerInspectResponse {
        let options = None::<InspectContainerOptions>;
        let name = name.trim_start_matches('/');
        let inspect = self.docker.inspect_container(name, options);
        self.runtime.block_on(inspect).unwrap()
    }

    /// Names of the volumes that a run's fabric has; empty when it has gone.
    pub fn volumes(&self, run: &str) -> Vec<String> {
        let name = format!("peerlab-{run}-fabric");
        let inspect = self
            .docker
            .inspect_container(&name, None::<InspectContainerOptions>);
        let Ok(fabric) = self.runtime.block_on(inspect) else {
            return Vec::new();
        };
        let mounts = fabric.mounts.unwrap_or_default();
        mounts.into_iter().filter_map(|mount| mount.name).collect()
    }

    /// Whether a volume exists.
    pub fn has_volume(&self, name: &str) -> bool {
        self.runtime
            .block_on(self.docker.inspect_volume(name))
            .is_ok()
    }

    /// Waits until nothing of a run is left: container, volume or process.
    pub fn wait_until_gone(&self, run: &str, volumes: &[String], limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let mut left = self.containers(run);
            left.extend(volumes.iter().filter(|v| self.has_volume(v)).cloned());
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "left after {limit:?}: {left:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Command lines of this machine's processes that name a run.
pub fn processes_of(run: &str) -> Vec<String> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(run))
        .collect()
}
