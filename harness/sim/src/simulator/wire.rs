//! Packets on the emulated wire: asked of the link model, counted, and handed to whom they are for.

use peerlab_link::proto::DropReason;
use peerlab_link::{Nanos, NodeId, Passage, Verdict};

use super::packet::{Body, EndId, HEADER_BYTES, Packet};
use super::shard::{Shard, SimEvent};
use super::stream::retransmission_wait;

impl Shard {
    pub(super) fn arrive(&mut self, packet: Box<Packet>) {
        let now = self.now;
        let verdict = self
            .model
            .arrive_ending(now, packet.src, packet.dst, packet.wire_bytes);
        match verdict {
            Verdict::Drop(reason) => self.dropped(packet, reason),
            Verdict::Deliver { at } if at <= now => self.deliver(packet),
            Verdict::Deliver { at } => self.cause(packet.dst, at, SimEvent::Deliver(packet)),
        }
    }

    /// Something that was on its way gets nowhere: its sender misses it.
    pub(super) fn dropped(&mut self, packet: Box<Packet>, reason: DropReason) {
        self.counters.dropped(packet.src, packet.segments, reason);
        let again = matches!(packet.body, Body::Data { .. } | Body::Syn | Body::SynAck);
        if again {
            let round_trip = Nanos(2 * self.now.saturating_sub(packet.first_sent).0);
            // It is missed so long after it was sent.
            let at = self.now.saturating_add(retransmission_wait(round_trip, 0));
            self.cause(packet.dst, at, SimEvent::Lost(packet));
        }
    }

    pub(super) fn deliver(&mut self, mut packet: Box<Packet>) {
        self.counters
            .received(packet.dst, packet.segments, packet.wire_bytes);
        let (node, id) = (packet.dst, packet.to);
        match packet.body {
            Body::Syn => self.syn_came(&packet),
            Body::SynAck => self.syn_ack_came(&packet),
            Body::Established => self.established(node, id),
            Body::Reset => self.reset_came(node, id),
            Body::Data { .. } => self.data_came(&mut packet),
            Body::Acknowledged { bytes } => self.acknowledged(node, id, bytes),
            Body::Probe => self.probe_came(&packet),
            Body::ProbeAnswer => self.probe_answered(node, id),
        }
        self.spare_packets.push(packet);
    }

    /// A packet is on its way: its first segment reaches the other's access link then, and its last
    /// one when its passage says.
    pub(super) fn send_packet(&mut self, first: Nanos, last: Passage, mut packet: Box<Packet>) {
        let whole = self.model.down_service(packet.dst, packet.wire_bytes);
        packet.last = last;
        packet.passed = first.saturating_add(whole);
        // The first segments pass the link while the last ones are still coming.
        let last = last.at.saturating_add(packet.share(whole));
        self.cause(
            packet.src,
            packet.passed.max(last),
            SimEvent::Arrive(packet),
        );
    }

    /// Sends a segment: when it gets where, if it does.
    pub(super) fn send_wire(
        &mut self,
        now: Nanos,
        src: NodeId,
        dst: NodeId,
        wire_bytes: u32,
    ) -> Option<Passage> {
        self.counters.sent(src, 1, wire_bytes);
        let sent = self.model.send(now, src, dst, wire_bytes);
        if let Err(reason) = sent {
            self.counters.dropped(src, 1, reason);
        }
        sent.ok()
    }

    /// Answers a packet with one without data that nobody sends again.
    pub(super) fn answer(&mut self, packet: &Packet, body: Body) {
        self.send_once((packet.dst, packet.to), (packet.src, packet.from), body);
    }

    /// Sends a packet without data that nobody sends again.
    pub(super) fn send_once(&mut self, from: (NodeId, EndId), to: (NodeId, EndId), body: Body) {
        let now = self.now;
        let wire_bytes = body.header_bytes() + self.framing_bytes;
        if let Some(passage) = self.send_wire(now, from.0, to.0, wire_bytes) {
            let packet = self.packet(from, to, (1, wire_bytes), body);
            self.send_packet(passage.at, passage, packet);
        }
    }

    /// Sends the acknowledgement that a sender waits for, which has been counted already. Where it
    /// would be lost, a later one says the same: it comes nonetheless.
    pub(super) fn acknowledge(&mut self, packet: &Packet, bytes: u32) {
        let (from, to) = ((packet.dst, packet.to), (packet.src, packet.from));
        let wire_bytes = HEADER_BYTES + self.framing_bytes;
        if let Ok(passage) = self.model.send(self.now, from.0, to.0, wire_bytes) {
            let answer = self.packet(from, to, (0, 0), Body::Acknowledged { bytes });
            self.send_packet(passage.at, passage, answer);
        }
    }

    /// Pure acknowledgements, which are counted without being sent.
    pub(super) fn count_acknowledgements(&mut self, src: NodeId, dst: NodeId, packets: u32) {
        let wire_bytes = packets * (HEADER_BYTES + self.framing_bytes);
        self.counters.sent(src, packets, wire_bytes);
        self.counters.received(dst, packets, wire_bytes);
    }
}
