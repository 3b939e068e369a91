//! What happens to each packet: routed, counted, asked of the link model, passed on now or kept
//! until its time. Reads no device and no clock but through [`Outside`], so it is tested as it is.

use peerlab_link::proto::{Direction, DropReason, Lateness, NodeCounters};
use peerlab_link::{Change, LinkModel, Nanos, Network, NodeId, NodeLink, Passage, Verdict};

use super::buffers::{Buffers, HELD_BYTES_MAX, Held, READ_BYTES_MAX};
use super::capture::{Capture, Captures};
use super::lateness::LatenessMeter;
use super::packet_queue::{Due, PacketQueue, Waiting};
use super::routes::Routes;
use crate::packet::{Train, VirtioHeader, addresses};

/// What the switch needs of the world.
pub(super) trait Outside {
    /// Writes a packet, virtio header first, to a node's device; whether it took it.
    fn write(&mut self, node: NodeId, packet: &[u8]) -> bool;
    /// The time since `go`.
    fn now(&self) -> Nanos;
}

/// A packet (or train) under way.
#[derive(Clone, Copy, Debug)]
struct Flow {
    src: NodeId,
    dst: NodeId,
    packets: u32,
    wire_bytes: u32,
}

impl Flow {
    /// It waits until then, having left its sender's access link.
    fn waiting(self, stage: Due, left: Nanos, held: Held) -> Waiting {
        Waiting {
            src: self.src,
            dst: self.dst,
            stage,
            left,
            packets: self.packets,
            wire_bytes: self.wire_bytes,
            held,
        }
    }
}

/// Where a packet's bytes are.
enum Payload<'a> {
    /// In the buffer that it was read into, which may be kept in exchange for another.
    Read(&'a mut Box<[u8]>, usize),
    /// Elsewhere: to be copied.
    Cut(&'a [u8]),
}

impl Payload<'_> {
    fn packet(&self) -> &[u8] {
        match self {
            Payload::Read(read, length) => &read[..*length],
            Payload::Cut(piece) => piece,
        }
    }
}

pub(super) struct Switch {
    model: LinkModel,
    framing_bytes: u32,
    routes: Routes,
    counters: Vec<NodeCounters>,
    queue: PacketQueue,
    buffers: Buffers,
    lateness: LatenessMeter,
    /// Where trains are cut.
    scratch: Vec<u8>,
    captures: Captures,
}

impl Switch {
    /// A switch of this network, whose model was made from it.
    pub(super) fn new(network: &Network, model: LinkModel) -> Switch {
        Switch::with_memory(network, model, HELD_BYTES_MAX)
    }

    /// The same, holding at most so many bytes of packets that wait.
    pub(super) fn with_memory(network: &Network, model: LinkModel, bytes_max: usize) -> Switch {
        let addresses: Vec<_> = network.nodes.iter().map(|n| n.ip).collect();
        Switch {
            model,
            framing_bytes: u32::from(network.framing_bytes),
            routes: Routes::new(&addresses),
            counters: vec![NodeCounters::default(); network.nodes.len()],
            queue: PacketQueue::default(),
            buffers: Buffers::new(bytes_max),
            lateness: LatenessMeter::new(),
            scratch: Vec::with_capacity(READ_BYTES_MAX),
            captures: Captures::default(),
        }
    }

    /// Packets are captured from now on, until nobody takes them any more.
    pub(super) fn capture(&mut self, capture: Capture) {
        self.captures.add(capture);
    }

    /// A buffer to read a device into.
    pub(super) fn read_buffer(&mut self) -> Box<[u8]> {
        self.buffers.read_buffer()
    }

    /// When [`Switch::advance`] has something to do.
    #[inline]
    pub(super) fn next_at(&self) -> Option<Nanos> {
        self.queue.next_at()
    }

    /// There is one node more, with the next id.
    pub(super) fn join(&mut self, link: &NodeLink) -> Result<(), String> {
        let id = self.model.join(link).map_err(|e| e.to_string())?;
        self.routes.add(id, link.ip);
        self.counters.push(NodeCounters::default());
        Ok(())
    }

    /// Changes the network at `now`. Everything due at `now` has been done.
    pub(super) fn apply(&mut self, now: Nanos, change: &Change) -> Result<(), String> {
        let model = &mut self.model;
        let retiming = model.apply(now, change).map_err(|e| e.to_string())?;
        if retiming.is_empty() {
            return Ok(());
        }
        self.queue.retime(|at, waiting| match waiting.stage {
            Due::Arrive => {
                let left = waiting.left;
                let passage = Passage { left, at };
                let passage = model.retime_sent(&retiming, waiting.src, waiting.dst, passage);
                waiting.left = passage.left;
                passage.at
            }
            Due::Deliver => model.retime_arrived(&retiming, waiting.dst, at),
        });
        Ok(())
    }

    /// The next packet may have waited so much longer than usual to be read: that counts like a
    /// late delivery.
    pub(super) fn read_after(&mut self, waited: Nanos) {
        if waited > Nanos::ZERO {
            self.lateness.record(waited);
        }
    }

    /// The thread did not run for so long, though it wanted to.
    pub(super) fn was_away(&mut self, time: Nanos) {
        self.lateness.was_away(time);
    }

    /// A node sent something before `go`: it is counted where the kernel counts it too, and goes
    /// nowhere.
    pub(super) fn received_early(&mut self, src: NodeId, length: usize) {
        let bytes = length.saturating_sub(VirtioHeader::BYTES) as u64;
        self.counters[src.index()].device_tx_bytes += bytes;
    }

    /// A read of `length` bytes from the device of `src`. Everything due at `now` has been done.
    pub(super) fn received(
        &mut self,
        now: Nanos,
        src: NodeId,
        read: &mut Box<[u8]>,
        length: usize,
        outside: &mut impl Outside,
    ) {
        self.received_early(src, length);
        if !self.captures.is_empty() {
            let (now, read) = (outside.now(), &read[..length]);
            self.captures.take(now, src, Direction::Sent, read);
        }
        let Some((header, packet)) = VirtioHeader::split(&read[..length]) else {
            return;
        };
        let measured = Train::measure(&header, packet);
        let (packets, ip_bytes) = match &measured {
            Ok(train) => (train.packets, train.ip_bytes),
            Err(_) => (1, packet.len() as u64),
        };
        let wire_bytes = ip_bytes + u64::from(packets) * u64::from(self.framing_bytes);
        let sent = &mut self.counters[src.index()];
        sent.tx_packets += u64::from(packets);
        sent.tx_bytes += wire_bytes;
        let (Ok(train), Some((from, to))) = (measured, addresses(packet)) else {
            return self.count_drop(src, packets, DropReason::Unroutable);
        };
        if self.routes.node(from) != Some(src) {
            return self.count_drop(src, packets, DropReason::ForeignSource);
        }
        let Some(dst) = self.routes.node(to) else {
            return self.count_drop(src, packets, DropReason::Unroutable);
        };
        if packets == 1 || self.model.is_plain(src, dst) {
            let flow = Flow {
                src,
                dst,
                packets,
                wire_bytes: u32::try_from(wire_bytes).unwrap_or(u32::MAX),
            };
            self.forward(now, flow, Payload::Read(read, length), outside);
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        train.cut(packet, &mut scratch, |piece| {
            let ip_bytes = (piece.len() - VirtioHeader::BYTES) as u32;
            let flow = Flow {
                src,
                dst,
                packets: 1,
                wire_bytes: ip_bytes + self.framing_bytes,
            };
            self.forward(now, flow, Payload::Cut(piece), outside);
        });
        self.scratch = scratch;
    }

    /// Does everything that is due at `now` or before.
    pub(super) fn advance(&mut self, now: Nanos, outside: &mut impl Outside) {
        while let Some((at, waiting)) = self.queue.pop_due(now) {
            self.step(at, waiting, outside);
        }
    }

    /// The counters, and the lateness since the last call.
    pub(super) fn count(&mut self) -> (Vec<NodeCounters>, Lateness) {
        (self.counters.clone(), self.lateness.take())
    }

    /// Packets that partitions and silences dropped.
    pub(super) fn cut_packets(&self) -> u64 {
        self.counters.iter().map(NodeCounters::cut).sum()
    }

    fn forward(
        &mut self,
        now: Nanos,
        flow: Flow,
        payload: Payload<'_>,
        outside: &mut impl Outside,
    ) {
        let Flow {
            src,
            dst,
            wire_bytes,
            ..
        } = flow;
        let Passage { left, at } = match self.model.send(now, src, dst, wire_bytes) {
            Err(reason) => return self.count_drop(src, flow.packets, reason),
            Ok(passage) => passage,
        };
        let (stage, at) = if at > now {
            (Due::Arrive, at)
        } else {
            match self.model.arrive(now, src, dst, wire_bytes) {
                Verdict::Drop(reason) => return self.count_drop(src, flow.packets, reason),
                Verdict::Deliver { at } => (Due::Deliver, at),
            }
        };
        if at <= now {
            return self.deliver(flow, payload.packet(), outside);
        }
        let held = match payload {
            Payload::Read(read, length) if Buffers::is_large(length) => {
                self.buffers.hold_read(read, length)
            }
            other => self.buffers.hold_copy(other.packet()),
        };
        match held {
            Some(held) => self.queue.push(at, flow.waiting(stage, left, held)),
            None => self.count_drop(src, flow.packets, DropReason::Overload),
        }
    }

    /// A packet's time has come. The model is told the instant it was due, not the instant at
    /// which this thread got to it, so that a busy host does not bend the rates.
    fn step(&mut self, at: Nanos, waiting: Waiting, outside: &mut impl Outside) {
        let flow = Flow {
            src: waiting.src,
            dst: waiting.dst,
            packets: waiting.packets,
            wire_bytes: waiting.wire_bytes,
        };
        let verdict = match waiting.stage {
            Due::Arrive => self.model.arrive(at, flow.src, flow.dst, flow.wire_bytes),
            Due::Deliver => match self.model.cut(flow.src, flow.dst) {
                Some(reason) => Verdict::Drop(reason),
                None => Verdict::Deliver { at },
            },
        };
        match verdict {
            // It waits in line even where that time has passed too: others may come before it.
            Verdict::Deliver { at: later } if later > at => {
                let waiting = flow.waiting(Due::Deliver, waiting.left, waiting.held);
                return self.queue.push(later, waiting);
            }
            Verdict::Deliver { .. } => {
                self.lateness.record(outside.now().saturating_sub(at));
                self.deliver(flow, waiting.held.packet(), outside);
            }
            Verdict::Drop(reason) => self.count_drop(flow.src, flow.packets, reason),
        }
        self.buffers.release(waiting.held);
    }

    fn deliver(&mut self, flow: Flow, packet: &[u8], outside: &mut impl Outside) {
        if !outside.write(flow.dst, packet) {
            self.count_drop(flow.src, flow.packets, DropReason::Device);
            return;
        }
        let received = &mut self.counters[flow.dst.index()];
        received.rx_packets += u64::from(flow.packets);
        received.rx_bytes += u64::from(flow.wire_bytes);
        received.device_rx_bytes += (packet.len() - VirtioHeader::BYTES) as u64;
        if !self.captures.is_empty() {
            let now = outside.now();
            self.captures
                .take(now, flow.dst, Direction::Received, packet);
        }
    }

    fn count_drop(&mut self, src: NodeId, packets: u32, reason: DropReason) {
        self.counters[src.index()].drops[reason as usize] += u64::from(packets);
    }
}
