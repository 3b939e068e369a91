//! The least that a fabric can do: opens every gate that comes, and says so. For tests and
//! measurements of gates and their starter; it carries no packet.
//!
//! Its standard output gets a line for each event: `open NODE`, `exited NODE STATUS`,
//! `failed NODE REASON`, `lost NODE`. The line `go` on its standard input lets all gates go, `wipe
//! NODE` has a node emptied and started again, and says `RESULT NODE` of both; the end of the input
//! ends this program.

#![expect(
    clippy::unwrap_used,
    reason = "a test instrument that cannot go on panics"
)]
#![expect(clippy::print_stdout, reason = "standard output is its whole purpose")]

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::Path;

use peerlab_link::NodeId;
use peerlab_link::proto::{
    FromGate, GATE_MESSAGE_BYTES_MAX, ProcessOp, SHARED_DIR, SOCKET_NAME, ToGate, decode, encode,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};

struct Gate {
    socket: OwnedFd,
    node: Option<NodeId>,
    tun: Option<OwnedFd>,
}

fn main() {
    let listener = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let path = Path::new(SHARED_DIR).join(SOCKET_NAME);
    rustix::net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&listener, 4096).unwrap();
    std::fs::write(Path::new(SHARED_DIR).join("file"), "shared\n").unwrap();
    println!("listening");
    let mut gates: Vec<Gate> = Vec::new();
    loop {
        let mut sources = vec![
            PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN),
            PollFd::new(&listener, PollFlags::IN),
        ];
        sources.extend(gates.iter().map(|g| PollFd::new(&g.socket, PollFlags::IN)));
        poll(&mut sources, None).unwrap();
        let is_ready: Vec<bool> = sources.iter().map(|s| !s.revents().is_empty()).collect();
        if is_ready[0] {
            let mut line = String::new();
            if std::io::stdin().read_line(&mut line).unwrap() == 0 {
                return;
            }
            obey(&gates, line.trim_end());
        }
        for index in (2..is_ready.len()).rev().filter(|&i| is_ready[i]) {
            if !serve(&mut gates[index - 2]) {
                gates.remove(index - 2);
            }
        }
        if is_ready[1] {
            let socket = rustix::net::accept_with(&listener, SocketFlags::CLOEXEC).unwrap();
            gates.push(Gate {
                socket,
                node: None,
                tun: None,
            });
        }
    }
}

fn obey(gates: &[Gate], line: &str) {
    let Some(node) = line.strip_prefix("wipe ") else {
        return gates
            .iter()
            .for_each(|gate| send(gate, &ToGate::Go { run: true }));
    };
    let node = Some(NodeId(node.parse().unwrap()));
    let gate = gates.iter().find(|gate| gate.node == node).unwrap();
    for (tag, op) in [(1, ProcessOp::Wipe), (2, ProcessOp::Start)] {
        send(gate, &ToGate::Process { tag, op });
    }
}

fn send(gate: &Gate, message: &ToGate) {
    // A gate that has gone is told of when its socket is read.
    let _ = rustix::net::send(&gate.socket, &encode(message), SendFlags::NOSIGNAL);
}

/// Reads one message; `false` when the gate is gone.
fn serve(gate: &mut Gate) -> bool {
    let mut bytes = vec![0; GATE_MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut receive = || {
        let flags = RecvFlags::CMSG_CLOEXEC;
        rustix::net::recvmsg(&gate.socket, &mut parts, &mut control, flags)
    };
    let packet = match receive() {
        // It ended without having read all; what it said before comes after this.
        Err(Errno::CONNRESET) => receive(),
        packet => packet,
    };
    let name = |gate: &Gate| gate.node.map_or("?".to_owned(), |n| n.to_string());
    let count = match packet {
        Ok(packet) if packet.bytes > 0 => packet.bytes,
        _ => {
            println!("lost {}", name(gate));
            return false;
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            gate.tun = descriptors.next();
        }
    }
    match decode(&bytes[..count]).unwrap() {
        FromGate::Hello { node, .. } => {
            gate.node = Some(node);
            let ip = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + node.0 + 1);
            send(
                gate,
                &ToGate::Configure {
                    ip,
                    prefix: 8,
                    mtu: 1500,
                },
            );
        }
        FromGate::Tun => println!("open {}", name(gate)),
        FromGate::Exited { status, .. } => println!("exited {} {status}", name(gate)),
        FromGate::Failed { reason } => println!("failed {} {reason}", name(gate)),
        FromGate::Done { result, .. } => println!("{result:?} {}", name(gate)),
        other => println!("{other:?} {}", name(gate)),
    }
    true
}
