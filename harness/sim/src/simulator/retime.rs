//! A change of links gives packets that are under way other instants, as if each had been given its
//! own only when it left a queue (see [`peerlab_link::LinkModel::apply`]). Which shard a packet is
//! in, and which one knows its sender's links, is the pool's affair.

use peerlab_link::{Nanos, Passage, Retiming};

use super::packet::Packet;
use super::shard::{CrossShardMessages, Shard, SimEvent};

impl Shard {
    /// Takes out what such a change gives other instants.
    pub fn take_under_way(&mut self, retiming: &Retiming) -> CrossShardMessages {
        self.queue.take_all(|event| match event {
            SimEvent::Arrive(packet) => {
                retiming.is_about(packet.src) || retiming.is_about(packet.dst)
            }
            SimEvent::Deliver(packet) => retiming.is_about(packet.dst),
            _ => false,
        })
    }

    /// When it happens now. Asked of the shard of the node that caused it, in the order in which
    /// that node did.
    pub fn retime(&mut self, retiming: &Retiming, at: Nanos, event: &mut SimEvent) -> Nanos {
        match event {
            SimEvent::Arrive(packet) => self.retime_train(retiming, at, packet),
            SimEvent::Deliver(packet) => self.model.retime_arrived(retiming, packet.dst, at),
            _ => at,
        }
    }

    /// When a train has passed its receiver's access link, if that is idle, and does at `end`
    /// without the change. The link may have received a part of it.
    fn retime_train(&mut self, retiming: &Retiming, end: Nanos, packet: &mut Packet) -> Nanos {
        let Packet { src, dst, last, .. } = *packet;
        let was_last_to_pass = end > packet.passed;
        let whole = self.model.down_service(dst, packet.wire_bytes);
        let before = retiming.down_service_before(dst, packet.wire_bytes);
        let first = packet.passed.saturating_sub(before.unwrap_or(whole));
        if first > self.now {
            // It was sent before the last one, and has drawn no more than what it is late by.
            let delay = self.model.delay_before(retiming, src, dst);
            let left = first.saturating_sub(delay).min(last.left);
            let passage = Passage { left, at: first };
            let passage = self.model.retime_sent(retiming, src, dst, passage);
            packet.passed = passage.at.saturating_add(whole);
        } else {
            packet.passed = self.model.retime_arrived(retiming, dst, packet.passed);
        }
        if last.at > self.now {
            packet.last = self.model.retime_sent(retiming, src, dst, last);
            let passed = packet.last.at.saturating_add(packet.share(whole));
            packet.passed.max(passed)
        } else if was_last_to_pass {
            self.model.retime_arrived(retiming, dst, end)
        } else {
            packet.passed
        }
    }
}
