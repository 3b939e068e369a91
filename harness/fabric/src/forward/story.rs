//! For stories and fuzz targets: a switch in virtual time, with a clock that is exact and devices that
//! remember.

use peerlab_link::{Change, LinkModel, Nanos, Network, NodeId};

use super::switch::{Outside, Switch};

/// Devices that remember what was written to them, and when.
#[derive(Default)]
pub(super) struct World {
    pub(super) now: Nanos,
    /// `(when, to whom, packet)`.
    pub(super) written: Vec<(Nanos, NodeId, Vec<u8>)>,
    pub(super) refuses: bool,
}

impl Outside for World {
    fn write(&mut self, node: NodeId, packet: &[u8]) -> bool {
        if !self.refuses {
            self.written.push((self.now, node, packet.to_vec()));
        }
        !self.refuses
    }

    fn now(&self) -> Nanos {
        self.now
    }
}

/// A switch and its world.
pub struct Story {
    pub(super) switch: Switch,
    pub(super) world: World,
    read: Box<[u8]>,
}

impl Story {
    /// A switch of this network that holds at most so many bytes of packets that wait; `None` where the
    /// network cannot be.
    pub fn begin(network: &Network, bytes_max: usize) -> Option<Story> {
        let model = LinkModel::new(network).ok()?;
        let mut switch = Switch::with_memory(network, model, bytes_max);
        Some(Story {
            read: switch.read_buffer(),
            switch,
            world: World::default(),
        })
    }

    /// The time.
    pub fn now(&self) -> Nanos {
        self.world.now
    }

    /// Lets time pass, waking at every deadline.
    pub fn wait_until(&mut self, then: Nanos) {
        while let Some(at) = self.switch.next_at().filter(|&at| at <= then) {
            self.world.now = self.world.now.max(at);
            self.switch.advance(self.world.now, &mut self.world);
        }
        self.world.now = then;
    }

    /// The network changes now.
    ///
    /// # Errors
    /// When it cannot.
    pub fn try_change(&mut self, change: &Change) -> Result<(), String> {
        self.switch.apply(self.world.now, change)
    }

    /// A node's device has this to read.
    pub fn send(&mut self, src: u32, packet: &[u8]) {
        self.read[..packet.len()].copy_from_slice(packet);
        let now = self.world.now;
        let (read, world) = (&mut self.read, &mut self.world);
        self.switch
            .received(now, NodeId(src), read, packet.len(), world);
    }

    /// What was written to devices: when, to whom, the packet.
    pub fn written(&self) -> &[(Nanos, NodeId, Vec<u8>)] {
        &self.world.written
    }

    /// Every packet was delivered, or dropped and counted as that. None may be waiting.
    pub fn assert_conserved(&mut self) {
        let (nodes, _) = self.switch.count();
        let sent: u64 = nodes.iter().map(|n| n.tx_packets).sum();
        let dropped: u64 = nodes.iter().flat_map(|n| n.drops).sum();
        let delivered: u64 = nodes.iter().map(|n| n.rx_packets).sum();
        assert_eq!(sent, delivered + dropped);
    }
}
