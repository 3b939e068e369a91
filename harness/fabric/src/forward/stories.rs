//! The switch in virtual time: the same code as in the forwarding thread.

use std::net::Ipv4Addr;

use peerlab_link::proto::{Direction, DropReason};
use peerlab_link::{Change, Loss, Nanos, Network, NodeId, NodeLink, PathDelay, Shape};
use proptest::prelude::*;

use super::capture::Capture;
use super::story::Story;
use crate::packet::VirtioHeader;
use crate::packet::examples::{TcpPacket, plain_packet};

const MS: u64 = 1_000_000;

fn address(node: u32) -> [u8; 4] {
    [10, 0, 0, node as u8 + 1]
}

fn network(nodes: u32) -> Network {
    let link = |node| NodeLink {
        ip: Ipv4Addr::from(address(node)),
        region: 0,
        up_bps: None,
        down_bps: None,
        queue_bytes: 100_000,
        loss: Loss::None,
    };
    Network {
        seed: 3,
        mtu: 1_500,
        framing_bytes: 38,
        nodes: (0..nodes).map(link).collect(),
        regions: vec!["here".into()],
        paths: vec![vec![PathDelay::default()]],
    }
}

impl Story {
    fn of(network: &Network) -> Story {
        Story::with_memory(network, usize::MAX)
    }

    fn with_memory(network: &Network, bytes_max: usize) -> Story {
        Story::begin(network, bytes_max).unwrap()
    }

    fn change(&mut self, change: &Change) {
        self.try_change(change).unwrap();
    }

    fn send_number(&mut self, src: u32, dst: u32, number: u32, bytes: usize) {
        let mut payload = vec![0; bytes.max(4)];
        payload[..4].copy_from_slice(&number.to_le_bytes());
        self.send(src, &plain_packet(address(src), address(dst), &payload));
    }

    fn drops(&mut self, src: u32) -> [u64; DropReason::COUNT] {
        self.switch.count().0[src as usize].drops
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send { src: u32, dst: u32, bytes: usize },
    Train { bytes: usize },
    Wait(u64),
    Change(Change),
}

fn any_step() -> impl Strategy<Value = Step> {
    let shape = (
        prop::option::of(100_000u64..100_000_000),
        prop::option::of((0..20 * MS).prop_map(Nanos)),
        prop::option::of((0..20 * MS).prop_map(Nanos)),
        0u32..3,
    );
    prop_oneof![
        8 => (0u32..3, 0u32..3, 4usize..1_480)
            .prop_map(|(src, dst, bytes)| Step::Send { src, dst, bytes }),
        1 => (1usize..40_000).prop_map(|bytes| Step::Train { bytes }),
        6 => (0..5 * MS).prop_map(Step::Wait),
        1 => shape.prop_map(|(rate_bps, delay, jitter, node)| Step::Change(Change::Shape {
            id: 1,
            nodes: vec![NodeId(node)],
            shape: Shape { rate_bps, delay, jitter, ..Shape::default() },
        })),
        1 => Just(Step::Change(Change::Unshape { id: 1 })),
    ]
}

proptest! {
    #[test]
    fn packets_of_a_pair_arrive_in_order_and_none_is_unaccounted_for(
        steps in prop::collection::vec(any_step(), 1..300),
        jitter in 0..10 * MS,
        rate in prop::option::of(1_000_000u64..50_000_000),
    ) {
        let mut network = network(3);
        network.paths[0][0] = PathDelay { base: Nanos(jitter), jitter: Nanos(jitter) };
        network.nodes[0].up_bps = rate;
        network.nodes[2].down_bps = rate;
        network.nodes[1].loss = Loss::Bernoulli { chance: Loss::ONE / 10 };
        let mut story = Story::of(&network);
        for (number, step) in (0..).zip(steps) {
            match step {
                Step::Send { src, dst, bytes } => story.send_number(src, dst, number, bytes),
                Step::Train { bytes } => {
                    let payload = vec![1; bytes];
                    story.send(0, &TcpPacket { payload, ..TcpPacket::default() }.build());
                }
                Step::Wait(time) => story.wait_until(story.world.now.saturating_add(Nanos(time))),
                Step::Change(change) => story.change(&change),
            }
        }
        story.wait_until(Nanos::from_secs(1_000));
        story.assert_conserved();
        let mut last = [[None; 3]; 3];
        for (_, dst, packet) in &story.world.written {
            let ip = &packet[VirtioHeader::BYTES..];
            if ip[9] == 6 {
                continue;
            }
            let number = u32::from_le_bytes(ip[20..24].try_into().unwrap());
            let last = &mut last[usize::from(ip[15]) - 1][dst.index()];
            prop_assert!(*last < Some(number));
            *last = Some(number);
        }
    }

    #[test]
    fn any_read_is_forwarded_or_dropped(
        reads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..30),
    ) {
        let mut story = Story::of(&network(2));
        for read in &reads {
            story.send(0, read);
            // The same bytes, with a header and a destination that lead somewhere.
            let mut near = plain_packet(address(0), address(1), read);
            near[1] = read.first().copied().unwrap_or(1);
            near[4] = read.last().copied().unwrap_or(9);
            near[VirtioHeader::BYTES + 9] = 6;
            story.send(0, &near);
        }
        story.wait_until(Nanos::from_secs(9));
        story.assert_conserved();
    }
}

#[test]
fn a_cut_lets_nothing_through_not_even_what_waits() {
    let mut network = network(2);
    network.paths[0][0].base = Nanos(10 * MS);
    network.nodes[1].down_bps = Some(1_000_000);
    let mut story = Story::of(&network);
    for number in 0..20 {
        story.send_number(0, 1, number, 1_000);
    }
    // Each takes 8.5 ms through the access link: two are out by then, the third is in it.
    story.wait_until(Nanos(35 * MS));
    assert_eq!(story.world.written.len(), 2);
    let cut = Change::Partition {
        id: 1,
        groups: vec![vec![NodeId(0)]],
        one_way: false,
    };
    story.change(&cut);
    story.wait_until(Nanos::from_secs(2));
    assert_eq!(story.world.written.len(), 2);
    assert_eq!(story.drops(0)[DropReason::Partition as usize], 18);
    story.change(&Change::Heal { id: 1 });
    story.send_number(0, 1, 99, 1_000);
    story.wait_until(Nanos::from_secs(3));
    assert_eq!(story.world.written.len(), 3);
    story.assert_conserved();
}

#[test]
fn a_train_passes_whole_where_nothing_tells_its_packets_apart() {
    for (rate, writes) in [(None, 1), (Some(1_000_000_000), 4)] {
        let mut network = network(2);
        network.paths[0][0].base = Nanos(MS);
        network.nodes[0].up_bps = rate;
        let mut story = Story::of(&network);
        story.send(0, &TcpPacket::default().build());
        story.wait_until(Nanos(5 * MS));
        assert_eq!(story.world.written.len(), writes);
        // 5,000 bytes in segments of 1,460, each with 40 bytes of headers and 38 of framing.
        let wire = 5_000 + 4 * (40 + 38);
        let (nodes, lateness) = story.switch.count();
        assert_eq!((nodes[0].tx_packets, nodes[0].tx_bytes), (4, wire));
        assert_eq!((nodes[1].rx_packets, nodes[1].rx_bytes), (4, wire));
        assert_eq!(nodes[0].device_tx_bytes, 5_040);
        let device = if writes == 1 { 5_040 } else { 5_000 + 4 * 40 };
        assert_eq!(nodes[1].device_rx_bytes, device);
        assert_eq!(lateness.packets, writes as u64);
        assert!(lateness.max <= Nanos(1), "the clock is exact");
    }
}

#[test]
fn packets_are_as_late_as_the_model_says() {
    let mut network = network(2);
    network.paths[0][0].base = Nanos(7 * MS);
    network.nodes[0].up_bps = Some(8_000_000);
    network.nodes[1].down_bps = Some(4_000_000);
    let mut story = Story::of(&network);
    story.send_number(0, 1, 1, 942);
    story.send_number(0, 1, 2, 942);
    story.wait_until(Nanos::from_secs(1));
    // 942 + 20 + 38 bytes: 1 ms up, 7 ms on the way, 2 ms down, in which the second one waits.
    let times: Vec<u64> = story.world.written.iter().map(|w| w.0.0 / MS).collect();
    assert_eq!(times, [10, 12]);
}

/// A shape of both nodes.
fn shaped(rate_bps: Option<u64>, delay: Option<Nanos>) -> Change {
    let shape = Shape {
        rate_bps,
        delay,
        ..Shape::default()
    };
    Change::Shape {
        id: 1,
        nodes: vec![NodeId(0), NodeId(1)],
        shape,
    }
}

/// When each packet was written, ms.
fn written_ms(story: &Story) -> Vec<u64> {
    story.world.written.iter().map(|w| w.0.0 / MS).collect()
}

#[test]
fn a_healed_thin_link_is_not_clogged_by_what_it_could_not_carry() {
    let mut network = network(2);
    network.paths[0][0].base = Nanos(10 * MS);
    let mut story = Story::of(&network);
    // A second for each packet, of 942 + 20 + 38 bytes.
    story.change(&shaped(Some(8_000), None));
    for number in 0..5 {
        story.send_number(0, 1, number, 942);
    }
    // One is out of the sender's queue and has got half through the receiver's.
    story.wait_until(Nanos(1_510 * MS));
    assert_eq!(story.world.written.len(), 0);
    story.change(&Change::HealAll);
    story.send_number(0, 1, 5, 942);
    story.wait_until(Nanos(1_600 * MS));
    assert_eq!(
        written_ms(&story),
        [1_510, 1_520, 1_520, 1_520, 1_520, 1_520]
    );
    story.assert_conserved();
}

#[test]
fn what_waits_for_a_link_that_gets_thinner_takes_as_long_as_its_bytes_do() {
    let mut network = network(2);
    network.nodes[0].up_bps = Some(8_000_000);
    let mut story = Story::of(&network);
    for number in 0..3 {
        story.send_number(0, 1, number, 942);
    }
    story.wait_until(Nanos(MS + MS / 2));
    story.change(&shaped(Some(800_000), None));
    story.wait_until(Nanos::from_secs(1));
    // The second has half its bytes before it: 5 ms up, and then 10 ms down.
    assert_eq!(written_ms(&story), [1, 16, 26]);
}

#[test]
fn a_delay_that_ends_ends_for_what_is_on_its_way() {
    let mut network = network(2);
    network.paths[0][0].base = Nanos(10 * MS);
    let mut story = Story::of(&network);
    story.change(&shaped(None, Some(Nanos(500 * MS))));
    story.send_number(0, 1, 0, 100);
    story.wait_until(Nanos(95 * MS));
    story.send_number(0, 1, 1, 100);
    story.wait_until(Nanos(100 * MS));
    story.change(&shaped(None, Some(Nanos(20 * MS))));
    story.send_number(0, 1, 2, 100);
    story.wait_until(Nanos(110 * MS));
    story.change(&Change::HealAll);
    story.send_number(0, 1, 3, 100);
    story.wait_until(Nanos::from_secs(1));
    assert_eq!(written_ms(&story), [100, 110, 110, 120]);
}

#[test]
fn what_waited_at_the_receiver_goes_before_what_waited_at_the_sender() {
    let mut story = Story::of(&network(2));
    story.change(&shaped(Some(8_000), None));
    for number in 0..2 {
        story.send_number(0, 1, number, 942);
    }
    story.wait_until(Nanos(1_500 * MS));
    story.change(&Change::HealAll);
    story.wait_until(Nanos(1_600 * MS));
    assert_eq!(written_ms(&story), [1_500, 1_500]);
    let number = |at: usize| story.world.written[at].2[VirtioHeader::BYTES + 20];
    assert_eq!([number(0), number(1)], [0, 1]);
}

#[test]
fn what_does_not_fit_in_memory_is_dropped_and_said() {
    let mut network = network(2);
    network.paths[0][0].base = Nanos(MS);
    let mut story = Story::with_memory(&network, 10_000);
    for number in 0..10 {
        story.send_number(0, 1, number, 1_400);
    }
    assert_eq!(story.drops(0)[DropReason::Overload as usize], 6);
    story.wait_until(Nanos(2 * MS));
    assert_eq!(story.world.written.len(), 4);
    story.send_number(0, 1, 10, 1_400);
    story.wait_until(Nanos(4 * MS));
    assert_eq!(story.world.written.len(), 5);
    story.assert_conserved();
}

#[test]
fn a_device_that_refuses_is_the_reason_given() {
    let mut story = Story::of(&network(2));
    story.world.refuses = true;
    story.send_number(0, 1, 1, 100);
    assert_eq!(story.drops(0)[DropReason::Device as usize], 1);
    story.assert_conserved();
}

#[test]
fn a_capture_has_what_a_node_sent_and_what_was_delivered_each_at_its_time() {
    let mut story = Story::of(&network(2));
    story.change(&shaped(None, Some(Nanos(30 * MS))));
    let (capture, mut taken) = Capture::new(&[NodeId(0), NodeId(1)], 2, 1 << 20);
    story.switch.capture(capture);
    story.wait_until(Nanos(5 * MS));
    story.send_number(0, 1, 1, 100);
    story.wait_until(Nanos(100 * MS));
    // It is sent, whatever becomes of it.
    story.world.refuses = true;
    story.send_number(0, 1, 2, 100);
    story.wait_until(Nanos(200 * MS));
    let packets = std::iter::from_fn(|| taken.try_next());
    let seen: Vec<_> = packets
        .map(|packet| {
            let number = packet.bytes[20];
            (packet.t.0 / MS, packet.node.0, packet.direction, number)
        })
        .collect();
    let (sent, received) = (Direction::Sent, Direction::Received);
    let expected = [(5, 0, sent, 1), (35, 1, received, 1), (100, 0, sent, 2)];
    assert_eq!(seen, expected);
}

#[test]
fn a_node_sends_only_as_itself() {
    let mut story = Story::of(&network(3));
    for source in [address(2), [10, 9, 9, 9], [0; 4], [127, 0, 0, 1]] {
        story.send(0, &plain_packet(source, address(1), b"as another"));
    }
    assert_eq!(story.world.written.len(), 0);
    assert_eq!(story.drops(0)[DropReason::ForeignSource as usize], 4);
    story.send(0, &plain_packet(address(0), address(1), b"as itself"));
    assert_eq!(story.world.written.len(), 1);
    story.assert_conserved();
}
