//! Real daemons on loopback, on ports that the system chooses, each in a folder of its own; and
//! a small HTTP client to speak with them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Guards against hanging only; nothing here takes nearly as long.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at something that is not pushed.
const GLANCE: Duration = Duration::from_millis(20);

/// A running daemon; killed when dropped.
pub struct Node {
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
    folder: PathBuf,
    /// Where JSON-RPC answers.
    pub rpc: SocketAddr,
    p2p: Option<SocketAddr>,
}

/// Starts a daemon in this folder with these options besides the usual ones.
pub fn start(folder: &TempDir, options: &[&str]) -> Node {
    let mut child = command(folder, options)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (line_out, log) = mpsc::channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if line_out.send(line).is_err() {
                return;
            }
        }
    });
    let mut node = Node {
        child,
        log,
        seen: Vec::new(),
        folder: folder.path().to_owned(),
        rpc: SocketAddr::from(([127, 0, 0, 1], 0)),
        p2p: None,
    };
    node.rpc = node.logged("answering JSON-RPC on ");
    node
}

/// The command line of [`start`].
pub fn command(folder: &TempDir, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerlab-node"));
    command
        .arg(format!("-datadir={}", folder.path().display()))
        .args(["-bind=127.0.0.1", "-port=0", "-rpcport=0"])
        .args(options)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// A new folder.
pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

impl Node {
    /// The address behind these words in the log.
    fn logged(&mut self, words: &str) -> SocketAddr {
        loop {
            let line = self
                .log
                .recv_timeout(TIMEOUT)
                .unwrap_or_else(|_| panic!("no line with {words:?} in {:#?}", self.seen));
            let address = line
                .split_once(words)
                .map(|(_, address)| address.trim().parse().unwrap());
            self.seen.push(line);
            if let Some(address) = address {
                return address;
            }
        }
    }

    /// Where peers connect.
    pub fn p2p(&mut self) -> SocketAddr {
        if self.p2p.is_none() {
            self.p2p = Some(self.logged("listening for peers on "));
        }
        self.p2p.unwrap()
    }

    /// User and password of the cookie.
    pub fn cookie(&self) -> String {
        std::fs::read_to_string(self.folder.join("regtest/.cookie")).unwrap()
    }

    /// A call that must succeed; one that finds the node loading is repeated.
    pub fn call(&self, method: &str, params: Value) -> Value {
        let reply = self.ask(method, params);
        assert_eq!(reply["error"], Value::Null, "{method}");
        reply["result"].clone()
    }

    /// A call that must fail: code and message.
    pub fn fail(&self, method: &str, params: Value) -> (i64, String) {
        let error = self.ask(method, params)["error"].clone();
        (
            error["code"].as_i64().unwrap(),
            error["message"].as_str().unwrap().to_owned(),
        )
    }

    fn ask(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "1.0", "id": 1, "method": method, "params": params });
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let (_, reply) = post(self.rpc, Some(&self.cookie()), &body.to_string());
            let reply: Value = serde_json::from_str(&reply).unwrap();
            if reply["error"]["code"] != -28 {
                return reply;
            }
            assert!(Instant::now() < deadline, "still loading");
            std::thread::sleep(GLANCE);
        }
    }

    /// Waits for this height; returns the tip's hash.
    pub fn reach(&self, height: u64) -> Value {
        let tip = self.call(
            "waitforblockheight",
            json!([height, TIMEOUT.as_millis() as u64]),
        );
        assert_eq!(tip["height"], height);
        tip["hash"].clone()
    }

    /// Mines blocks to [`PAYOUT`]; returns their hashes.
    pub fn mine(&self, count: u64) -> Vec<Value> {
        let hashes = self.call("generatetoaddress", json!([count, PAYOUT]));
        hashes.as_array().unwrap().clone()
    }

    /// Waits until this holds.
    pub fn until(&self, what: &str, holds: impl Fn(&Node) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !holds(self) {
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::sleep(GLANCE);
        }
    }

    /// Connections that have shaken hands.
    pub fn peers(&self) -> usize {
        let peers = self.call("getpeerinfo", json!([]));
        let ready = |peer: &&Value| peer["version"].as_u64().is_some_and(|v| v > 0);
        peers.as_array().unwrap().iter().filter(ready).count()
    }

    /// SIGKILL; returns when it is dead.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pays to the witness script `OP_TRUE`, which everybody can spend.
pub const PAYOUT: &str = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85";

/// One HTTP request on a connection of its own: status and body.
pub fn post(to: SocketAddr, login: Option<&str>, body: &str) -> (u16, String) {
    let mut stream = connect(to);
    send(&mut stream, login, body, "close");
    read_reply(&mut BufReader::new(stream))
}

/// A connection that gives up after [`TIMEOUT`].
pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// Sends a request. `connection` is `close` or `keep-alive`.
pub fn send(stream: &mut TcpStream, login: Option<&str>, body: &str, connection: &str) {
    let login = login
        .map(|login| format!("Authorization: Basic {}\r\n", STANDARD.encode(login)))
        .unwrap_or_default();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: x\r\n{login}Content-Length: {}\r\nConnection: {connection}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
}

/// Reads a reply: status and body.
pub fn read_reply(stream: &mut BufReader<TcpStream>) -> (u16, String) {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (status, String::from_utf8(body).unwrap())
}
