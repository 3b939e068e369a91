//! Podman in the place of a Docker Engine: each test starts the service of one, with a store of its own,
//! and ends it. It must be installed; as root, and for the user that `PEERLAB_ROOTLESS` names.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure")]

#[path = "shared/running.rs"]
mod running;
#[path = "docker_runs/support.rs"]
mod support;

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bollard::{API_DEFAULT_VERSION, Docker};
use running::Running;
use support::{Engine, GONE_WITHIN, UNDISTURBED, every_expectation_held, small};

/// Names the user whose Podman is taken where none is to be root's.
const USER_VARIABLE: &str = "PEERLAB_ROOTLESS";
/// How long the service may take to answer for the first time.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to end when asked to.
const END_LIMIT: Duration = Duration::from_secs(30);
/// What a Podman of root's gives to containers by default it may not give inside many containers and
/// virtual machines.
const CONFIGURATION: &str =
    "[containers]\ndefault_ulimits = ['nofile=4096:4096', 'nproc=4096:4096']\n";

/// A service of Podman.
struct Podman {
    service: Child,
    folder: tempfile::TempDir,
}

/// Somebody else than root.
struct User {
    id: u32,
    group: u32,
}

impl User {
    /// By the name that the environment has.
    fn find() -> User {
        let name = std::env::var(USER_VARIABLE).unwrap();
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
        let account = accounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields[0] == name).then(|| User {
                id: fields[2].parse().unwrap(),
                group: fields[3].parse().unwrap(),
            })
        });
        account.unwrap_or_else(|| panic!("{USER_VARIABLE} names {name}, who is not in /etc/passwd"))
    }
}

impl Podman {
    fn start(user: Option<User>) -> Podman {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        std::fs::write(place.join("containers.conf"), CONFIGURATION).unwrap();
        let mut command = Command::new("podman");
        for (option, name) in [
            ("--root", "root"),
            ("--runroot", "run"),
            ("--tmpdir", "tmp"),
        ] {
            command.arg(option).arg(place.join(name));
        }
        command.args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs"]);
        // The other runtime, crun, starts nothing where both versions of cgroups are mounted.
        command.arg("--runtime=runc");
        command
            .args(["system", "service", "--time=0"])
            .arg(format!("unix://{}", place.join("socket").display()))
            .current_dir(place)
            .env("CONTAINERS_CONF", place.join("containers.conf"))
            .env("HOME", place)
            .env("XDG_RUNTIME_DIR", place)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(place.join("log")).unwrap());
        if let Some(User { id, group }) = user {
            chown(place, Some(id), Some(group)).unwrap();
            // Root's own groups go with the user.
            command.uid(id).gid(group);
        }
        command.process_group(0);
        let service = command.spawn().unwrap();
        let podman = Podman { service, folder };
        podman.wait_for_answer();
        podman
    }

    fn wait_for_answer(&self) {
        let deadline = Instant::now() + START_LIMIT;
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < deadline, "does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn engine(&self) -> Engine {
        let socket = self.socket();
        let socket = socket.to_str().unwrap();
        Engine::with(|| Docker::connect_with_unix(socket, 60, API_DEFAULT_VERSION))
    }

    fn run(&self) -> Running {
        let host = format!("unix://{}", self.socket().display());
        Running::start_with(&small(), &[("DOCKER_HOST", &host)])
    }

    /// A whole run, and one whose harness is killed.
    fn carries_runs(&self) {
        let engine = self.engine();
        let mut run = self.run();
        let status = run.wait();
        assert!(
            UNDISTURBED.contains(&status.code()),
            "{}\n{}",
            run.said,
            self.log()
        );
        every_expectation_held(&run);
        assert_eq!(engine.containers(&run.run), Vec::<String>::new());

        let mut run = self.run();
        run.wait_for("phase faults");
        let volumes = engine.volumes(&run.run);
        assert!(!volumes.is_empty());
        run.signal("KILL");
        engine.wait_until_gone(&run.run, &volumes, GONE_WITHIN);
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Of a user who is not root it is a child of this process, which may end without it.
        let end = |pid: &str| Command::new("kill").args(["--", pid]).status();
        let group = format!("-{}", self.service.id());
        let _ = end(&group);
        let deadline = Instant::now() + END_LIMIT;
        while matches!(self.service.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.service.wait();
        // Of a user who is not root it keeps a process that holds the user's namespaces.
        let pause = self.folder.path().join("tmp/pause.pid");
        if let Ok(pid) = std::fs::read_to_string(pause) {
            let _ = end(pid.trim());
        }
    }
}

#[test]
fn runs_of_root() {
    Podman::start(None).carries_runs();
}

#[test]
fn runs_of_a_user() {
    Podman::start(Some(User::find())).carries_runs();
}
