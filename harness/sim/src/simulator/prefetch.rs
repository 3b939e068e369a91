//! Has memory fetched before it is needed. Each event comes to another node than the last one, in
//! a process with hundreds of megabytes of nodes: it would wait for some thirty cache lines, one
//! after the other, for longer than it computes. But what happens next is known (see `queue`), so
//! while one event is handled, the places that the next ones will read are fetched, in stages:
//! each reads what the stage before it has had fetched. What happens does not depend on it.

use std::time::Duration;

use peerlab_link::NodeId;
use peerlab_node::time::Time;
use peerlab_node::wire::Message;

use super::node::{Slot, end_of as end_of_peer, peer_of};
use super::packet::{Body, EndId, Load, Packet};
use super::shard::{Shard, SimEvent};

// What each gains is said at its function: by how much the CPU time of a run grows without it, as
// medians of four to nine alternating runs on two virtual CPUs, of 10,000 nodes that spread blocks
// and of 3,000 with three transactions a second. All together: 60 to 70 %. What gained less than
// 3 % is not here.

/// How many events ahead each stage works: memory takes about a tenth of a microsecond, some
/// of these places must wait for one another, and a processor waits for a dozen or two at once.
const PACKET_AHEAD: usize = 14;
const NODE_AHEAD: usize = 10;
const ENDS_AHEAD: usize = 7;
const PEERS_AHEAD: usize = 4;
const PEER_AHEAD: usize = 2;

/// How many boxes for packets are fetched ahead.
const SPARE_AHEAD: usize = 6;

/// A wake-up that is this near in the queue is no further ahead in time.
const WAKE_AHEAD: Duration = Duration::from_millis(4);

/// Bytes that memory gives at once.
const LINE_BYTES: usize = 64;
/// Places for connection ends in one of these.
const SLOTS_PER_LINE: usize = LINE_BYTES / std::mem::size_of::<Slot>();

/// Has the cache line at an address fetched, while the program goes on.
#[inline]
fn fetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: this is a hint: it reads nothing, and may be given any address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Has a whole value fetched.
#[inline]
fn fetch_all<T>(value: &T) {
    let first = std::ptr::from_ref(value).cast::<u8>();
    for at in (0..std::mem::size_of::<T>()).step_by(LINE_BYTES) {
        fetch(first.wrapping_add(at));
    }
}

impl Shard {
    /// To be called before each event is handled. The packet itself gains 11 %.
    pub(super) fn prefetch(&self) {
        if let Some(packet) = self.queue.ahead(PACKET_AHEAD).and_then(SimEvent::packet) {
            fetch_all(packet);
        }
        if let Some(event) = self.queue.ahead(NODE_AHEAD) {
            self.prefetch_node(event);
        }
        if let Some(event) = self.queue.ahead(ENDS_AHEAD) {
            self.prefetch_ends(event);
        }
        if let Some(event) = self.queue.ahead(PEERS_AHEAD) {
            self.prefetch_peers(event);
        }
        if let Some(event) = self.queue.ahead(PEER_AHEAD) {
            self.prefetch_peer(event);
        }
    }

    /// To be called when a spare box for a packet was taken. Together with the connections that a
    /// block is announced to (see `prefetch_peer`) it gains 4 %, with 1,000 nodes as well.
    pub(super) fn prefetch_spare(&self) {
        let place = self.spare_packets.len().checked_sub(SPARE_AHEAD);
        if let Some(packet) = place.and_then(|place| self.spare_packets.get(place)) {
            fetch_all(&**packet);
        }
    }

    /// The node gains 12 %, its access queues 4 %, the counters and the other end 3 % together.
    fn prefetch_node(&self, event: &SimEvent) {
        let node = event.node();
        fetch_all(self.node_ref(node));
        self.model.prefetch(node, fetch);
        self.counters.prefetch(node, fetch);
        if let Some(packet) = event.packet() {
            self.prefetch_other(packet.src);
        }
    }

    /// By when what a wake-up near in the queue is for has come.
    fn wake_time(&self) -> Time {
        self.time() + WAKE_AHEAD
    }

    /// What is asked of another node when something is sent to it.
    fn prefetch_other(&self, other: NodeId) {
        self.model.prefetch_destination(other, fetch);
        self.counters.prefetch(other, fetch);
    }

    /// The machine gains 12 %, the slots of its ends 8 %, the message's list 3 %; what is needed of
    /// the relay, of turns, of who knows what and of what is due, in all stages, gains 10 % together.
    fn prefetch_ends(&self, event: &SimEvent) {
        let node = self.node_ref(event.node());
        if let Some(machine) = node.machine.as_deref() {
            machine.prefetch(fetch);
        }
        match event {
            SimEvent::KeepAlive { .. } | SimEvent::Done { .. } | SimEvent::Wake { .. } => {
                node.ends.iter().step_by(SLOTS_PER_LINE).for_each(fetch_all);
            }
            _ => {
                let slot = end_of(event).and_then(|id| node.ends.get(id.slot as usize));
                slot.into_iter().for_each(fetch_all);
            }
        }
        let message = event.packet().and_then(first_message);
        if let Some(message) = message {
            message.prefetch(fetch);
        }
        let about_transactions = match event {
            SimEvent::Wake { .. } => true,
            _ => message.is_some_and(is_about_transactions),
        };
        if let Some(machine) = node.machine.as_deref()
            && about_transactions
        {
            machine.prefetch_relay(fetch);
        }
    }

    /// All ends of a node that is about to write gain 4 %, its table of connections 6 %, one end 8 %.
    fn prefetch_peers(&self, event: &SimEvent) {
        let node = self.node_ref(event.node());
        match event {
            // When something last came stands in the first line.
            SimEvent::KeepAlive { .. } => {
                let ends = node.all_ends();
                return ends.for_each(|end| fetch(std::ptr::from_ref(end).cast()));
            }
            SimEvent::Done { .. } => return node.all_ends().for_each(fetch_all),
            _ => {}
        }
        if let Some(machine) = node.machine.as_deref() {
            machine.prefetch_peers(fetch);
            if let SimEvent::Wake { .. } = event {
                machine.prefetch_turns(self.wake_time(), fetch);
            }
            if let Some(message) = event.packet().and_then(first_message) {
                machine.prefetch_received(message, fetch);
            }
        }
        let slot = end_of(event).and_then(|id| node.ends.get(id.slot as usize));
        if let Some(end) = slot.and_then(|slot| slot.end.as_deref()) {
            fetch_all(end);
        }
    }

    /// What is asked of all others that a node writes to gains 7 %, one connection 14 %.
    fn prefetch_peer(&self, event: &SimEvent) {
        let node = self.node_ref(event.node());
        if let SimEvent::Done { .. } = event {
            return node
                .all_ends()
                .for_each(|end| self.prefetch_other(end.other));
        }
        let Some(machine) = node.machine.as_deref() else {
            return;
        };
        if let Some(end) = end_of(event) {
            machine.prefetch_peer(peer_of(end), fetch);
        }
        if let Some(message) = event.packet().and_then(first_message) {
            machine.prefetch_block(message, fetch);
        }
        if let SimEvent::Wake { .. } = event {
            let at = self.wake_time();
            machine.prefetch_timer(at, fetch);
            machine.prefetch_announced(at, fetch);
            for peer in machine.turns(at) {
                machine.prefetch_peer(peer, fetch);
                let slot = node.ends.get(end_of_peer(peer).slot as usize);
                if let Some(end) = slot.and_then(|slot| slot.end.as_deref()) {
                    fetch_all(end);
                }
            }
        }
    }
}

/// Whether a message of this kind mostly is.
fn is_about_transactions(message: &Message) -> bool {
    matches!(
        message,
        Message::Inv(_) | Message::GetData(_) | Message::Tx(_)
    )
}

/// The message that a packet brings, or the first of several.
fn first_message(packet: &Packet) -> Option<&Message> {
    match &packet.body {
        Body::Data {
            load: Load::One(message, _),
            ..
        } => Some(message),
        Body::Data {
            load: Load::Many(messages),
            ..
        } => messages.first().map(|(message, _)| message),
        _ => None,
    }
}

/// At which connection end something arrives.
fn end_of(event: &SimEvent) -> Option<EndId> {
    event.packet().map(|packet| packet.to)
}
