//! Measures a fabric between namespaces, beside a Linux bridge with veth pairs on the same host
//! in the same minute: bulk TCP, round trips, the error of a 50 ms delay, shaped rates, and how
//! soon a partition of 500 nodes takes effect. Needs root, or a user namespace (`unshare -r`).
//!
//! `bench FABRIC [SECONDS]`: the program to measure, and the length of each bulk measurement.
//! `bench FABRIC --packets N`: only what the fabric's CPU time is for each of N packets, at once
//! and delayed; `ci/bench-against` compares two builds by it.

#[path = "../../tests/support/mod.rs"]
mod support;

mod bridge;
mod measure;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use peerlab_link::proto::{Action, FromFabric, Timed};
use peerlab_link::{Change, Nanos, Network, NodeId};
use support::harness::{Fabric, Pipe};
use support::node::{Node, device_counters};
use support::{delayed_network, plain_network};

/// Bulk measurements of each kind, taken in turns; the median counts.
const ROUNDS: usize = 5;
/// The delay whose error is measured.
const DELAY: Nanos = Nanos::from_millis(50);
/// Wire rates to shape to, bits per second.
const RATES_BPS: [u64; 3] = [1_000_000, 10_000_000, 100_000_000];
/// One in so many datagrams may be lost while CPU time per packet is measured: only those that came count.
const LOST_AT_MOST: u64 = 100;
/// Ethernet with preamble and gap.
const FRAMING_BYTES: u16 = 38;

/// A running network of two nodes. Field order is the order of dropping.
struct Lab {
    fabric: Fabric,
    nodes: [Node; 2],
    _dir: tempfile::TempDir,
}

impl Lab {
    fn start(program: &Path, network: Network, schedule: Vec<Timed>) -> Lab {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut fabric = Fabric::start(program, dir.path(), &Pipe::Socket);
        fabric.set_up(network);
        let nodes = [0, 1].map(|id| Node::open(dir.path(), NodeId(id)));
        fabric.go(2, schedule);
        Lab {
            fabric,
            nodes,
            _dir: dir,
        }
    }

    /// The fabric's CPU time so far, nanoseconds, and the packets that it has delivered: by the
    /// kernel, since a fabric of another revision may count for other reasons.
    fn spent(&self) -> (u64, u64) {
        let came = |node: &Node| node.run(|| device_counters().rx_packets);
        let packets = self.nodes.iter().map(came).sum();
        (measure::cpu_nanos(self.fabric.pid()), packets)
    }
}

fn main() {
    let mut args = std::env::args_os().skip(1);
    let program = PathBuf::from(args.next().expect("usage: bench FABRIC [SECONDS]"));
    let mut next = || Some(args.next()?.to_string_lossy().into_owned());
    let option = next();
    if option.as_deref() == Some("--packets") {
        let packets = next().and_then(|n| n.parse().ok());
        return cpu_per_packet(&program, packets.expect("PACKETS is a number"));
    }
    let seconds = option.map_or(Ok(3), |s| s.parse());
    let length = Duration::from_secs(seconds.expect("SECONDS is a number"));
    bulk_and_round_trips(&program, length);
    delay_error(&program);
    for rate_bps in RATES_BPS {
        shaped_rate(&program, rate_bps, length);
    }
    partition(&program);
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output is open");
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn bulk_and_round_trips(program: &Path, length: Duration) {
    let lab = Lab::start(program, plain_network(2), Vec::new());
    let bridge = bridge::Bridge::new();
    let (mut bulk, mut trips) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        for (side, [from, to]) in [&lab.nodes, &bridge.nodes].into_iter().enumerate() {
            bulk[side].push(measure::bulk_bps(from, to, length));
            trips[side].push(measure::round_trips_per_s(from, to, length / 3));
        }
    }
    let [fabric, bridge] = bulk.map(median);
    say(&format!(
        "bulk TCP            fabric {:6.2} Gbit/s   bridge {:6.2} Gbit/s   ratio {:.2}",
        fabric / 1e9,
        bridge / 1e9,
        fabric / bridge
    ));
    let [fabric, bridge] = trips.map(median);
    say(&format!(
        "round trips         fabric {fabric:6.0} /s       bridge {bridge:6.0} /s       ratio {:.2}",
        fabric / bridge
    ));
}

/// One line each: what it was, and nanoseconds.
fn cpu_per_packet(program: &Path, packets: u64) {
    let networks = [
        ("at once", plain_network(2)),
        ("delayed", delayed_network(2, Nanos::from_millis(5))),
    ];
    for (name, network) in networks {
        let lab = Lab::start(program, network, Vec::new());
        let before = lab.spent();
        let [from, to] = &lab.nodes;
        measure::datagrams(from, to, packets);
        let after = lab.spent();
        let passed = after.1 - before.1;
        let enough = packets - packets / LOST_AT_MOST;
        assert!(passed >= enough, "{passed} of {packets} came through");
        say(&format!("{name} {}", (after.0 - before.0) / passed));
    }
}

fn delay_error(program: &Path) {
    let mut lab = Lab::start(program, delayed_network(2, DELAY), Vec::new());
    let [from, to] = &lab.nodes;
    let mut errors = measure::one_way_nanos(from, to);
    for error in &mut errors {
        *error = error.saturating_sub(DELAY.0);
    }
    errors.sort_unstable();
    let at = |percent: usize| errors[(errors.len() - 1) * percent / 100] as f64 / 1e3;
    say(&format!(
        "50 ms delay, error  socket to socket p50 {:.0} us   p99 {:.0} us",
        at(50),
        at(99)
    ));
    let (_, lateness) = lab.fabric.count();
    say(&format!(
        "                    out of the fabric p50 {:.0} us   p99 {:.0} us   max {:.0} us",
        lateness.p50.0 as f64 / 1e3,
        lateness.p99.0 as f64 / 1e3,
        lateness.max.0 as f64 / 1e3
    ));
    let mut alone = measure::sleep_lateness_nanos();
    alone.sort_unstable();
    say(&format!(
        "                    a sleep alone     p50 {:.0} us   p99 {:.0} us   max {:.0} us",
        alone[alone.len() / 2] as f64 / 1e3,
        alone[(alone.len() - 1) * 99 / 100] as f64 / 1e3,
        alone[alone.len() - 1] as f64 / 1e3
    ));
}

fn shaped_rate(program: &Path, rate_bps: u64, length: Duration) {
    let mut network = delayed_network(2, Nanos::from_millis(5));
    network.framing_bytes = FRAMING_BYTES;
    network.nodes[0].up_bps = Some(rate_bps);
    // A tenth of a second: TCP keeps the link busy, so what is measured is the link.
    network.nodes[0].queue_bytes = (64 << 10) + (rate_bps / 80) as u32;
    let lab = Lab::start(program, network, Vec::new());
    let [from, to] = &lab.nodes;
    let got = measure::wire_bps(from, to, length, FRAMING_BYTES);
    say(&format!(
        "shaped rate         {:5.0} Mbit/s configured   {:8.4} Mbit/s achieved   error {:+.2} %",
        rate_bps as f64 / 1e6,
        got / 1e6,
        (got / rate_bps as f64 - 1.0) * 100.0
    ));
}

/// The other 498 nodes have no gate: the cut is made for all of them alike.
fn partition(program: &Path) {
    let cut = |n: u64| Timed {
        at: Nanos::from_millis(200 + 20 * n),
        action: Action::Link(Change::Partition {
            id: 1,
            groups: vec![(0..250).map(NodeId).collect()],
            one_way: n.is_multiple_of(2),
        }),
    };
    let schedule: Vec<Timed> = (0..50).map(cut).collect();
    let mut lab = Lab::start(program, plain_network(500), schedule.clone());
    let mut late: Vec<u64> = Vec::new();
    for (index, timed) in (0..).zip(&schedule) {
        let t = lab.fabric.wait(|e| match e {
            FromFabric::Applied { t, tag, .. } if *tag == index => Some(*t),
            _ => None,
        });
        late.push(t.saturating_sub(timed.at).0);
    }
    late.sort_unstable();
    say(&format!(
        "partition of 500    in effect after p50 {:.0} us   max {:.0} us",
        late[late.len() / 2] as f64 / 1e3,
        late[late.len() - 1] as f64 / 1e3
    ));
}
