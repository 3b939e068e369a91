//! Networks that stay, as their user works with them: the same stories on every engine of real nodes.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test program uses a part of this, and what goes wrong here fails the test"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

use crate::processes::eventually;

/// A user with a folder for networks and one for records, and an engine.
pub struct User {
    engine: &'static str,
    folder: tempfile::TempDir,
    /// Set for each command.
    variables: Vec<(&'static str, String)>,
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
        User {
            engine,
            folder,
            variables: Vec::new(),
        }
    }

    /// The same whose commands have a variable in their environment.
    pub fn with(mut self, name: &'static str, value: &str) -> User {
        self.variables.push((name, value.to_owned()));
        self
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
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env_remove("RUST_LOG")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
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
        let (process, line, _) = self.begins(&format!("forward {port}"));
        let address = line.split(' ').next().unwrap().to_owned();
        (process, address)
    }

    /// Starts a command that goes on; gives its first line, and what reads the others.
    fn begins(&self, words: &str) -> (Child, String, BufReader<ChildStdout>) {
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "peerlab {words}: {line}");
        (process, line, out)
    }

    pub fn state_of(&self, node: &str) -> Value {
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
    let lines = user.says("logs --since 10m --json");
    let at = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["at"].as_str().map(str::to_owned)
    };
    let at: Vec<Option<String>> = lines.lines().map(at).collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{lines}");
    assert!(!at.is_empty());
    // But for what is written at that very moment.
    let now = user.says("logs --since 0s");
    assert!(now.lines().count() < lines.lines().count() / 2, "{now}");
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
    is_done_again(&user, &recorded);
}

/// What was recorded as `recorded.yaml` is done again, in virtual time and on the same engine, and holds.
fn is_done_again(user: &User, recorded: &str) {
    let again = user.says("run recorded.yaml --engine sim --out sim");
    assert!(again.contains("PASSED"), "{recorded}\n{again}");
    let engine = user.engine;
    let again = user.run(&format!("run recorded.yaml --engine {engine} --out again"));
    let said = String::from_utf8_lossy(&again.stdout);
    // A host that is too busy makes it inconclusive, though every expectation held.
    assert!(
        matches!(again.status.code(), Some(0 | 4)),
        "{recorded}\n{said}"
    );
    assert!(!said.contains("\n  FAILED "), "{recorded}\n{said}");
}

/// Nodes join and leave; the experiment that comes of it has them when they were there.
pub fn nodes_join_and_leave(engine: &'static str) {
    let user = User::of(engine);
    std::fs::write(
        user.path("two.yaml"),
        "name: two\nseed: 1\nphases: { warmup: 4s, settle: 10s }\n\
         nodes:\n  peers: { count: 3, hashpower: 1 }\n  miners: { count: 2, hashpower: 1 }\n\
         network: { latency: 20ms }\nledger: { block_interval: 4s }\n",
    )
    .unwrap();
    user.up("two.yaml --name lab --out record");
    user.says("wait --until up>=5 --timeout 60s");
    // Behind the nodes of another group, which keep their names and addresses.
    assert_eq!(user.says("add peers 2"), "join of peers-3, peers-4\n");
    user.says("wait --until up>=7 --timeout 60s");
    user.says("wait --until agreed --timeout 60s");
    let rows = user.tells("ps --json");
    let row = |name: &str| {
        let rows = rows.as_array().unwrap();
        rows.iter().find(|row| row["node"] == name).unwrap().clone()
    };
    assert_eq!(row("peers-4")["ip"], "10.0.0.7");
    assert_eq!(row("miners-1")["ip"], "10.0.0.5");
    assert!(row("peers-3")["tip"].is_object(), "{rows}");
    let status = user.tells("status --json");
    assert_eq!(
        (&status["nodes"], &status["nodes_up"]),
        (&7.into(), &7.into())
    );
    // One that joined is a node like any other.
    let log = user.says("logs peers-4");
    assert!(log.contains("peers-4 | "), "{log}");
    let peers = user.says("rpc peers-4 getconnectioncount");
    assert!(peers.trim().parse::<u32>().unwrap() >= 1, "{peers}");
    user.says("mine --by peers-3");
    user.says("wait --until agreed --timeout 60s");
    user.says("partition peers-4 miners-0 / rest");
    user.says("mine 2 --by peers-4");
    user.refused("wait --until agreed --timeout 2s", 1);
    user.says("heal");
    user.says("wait --until agreed --timeout 60s");

    user.says("freeze peers-3");
    assert_eq!(
        user.says("remove peers-3 miners-1"),
        "removal of miners-1, peers-3\n"
    );
    assert_eq!(user.state_of("peers-3"), "removed");
    let status = user.says("status");
    assert!(status.contains("5 of 5 up"), "{status}");
    assert!(status.contains("none in force"), "{status}");
    for (words, why) in [
        ("start peers-3", "`peers-3` was removed"),
        ("rpc miners-1 getblockcount", "`miners-1` was removed"),
        ("add peer", "there is no group `peer`"),
        ("add peers 0", "0 nodes cannot be added"),
        ("add peers 1000", "has got 2"),
        ("remove all", "cannot be left without a node"),
    ] {
        let said = user.refused(words, 2);
        assert!(said.contains(why), "{words}: {said}");
    }
    user.says("mine --by peers-0");
    user.says("wait --until agreed --timeout 60s");

    let recorded = user.says("record");
    std::fs::write(user.path("recorded.yaml"), &recorded).unwrap();
    user.says("down");
    let judged = user.run("report record");
    assert!(matches!(judged.status.code(), Some(0 | 4)), "{judged:?}");
    let report = std::fs::read_to_string(user.path("record/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["figures"]["without_effect"], serde_json::json!([]));
    assert_eq!(report["figures"]["deaths"], serde_json::json!([]));
    is_done_again(&user, &recorded);
}

/// What goes on until it is ended stays with the network that it began with, and ends with that.
pub fn what_goes_on_ends_with_its_network(engine: &'static str) {
    let user = User::of(engine);
    user.up("2 --name one");
    user.says("wait --until up>=2 --timeout 60s");
    let (logs, _, mut lines) = user.begins("logs -f");
    let (forwarding, address) = user.forwards("peers-1:18443");
    user.up("2 --name two");
    let answer = http(&address, r#"{"id":1,"method":"getblockcount","params":[]}"#);
    assert!(answer.contains("\"result\":"), "{answer}");
    user.says("mine -n one");
    // It has looked since.
    let mut line = String::new();
    assert_ne!(lines.read_line(&mut line).unwrap(), 0);
    user.says("down -n one");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    for process in [logs, forwarding] {
        let ended = process.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{errors}");
        assert!(errors.contains("one has ended"), "{errors}");
    }
    user.says("down");
}

/// What goes on until it is ended ends with whoever reads it.
pub fn what_nobody_reads_ends(engine: &'static str) {
    let user = User::of(engine);
    user.up("2 --name lab");
    user.says("wait --until up>=2 --timeout 60s");
    for words in ["logs -f", "watch --json"] {
        let (mut process, _, lines) = user.begins(words);
        drop(lines);
        let status = eventually(|| {
            // There is always something to say.
            user.says("mine");
            process.try_wait().unwrap()
        });
        assert!(status.success(), "{words}: {status}");
    }
    user.says("down");
}

/// Payments come at a rate, for a time.
pub fn payments_come_at_a_rate(engine: &'static str) {
    let user = User::of(engine);
    user.up("3 --name lab --out record");
    user.says("wait --until up>=3 --timeout 60s");
    let paid = user.tells("pay 20/s --for 2s --json");
    let count = paid["transactions"].as_array().unwrap().len();
    assert!((15..=70).contains(&count), "{paid}");
    for (words, why) in [
        ("pay 5/day", "is not a frequency"),
        ("pay 0/s", "pays nothing"),
        ("pay many", "is no number of payments"),
        ("pay 5 --for 2s", "`--for` needs a rate"),
    ] {
        let said = user.refused(words, 2);
        assert!(said.contains(why), "{words}: {said}");
    }
    user.says("down");
}

/// Our own image has no shell, which is told with what can be had instead.
pub fn a_node_without_a_shell_offers_its_rpc(engine: &'static str) {
    let user = User::of(engine);
    user.up("2 --name lab --out record");
    user.says("wait --until up>=2 --timeout 60s");
    let said = user.refused("shell peers-1", 2);
    assert!(said.contains("peers-1 has no shell"), "{said}");
    assert!(said.contains("peerlab rpc peers-1"), "{said}");
    user.says("kill peers-1");
    let said = user.refused("shell peers-1", 3);
    assert!(said.contains("it is not up"), "{said}");
    user.says("down");
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

/// Names are completed in a shell from what is up.
pub fn names_are_completed(engine: &'static str) {
    let user = User::of(engine);
    std::fs::write(user.path("script"), user.says("completions bash")).unwrap();
    let complete = |words: &str| {
        let script = format!(
            "source ./script; f=$(complete -p peerlab | sed 's/.* -F \\([^ ]*\\) .*/\\1/'); \
             COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             $f peerlab \"${{COMP_WORDS[COMP_CWORD]}}\" x; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let peerlab = user.command("");
        let program = Path::new(peerlab.get_program());
        let others = std::env::var("PATH").unwrap();
        let output = Command::new("bash")
            .args(["--norc", "-c", &script])
            .envs(
                peerlab
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .env(
                "PATH",
                format!("{}:{others}", program.parent().unwrap().display()),
            )
            .current_dir(user.path(""))
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let words: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
        words
    };
    // On a busy machine it gives up sooner than networks answer.
    let completes = |words: &str, all: &[&str]| {
        eventually(|| (complete(words) == all).then_some(()));
    };
    completes("peerlab partit", &["partition"]);
    completes("peerlab kill pee", &[]);
    user.up("3 --name lab");
    user.up("2 --name other");
    completes("peerlab status -n o", &["other"]);
    completes("peerlab kill peers-2", &["peers-2"]);
    completes(
        "peerlab partition peers-0 / peers-",
        &["peers-0", "peers-1", "peers-2"],
    );
    for command in ["capture", "remove", "shell"] {
        completes(
            &format!("peerlab {command} pe"),
            &["peers", "peers-0", "peers-1", "peers-2"],
        );
    }
    std::fs::create_dir_all(user.path("snapshots/kept")).unwrap();
    completes("peerlab up --from ke", &[]);
    std::fs::write(user.path("snapshots/kept/snapshot.json"), "").unwrap();
    completes("peerlab up --from ke", &["kept"]);
    user.says("add peers 1 -n lab");
    completes("peerlab kill peers-3", &["peers-3"]);
    user.says("remove peers-3 -n lab");
    completes("peerlab kill peers-3", &[]);
    user.says("down -n lab");
    user.says("down -n other");
}

/// Two nodes, of which half may send no more than so much.
fn pair(budget: &str) -> String {
    format!(
        "name: pair\nseed: 1\nphases: {{ warmup: 4s, settle: 6s }}\n\
         nodes: {{ peers: {{ count: 2, hashpower: 1 }} }}\nledger: {{ block_interval: 2s }}\n\
         expect: [{{ bandwidth: {{ p50: < {budget} }} }}]\n"
    )
}

/// A run whose network stays has the verdict, the reports and the exit code of any run, and can be looked at
/// and worked with until it is taken down.
pub fn the_network_of_a_run_is_kept(engine: &'static str) {
    let user = User::of(engine);
    std::fs::write(user.path("fails.yaml"), pair("1 B/s")).unwrap();
    std::fs::write(user.path("holds.yaml"), pair("50 MB/s")).unwrap();
    let run = |words: &str| user.run(&format!("run {words} --engine {engine}"));
    // Both streams are read to their end: whoever holds the network has given them up.
    let failed = run("fails.yaml --keep-on-failure --out failed");
    let said = String::from_utf8(failed.stdout).unwrap();
    let errors = String::from_utf8(failed.stderr).unwrap();
    // A host that is too busy makes it inconclusive; it stays then as well.
    assert!(
        matches!(failed.status.code(), Some(1 | 4)),
        "{said}{errors}"
    );
    assert!(said.contains("FAILED"), "{said}");
    assert!(errors.contains("pair stays up"), "{errors}");
    assert_eq!(user.says("ps").lines().count(), 3);
    user.says("wait --until agreed --timeout 60s");
    let height = || user.tells("status --json")["height"].as_u64().unwrap();
    let before = height();
    // Nobody mines any more but by hand.
    user.says("mine --by peers-0");
    let mined = before + 1;
    // Until they tell of the block, they agree on the one before.
    user.says(&format!("wait --until height>={mined} --timeout 60s"));
    user.says("wait --until agreed --timeout 60s");
    assert_eq!(height(), mined);
    user.says("kill peers-1");
    assert_eq!(user.state_of("peers-1")["down"]["how"], "kill");
    user.says("start peers-1");
    user.says("wait --until up>=2 --timeout 60s");
    let pay = user.refused("pay", 2);
    assert!(pay.contains("0 are left"), "{pay}");
    let record = user.refused("record", 2);
    assert!(record.contains("topology.yaml"), "{record}");
    // What was done afterwards does not change the verdict, which can be told again meanwhile.
    let report = std::fs::read_to_string(user.path("failed/report.json")).unwrap();
    let again = user.run("report failed");
    assert_eq!(again.status.code(), failed.status.code());
    let written = std::fs::read_to_string(user.path("failed/report.json")).unwrap();
    assert_eq!(written, report);
    let kept = std::fs::read_to_string(user.path("failed/kept.jsonl")).unwrap();
    assert!(kept.contains("\"event\":\"by_hand\""), "{kept}");
    // Its name is taken: told before anything is started.
    let taken = run("fails.yaml --keep --out second");
    let errors = String::from_utf8_lossy(&taken.stderr);
    assert_eq!(taken.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("a network `pair` is up already"),
        "{errors}"
    );
    assert!(!user.path("second").exists());
    let cleaned = user.says("clean --runs . --keep 0");
    assert!(
        cleaned.contains("left alone: ./failed: its network is up"),
        "{cleaned}"
    );
    user.says("down");
    assert_eq!(user.left(), Vec::<String>::new());
    let cleaned = user.says("clean --runs . --keep 0 --older-than 1d");
    assert_eq!(cleaned, "0 records of 0 B removed\n");
    user.refused("clean --runs .", 2);
    let cleaned = user.says("clean --runs . --keep 0 --dry-run");
    assert!(cleaned.starts_with("would remove ./failed, "), "{cleaned}");
    assert!(user.path("failed").exists());
    let cleaned = user.says("clean --runs . --keep 0");
    assert!(cleaned.starts_with("removed ./failed, "), "{cleaned}");
    assert!(!user.path("failed").exists() && user.path("fails.yaml").exists());

    // One that passes stays where that is asked for, and only there.
    let passed = run("holds.yaml --keep-on-failure --out passed");
    let errors = String::from_utf8_lossy(&passed.stderr).into_owned();
    assert!(matches!(passed.status.code(), Some(0 | 4)), "{errors}");
    assert_eq!(errors.contains("stays up"), passed.status.code() == Some(4));
    if passed.status.code() == Some(4) {
        user.says("down");
    }
    assert_eq!(user.left(), Vec::<String>::new());
    let kept = run("holds.yaml --keep --name other --out kept");
    assert!(matches!(kept.status.code(), Some(0 | 4)), "{kept:?}");
    assert_eq!(user.says("ps -n other").lines().count(), 3);
    user.says("down -n other");
}

/// Where no network can be kept that is said, and nothing is started.
pub fn a_network_that_cannot_be_kept_is_refused(engine: &'static str) {
    let user = User::of(engine);
    std::fs::write(user.path("pair.yaml"), pair("50 MB/s")).unwrap();
    let sim = user.refused("run pair.yaml --keep --engine sim", 2);
    assert!(sim.contains("a simulated network cannot be kept"), "{sim}");
    let set = user.refused("run pair.yaml --keep-on-failure --seeds 2", 2);
    assert!(set.contains("several runs cannot be kept"), "{set}");
    let name = user.refused("run pair.yaml --name x", 2);
    assert!(name.contains("--keep"), "{name}");
    std::fs::write(user.path("plan.json"), user.says("plan pair.yaml")).unwrap();
    let plan = user.refused(&format!("run plan.json --keep --engine {engine}"), 2);
    assert!(plan.contains("a plan cannot be kept"), "{plan}");
    assert!(!user.path("runs").exists());
    assert_eq!(user.left(), Vec::<String>::new());
}
