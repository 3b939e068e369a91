//! Networks that stay, as their user works with them: the same stories on every engine of real nodes.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test program uses a part of this, and what goes wrong here fails the test"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A user with a folder for networks and one for records, and an engine.
pub struct User {
    engine: &'static str,
    folder: tempfile::TempDir,
}

impl User {
    pub fn of(engine: &'static str) -> User {
        let folder = tempfile::tempdir().unwrap();
        // As a system makes it at login.
        use std::os::unix::fs::DirBuilderExt as _;
        let runtime = folder.path().join("runtime");
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(runtime)
            .unwrap();
        User { engine, folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is left in the folder of networks.
    pub fn left(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path("runtime/peerlab")) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("peerlab"));
        command
            .args(words.split_whitespace())
            .env("XDG_RUNTIME_DIR", self.path("runtime"))
            .env_remove("RUST_LOG")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// What a command prints that succeeds.
    pub fn says(&self, words: &str) -> String {
        let output = self.run(words);
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "peerlab {words}: {said}{errors}");
        said
    }

    /// The same as JSON.
    pub fn tells(&self, words: &str) -> Value {
        serde_json::from_str(&self.says(words)).unwrap()
    }

    /// What a command says that fails in this way.
    pub fn refused(&self, words: &str, code: i32) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "peerlab {words}: {said}");
        said
    }

    /// Brings a network up and gives the process that holds it.
    pub fn up(&self, words: &str) -> u32 {
        let engine = self.engine;
        let up = self.tells(&format!("up {words} -d --json --engine {engine}"));
        up["pid"].as_u64().unwrap() as u32
    }

    /// Forwards a port in a node; gives the process and the address here.
    fn forwards(&self, port: &str) -> (Child, String) {
        let mut command = self.command(&format!("forward {port}"));
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let out = process.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let address = line.split(' ').next().unwrap().to_owned();
        (process, address)
    }

    fn state_of(&self, node: &str) -> Value {
        let rows = self.tells("ps --json");
        let rows = rows.as_array().unwrap();
        let row = rows.iter().find(|row| row["node"] == node);
        row.unwrap()["state"].clone()
    }
}

/// Whatever a test left up ends, also where it failed.
impl Drop for User {
    fn drop(&mut self) {
        let all = self.run("ps --all --json").stdout;
        let all: Vec<Value> = serde_json::from_slice(&all).unwrap_or_default();
        for network in all {
            if let Some(name) = network["name"].as_str() {
                self.run(&format!("down -n {name}"));
            }
        }
    }
}

/// What a node's RPC answers over plain HTTP.
fn http(address: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic cGVlcmxhYjpwZWVybGFi\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Six nodes are worked with by hand; what was done becomes an experiment that holds.
pub fn a_network_is_worked_with_and_becomes_an_experiment(engine: &'static str) {
    let user = User::of(engine);
    user.up("6 --name lab --out record");
    let said = user.says("ps");
    assert_eq!(said.lines().count(), 7, "{said}");
    assert!(said.starts_with("NODE"), "{said}");
    user.says("wait --until up>=6 --timeout 60s");
    user.says("wait --until peers>=1 --timeout 60s");

    let mined = user.tells("mine 2 --by peers-0 --json");
    assert_eq!(mined["blocks"].as_array().unwrap().len(), 2);
    user.says("wait --until height>=1 --timeout 60s");
    user.says("wait --until agreed --timeout 60s");
    let count = user.says("rpc peers-3 getblockcount");
    assert!(count.trim().parse::<u32>().unwrap() >= 2, "{count}");
    let paid = user.tells("pay 3 --json");
    assert_eq!(paid["transactions"].as_array().unwrap().len(), 3);

    // A program outside talks to a node inside.
    let (mut forwarding, address) = user.forwards("peers-3:18443");
    let answer = http(&address, r#"{"id":1,"method":"getblockcount","params":[]}"#);
    assert!(answer.contains("\"result\":"), "{answer}");
    forwarding.kill().unwrap();
    forwarding.wait().unwrap();
    let refused = user.refused("forward peers-3:9", 3);
    assert!(
        refused.contains("takes no connection at port 9"),
        "{refused}"
    );
    let log = user.says("logs peers-0 peers-1");
    assert!(
        log.contains("peers-0 | ") && log.contains("peers-1 | "),
        "{log}"
    );
    assert!(!log.contains("peers-2 | "), "{log}");
    assert_eq!(user.says("logs --grep no-node-writes-this"), "");
    let version = user.says("exec peers-3 /peerlab-node -version");
    assert!(!version.trim().is_empty());

    let said = user.says("partition peers-0 peers-1 / rest");
    assert_eq!(said, "partition of 2 | 4 nodes\n");
    // Each side has blocks of its own, and one more.
    user.says("mine --by peers-0");
    user.says("mine 2 --by peers-5");
    let refused = user.refused("wait --until agreed --timeout 2s", 1);
    assert!(
        refused.contains("`agreed` did not hold within 2 s"),
        "{refused}"
    );
    let status = user.tells("status --json");
    assert_eq!(status["branches"].as_array().unwrap().len(), 2, "{status}");
    assert_eq!(status["faults"].as_array().unwrap().len(), 1);
    assert_eq!(user.says("heal"), "1 fault ended\n");
    user.says("wait --until agreed --timeout 60s");

    for (how, back) in [
        ("kill", "start peers-4"),
        ("freeze", "start peers-4"),
        ("replace", "start peers-4"),
        ("vanish", "heal --all"),
        ("stop", "start all"),
    ] {
        user.says(&format!("{how} peers-4"));
        let state = user.state_of("peers-4");
        assert_eq!(state["down"]["how"], how, "{state}");
        if back.ends_with("all") && back.starts_with("start") {
            // Those that are up are told.
            user.refused(back, 3);
        } else {
            user.says(back);
        }
        user.says("wait --until up>=6 --timeout 60s");
    }
    user.says("kill peers-2 --for 1s");
    user.says("shape peers-1 loss=1% delay=20ms");
    user.says("slow peers-1 cpu=50%");
    assert_eq!(user.says("heal"), "2 faults ended\n");
    user.says("wait --until up>=6 --timeout 60s");
    user.says("mine");
    user.says("wait --until agreed --timeout 60s");

    let recorded = user.says("record");
    std::fs::write(user.path("recorded.yaml"), &recorded).unwrap();
    let down = user.says("down");
    assert!(down.starts_with("lab is down; its record is in "), "{down}");
    assert_eq!(user.left(), Vec::<String>::new());
    // It is judged as any run is.
    let judged = user.run("report record");
    assert!(matches!(judged.status.code(), Some(0 | 4)), "{judged:?}");
    let report = std::fs::read_to_string(user.path("record/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["figures"]["without_effect"], serde_json::json!([]));
    assert_eq!(report["figures"]["partitions"].as_array().unwrap().len(), 1);
    let again = user.refused("replay record", 2);
    assert!(again.contains("never ends"), "{again}");
    // And done again: in virtual time at once.
    let again = user.says("run recorded.yaml --engine sim --out sim");
    assert!(again.contains("PASSED"), "{recorded}\n{again}");
    let again = user.run(&format!("run recorded.yaml --engine {engine} --out again"));
    let said = String::from_utf8_lossy(&again.stdout);
    // A host that is too busy makes it inconclusive, though every expectation held.
    assert!(
        matches!(again.status.code(), Some(0 | 4)),
        "{recorded}\n{said}"
    );
    assert!(!said.contains("\n  FAILED "), "{recorded}\n{said}");
}

/// What is wrong is told, with the exit code of bad input, and changes nothing.
pub fn mistakes_are_told(engine: &'static str) {
    let user = User::of(engine);
    let none = user.refused("ps", 2);
    assert!(none.contains("no network is up"), "{none}");
    user.up("3 --name one --out one");
    let taken = user.refused(&format!("up 3 --name one --engine {engine}"), 2);
    assert!(taken.contains("a network `one` is up already"), "{taken}");
    user.up("2 --name two --out two");
    let which = user.refused("status", 2);
    assert!(which.contains("one and two"), "{which}");
    let unknown = user.refused("status -n three", 2);
    assert!(unknown.contains("no network `three` is up"), "{unknown}");
    let node = user.refused("kill -n one peers-9", 2);
    assert!(node.contains("unknown node `peers-9`"), "{node}");
    let node = user.refused("rpc -n one peers 0 getblockcount", 2);
    assert!(node.contains("is not one node"), "{node}");
    let method = user.refused("rpc -n one peers-0 getnothing", 1);
    assert!(method.contains("peers-0 refuses `getnothing`"), "{method}");
    let until = user.refused("wait -n one --until happy", 2);
    assert!(until.contains("write `agreed`"), "{until}");
    let shape = user.refused("shape -n one peers-0 loss=lots", 2);
    assert!(shape.contains("is not"), "{shape}");
    let start = user.refused("start -n one peers-0", 3);
    assert!(start.is_empty(), "{start}");
    let names = user.tells("ps --all --json");
    let names: Vec<&str> = names
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["one", "two"]);
    user.says("down -n one");
    // The only one left need not be named.
    user.says("down");
    assert_eq!(user.left(), Vec::<String>::new());
}
