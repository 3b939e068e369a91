//! Reliable streams over the link model, as Linux' TCP behaves where it shows in an experiment of
//! minutes: segments that take their time at the access links, a window that opens with slow
//! start, retransmission of what was lost with doubled waits, a stream that breaks when nothing is
//! acknowledged for the node's `peer_timeout` (TCP_USER_TIMEOUT), and the bytes of pure
//! acknowledgements. It is no TCP: a part of the stream travels as one packet with all its
//! segments, acknowledgements are counted but not sent (except where a sender waits for one), and
//! are never lost.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use peerlab_link::{Nanos, NodeId, Passage};
use peerlab_node::io::{Input, SEND_BUFFER_BYTES_MAX};

use super::node::{End, NEVER, Stage, peer_of};
use super::packet::{Body, EndId, HEADER_BYTES, Load, Packet};
use super::shard::{Shard, SimEvent};

/// Segments that may be sent before the first acknowledgement (RFC 6928).
pub const INITIAL_WINDOW_SEGMENTS: u32 = 10;
/// Added to the round trip for the first wait before what was lost is sent again (Linux'
/// `TCP_RTO_MIN`; the variance of our round trips is far below it).
const RETRANSMISSION_EXTRA: Nanos = Nanos::from_millis(200);
/// The longest wait before data are sent again (Linux' `TCP_RTO_MAX`).
const RETRANSMISSION_MAX: Nanos = Nanos::from_secs(120);
/// Added to two round trips when the end of a train was lost (tail loss probe, RFC 8985; Linux
/// rounds up by two ticks).
const TAIL_LOSS_EXTRA: Nanos = Nanos::from_millis(8);
/// How long an acknowledgement waits for data to go with (Linux' `TCP_DELACK_MIN`).
const DELAYED_ACKNOWLEDGEMENT: Nanos = Nanos::from_millis(40);
/// The program is told of a message half here no more often than this (as the daemon does).
const PROGRESS_INTERVAL: Nanos = Nanos::from_secs(1);

impl Shard {
    /// The program writes to a connection. Returns false if the other end is so far behind that
    /// the connection is closed.
    pub(super) fn write(&mut self, node: NodeId, id: EndId, load: Load, bytes: u32) -> bool {
        let now = self.now;
        let Some(end) = self.node(node).end(id) else {
            return true;
        };
        if end.stage == Stage::Closing {
            return true;
        }
        if matches!(load, Load::Close) {
            end.stage = Stage::Closing;
        }
        if end.waiting.is_none() && end.stage != Stage::Dialling && bytes <= end.room(now) {
            self.send_part(node, id, load, bytes, false);
            return true;
        }
        let waiting = end.waiting.get_or_insert_default();
        waiting.queue.push_back((load, bytes));
        waiting.bytes += u64::from(bytes);
        if waiting.bytes > SEND_BUFFER_BYTES_MAX as u64 {
            return false;
        }
        self.send_waiting(node, id);
        true
    }

    /// Sends what waits, as far as the window allows.
    pub(super) fn send_waiting(&mut self, node: NodeId, id: EndId) {
        let now = self.now;
        loop {
            let Some(end) = self.node(node).end(id) else {
                return;
            };
            if matches!(end.stage, Stage::Dialling | Stage::Accepting) {
                return;
            }
            let room = end.room(now);
            let round_trip_over = end.window_began.saturating_add(end.round_trip);
            let Some(waiting) = end.waiting.as_deref_mut() else {
                return;
            };
            if waiting.stalled.is_some() {
                return;
            }
            let Some((load, left)) = waiting.queue.pop_front() else {
                if waiting.held.is_empty() {
                    end.waiting = None;
                }
                return;
            };
            if room == 0 && left > 0 {
                waiting.queue.push_front((load, left));
                // Without an acknowledgement on its way the window opens by itself.
                if !waiting.acknowledgement_due && !waiting.look_due {
                    waiting.look_due = true;
                    let at = round_trip_over.max(Nanos(now.0 + 1));
                    self.cause(node, at, SimEvent::Look { node, end: id });
                }
                return;
            }
            let part = left.min(room);
            waiting.bytes -= u64::from(part);
            let load = if part < left {
                waiting.queue.push_front((load, left - part));
                Load::Part
            } else {
                load
            };
            let more = !waiting.queue.is_empty();
            waiting.acknowledgement_due |= more;
            self.send_part(node, id, load, part, more);
        }
    }

    /// The window may have opened.
    pub(super) fn look(&mut self, node: NodeId, id: EndId) {
        if let Some(waiting) = self.node(node).end(id).and_then(|e| e.waiting.as_mut()) {
            waiting.look_due = false;
            self.send_waiting(node, id);
        }
    }

    /// Sends the next part of the stream.
    fn send_part(&mut self, node: NodeId, id: EndId, load: Load, bytes: u32, acknowledge: bool) {
        let now = self.now;
        let Some(end) = self.node(node).end(id) else {
            return;
        };
        let sequence = end.next_sequence;
        end.next_sequence += 1;
        end.unacknowledged_bytes += bytes;
        let owed_since = std::mem::replace(&mut end.owed_since, NEVER);
        let (other, other_end) = (end.other, end.other_end);
        if owed_since.saturating_add(DELAYED_ACKNOWLEDGEMENT) < now {
            self.count_acknowledgements(node, other, 1);
        }
        let body = Body::Data {
            sequence,
            bytes,
            acknowledge,
            load,
        };
        let packet = self.packet((node, id), (other, other_end), (0, 0), body);
        self.send_data(packet, None);
    }

    /// Puts data on the wire, segment by segment; what is lost on the way comes again later. The
    /// first segment may have been sent already, with this passage.
    fn send_data(&mut self, mut packet: Box<Packet>, mut first: Option<Passage>) {
        let now = self.now;
        let Body::Data {
            sequence,
            bytes,
            acknowledge,
            ref mut load,
        } = packet.body
        else {
            return;
        };
        let mut load = std::mem::replace(load, Load::Hole);
        let (src, dst) = (packet.src, packet.dst);
        let segments = bytes.div_ceil(self.segment_bytes).max(1);
        let mut sent = Train::default();
        let mut left = bytes;
        for index in 0..segments {
            let payload = left.min(self.segment_bytes);
            left -= payload;
            let wire_bytes = payload + HEADER_BYTES + self.framing_bytes;
            let passed = first
                .take()
                .or_else(|| self.send_wire(now, src, dst, wire_bytes));
            match passed {
                Some(passage) => sent.passes(passage, payload, wire_bytes),
                None => sent.loses(index, payload),
            }
        }
        let data = |bytes, load| Body::Data {
            sequence,
            bytes,
            acknowledge,
            load,
        };
        if let Some(last_lost) = sent.last_lost {
            let wait = self.recovery(&packet, last_lost + 1 == segments, &sent);
            if let Some(end) = self.node(src).end(packet.from) {
                end.shrink_window();
            }
            let again = self.boxed(Packet {
                body: data(sent.lost_bytes, std::mem::replace(&mut load, Load::Hole)),
                segments: 0,
                wire_bytes: 0,
                ..*packet
            });
            self.cause(src, now.saturating_add(wait), SimEvent::Lost(again));
        }
        if sent.segments > 0 {
            packet.segments = sent.segments;
            packet.wire_bytes = sent.wire_bytes;
            packet.body = data(sent.bytes, load);
            self.send_packet(sent.first, sent.last, packet);
        }
    }

    /// How long it takes until what a train lost is sent again.
    fn recovery(&mut self, packet: &Packet, lost_its_end: bool, sent: &Train) -> Nanos {
        let round_trip = self
            .node(packet.src)
            .end(packet.from)
            .map_or(Nanos::ZERO, |end| end.round_trip);
        if sent.segments == 0 {
            return retransmission_wait(round_trip, packet.tries);
        }
        if !lost_its_end {
            // What came after it tells of the hole, after a quarter of a round trip
            // for reordering (RFC 8985).
            return Nanos(round_trip.0 + round_trip.0 / 4);
        }
        Nanos(2 * round_trip.0).saturating_add(TAIL_LOSS_EXTRA)
    }

    /// It is time to send again what was lost.
    pub(super) fn send_again(&mut self, mut packet: Box<Packet>) {
        let now = self.now;
        let Packet {
            src,
            from,
            dst,
            tries,
            ..
        } = *packet;
        let Body::Data {
            sequence, bytes, ..
        } = packet.body
        else {
            return self.send_control_again(packet);
        };
        let timeout = self.node(src).sockets.timeout;
        let segment_bytes = self.segment_bytes;
        let framing_bytes = self.framing_bytes;
        let Some(end) = self.node(src).end(from) else {
            return;
        };
        if now >= packet.first_sent.saturating_add(timeout) {
            return self.break_end(src, from);
        }
        let waiting = end.waiting.get_or_insert_default();
        if waiting.stalled.is_some_and(|stalled| stalled != sequence) {
            waiting.held.push(packet);
            return;
        }
        let mut first = None;
        if tries > 0 {
            // One segment tells whether anything gets through.
            let wire_bytes = bytes.min(segment_bytes) + HEADER_BYTES + framing_bytes;
            let round_trip = end.round_trip;
            waiting.stalled = Some(sequence);
            first = self.send_wire(now, src, dst, wire_bytes);
            if first.is_none() {
                packet.tries = tries.saturating_add(1);
                let last = packet.first_sent.saturating_add(timeout);
                let at = now.saturating_add(retransmission_wait(round_trip, packet.tries));
                return self.cause(src, at.min(last), SimEvent::Lost(packet));
            }
        }
        packet.tries = tries.saturating_add(1);
        let mut resumed = vec![packet];
        if let Some(waiting) = self.node(src).end(from).and_then(|e| e.waiting.as_mut()) {
            waiting.stalled = None;
            resumed.append(&mut waiting.held);
        }
        for packet in resumed {
            self.send_data(packet, first.take());
        }
        self.send_waiting(src, from);
    }

    /// A part of a stream has come to its node.
    pub(super) fn data_came(&mut self, packet: &mut Packet) {
        let now = self.now;
        let Packet {
            src,
            dst,
            to,
            segments,
            ..
        } = *packet;
        let Body::Data {
            sequence,
            bytes,
            acknowledge,
            ref mut load,
        } = packet.body
        else {
            return;
        };
        let load = std::mem::replace(load, Load::Hole);
        let Some(end) = self.node(dst).end(to) else {
            return self.answer(packet, Body::Reset);
        };
        if end.stage == Stage::Accepting {
            // The handshake's last packet was lost, or came later than this.
            self.established(dst, to);
        }
        let Some(end) = self.node(dst).end(to) else {
            return;
        };
        end.last_heard = now;
        end.probing = false;
        let acknowledgements = end.acknowledge(now, segments);
        if acknowledgements > 0 {
            self.count_acknowledgements(dst, src, acknowledgements);
        }
        if acknowledge {
            self.acknowledge(packet, bytes);
        }
        self.take_in_order(dst, to, sequence, load);
    }

    /// Hands on what is in order; keeps what is early.
    fn take_in_order(&mut self, node: NodeId, id: EndId, sequence: u32, load: Load) {
        if matches!(load, Load::Hole) {
            return;
        }
        let Some(end) = self.node(node).end(id) else {
            return;
        };
        if sequence != end.expected {
            if sequence > end.expected {
                end.early.insert(sequence, load);
            }
            return;
        }
        let mut next = Some(load);
        while let Some(load) = next {
            if let Some(end) = self.node(node).end(id) {
                end.expected += 1;
            }
            self.read(node, id, load);
            // The program may have closed it.
            let Some(end) = self.node(node).end(id) else {
                return;
            };
            let expected = end.expected;
            next = end.early.remove(&expected);
        }
    }

    /// The program reads what came.
    fn read(&mut self, node: NodeId, id: EndId, load: Load) {
        let peer = peer_of(id);
        let received = |(message, wire_bytes)| Input::Received {
            peer,
            message,
            wire_bytes,
        };
        match load {
            Load::Hole => {}
            Load::Part => {
                let now = self.now;
                let Some(end) = self.node(node).end(id) else {
                    return;
                };
                if end.progress_due <= now {
                    end.progress_due = now.saturating_add(PROGRESS_INTERVAL);
                    self.tell(node, Input::Progress { peer });
                }
            }
            Load::One(message, bytes) => self.tell(node, received((message, bytes))),
            Load::Many(messages) => {
                for message in messages {
                    self.tell(node, received(message));
                }
            }
            Load::Close => self.closed_by_other(node, id),
        }
    }

    /// An acknowledgement that a sender waits for has come.
    pub(super) fn acknowledged(&mut self, node: NodeId, id: EndId, bytes: u32) {
        let segment_bytes = self.segment_bytes;
        let Some(end) = self.node(node).end(id) else {
            return;
        };
        end.unacknowledged_bytes = end.unacknowledged_bytes.saturating_sub(bytes);
        end.grow_window(bytes, segment_bytes);
        if let Some(waiting) = end.waiting.as_mut() {
            waiting.acknowledgement_due = false;
            self.send_waiting(node, id);
        }
    }
}

/// What of a train of segments got onto its way.
#[derive(Debug, Default)]
struct Train {
    segments: u32,
    bytes: u32,
    wire_bytes: u32,
    /// When the first of them reaches the other's access link.
    first: Nanos,
    last: Passage,
    lost_bytes: u32,
    /// Index of the last one lost, if any was.
    last_lost: Option<u32>,
}

impl Train {
    fn passes(&mut self, passage: Passage, bytes: u32, wire_bytes: u32) {
        if self.segments == 0 {
            self.first = passage.at;
        }
        self.segments += 1;
        self.bytes += bytes;
        self.wire_bytes += wire_bytes;
        self.last = passage;
    }

    fn loses(&mut self, index: u32, bytes: u32) {
        self.lost_bytes += bytes;
        self.last_lost = Some(index);
    }
}

impl End {
    /// An end whose handshake begins.
    pub fn new(other: NodeId, addr: SocketAddrV4, stage: Stage, now: Nanos) -> End {
        End {
            other,
            other_end: EndId {
                slot: u32::MAX,
                generation: u32::MAX,
            },
            addr,
            outbound: stage == Stage::Dialling,
            stage,
            round_trip: Nanos::ZERO,
            began: now,
            next_sequence: 0,
            window_bytes: 0,
            threshold_bytes: u32::MAX,
            unacknowledged_bytes: 0,
            window_began: now,
            waiting: None,
            expected: 0,
            early: BTreeMap::new(),
            owed_since: NEVER,
            last_heard: now,
            probing: false,
            progress_due: Nanos::ZERO,
        }
    }

    /// Bytes that may be sent now.
    fn room(&mut self, now: Nanos) -> u32 {
        // What was sent a round trip ago has been acknowledged since.
        if self.window_began.saturating_add(self.round_trip) <= now {
            self.window_began = now;
            self.unacknowledged_bytes = 0;
        }
        self.window_bytes.saturating_sub(self.unacknowledged_bytes)
    }

    /// Slow start up to the threshold, then a segment a round trip (RFC 5681).
    fn grow_window(&mut self, acknowledged_bytes: u32, segment_bytes: u32) {
        let growth = if self.window_bytes < self.threshold_bytes {
            acknowledged_bytes
        } else {
            let share = u64::from(acknowledged_bytes) * u64::from(segment_bytes)
                / u64::from(self.window_bytes.max(1));
            share as u32
        };
        self.window_bytes = self.window_bytes.saturating_add(growth);
    }

    /// After a loss: seven tenths, as CUBIC (RFC 9438), and two segments at least.
    fn shrink_window(&mut self) {
        let shrunk = (u64::from(self.window_bytes) * 7 / 10) as u32;
        self.window_bytes = shrunk.max(2 * 1_448);
        self.threshold_bytes = self.window_bytes;
    }

    /// So many segments came: how many pure acknowledgements that costs. Each second segment is
    /// acknowledged at once; a single one waits for data to go with.
    fn acknowledge(&mut self, now: Nanos, segments: u32) -> u32 {
        let mut sent = 0;
        let mut open = segments;
        let owed_since = std::mem::replace(&mut self.owed_since, NEVER);
        if owed_since.saturating_add(DELAYED_ACKNOWLEDGEMENT) < now {
            sent += 1;
        } else if owed_since != NEVER {
            open += 1;
        }
        sent += open / 2;
        if open % 2 == 1 {
            self.owed_since = now;
        }
        sent
    }
}

/// The wait before data are sent again, by how often they were already (RFC 6298: doubled).
pub(super) fn retransmission_wait(round_trip: Nanos, tries: u8) -> Nanos {
    let first = round_trip.saturating_add(RETRANSMISSION_EXTRA);
    let wait = first.0.saturating_mul(1 << u32::from(tries.min(20)));
    Nanos(wait).min(RETRANSMISSION_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end() -> End {
        let mut end = End::new(
            NodeId(1),
            SocketAddrV4::new(std::net::Ipv4Addr::new(10, 0, 0, 2), 1),
            Stage::Dialling,
            Nanos::ZERO,
        );
        end.round_trip = Nanos::from_millis(100);
        end.window_bytes = 14_480;
        end
    }

    #[test]
    fn the_window_is_free_again_after_a_round_trip() {
        let mut end = end();
        assert_eq!(end.room(Nanos::ZERO), 14_480);
        end.unacknowledged_bytes = 10_000;
        assert_eq!(end.room(Nanos::from_millis(99)), 4_480);
        assert_eq!(end.room(Nanos::from_millis(100)), 14_480);
    }

    #[test]
    fn every_second_segment_is_acknowledged_at_once_and_a_single_one_waits() {
        let mut end = end();
        assert_eq!(end.acknowledge(Nanos::from_millis(0), 1), 0);
        assert_eq!(
            end.acknowledge(Nanos::from_millis(10), 1),
            1,
            "two in 40 ms"
        );
        assert_eq!(end.acknowledge(Nanos::from_millis(20), 5), 2);
        assert_eq!(
            end.acknowledge(Nanos::from_millis(90), 1),
            1,
            "the late one"
        );
        assert_eq!(end.owed_since, Nanos::from_millis(90));
    }

    #[test]
    fn waits_double() {
        let round_trip = Nanos::from_millis(50);
        let waits: Vec<u64> = (0..4)
            .map(|tries| retransmission_wait(round_trip, tries).0 / 1_000_000)
            .collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000]);
        assert_eq!(retransmission_wait(round_trip, 255), RETRANSMISSION_MAX);
    }

    #[test]
    fn the_window_doubles_each_round_trip_until_something_is_lost() {
        let mut end = end();
        end.grow_window(14_480, 1_448);
        assert_eq!(end.window_bytes, 28_960);
        end.shrink_window();
        assert_eq!(end.window_bytes, 20_272);
        end.grow_window(20_272, 1_448);
        assert_eq!(end.window_bytes, 20_272 + 1_448);
    }
}
