//! What the tests with real containers share: a `peerlab` process under observation, and looks
//! at the engine that do not go through Peerlab.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};

/// Nothing that is waited for takes longer, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(240);
/// What the issue of leaving nothing behind allows after SIGKILL.
pub const GONE_WITHIN: Duration = Duration::from_secs(10);

/// A small experiment of all phases.
pub fn small() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/experiments/small.yaml")
}

/// A `peerlab run` under observation.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    /// Everything it wrote to stderr so far.
    pub said: String,
    /// Its name on the engine, once it is known.
    pub run: String,
    /// Its own folder: run directory inside.
    pub folder: tempfile::TempDir,
}

impl Running {
    /// Starts a run of an experiment; its record goes to `record` in a folder of its own.
    pub fn start(experiment: &Path) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("peerlab"))
            .args(["-v", "run", "--engine", "docker", "--out", "record"])
            .arg(experiment)
            .env_remove("RUST_LOG")
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Running {
            child,
            lines,
            said: String::new(),
            run: String::new(),
            folder,
        }
    }

    /// Waits until it says something that holds `text`.
    pub fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("never said {text:?}, but:\n{}", self.said);
            };
            self.note(&line);
            if line.contains(text) {
                return;
            }
        }
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "does not end:\n{}", self.said);
            std::thread::sleep(Duration::from_millis(20));
        };
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1)) {
            self.note(&line);
        }
        status
    }

    /// A file of the record.
    pub fn record(&self, name: &str) -> PathBuf {
        self.folder.path().join("record").join(name)
    }

    fn note(&mut self, line: &str) {
        if let Some((_, rest)) = line.split_once("run ")
            && let Some((run, _)) = rest.split_once(", seed")
        {
            self.run = run.to_owned();
        }
        self.said.push_str(line);
        self.said.push('\n');
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed assertion must not leave a run behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The engine, asked directly.
pub struct Engine {
    docker: Docker,
    runtime: tokio::runtime::Runtime,
}

impl Engine {
    /// The engine that the environment names.
    pub fn new() -> Engine {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        // The client wants a runtime even to be made.
        let docker = runtime.block_on(async { Docker::connect_with_defaults().unwrap() });
        Engine { docker, runtime }
    }

    /// Does something with the engine's client.
    pub fn block_on<T>(&self, work: impl AsyncFnOnce(&Docker) -> T) -> T {
        self.runtime.block_on(work(&self.docker))
    }

    /// Names of all containers of a run, in whatever state.
    pub fn containers(&self, run: &str) -> Vec<String> {
        assert!(!run.is_empty(), "the run's name is not known");
        let filter = [("label".to_owned(), vec![format!("peerlab.run={run}")])];
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filter.into())
            .build();
        let list = self.docker.list_containers(Some(options));
        let containers = self.runtime.block_on(list).unwrap();
        containers
            .into_iter()
            .flat_map(|c| c.names.unwrap_or_default())
            .collect()
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
