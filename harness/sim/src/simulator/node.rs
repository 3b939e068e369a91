//! What the simulator keeps of one node: its program, the kernel's table of its connections, and
//! its disk. Data with small questions; what happens to it is in `shard`, `stream` and `connect`.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::Duration;

use peerlab_link::{Nanos, NodeId};
use peerlab_node::chain::CachedChain;
use peerlab_node::io::{CONNECTIONS_SURPLUS, Input, PeerId};
use peerlab_node::{Config, Machine};

use super::packet::{EndId, Load, Packet};

pub struct Node {
    /// Its program, when it runs.
    pub machine: Option<Box<Machine>>,
    /// Its disk, unless its program has it.
    pub disk: Option<CachedChain>,
    /// Whether the program is being loaded.
    pub loading: bool,
    /// Whether its processes stand still. The kernel goes on.
    pub frozen: bool,
    /// How often its program was started.
    pub life: u32,
    /// What its program has its kernel do.
    pub sockets: Sockets,
    /// What its program has not read yet.
    pub unread: VecDeque<Input>,
    /// Until when its program computes: it reads nothing, and nothing it has answered has left.
    pub busy_until: Nanos,
    /// When the machine wants to be woken.
    pub timer: Nanos,
    /// The earliest wake-up that is on its way.
    pub wake_at: Nanos,
    /// A later one, overtaken by that: when a short wait is over the node often wants it again.
    pub wake_next: Nanos,
    /// When the kernel next looks after idle connections.
    pub keepalive_at: Nanos,
    /// Its connections' ends.
    pub ends: Vec<Slot>,
    /// Places in `ends` that are free.
    pub free: Vec<u32>,
    /// How many things it has caused.
    pub caused: u32,
    /// Blocks that it mined.
    pub mined: u64,
}

/// What a program has its kernel do, from its start on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sockets {
    /// Whether connections are accepted.
    pub listens: bool,
    /// How many connections there may be before further ones are refused.
    pub accepted_max: usize,
    /// How long data may stay unacknowledged before a stream breaks (TCP_USER_TIMEOUT).
    pub timeout: Nanos,
    /// How long a connection may take to open.
    pub dial_timeout: Nanos,
}

impl Sockets {
    pub fn of(config: &Config) -> Sockets {
        Sockets {
            listens: config.listen_port.is_some(),
            accepted_max: config.connections_max + CONNECTIONS_SURPLUS,
            timeout: nanos(config.timing.peer_timeout),
            dial_timeout: nanos(config.timing.connect_timeout),
        }
    }
}

/// A place for an end.
#[derive(Debug, Default)]
pub struct Slot {
    /// Of the end that is, or will be, here.
    pub generation: u32,
    /// `None` when free.
    pub end: Option<Box<End>>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A SYN is out.
    Dialling,
    /// A SYN came, and a SYN-ACK is out.
    Accepting,
    Open,
    /// The program has closed it, or died; what was written before is still being sent.
    Closing,
}

/// One end of a connection: what is sent from here, and what comes in. What most packets need
/// stands together at its beginning, in this order, and begins a cache line: where there are many
/// nodes, fetching it from memory is what a packet costs.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct End {
    /// The other node.
    pub other: NodeId,
    /// Its end there; until it is known, one that does not exist.
    pub other_end: EndId,
    /// How far it is.
    pub stage: Stage,
    /// Whether this node opened it.
    pub outbound: bool,
    /// Whether a keep-alive probe is out.
    pub probing: bool,
    /// The part that is expected next.
    pub expected: u32,
    /// The next part that is sent has this place in the stream.
    pub next_sequence: u32,
    /// What may be sent before an acknowledgement, bytes.
    pub window_bytes: u32,
    /// What was sent since `window_began` and not acknowledged, bytes.
    pub unacknowledged_bytes: u32,
    /// The start of the round trip to which that belongs.
    pub window_began: Nanos,
    /// Measured in the handshake.
    pub round_trip: Nanos,
    /// Since when an acknowledgement is owed; [`NEVER`] when none is.
    pub owed_since: Nanos,
    /// When something last came.
    pub last_heard: Nanos,
    /// What waits for its turn, if anything does.
    pub waiting: Option<Box<Waiting>>,
    /// Parts that came before their turn.
    pub early: BTreeMap<u32, Load>,
    /// Slow start ends there, bytes.
    pub threshold_bytes: u32,
    /// The other's address, as the program is told.
    pub addr: SocketAddrV4,
    /// When the last packet of the handshake was sent; from then on, when data were sent that came.
    pub sent_at: Nanos,
    /// When the program may be told again that a message is half here.
    pub progress_due: Nanos,
}

/// A part of a stream that was lost.
#[derive(Debug)]
pub struct Missing {
    pub packet: Box<Packet>,
    /// When it was sent last.
    pub sent: Nanos,
    /// When it is sent again.
    pub due: Nanos,
}

/// What an end could not send at once.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Written by the program and not sent yet: what, and how many bytes of it are left.
    pub queue: VecDeque<(Load, u32)>,
    /// Sum of the bytes in `queue`.
    pub bytes: u64,
    /// Parts of the stream that were lost, in the order in which that happened.
    pub missing: Vec<Missing>,
    /// When these are looked after next, if that is under way.
    pub resend_at: Option<Nanos>,
    /// Whether an acknowledgement will come that lets more be sent.
    pub acknowledgement_due: bool,
    /// Whether a look at the window is on its way.
    pub look_due: bool,
}

impl Node {
    /// A node that is down, with this on its disk.
    pub fn new(disk: CachedChain) -> Node {
        Node {
            machine: None,
            disk: Some(disk),
            loading: false,
            frozen: false,
            life: 0,
            sockets: Sockets::default(),
            unread: VecDeque::new(),
            busy_until: Nanos::ZERO,
            timer: NEVER,
            wake_at: NEVER,
            wake_next: NEVER,
            keepalive_at: NEVER,
            ends: Vec::new(),
            free: Vec::new(),
            caused: 0,
            mined: 0,
        }
    }

    /// Whether a wake-up has to be sent off so that the node wakes then; if so it counts as sent.
    pub fn needs_wake(&mut self, at: Nanos) -> bool {
        let needed = at < self.wake_at;
        if needed {
            self.wake_next = self.wake_next.min(self.wake_at);
            self.wake_at = at;
        }
        needed
    }

    /// A wake-up has come: whether it is the one that is waited for.
    pub fn wake_came(&mut self, now: Nanos) -> bool {
        let waited_for = self.wake_at <= now;
        if waited_for {
            self.wake_at = std::mem::replace(&mut self.wake_next, NEVER);
        }
        waited_for
    }

    /// Puts an end into the table.
    pub fn add_end(&mut self, end: End) -> EndId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.ends.push(Slot::default());
            (self.ends.len() - 1) as u32
        });
        let place = &mut self.ends[slot as usize];
        place.end = Some(Box::new(end));
        EndId {
            slot,
            generation: place.generation,
        }
    }

    /// An end, if it is still there.
    pub fn end(&mut self, id: EndId) -> Option<&mut End> {
        let slot = self.ends.get_mut(id.slot as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        slot.end.as_deref_mut()
    }

    /// Takes an end out of the table; its place gets a new generation.
    pub fn remove_end(&mut self, id: EndId) -> Option<Box<End>> {
        let slot = self.ends.get_mut(id.slot as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let end = slot.end.take()?;
        slot.generation += 1;
        self.free.push(id.slot);
        Some(end)
    }

    /// All ends that there are.
    pub fn all_ends(&self) -> impl Iterator<Item = &End> {
        self.ends.iter().filter_map(|slot| slot.end.as_deref())
    }

    pub fn end_ids(&self) -> Vec<EndId> {
        let ends = self.ends.iter().enumerate();
        ends.filter(|(_, slot)| slot.end.is_some())
            .map(|(index, slot)| EndId {
                slot: index as u32,
                generation: slot.generation,
            })
            .collect()
    }

    /// How many connections its program has.
    pub fn open_ends(&self) -> usize {
        self.ends.len() - self.free.len()
    }
}

/// Later than everything.
pub const NEVER: Nanos = Nanos(u64::MAX);

pub fn nanos(length: Duration) -> Nanos {
    Nanos(length.as_nanos() as u64)
}

/// The program's name for an end.
pub fn peer_of(end: EndId) -> PeerId {
    PeerId(u64::from(end.generation) << 32 | u64::from(end.slot))
}

/// The end that the program calls by this name.
pub fn end_of(peer: PeerId) -> EndId {
    EndId {
        slot: peer.0 as u32,
        generation: (peer.0 >> 32) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_that_was_overtaken_is_not_sent_again() {
        let mut node = Node::new(CachedChain::new(&Default::default()));
        assert!(node.needs_wake(Nanos(100)));
        assert!(!node.needs_wake(Nanos(100)));
        assert!(node.needs_wake(Nanos(5)));
        assert!(node.wake_came(Nanos(5)));
        assert!(!node.needs_wake(Nanos(100)), "it is still on its way");
        assert!(node.needs_wake(Nanos(50)));
        assert!(node.needs_wake(Nanos(20)));
        assert!(node.wake_came(Nanos(20)));
        assert!(node.wake_came(Nanos(50)));
        // Of three the latest is forgotten: sent again, and what comes first is waited for.
        assert!(node.needs_wake(Nanos(101)));
        assert!(!node.wake_came(Nanos(100)));
        assert!(node.wake_came(Nanos(101)));
    }
}
