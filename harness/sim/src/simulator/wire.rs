//! Packets on the emulated wire: asked of the link model, counted, and handed to whom they are for.

use peerlab_link::proto::DropReason;
use peerlab_link::{Nanos, NodeId, Passage, Verdict};

use super::connect::handshake_wait;
use super::packet::{Body, EndId, HEADER_BYTES, Packet};
use super::recovery::retransmission_wait;
use super::shard::{Shard, SimEvent};

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
        let wait = match packet.body {
            Body::Syn | Body::SynAck => handshake_wait(&packet),
            Body::Data { .. } | Body::Acknowledged { .. } => {
                let one_way = self.now.saturating_sub(packet.last.left);
                retransmission_wait(Nanos(2 * one_way.0), packet.tries)
            }
            Body::Established | Body::Reset | Body::Probe | Body::ProbeAnswer => return,
        };
        let at = self.now.saturating_add(wait);
        self.cause(packet.dst, at, SimEvent::Lost(packet));
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
            Body::Acknowledged { bytes, sent } => self.acknowledged(node, id, bytes, sent),
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

    /// Sends the acknowledgement that a sender waits for, which has been counted already. Of a train, it
    /// comes unless all were lost: each says what those before it said.
    pub(super) fn acknowledge(&mut self, packet: &Packet, bytes: u32) {
        let (from, to) = ((packet.dst, packet.to), (packet.src, packet.from));
        let sent = packet.first_sent;
        let answer = self.packet(from, to, (0, 0), Body::Acknowledged { bytes, sent });
        self.send_acknowledgement(answer, packet.segments.div_ceil(2));
    }

    /// Sends an acknowledgement, with so many chances that it is not lost. If it is, the sender's
    /// time-out makes it send the last segment again, and another acknowledgement answers that.
    pub(super) fn send_acknowledgement(&mut self, mut packet: Box<Packet>, chances: u32) {
        let now = self.now;
        let (src, dst) = (packet.src, packet.dst);
        let wire_bytes = HEADER_BYTES + self.framing_bytes;
        for _ in 0..chances.max(1) {
            if let Ok(passage) = self.model.send(now, src, dst, wire_bytes) {
                return self.send_packet(passage.at, passage, packet);
            }
        }
        let timeout = self.node(src).sockets.timeout;
        let Some(end) = self.node(src).end(packet.from) else {
            return;
        };
        let wait = retransmission_wait(end.round_trip, packet.tries);
        let again = now.saturating_add(wait);
        if again < packet.first_sent.saturating_add(timeout) {
            packet.tries = packet.tries.saturating_add(1);
            self.cause(src, again, SimEvent::Lost(packet));
        }
    }

    /// Pure acknowledgements, which are counted without being sent.
    pub(super) fn count_acknowledgements(&mut self, src: NodeId, dst: NodeId, packets: u32) {
        let wire_bytes = packets * (HEADER_BYTES + self.framing_bytes);
        self.counters.sent(src, packets, wire_bytes);
        self.counters.received(dst, packets, wire_bytes);
    }
}
