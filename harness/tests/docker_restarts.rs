//! A Docker Engine that ends or restarts under a network that is up. The engine is one of the test's own, with
//! a store of its own, which it starts and ends: this needs root, and `dockerd`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

#[path = "shared/networks.rs"]
mod networks_of;
#[path = "../gate/tests/shared/processes.rs"]
mod processes;
#[path = "shared/running.rs"]
mod running;
#[path = "docker_runs/support.rs"]
mod support;

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use bollard::query_parameters::ListVolumesOptions;
use bollard::{API_DEFAULT_VERSION, Docker};
use networks_of::User;
use processes::{all_gone, eventually, family, signal, state};
use support::Engine;

/// Seconds that the engine may take to answer: one that has gone is waited for half of that.
const ENGINE_TIMEOUT: &str = "16";
/// The same for the test's own questions.
const CLIENT_SECONDS: u64 = 120;

/// An engine of the test's own.
struct OwnEngine {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
}

impl OwnEngine {
    fn new() -> OwnEngine {
        let folder = tempfile::tempdir().unwrap();
        // Nothing of how this machine's own engine is set up.
        std::fs::write(folder.path().join("daemon.json"), "{}").unwrap();
        let mut engine = OwnEngine {
            folder,
            daemon: None,
        };
        engine.start();
        engine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn address(&self) -> String {
        format!("unix://{}", self.path("sock").display())
    }

    /// Starts it, and waits until it answers.
    fn start(&mut self) {
        eventually(|| {
            self.begin();
            UnixStream::connect(self.path("sock")).ok()?;
            // It listens before it can do anything.
            let answer = self.client();
            answer.block_on(async |docker| docker.version().await.ok())
        });
    }

    /// Has the daemon run. One that comes while the containerd before is just ending gives up, and is begun
    /// again.
    fn begin(&mut self) {
        let daemon = self.daemon.as_mut();
        if daemon.is_some_and(|daemon| daemon.try_wait().unwrap().is_none()) {
            return;
        }
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.path("log"))
            .unwrap();
        let mut daemon = Command::new("dockerd");
        for (option, name) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            daemon.arg(option).arg(self.path(name));
        }
        daemon
            .args(["--host", &self.address(), "--storage-driver", "vfs"])
            .args(["--bridge", "none", "--iptables=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.daemon = Some(daemon.spawn().unwrap());
    }

    /// A client that does not go through Peerlab.
    fn client(&self) -> Engine {
        let socket = self.path("sock").display().to_string();
        Engine::with(|| Docker::connect_with_unix(&socket, CLIENT_SECONDS, API_DEFAULT_VERSION))
    }

    /// Ends it by a signal.
    fn end(&mut self, how: &str) {
        if let Some(mut daemon) = self.daemon.take() {
            signal(daemon.id(), how);
            daemon.wait().unwrap();
        }
    }

    /// Containers, volumes, and this machine's processes for containers that are there.
    fn left(&self) -> Vec<String> {
        let client = self.client();
        let volumes = client.block_on(async |docker| {
            let options = None::<ListVolumesOptions>;
            docker.list_volumes(options).await.unwrap().volumes
        });
        let volumes = volumes.into_iter().flatten().map(|volume| volume.name);
        let mut left = client.of_all_runs();
        left.extend(volumes.chain(self.shims()));
        left
    }

    /// Command lines of the processes each of which has a container of this engine's under it.
    fn shims(&self) -> Vec<String> {
        let folder = self.path("exec").display().to_string();
        let lines = std::fs::read_dir("/proc").unwrap().filter_map(|process| {
            let line = std::fs::read(process.ok()?.path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&line).replace('\0', " "))
        });
        lines
            .filter(|line| line.contains("containerd-shim") && line.contains(&folder))
            .collect()
    }
}

/// Nothing of it stays, containerd included, which goes on where the engine was killed.
impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.end("TERM");
        let pid = std::fs::read_to_string(self.path("exec/containerd/containerd.pid"));
        if let Some(pid) = pid.ok().and_then(|pid| pid.trim().parse().ok())
            && state(pid).is_some()
        {
            signal(pid, "TERM");
            all_gone(&[pid]);
        }
        // What one that was killed had mounted, innermost last.
        let folder = self.folder.path().display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let mounted = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let ours: Vec<&str> = mounted.filter(|path| path.starts_with(&folder)).collect();
        for path in ours.iter().rev() {
            let unmounted = Command::new("umount").arg(path).status();
            assert!(unmounted.unwrap().success(), "{path}");
        }
    }
}

#[test]
fn a_network_ends_with_its_engine_and_is_removed_once_that_is_back() {
    let mut engine = OwnEngine::new();
    let user = User::of("docker")
        .with("DOCKER_HOST", &engine.address())
        .with("PEERLAB_ENGINE_TIMEOUT", ENGINE_TIMEOUT);
    for (how, is_back_at_once) in [
        ("TERM", true),
        ("TERM", false),
        ("KILL", true),
        ("KILL", false),
    ] {
        let holder = user.up("2 --name net");
        let all = family(holder);
        assert!(!engine.shims().is_empty());
        engine.end(how);
        if is_back_at_once {
            engine.start();
        }
        all_gone(&all);
        // Its name is free.
        assert_eq!(user.left(), ["net.ended"], "{how}");
        let said = user.refused("status", 2);
        assert!(said.contains("`net` ended by itself"), "{how}: {said}");
        assert!(said.contains("the fabric ended by itself"), "{how}: {said}");
        let may_be_left = said.contains("`peerlab clean`");
        assert!(may_be_left || is_back_at_once, "{how}: {said}");
        if !is_back_at_once {
            engine.start();
        }
        if may_be_left {
            user.says("clean");
        }
        user.refused("down", 2);
        eventually(|| engine.left().is_empty().then_some(()));
    }
}
