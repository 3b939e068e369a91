//! A node: a thread in a network namespace with a TUN device, which speaks as a gate does.

use std::fs::OpenOptions;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use peerlab_link::NodeId;
use peerlab_link::proto::{FromGate, NodeUsage, SOCKET_NAME, Seen, ToGate, decode, encode};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketType, connect, recvmsg, sendmsg, socket,
};

use super::namespace::{configure, enter_new, interface_request};
use super::secret;

/// The device's name in its namespace.
const DEVICE: &str = "peer0";

type Job = Box<dyn FnOnce() + Send>;

/// A gate's socket.
pub struct GateSocket(OwnedFd);

impl GateSocket {
    /// Connects to the fabric.
    pub fn connect(dir: &Path) -> GateSocket {
        let fd = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        connect(&fd, &SocketAddrUnix::new(dir.join(SOCKET_NAME)).unwrap()).unwrap();
        GateSocket(fd)
    }

    /// Sends bytes as one packet, perhaps with a descriptor.
    pub fn send_bytes(
        &self,
        bytes: &[u8],
        fd: Option<BorrowedFd<'_>>,
    ) -> rustix::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<_> = fd.into_iter().collect();
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        }
        let flags = SendFlags::NOSIGNAL;
        sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, flags)
    }

    pub fn send(&self, message: &FromGate, fd: Option<BorrowedFd<'_>>) {
        // The fabric may be gone already.
        let _ = self.send_bytes(&encode(message), fd);
    }

    /// Says that it is a node's gate, as that does.
    pub fn claim(&self, node: NodeId) {
        let secret = secret(node);
        self.send(&FromGate::Hello { node, secret }, None);
    }

    /// The next message; `None` at the end.
    pub fn receive(&self) -> Option<ToGate> {
        let mut bytes = [0u8; 64 << 10];
        let mut control = RecvAncillaryBuffer::new(&mut []);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let got = recvmsg(&self.0, &mut parts, &mut control, RecvFlags::empty()).ok()?;
        (got.bytes > 0).then(|| decode(&bytes[..got.bytes]).unwrap())
    }
}

/// See the module. Its device is gone when it is dropped.
pub struct Node {
    /// Its address.
    pub ip: Ipv4Addr,
    jobs: Sender<Job>,
    /// What the fabric said to its gate, but for dials, which are answered, and usage.
    pub told: Receiver<ToGate>,
    /// None where the node has no gate.
    socket: Option<Arc<GateSocket>>,
    ended: JoinHandle<()>,
}

impl Node {
    /// Opens a node; returns when its device has been passed to the fabric.
    pub fn open(dir: &Path, id: NodeId) -> Node {
        let dir: PathBuf = dir.into();
        let (jobs, jobs_receiver) = channel::<Job>();
        let (told_sender, told) = channel();
        let (ready_sender, ready) = channel();
        let thread = thread::Builder::new().name(format!("node-{id}"));
        let run = move || {
            enter_new();
            let socket = Arc::new(GateSocket::connect(&dir));
            socket.claim(id);
            let Some(ToGate::Configure { ip, prefix, mtu }) = socket.receive() else {
                panic!("the fabric does not want node {id}");
            };
            let tun = open_device(ip, prefix, mtu);
            socket.send(&FromGate::Tun, Some(tun.as_fd()));
            drop(tun);
            let gate = Arc::clone(&socket);
            thread::spawn(move || serve(&gate, &told_sender));
            ready_sender.send((ip, socket)).unwrap();
            for job in jobs_receiver {
                job();
            }
        };
        let ended = thread.spawn(run).unwrap();
        let (ip, socket) = ready.recv().expect("the node did not open");
        Node {
            ip,
            jobs,
            told,
            socket: Some(socket),
            ended,
        }
    }

    /// A node without fabric: a namespace with loopback. `ip` is what the caller will configure.
    pub fn bare(ip: Ipv4Addr) -> Node {
        let (jobs, jobs_receiver) = channel::<Job>();
        let ended = thread::spawn(move || {
            enter_new();
            for job in jobs_receiver {
                job();
            }
        });
        Node {
            ip,
            jobs,
            told: channel().1,
            socket: None,
            ended,
        }
    }

    /// Does something in the node's namespace, and returns its result. Threads that it starts are
    /// in the namespace too.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = channel();
        let job = Box::new(move || drop(sender.send(job())));
        self.jobs.send(job).expect("a job of this node panicked");
        receiver.recv().expect("the job panicked")
    }

    /// Does something in the node's namespace meanwhile.
    pub fn spawn<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.run(move || thread::spawn(job))
    }

    /// Speaks as the node's gate.
    pub fn say(&self, message: &FromGate) {
        self.socket.as_ref().unwrap().send(message, None);
    }

    /// The kernel's counters of the device: bytes received and sent.
    pub fn device_bytes(&self) -> (u64, u64) {
        self.run(|| {
            let device = device_counters();
            (device.rx_bytes, device.tx_bytes)
        })
    }

    /// Ends the node as a gate ends: its socket closes.
    pub fn close(self) {
        if let Some(socket) = &self.socket {
            rustix::net::shutdown(&socket.0, rustix::net::Shutdown::Both).unwrap();
        }
        drop(self.jobs);
        self.ended.join().unwrap();
    }
}

/// Answers what the fabric asks of a gate.
fn serve(socket: &Arc<GateSocket>, told: &Sender<ToGate>) {
    while let Some(message) = socket.receive() {
        match message {
            ToGate::Dial { id, port } => {
                let socket = Arc::clone(socket);
                thread::spawn(move || dial(&socket, id, port));
            }
            ToGate::Usage { .. } => {
                let device = device_counters();
                let usage = NodeUsage {
                    rx_bytes: device.rx_bytes,
                    tx_bytes: device.tx_bytes,
                    ..NodeUsage::default()
                };
                socket.send(&FromGate::Usage(usage), None);
            }
            other => {
                if let ToGate::Process { tag, .. } = other {
                    let result = Ok(Seen::NotRunning);
                    socket.send(&FromGate::Done { tag, result }, None);
                }
                let _ = told.send(other);
            }
        }
    }
}

fn dial(socket: &GateSocket, id: u32, port: u16) {
    match TcpStream::connect(("127.0.0.1", port)) {
        Ok(stream) => socket.send(&FromGate::Dialed { id, errno: 0 }, Some(stream.as_fd())),
        Err(e) => {
            let errno = e.raw_os_error().unwrap();
            socket.send(&FromGate::Dialed { id, errno }, None);
        }
    }
}

/// The kernel's counters of the device.
pub struct DeviceCounters {
    /// Bytes of packets received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes of packets sent.
    pub tx_bytes: u64,
}

/// As `/proc/net/dev` of this thread's namespace has them.
pub fn device_counters() -> DeviceCounters {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let line = table
        .lines()
        .find_map(|l| l.trim_start().strip_prefix(DEVICE)?.strip_prefix(':'))
        .unwrap();
    let fields: Vec<u64> = line
        .split_whitespace()
        .map(|f| f.parse().unwrap())
        .collect();
    DeviceCounters {
        rx_bytes: fields[0],
        rx_packets: fields[1],
        tx_bytes: fields[8],
    }
}

/// Opens and configures a device as a gate does.
fn open_device(ip: Ipv4Addr, prefix: u8, mtu: u16) -> OwnedFd {
    // Router solicitations would be counted.
    let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    let tun = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    let tun: OwnedFd = tun.expect("/dev/net/tun is needed").into();
    let mut request = interface_request(DEVICE);
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as i16;
    // SAFETY: TUNSETIFF takes one `ifreq`.
    let done = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, &mut request) };
    assert_eq!(done, 0, "TUNSETIFF: {}", std::io::Error::last_os_error());
    let offloads = libc::c_ulong::from(libc::TUN_F_CSUM | libc::TUN_F_TSO4);
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    let done = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETOFFLOAD as _, offloads) };
    assert_eq!(
        done,
        0,
        "TUNSETOFFLOAD: {}",
        std::io::Error::last_os_error()
    );
    let mask = u32::MAX << (32 - prefix);
    let set = |what, change: &dyn Fn(&mut libc::ifreq)| {
        let mut request = interface_request(DEVICE);
        change(&mut request);
        configure(what, &mut request);
    };
    set(libc::SIOCSIFADDR, &|r| {
        r.ifr_ifru.ifru_addr = socket_address(ip)
    });
    set(libc::SIOCSIFNETMASK, &|r| {
        r.ifr_ifru.ifru_netmask = socket_address(mask.into());
    });
    set(libc::SIOCSIFMTU, &|r| r.ifr_ifru.ifru_mtu = mtu.into());
    set(libc::SIOCSIFFLAGS, &|r| {
        r.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    });
    tun
}

fn socket_address(ip: Ipv4Addr) -> libc::sockaddr {
    let mut address = libc::sockaddr {
        sa_family: libc::AF_INET as _,
        sa_data: [0; 14],
    };
    // The port comes first.
    for (slot, byte) in address.sa_data[2..].iter_mut().zip(ip.octets()) {
        *slot = byte as libc::c_char;
    }
    address
}
