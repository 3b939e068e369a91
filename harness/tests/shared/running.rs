//! A `peerlab` process under observation.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test program uses a part of this, and what goes wrong here fails the test"
)]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Nothing that is waited for takes longer, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(240);

/// A `peerlab run` under observation.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    /// Everything it wrote so far to what is a pipe: stderr, and stdout where that was asked for.
    pub said: String,
    /// Its name on the engine, once it is known.
    pub run: String,
    /// Its own folder: run directory inside.
    pub folder: tempfile::TempDir,
}

impl Running {
    /// Starts a run of an experiment with containers; its record goes to `record` in a folder of its
    /// own.
    pub fn start(experiment: &Path) -> Running {
        Running::start_with(experiment, &[])
    }

    /// As [`Running::start`], with these variables.
    pub fn start_with(experiment: &Path, variables: &[(&str, &str)]) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("peerlab"));
        command
            .args(["-v", "run", "--engine", "docker", "--out", "record"])
            .arg(experiment)
            .envs(variables.iter().copied())
            .current_dir(folder.path())
            .stdout(Stdio::null());
        Running::spawn(command, folder)
    }

    /// Runs a command that runs `peerlab`, with `-v`, for or in a folder.
    pub fn spawn(mut command: Command, folder: tempfile::TempDir) -> Running {
        let mut child = command
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stderr = child
            .stderr
            .take()
            .map(|stderr| Box::new(stderr) as Box<dyn Read + Send>);
        let stdout = child
            .stdout
            .take()
            .map(|stdout| Box::new(stdout) as Box<dyn Read + Send>);
        for stream in [stderr, stdout].into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
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
        let said = self.says(text);
        assert!(said, "never said {text:?}, but:\n{}", self.said);
    }

    /// As [`Running::wait_for`]; `false` where it ends without saying so.
    pub fn says(&mut self, text: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                return false;
            };
            self.note(&line);
            if line.contains(text) {
                return true;
            }
        }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
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
