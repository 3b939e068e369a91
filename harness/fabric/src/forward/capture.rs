//! Packets for those who want to see them: copied, cut into what goes over the wire where the kernel left
//! them joined, and handed to the control thread. The forwarding thread never waits for that: of what is
//! too much for now, or altogether, the packets are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use peerlab_link::proto::{CapturedPacket, Direction};
use peerlab_link::{Nanos, NodeId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::packet::{Train, VirtioHeader, finish_checksum};

/// Memory of the packets of one capture that wait to be carried away.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// What a packet that waits takes besides its bytes, about.
const OVERHEAD_BYTES: usize = 64;

/// What both threads know of a capture.
#[derive(Debug, Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    /// Packets, of each node in the order in which they were asked for.
    left_out: Vec<AtomicU64>,
}

/// The forwarding thread's end of a capture.
#[derive(Debug)]
pub(crate) struct Capture {
    /// By node: where it stands in `Shared::left_out`.
    places: Vec<Option<usize>>,
    bytes_left: u64,
    sender: UnboundedSender<CapturedPacket>,
    shared: Arc<Shared>,
}

/// The control thread's.
#[derive(Debug)]
pub(crate) struct Taken {
    receiver: UnboundedReceiver<CapturedPacket>,
    shared: Arc<Shared>,
}

impl Capture {
    /// A capture at the devices of `nodes`, of the `node_count` that there are.
    pub(crate) fn new(nodes: &[NodeId], node_count: usize, bytes_max: u64) -> (Capture, Taken) {
        let mut places = vec![None; node_count];
        for (place, node) in nodes.iter().enumerate() {
            if let Some(slot) = places.get_mut(node.index()) {
                *slot = Some(place);
            }
        }
        let (sender, receiver) = unbounded_channel();
        let shared = Arc::new(Shared {
            left_out: nodes.iter().map(|_| AtomicU64::new(0)).collect(),
            ..Shared::default()
        });
        let capture = Capture {
            places,
            bytes_left: bytes_max,
            sender,
            shared: Arc::clone(&shared),
        };
        (capture, Taken { receiver, shared })
    }

    fn place(&self, node: NodeId) -> Option<usize> {
        self.places.get(node.index()).copied().flatten()
    }

    /// A packet at the device of the node that has this place.
    fn take(&mut self, place: usize, packet: CapturedPacket) {
        let (bytes, cost) = (packet.bytes.len() as u64, Taken::cost(&packet));
        let waiting = self.shared.waiting_bytes.load(Ordering::Relaxed);
        if bytes > self.bytes_left || waiting + cost > WAITING_BYTES_MAX {
            // Whoever reads a capture up to some place may rely on it: nothing small slips past.
            if bytes > self.bytes_left {
                self.bytes_left = 0;
            }
            self.shared.left_out[place].fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.bytes_left -= bytes;
        self.shared.waiting_bytes.fetch_add(cost, Ordering::Relaxed);
        // Nobody may want it any more.
        let _ = self.sender.send(packet);
    }
}

impl Taken {
    /// The next packet; `None` when there will be none any more.
    pub(crate) async fn next(&mut self) -> Option<CapturedPacket> {
        self.receiver.recv().await
    }

    /// The next packet, if it is there.
    pub(crate) fn try_next(&mut self) -> Option<CapturedPacket> {
        self.receiver.try_recv().ok()
    }

    /// No more are wanted than there are.
    pub(crate) fn close(&mut self) {
        self.receiver.close();
    }

    /// What a packet takes while it waits.
    pub(crate) fn cost(packet: &CapturedPacket) -> usize {
        packet.bytes.len() + OVERHEAD_BYTES
    }

    /// Packets that took so much have been carried away.
    pub(crate) fn release(&self, cost: usize) {
        self.shared.waiting_bytes.fetch_sub(cost, Ordering::Relaxed);
    }

    /// Packets that were left out.
    pub(crate) fn left_out(&self) -> Vec<u64> {
        let all = self.shared.left_out.iter();
        all.map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

/// All captures under way.
#[derive(Debug, Default)]
pub(super) struct Captures {
    all: Vec<Capture>,
    /// Where trains are cut.
    scratch: Vec<u8>,
}

impl Captures {
    pub(super) fn add(&mut self, capture: Capture) {
        self.all.push(capture);
    }

    /// Whether nobody captures: all that this costs then.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A read from a node's device, or a write to it.
    #[cold]
    pub(super) fn take(&mut self, now: Nanos, node: NodeId, direction: Direction, read: &[u8]) {
        self.all.retain(|capture| !capture.sender.is_closed());
        for capture in &mut self.all {
            let Some(place) = capture.place(node) else {
                continue;
            };
            each_packet(read, &mut self.scratch, |bytes| {
                let packet = CapturedPacket {
                    t: now,
                    node,
                    direction,
                    bytes,
                };
                capture.take(place, packet);
            });
        }
    }
}

/// Calls `each` with the packets that a read stands for, as they are on the wire.
fn each_packet(read: &[u8], scratch: &mut Vec<u8>, mut each: impl FnMut(Vec<u8>)) {
    let mut whole = |read: &[u8]| {
        if let Some((header, packet)) = VirtioHeader::split(read) {
            let mut packet = packet.to_vec();
            finish_checksum(&header, &mut packet);
            each(packet);
        }
    };
    let Some((header, packet)) = VirtioHeader::split(read) else {
        return;
    };
    match Train::measure(&header, packet) {
        Ok(train) if header.gso_type != VirtioHeader::GSO_NONE => {
            train.cut(packet, scratch, whole);
        }
        // What is malformed as well, as it is.
        Ok(_) | Err(_) => whole(read),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::examples::{TcpPacket, verify};

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);

    fn captures(nodes: &[NodeId], bytes_max: u64) -> (Captures, Taken) {
        let (capture, taken) = Capture::new(nodes, 2, bytes_max);
        let mut captures = Captures::default();
        captures.add(capture);
        (captures, taken)
    }

    /// A read that stands for one packet.
    fn packet(payload_bytes: usize) -> Vec<u8> {
        let packet = TcpPacket {
            payload: vec![1; payload_bytes],
            gso_bytes: 60_000,
            ..TcpPacket::default()
        };
        packet.build()
    }

    /// Checks a packet as it was captured, with no virtio header's help: its checksums are whole.
    fn payload_of(packet: &CapturedPacket) -> Vec<u8> {
        let mut read = VirtioHeader::default().encode().to_vec();
        read.extend_from_slice(&packet.bytes);
        verify(&read, 0).payload
    }

    fn all(taken: &mut Taken) -> Vec<CapturedPacket> {
        std::iter::from_fn(|| taken.try_next()).collect()
    }

    #[test]
    fn a_train_is_captured_as_the_packets_that_it_is_on_the_wire_with_their_checksums() {
        for needs_checksum in [false, true] {
            let example = TcpPacket {
                payload: (0..5_000u32).map(|n| n as u8).collect(),
                gso_bytes: 1_400,
                needs_checksum,
                ..TcpPacket::default()
            };
            let (mut captures, mut taken) = captures(&[A], 1 << 20);
            captures.take(Nanos(7), A, Direction::Sent, &example.build());
            let packets = all(&mut taken);
            assert_eq!(packets.len(), 4);
            for packet in &packets {
                assert_eq!((packet.t, packet.node), (Nanos(7), A));
                assert_eq!(packet.direction, Direction::Sent);
            }
            let payload: Vec<u8> = packets.iter().flat_map(payload_of).collect();
            assert_eq!(payload, example.payload);
        }
    }

    proptest! {
        #[test]
        fn whatever_a_node_sends_can_be_captured(
            read in prop::collection::vec(any::<u8>(), 0..120),
        ) {
            let (mut captures, mut taken) = captures(&[A], 1 << 20);
            captures.take(Nanos(1), A, Direction::Sent, &read);
            if read.len() < VirtioHeader::BYTES {
                prop_assert!(all(&mut taken).is_empty());
            } else {
                prop_assert!(!all(&mut taken).is_empty());
            }
        }
    }

    #[test]
    fn one_packet_whose_checksum_was_left_to_others_has_it() {
        let train = packet(100);
        let (header, train) = VirtioHeader::split(&train).unwrap();
        let measured = Train::measure(&header, train).unwrap();
        let mut single = Vec::new();
        measured.cut(train, &mut Vec::new(), |piece| single = piece.to_vec());
        assert_eq!(single[0], VirtioHeader::NEEDS_CHECKSUM);
        let (mut captures, mut taken) = captures(&[A], 1 << 20);
        captures.take(Nanos(1), A, Direction::Sent, &single);
        assert_eq!(payload_of(&all(&mut taken)[0]), [1; 100]);
        // One whose checksum would stand beyond its end stays as it is.
        single[6] = 0xff;
        captures.take(Nanos(1), A, Direction::Sent, &single);
        assert_eq!(all(&mut taken)[0].bytes, single[VirtioHeader::BYTES..]);
    }

    #[test]
    fn others_than_those_asked_for_are_not_captured() {
        let (mut captures, mut taken) = captures(&[B], 1 << 20);
        let read = packet(10);
        captures.take(Nanos(1), A, Direction::Sent, &read);
        captures.take(Nanos(2), B, Direction::Received, &read);
        let packets = all(&mut taken);
        let seen: Vec<(NodeId, Direction)> =
            packets.iter().map(|p| (p.node, p.direction)).collect();
        assert_eq!(seen, [(B, Direction::Received)]);
    }

    #[test]
    fn what_is_too_much_is_counted_and_nothing_slips_past_that() {
        let (mut captures, mut taken) = captures(&[B, A], 1_500);
        for bytes in [1_000, 1_000, 1_000, 10] {
            captures.take(Nanos(1), A, Direction::Sent, &packet(bytes));
        }
        assert_eq!(all(&mut taken).len(), 1);
        assert_eq!(taken.left_out(), [0, 3]);
    }

    #[test]
    fn a_reader_that_stands_still_costs_bounded_memory_and_one_that_goes_on_gets_more() {
        let read = packet(60_000);
        let (mut captures, mut taken) = captures(&[A], u64::MAX);
        let fit = WAITING_BYTES_MAX / (60_040 + OVERHEAD_BYTES);
        for _ in 0..fit + 10 {
            captures.take(Nanos(1), A, Direction::Sent, &read);
        }
        assert_eq!(taken.left_out(), [10]);
        let cost = all(&mut taken).iter().map(Taken::cost).sum();
        taken.release(cost);
        captures.take(Nanos(1), A, Direction::Sent, &read);
        assert_eq!(all(&mut taken).len(), 1);
    }

    #[test]
    fn a_capture_that_nobody_wants_any_more_is_gone() {
        let (mut captures, mut taken) = captures(&[A], 1 << 20);
        taken.close();
        captures.take(Nanos(1), A, Direction::Sent, &packet(10));
        assert!(captures.is_empty());
    }
}
