//! The test's end: a socket that a gate connects to, and a gate started in fresh namespaces.

use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::processes::{children, eventually};
use peerlab_link::NodeId;
use peerlab_link::proto::{
    FromGate, GATE_MESSAGE_BYTES_MAX, ProcessOp, SECRET_BYTES, Secret, Seen, ToGate, decode, encode,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};

/// Guard against hanging: nothing here takes a hundredth of it.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What an engine sends to the gate.
pub const SECRET: [u8; SECRET_BYTES] = *b"of this run only";
/// The node's address.
pub const NODE_IP: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 3);

/// A node under test: a folder, a socket to listen on, and (once started) a gate.
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub listener: OwnedFd,
}

impl Bench {
    pub fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let listener = listen(&folder.path().join("fabric.sock"));
        // Programs of another user write their findings here.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path().join("data"), open).unwrap();
        Bench { folder, listener }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A gate of node 7 that runs `script` in a shell, with further gate options.
    pub fn gate(&self, options: &[&str], script: &str) -> Gate {
        self.gate_of(options, &["/bin/sh", "-c", script])
    }

    /// A gate of node 7 that runs a command.
    pub fn gate_of(&self, options: &[&str], command: &[&str]) -> Gate {
        let process = spawn(
            &self.folder.path().join("fabric.sock"),
            &[],
            options,
            command,
        );
        self.met(process)
    }

    /// As [`Bench::gate`], after a shell command in the new namespaces has prepared them.
    pub fn gate_after(&self, prepare: &str, script: &str) -> Gate {
        let before = [
            "/bin/sh",
            "-c",
            &format!("set -e\n{prepare}\nexec \"$@\""),
            "sh",
        ];
        let socket = self.folder.path().join("fabric.sock");
        let process = spawn(&socket, &before, &[], &["/bin/sh", "-c", script]);
        self.met(process)
    }

    /// Waits for the gate's connection.
    pub fn met(&self, process: Child) -> Gate {
        Gate {
            process,
            socket: Some(self.accept()),
        }
    }

    /// Closes a gate's connection, and waits for its next.
    pub fn meet_again(&self, gate: &mut Gate) {
        gate.hang_up();
        gate.socket = Some(self.accept());
    }

    fn accept(&self) -> OwnedFd {
        ready(&self.listener);
        rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC).unwrap()
    }

    /// A shell script whose whole output becomes the findings `name`, at once.
    pub fn find(&self, name: &str, script: &str) -> String {
        let path = self.path(name);
        let path = path.display();
        format!("({script}) > {path}.part 2>&1; mv {path}.part {path}")
    }

    /// What the program wrote, once it is there.
    pub fn findings(&self, name: &str) -> String {
        let path = self.path(name);
        eventually(|| {
            std::fs::read_to_string(&path)
                .ok()
                .filter(|t| t.ends_with('\n'))
        })
    }
}

/// A listening socket like the fabric's.
pub fn listen(path: &Path) -> OwnedFd {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    rustix::net::listen(&socket, 8).unwrap();
    socket
}

/// Starts a gate as PID 1 of fresh namespaces; `before` is a command that ends in the gate.
pub fn spawn(socket: &Path, before: &[&str], options: &[&str], command: &[&str]) -> Child {
    let mut gate = spawn_without_secret(socket, before, options, command);
    gate.stdin.take().unwrap().write_all(&SECRET).unwrap();
    gate
}

/// As [`spawn`]; nothing has come on its standard input yet.
pub fn spawn_without_secret(
    socket: &Path,
    before: &[&str],
    options: &[&str],
    command: &[&str],
) -> Child {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare
        .args([
            "--net",
            "--ipc",
            "--uts",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
        ])
        .args(["--mount-proc", "--"])
        .args(before)
        .arg(env!("CARGO_BIN_EXE_peerlab-gate"))
        .args(["--node", "7", "--socket"])
        .arg(socket)
        .args(options)
        .arg("--")
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program unshare (util-linux)")
}

/// A gate and the socket to it.
pub struct Gate {
    pub process: Child,
    socket: Option<OwnedFd>,
}

impl Gate {
    pub fn send(&self, message: &ToGate) {
        self.send_bytes(&encode(message));
    }

    pub fn send_bytes(&self, bytes: &[u8]) {
        let socket = self.socket.as_ref().unwrap();
        rustix::net::send(socket, bytes, SendFlags::NOSIGNAL).unwrap();
    }

    /// The next message and its descriptor; `None` when the gate is gone.
    pub fn receive(&self) -> Option<(FromGate, Option<OwnedFd>)> {
        let socket = self.socket.as_ref().unwrap();
        ready(socket);
        let mut bytes = vec![0; GATE_MESSAGE_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut receive = || {
            let flags = RecvFlags::CMSG_CLOEXEC;
            rustix::net::recvmsg(socket, &mut parts, &mut control, flags)
        };
        let packet = match receive() {
            // It ended without having read all; what it said before comes after this.
            Err(Errno::CONNRESET) => receive(),
            packet => packet,
        };
        let packet = packet.ok().filter(|p| p.bytes > 0)?;
        let mut descriptors: Vec<OwnedFd> = control
            .drain()
            .flat_map(|m| match m {
                RecvAncillaryMessage::ScmRights(fds) => fds.collect(),
                _ => Vec::new(),
            })
            .collect();
        assert!(descriptors.len() <= 1);
        Some((decode(&bytes[..packet.bytes]).unwrap(), descriptors.pop()))
    }

    /// The next message, which must come, without a descriptor.
    pub fn answer(&self) -> FromGate {
        let (message, descriptor) = self.receive().expect("the gate lives");
        assert!(descriptor.is_none(), "{message:?} with a descriptor");
        message
    }

    /// Leads the gate through its opening, up to the barrier, and gives its device.
    pub fn open(&self) -> OwnedFd {
        let node = NodeId(7);
        let secret = Secret(SECRET);
        assert_eq!(self.answer(), FromGate::Hello { node, secret });
        self.configure();
        match self.receive() {
            Some((FromGate::Tun, Some(tun))) => tun,
            other => panic!("{other:?} instead of a device\n{}", self.process.id()),
        }
    }

    /// Says what the node is to be.
    pub fn configure(&self) {
        self.send(&ToGate::Configure {
            ip: NODE_IP,
            prefix: 8,
            mtu: 1500,
        });
    }

    /// Opens the gate and lets it go; the device is kept open by what is returned.
    pub fn run(&self) -> OwnedFd {
        let tun = self.open();
        self.send(&ToGate::Go { run: true });
        tun
    }

    /// Gives an order, and everything that came up to its answer.
    pub fn order(&self, tag: u32, op: ProcessOp) -> (Vec<FromGate>, Result<Seen, String>) {
        self.send(&ToGate::Process { tag, op });
        self.answers_until_done(tag)
    }

    /// Gives an order, which must have its effect.
    pub fn obeys(&self, tag: u32, op: ProcessOp) {
        let (_, result) = self.order(tag, op);
        assert!(result.is_ok(), "{op:?}: {result:?}");
    }

    /// Everything that came up to the answer to an order.
    pub fn answers_until_done(&self, tag: u32) -> (Vec<FromGate>, Result<Seen, String>) {
        let mut before = Vec::new();
        loop {
            match self.answer() {
                FromGate::Done {
                    tag: answered,
                    result,
                } if answered == tag => {
                    return (before, result);
                }
                other => before.push(other),
            }
        }
    }

    /// Closes the socket, as a fabric that dies.
    pub fn hang_up(&mut self) {
        self.socket = None;
    }

    /// How the gate ended (`unshare` passes its exit code on), and what it said.
    pub fn ended(&mut self) -> (ExitStatus, String) {
        let status = eventually(|| self.process.try_wait().unwrap());
        let mut said = String::new();
        self.process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (status, said)
    }

    /// The gate's process, as the test's namespace numbers it.
    pub fn pid(&self) -> u32 {
        children(self.process.id())[0]
    }

    /// The node's program, likewise.
    pub fn program_pid(&self) -> u32 {
        let gate = self.pid();
        eventually(|| children(gate).first().copied())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // `--kill-child` takes the gate with it, and the gate its namespace.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until something can be read.
pub fn ready(source: &OwnedFd) {
    let timeout = Timespec {
        tv_sec: TIMEOUT.as_secs() as i64,
        tv_nsec: 0,
    };
    let count = poll(&mut [PollFd::new(source, PollFlags::IN)], Some(&timeout)).unwrap();
    assert!(count > 0, "nothing came");
}
