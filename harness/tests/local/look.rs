//! What those get who look at real nodes while they run: metrics, and packets.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;

use pcap_parser::{Block, parse_pcapng};
use serde_json::Value;

use crate::networks_of::User;
use crate::processes::eventually;

/// How every message of the Bitcoin protocol begins on regtest.
const MAGIC: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];
/// Two nodes, 100 ms apart.
const EXPERIMENT: &str = "
name: pair
seed: 1
phases: { warmup: 6s, settle: 6s }
nodes: { peers: { count: 2, hashpower: 1 } }
network: { latency: 100ms }
ledger: { block_interval: 2s }
";

/// What is at a URL.
fn get(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    body.to_owned()
}

/// A sample's value, by its name and labels as they stand in the text.
fn sample(metrics: &str, name: &str) -> Option<f64> {
    let mut values = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    values.next().map(|value| value.parse().unwrap())
}

#[test]
fn metrics_tell_of_a_network_that_is_up() {
    let user = User::of("local");
    let up = user.tells("up 3 --name net --metrics 0 --engine local -d --json");
    let url = up["metrics"].as_str().unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    let of = |name: &str| sample(&get(url), name);
    let until = |name: &str, holds: &dyn Fn(f64) -> bool| {
        eventually(|| of(name).filter(|value| holds(*value)).map(drop));
    };
    assert_eq!(of("peerlab_network_nodes{network=\"net\"}"), Some(3.0));
    let node = "{network=\"net\",node=\"peers-0\"";
    assert_eq!(of(&format!("peerlab_node_up{node}}}")), Some(1.0));
    user.says("wait --until peers>=1 --timeout 60s");
    user.says("mine --by peers-0");
    user.says("wait --until height>=1 --timeout 60s");
    assert!(of(&format!("peerlab_node_height{node}}}")).unwrap() >= 1.0);
    let peers = get(url);
    let peers = ["outbound", "inbound"].map(|direction| {
        let name = format!("peerlab_node_peers{node},direction=\"{direction}\"}}");
        sample(&peers, &name).unwrap()
    });
    assert!(peers[0] + peers[1] >= 1.0, "{peers:?}");
    user.says("partition peers-0 / rest");
    user.says("mine --by peers-0");
    user.says("mine 2 --by peers-1");
    until("peerlab_network_branches{network=\"net\"}", &|it| it == 2.0);
    assert_eq!(of("peerlab_network_agreed{network=\"net\"}"), Some(0.0));
    assert_eq!(of("peerlab_network_faults{network=\"net\"}"), Some(1.0));
    until("peerlab_network_forks_total{network=\"net\"}", &|it| {
        it >= 1.0
    });
    let cut = format!("peerlab_node_dropped_packets_total{node},reason=\"partition\"}}");
    until(&cut, &|it| it > 0.0);
    user.says("kill peers-2");
    let killed = "peerlab_node_up{network=\"net\",node=\"peers-2\"}";
    until(killed, &|it| it == 0.0);
    // The same as `ps` tells: it was asked later.
    let sent = format!("peerlab_node_bytes_total{node},direction=\"sent\"}}");
    let sent = of(&sent).unwrap();
    let told = user.tells("ps --json")[0]["sent_bytes"].as_f64().unwrap();
    assert!(sent > 0.0 && sent <= told, "{sent} {told}");
    user.says("down");
    let address = url.split('/').nth(2).unwrap();
    assert!(TcpStream::connect(address).is_err());
}

/// A packet in a file: when, whether the node sent it, its bytes.
type Packet = (u64, bool, Vec<u8>);

/// The packets of TCP over IPv4 of a file, in its order.
fn packets(path: &Path) -> Vec<Packet> {
    let file = std::fs::read(path).unwrap();
    let (rest, read) = parse_pcapng(&file).unwrap();
    assert!(rest.is_empty());
    let blocks = &read.sections[0].blocks;
    let Block::InterfaceStatistics(_) = blocks.last().unwrap() else {
        panic!("{} has no end", path.display());
    };
    let packet = |block: &Block<'_>| {
        let Block::EnhancedPacket(packet) = block else {
            return None;
        };
        let t = (u64::from(packet.ts_high) << 32) | u64::from(packet.ts_low);
        let flags = packet.options.iter().find(|it| it.code.0 == 2).unwrap();
        let bytes = &packet.data[..packet.caplen as usize];
        let is_tcp = bytes[0] >> 4 == 4 && bytes[9] == 6;
        is_tcp.then(|| (t, flags.value()[0] & 3 == 2, bytes.to_vec()))
    };
    blocks.iter().filter_map(packet).collect()
}

fn address(packet: &[u8], at: usize) -> Ipv4Addr {
    let octets: [u8; 4] = packet[at..at + 4].try_into().unwrap();
    Ipv4Addr::from(octets)
}

fn tcp_payload(packet: &[u8]) -> &[u8] {
    let ip_header = usize::from(packet[0] & 15) * 4;
    let tcp_header = usize::from(packet[ip_header + 12] >> 4) * 4;
    &packet[ip_header + tcp_header..]
}

#[test]
fn a_capture_has_the_packets_of_each_node_at_their_times() {
    let user = User::of("local");
    std::fs::write(user.path("pair.yaml"), EXPERIMENT).unwrap();
    let ran = user.run("run pair.yaml --engine local --capture all --out run");
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{ran:?}");
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(said.contains("captured "), "{said}");
    assert!(!said.contains("left out"), "{said}");
    let plan = std::fs::read(user.path("run/plan.json")).unwrap();
    let plan: Value = serde_json::from_slice(&plan).unwrap();
    let mut all = BTreeMap::new();
    for node in plan["nodes"].as_array().unwrap() {
        let ip: Ipv4Addr = node["ip"].as_str().unwrap().parse().unwrap();
        let name = node["name"].as_str().unwrap();
        let packets = packets(&user.path(&format!("run/capture/{name}.pcapng")));
        assert!(packets.is_sorted_by_key(|packet| packet.0));
        let begin_with = |magic: &[u8]| {
            let of = |packet: &&Packet| tcp_payload(&packet.2).starts_with(magic);
            packets.iter().filter(of).count()
        };
        assert!(begin_with(&MAGIC) > 5, "{name}");
        for (_, is_outbound, bytes) in &packets {
            let (from, to) = (address(bytes, 12), address(bytes, 16));
            let own = if *is_outbound { from } else { to };
            assert_eq!(own, ip, "{from} -> {to}");
        }
        all.insert(ip, packets);
    }
    let mut arrived = 0;
    for (at, is_outbound, bytes) in all.values().flatten() {
        let received = &all[&address(bytes, 16)];
        let same = |other: &&Packet| !other.1 && other.2 == *bytes;
        // One that was sent last may be under way still.
        if *is_outbound && let Some((then, ..)) = received.iter().find(same) {
            // It is read a moment before that is noted.
            assert!(*then >= at + 90_000_000, "{at} {then}");
            arrived += 1;
        }
    }
    assert!(arrived > 20, "{arrived}");
}

#[test]
fn packets_are_captured_by_hand() {
    let user = User::of("local");
    user.up("2 --name net --out record");
    user.says("wait --until peers>=1 --timeout 60s");
    for number in [1, 2] {
        let mut capture = user.command("capture peers-1 --for 2s");
        let mut capture = capture.stdout(Stdio::piped()).spawn().unwrap();
        // Until it ends, so that it has some whenever it begins.
        while capture.try_wait().unwrap().is_none() {
            user.says("mine --by peers-0");
        }
        let captured = capture.wait_with_output().unwrap();
        let said = String::from_utf8(captured.stdout).unwrap();
        assert!(said.starts_with("captured "), "{said}");
        let folder = user.path(&format!("record/capture-{number}"));
        let files = std::fs::read_dir(&folder).unwrap();
        assert_eq!(files.count(), 1);
        let packets = packets(&folder.join("peers-1.pcapng"));
        assert!(!packets.is_empty());
    }
    user.refused("capture peers-9 --for 2s", 2);
    user.says("down");
}

#[test]
fn captures_that_go_on_are_whole_when_their_network_ends() {
    let user = User::of("local");
    user.up("2 --name net --out record");
    let capture = || {
        let mut command = user.command("capture peers-1 --for 1h");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let captures = [capture(), capture()];
    let files = [1, 2].map(|number| user.path(&format!("record/capture-{number}/peers-1.pcapng")));
    eventually(|| files.iter().all(|file| file.exists()).then_some(()));
    user.says("down");
    for capture in captures {
        let output = capture.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    for file in files {
        packets(&file);
    }
    let cleaned = user.says("clean --runs . --keep 0");
    assert!(cleaned.contains("1 record of "), "{cleaned}");
    assert!(!user.path("record").exists(), "{cleaned}");
}

#[test]
fn the_simulator_has_neither_and_says_so() {
    let user = User::of("local");
    std::fs::write(user.path("pair.yaml"), EXPERIMENT).unwrap();
    for option in ["--metrics 0", "--capture all"] {
        let said = user.refused(&format!("run pair.yaml --engine sim {option}"), 2);
        assert!(said.contains("is for real nodes"), "{said}");
        assert!(!user.path("runs").exists());
    }
    let said = user.refused("run pair.yaml --engine local --capture peers-7", 2);
    assert!(said.contains("peers-7"), "{said}");
    assert!(!user.path("runs").exists());
}
