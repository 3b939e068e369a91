//! Reliable streams over the link model, as Linux' TCP behaves where it shows in an experiment of
//! minutes: segments that take their time at the access links, a window that opens with slow
//! start, a stream that breaks when nothing is
//! acknowledged for the node's `peer_timeout` (TCP_USER_TIMEOUT), and the bytes of pure
//! acknowledgements. It is no TCP: a part of the stream travels as one packet with all its
//! segments, and acknowledgements are counted but not sent, nor lost, except where a sender waits for
//! one. When what was lost is sent again is `recovery`.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use peerlab_link::{Nanos, NodeId, Passage};
use peerlab_node::io::{Input, SEND_BUFFER_BYTES_MAX};

use super::node::{End, NEVER, Stage, peer_of};
use super::packet::{Body, EndId, HEADER_BYTES, Load, Packet};
use super::recovery::{DELAYED_ACKNOWLEDGEMENT, Train};
use super::shard::{Shard, SimEvent};

/// Segments that may be sent before the first acknowledgement (RFC 6928).
pub const INITIAL_WINDOW_SEGMENTS: u32 = 10;
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
            if waiting.is_stalled() {
                return;
            }
            let Some((load, left)) = waiting.queue.pop_front() else {
                if waiting.missing.is_empty() {
                    end.waiting = None;
                    if end.stage == Stage::Closing {
                        self.node(node).remove_end(id);
                    }
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
            // Or it tells of what is missing.
            let acknowledge = more || !waiting.missing.is_empty();
            self.send_part(node, id, load, part, acknowledge);
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
        let before = std::mem::replace(&mut end.sent_at, now);
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
        self.send_data(packet, None, before);
    }

    /// Puts data on the wire, segment by segment; what is lost on the way comes again later. The
    /// first segment may have been sent already, with this passage. `before` is when the end sent
    /// something that came.
    pub(super) fn send_data(
        &mut self,
        mut packet: Box<Packet>,
        mut first: Option<Passage>,
        before: Nanos,
    ) {
        let now = self.now;
        let Some((sequence, bytes, acknowledge, mut load)) = packet.take_data() else {
            return;
        };
        let (src, dst) = (packet.src, packet.dst);
        let segments = bytes.div_ceil(self.segment_bytes).max(1);
        let mut sent = Train::default();
        let mut left = bytes;
        for _ in 0..segments {
            let payload = left.min(self.segment_bytes);
            left -= payload;
            let wire_bytes = payload + HEADER_BYTES + self.framing_bytes;
            let passed = first
                .take()
                .or_else(|| self.send_wire(now, src, dst, wire_bytes));
            match passed {
                Some(passage) => sent.passes(passage, payload, wire_bytes),
                None => sent.loses(payload),
            }
        }
        let data = |bytes, load| Body::Data {
            sequence,
            bytes,
            acknowledge,
            load,
        };
        if sent.lost_segments > 0 {
            let lost_load = std::mem::replace(&mut load, Load::Hole);
            let again = self.boxed(Packet {
                body: data(sent.lost_bytes, lost_load),
                segments: 0,
                wire_bytes: 0,
                ..*packet
            });
            self.lost_of_train(again, &sent, before);
        }
        if sent.segments > 0 {
            packet.segments = sent.segments;
            packet.wire_bytes = sent.wire_bytes;
            packet.body = data(sent.bytes, load);
            self.send_packet(sent.first, sent.last, packet);
        }
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
        let Some((sequence, bytes, acknowledge, load)) = packet.take_data() else {
            return;
        };
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
    pub(super) fn acknowledged(&mut self, node: NodeId, id: EndId, bytes: u32, sent: Nanos) {
        let segment_bytes = self.segment_bytes;
        let Some(end) = self.node(node).end(id) else {
            return;
        };
        end.unacknowledged_bytes = end.unacknowledged_bytes.saturating_sub(bytes);
        end.grow_window(bytes, segment_bytes);
        if let Some(waiting) = end.waiting.as_mut() {
            waiting.acknowledgement_due = false;
            self.tell_of_holes(node, id, sent);
            self.send_waiting(node, id);
        }
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
            sent_at: now,
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
    pub(super) fn shrink_window(&mut self) {
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
