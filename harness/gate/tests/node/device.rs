//! The network device: opened, configured, handed over; and what is said when it cannot be.

use std::os::fd::OwnedFd;

use peerlab_link::proto::{FromGate, ToGate};

use crate::fabric::{Bench, NODE_IP, ready};

/// Bytes of `struct virtio_net_hdr` before each packet.
const VNET_HEADER_BYTES: usize = 10;

/// The ones' complement sum of RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|p| u32::from(p[0]) << 8 | u32::from(p[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An ICMP echo request to the node, as it stands on its device.
fn echo_request(from: [u8; 4]) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 32, 0, 1, 0, 0, 64, 1, 0, 0];
    ip.extend(from);
    ip.extend(NODE_IP.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    let mut icmp = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1, b'p', b'i', b'n', b'g'];
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum);
    [vec![0; VNET_HEADER_BYTES], ip, icmp].concat()
}

/// Sends an echo request through the device and waits for its answer.
fn ping(tun: &OwnedFd, from: [u8; 4]) {
    rustix::io::write(tun, &echo_request(from)).unwrap();
    let mut packet = [0; 2048];
    loop {
        ready(tun);
        let bytes = rustix::io::read(tun, &mut packet).unwrap();
        let ip = &packet[VNET_HEADER_BYTES..bytes];
        if ip[0] >> 4 == 4 && ip[9] == 1 && ip[20] == 0 {
            assert_eq!(ip[12..16], NODE_IP.octets());
            assert_eq!(ip[16..20], from);
            assert_eq!(&ip[28..], b"ping");
            return;
        }
    }
}

#[test]
fn the_device_answers_from_anywhere_in_the_net_before_the_program_runs() {
    let bench = Bench::new();
    let gate = bench.gate(&["--drop-all-caps"], "echo ran; sleep 1000");
    let tun = gate.open();
    ping(&tun, [10, 200, 0, 1]);
    assert!(
        crate::processes::children(gate.pid()).is_empty(),
        "the barrier stands"
    );
    gate.send(&ToGate::Go { run: true });
    gate.program_pid();
    ping(&tun, [10, 1, 2, 4]);
}

#[test]
fn the_device_is_set_up_as_the_fabric_says_and_sends_nothing_unasked() {
    let bench = Bench::new();
    let script = bench.find(
        "found",
        "for i in lo eth0; do cat /sys/class/net/$i/mtu; done; \
         cat /proc/net/route /proc/net/fib_trie /proc/net/if_inet6",
    );
    let gate = bench.gate_after("mount -t sysfs sysfs /sys", &script);
    let tun = gate.run();
    let found = bench.findings("found");
    assert!(found.contains("65536\n1500\n"), "{found}");
    assert!(
        found.contains("eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF"),
        "{found}"
    );
    assert!(found.contains("10.1.2.3"), "{found}");
    assert!(
        !found
            .lines()
            .any(|l| l.contains(" eth0") && l.starts_with("fe80")),
        "{found}"
    );
    assert!(matches!(
        gate.answer(),
        FromGate::Exited {
            status: 0,
            asked: false
        }
    ));
    // No router solicitation, no multicast report: only what a program sends costs bandwidth.
    rustix::io::ioctl_fionbio(&tun, true).unwrap();
    assert_eq!(
        rustix::io::read(&tun, &mut [0; 2048]),
        Err(rustix::io::Errno::AGAIN)
    );
}

#[test]
fn a_program_cannot_make_a_device_of_its_own() {
    let bench = Bench::new();
    let script = bench.find(
        "found",
        "ip link set eth0 down; ip link add dummy1 type dummy; ip addr flush dev eth0; \
         ip tuntap add mode tun name x",
    );
    let gate = bench.gate(&[], &script);
    let tun = gate.run();
    let found = bench.findings("found");
    assert_eq!(
        found.matches("Operation not permitted").count(),
        4,
        "{found}"
    );
    ping(&tun, [10, 1, 2, 4]);
}

/// Opens a gate that must fail, and gives its reason.
fn failure(prepare: &str) -> String {
    let bench = Bench::new();
    let mut gate = bench.gate_after(prepare, "echo ran");
    assert!(matches!(gate.answer(), FromGate::Hello { .. }));
    gate.send(&ToGate::Configure {
        ip: NODE_IP,
        prefix: 8,
        mtu: 1500,
    });
    let FromGate::Failed { reason } = gate.answer() else {
        panic!("no failure")
    };
    assert!(gate.receive().is_none());
    let (status, said) = gate.ended();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains(&reason), "{said}");
    reason
}

#[test]
fn a_missing_device_is_told_with_its_remedy() {
    let reason = failure("mount -t tmpfs none /dev/net");
    assert!(reason.contains("/dev/net/tun: No such file"), "{reason}");
    assert!(reason.contains("modprobe tun"), "{reason}");
}

#[test]
fn a_device_that_is_not_permitted_is_told_with_its_remedy() {
    if !rustix::process::geteuid().is_root() {
        return; // may not change the mount of a device
    }
    // A device file on a file system that forbids devices, as a locked-down container's.
    let reason = failure("mount --bind /dev/net /dev/net && mount -o remount,bind,nodev /dev/net");
    assert!(
        reason.contains("/dev/net/tun: Permission denied"),
        "{reason}"
    );
    assert!(reason.contains("chmod 0666"), "{reason}");
}

#[test]
fn a_missing_capability_is_named() {
    let bench = Bench::new();
    let before = [
        "setpriv",
        "--bounding-set",
        "-net_admin",
        "--inh-caps",
        "-net_admin",
        "--",
    ];
    let process = crate::fabric::spawn(&bench.path("fabric.sock"), &before, &[], &["/bin/true"]);
    let gate = bench.met(process);
    gate.answer();
    gate.send(&ToGate::Configure {
        ip: NODE_IP,
        prefix: 8,
        mtu: 1500,
    });
    let FromGate::Failed { reason } = gate.answer() else {
        panic!("no failure")
    };
    assert!(reason.contains("NET_ADMIN"), "{reason}");
}

#[test]
fn an_impossible_address_is_told() {
    let bench = Bench::new();
    let gate = bench.gate(&[], "echo ran");
    gate.answer();
    gate.send(&ToGate::Configure {
        ip: NODE_IP,
        prefix: 200,
        mtu: 1500,
    });
    let FromGate::Failed { reason } = gate.answer() else {
        panic!("no failure")
    };
    assert!(reason.contains("10.1.2.3/200"), "{reason}");
}
