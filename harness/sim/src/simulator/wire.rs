//! Packets on the emulated wire: asked of the link model, counted, and handed to whom they are for.

use peerlab_link::proto::DropReason;
use peerlab_link::{Nanos, NodeId, Verdict};

use super::packet::{Body, EndId, HEADER_BYTES, Packet};
use super::shard::{Shard, SimEvent};
use super::stream::missed_after;

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
            let at = self.now.saturating_add(missed_after(round_trip));
            self.send_event(packet.dst, at, SimEvent::Lost(packet));
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

    /// A packet is on its way, and reaches the other's access link then.
    pub(super) fn send_packet(&mut self, at: Nanos, packet: Box<Packet>) {
        let whole = self.model.down_service(packet.dst, packet.wire_bytes);
        let one = Nanos(whole.0 / u64::from(packet.segments.max(1)));
        // The first segments pass the link while the last ones are still coming.
        let last = packet.spread.saturating_add(one);
        let end = at.saturating_add(whole.max(last));
        self.send_event(packet.src, end, SimEvent::Arrive(packet));
    }

    /// Sends a segment: when it reaches the other's access link, if it does.
    pub(super) fn send_wire(
        &mut self,
        now: Nanos,
        src: NodeId,
        dst: NodeId,
        wire_bytes: u32,
    ) -> Option<Nanos> {
        self.counters.sent(src, 1, wire_bytes);
        match self.model.send(now, src, dst, wire_bytes) {
            Verdict::Deliver { at } => Some(at),
            Verdict::Drop(reason) => {
                self.counters.dropped(src, 1, reason);
                None
            }
        }
    }

    /// Sends a packet that nobody sends again.
    pub(super) fn send_once(
        &mut self,
        src: NodeId,
        from: EndId,
        dst: NodeId,
        to: EndId,
        wire_bytes: u32,
        body: Body,
    ) {
        let now = self.now;
        if let Some(at) = self.send_wire(now, src, dst, wire_bytes) {
            let packet = self.packet((src, from), (dst, to), (1, wire_bytes), body);
            self.send_packet(at, packet);
        }
    }

    /// Sends a packet without data that nobody sends again.
    pub(super) fn send_uncertain(
        &mut self,
        src: NodeId,
        from: EndId,
        dst: NodeId,
        to: EndId,
        body: Body,
    ) {
        let wire_bytes = HEADER_BYTES + self.framing_bytes;
        self.send_once(src, from, dst, to, wire_bytes, body);
    }

    /// Sends the acknowledgement that a sender waits for, which has been counted already. Where it
    /// would be lost, a later one says the same: it comes nonetheless.
    pub(super) fn answer_uncounted(
        &mut self,
        src: NodeId,
        from: EndId,
        dst: NodeId,
        to: EndId,
        body: Body,
    ) {
        let now = self.now;
        let wire_bytes = HEADER_BYTES + self.framing_bytes;
        if let Verdict::Deliver { at } = self.model.send(now, src, dst, wire_bytes) {
            let packet = self.packet((src, from), (dst, to), (0, 0), body);
            self.send_packet(at, packet);
        }
    }

    /// Pure acknowledgements, which are counted without being sent.
    pub(super) fn count_acknowledgements(&mut self, src: NodeId, dst: NodeId, packets: u32) {
        let wire_bytes = packets * (HEADER_BYTES + self.framing_bytes);
        self.counters.sent(src, packets, wire_bytes);
        self.counters.received(dst, packets, wire_bytes);
    }
}
