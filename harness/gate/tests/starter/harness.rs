//! The test's end of a starter.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::processes::family;
use peerlab_link::NodeId;
use peerlab_link::framing::{Deframer, frame};
use peerlab_link::proto::{SECRET_BYTES, Secret};
use peerlab_link::starter::{FromStarter, NodeSpec, STARTER_COMMAND, ToStarter};

/// Guard against hanging: nothing here takes a hundredth of it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A starter and the two sockets to it.
pub struct Starter {
    pub process: Child,
    socket: UnixStream,
    deframer: Deframer,
    fabric: BufReader<UnixStream>,
    /// Roots of images that [`Starter::set_up`] tells of.
    pub images: Vec<String>,
}

/// A static program of this package, or of its examples.
pub fn built(name: &str) -> String {
    let gate = PathBuf::from(env!("CARGO_BIN_EXE_peerlab-gate"));
    gate.with_file_name(name).to_str().unwrap().to_owned()
}

fn pair() -> (UnixStream, OwnedFd) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(TIMEOUT)).unwrap();
    (ours, theirs.into())
}

impl Starter {
    /// Starts a starter, without any message.
    pub fn spawn() -> Starter {
        Starter::run(Command::new(env!("CARGO_BIN_EXE_peerlab-gate")))
    }

    /// As [`Starter::spawn`], on a machine that a shell command has changed, as root of a user
    /// and mount namespace of its own.
    pub fn spawn_after(prepare: &str) -> Starter {
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c"])
            .arg(format!("set -e\n{prepare}\nexec \"$@\""))
            .args(["sh", env!("CARGO_BIN_EXE_peerlab-gate")]);
        Starter::run(unshare)
    }

    /// Runs a command that ends in a starter.
    fn run(mut command: Command) -> Starter {
        let (socket, stdin) = pair();
        let (fabric, stdout) = pair();
        let process = command
            .arg(STARTER_COMMAND)
            .env("SECRET", "of the harness")
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let fabric = BufReader::new(fabric);
        Starter {
            process,
            socket,
            deframer: Deframer::new(),
            fabric,
            images: Vec::new(),
        }
    }

    /// Sets a starter up, or tries to; this very test is a program in its nodes.
    pub fn set_up(&mut self) -> FromStarter {
        let own = std::env::current_exe()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        self.tell(&ToStarter::Setup {
            fabric: built("examples/open_gates").into_bytes(),
            programs: vec![("probe".to_owned(), own.into_bytes())],
            images: self
                .images
                .iter()
                .cloned()
                .map(String::into_bytes)
                .collect(),
        });
        self.told()
    }

    /// A starter whose fabric listens.
    pub fn with_fabric() -> Starter {
        let mut starter = Starter::spawn();
        starter.start_fabric();
        starter
    }

    /// Sets it up, and waits until its fabric listens.
    pub fn start_fabric(&mut self) {
        let told = self.set_up();
        let FromStarter::Ready { pid } = told else {
            panic!("{told:?}");
        };
        // The inner starter, which is PID 1 of the namespace that it made.
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let numbers = status.lines().find(|line| line.starts_with("NSpid:"));
        assert_eq!(numbers, Some(format!("NSpid:\t{pid}\t1").as_str()));
        self.tell(&ToStarter::StartFabric);
        assert_eq!(self.told(), FromStarter::FabricStarted);
        assert_eq!(self.fabric_says(), "listening");
    }

    pub fn tell(&mut self, message: &ToStarter) {
        self.socket.write_all(&frame(message)).unwrap();
    }

    /// The next message, if the starter lives.
    pub fn told_or_end(&mut self) -> Option<FromStarter> {
        loop {
            if let Some(message) = self.deframer.next_message().unwrap() {
                return Some(message);
            }
            let mut bytes = [0; 4096];
            match self.socket.read(&mut bytes).unwrap() {
                0 => return None,
                count => self.deframer.push(&bytes[..count]),
            }
        }
    }

    pub fn told(&mut self) -> FromStarter {
        self.told_or_end().expect("the starter lives")
    }

    /// The fabric's next line.
    pub fn fabric_says(&mut self) -> String {
        let mut line = String::new();
        self.fabric.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Lets all gates go.
    pub fn go(&mut self) {
        self.fabric.get_mut().write_all(b"go\n").unwrap();
    }

    /// Has a node emptied and started again.
    pub fn wipe(&mut self, node: u32) {
        let line = format!("wipe {node}\n");
        self.fabric.get_mut().write_all(line.as_bytes()).unwrap();
    }

    /// Starts a node of this command, up to its open gate.
    pub fn open_node(&mut self, node: u32, command: &[&str]) {
        self.open(spec(node, command));
    }

    /// Starts a node, up to its open gate.
    pub fn open(&mut self, spec: NodeSpec) {
        let node = spec.node.0;
        self.tell(&ToStarter::StartNode(Box::new(spec)));
        assert_eq!(self.told(), FromStarter::NodeStarted { node: NodeId(node) });
        assert_eq!(
            self.fabric_says(),
            format!("open {node}"),
            "{}",
            self.log(node)
        );
    }

    /// What a node's log ends with.
    pub fn log(&mut self, node: u32) -> String {
        self.log_and_left_out(node).0
    }

    /// The same, and how many bytes of it are left out.
    pub fn log_and_left_out(&mut self, node: u32) -> (String, u64) {
        let node = NodeId(node);
        self.tell(&ToStarter::Log {
            node,
            bytes_max: 1 << 20,
        });
        match self.told() {
            FromStarter::Log {
                node: of,
                left_out,
                bytes,
                ..
            } if of == node => (String::from_utf8(bytes).unwrap(), left_out),
            other => panic!("{other:?}"),
        }
    }

    /// Closes the harness' end of the starter's socket.
    pub fn hang_up(&mut self) {
        self.socket.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// The starter and all processes under it.
    pub fn family(&self) -> Vec<u32> {
        family(self.process.id())
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A node to start.
pub fn spec(node: u32, command: &[&str]) -> NodeSpec {
    NodeSpec {
        node: NodeId(node),
        secret: Secret([7; SECRET_BYTES]),
        name: format!("node-{node}"),
        command: command.iter().map(|&c| c.to_owned()).collect(),
        memory_bytes: None,
        data_bytes_max: 32 << 20,
        image: None,
        env: Vec::new(),
        workdir: None,
        replaced: false,
    }
}
