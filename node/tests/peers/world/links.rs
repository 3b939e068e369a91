//! Connections, as TCP's look to a program: in order, nothing lost while open; across a cut their bytes
//! wait; one that is closed across a cut is only noticed as such after healing. No rates, windows or
//! losses: stories that need these run in the simulator, whose streams have them.

use std::net::SocketAddr;
use std::time::Duration;

use peerlab_node::io::{Input, KEEPALIVE_AFTER, PeerId};
use peerlab_node::time::Time;
use peerlab_node::wire::Decoder;

use super::World;
use super::state::{End, Link, Node, Piece, Role, WorldEvent};

/// How long TCP takes to find out that a cut has healed.
const RETRANSMISSION: Duration = Duration::from_millis(700);
/// A stream breaks when something stays unacknowledged for so long: the node's `peer_timeout`.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

impl World {
    /// The link of a node goes silent, or comes back.
    pub fn set_silent(&mut self, node: Node, silent: bool) {
        self.hosts[node.0].silent = silent;
    }

    /// Parts the network: nodes on different sides do not reach each other.
    pub fn partition(&mut self, side: impl Fn(Node) -> u32) {
        for n in 0..self.hosts.len() {
            self.hosts[n].side = side(Node(n));
        }
    }

    /// Joins all sides.
    pub fn heal(&mut self) {
        self.partition(|_| 0);
    }

    pub(super) fn delay_between(&self, a: Node, b: Node) -> Duration {
        let pair = (a.0.min(b.0) * 31 + a.0.max(b.0) * 17 + self.seed as usize) % 100;
        self.delay + self.delay * pair as u32 / 100
    }

    pub(super) fn is_cut(&self, a: Node, b: Node) -> bool {
        let (a, b) = (&self.hosts[a.0], &self.hosts[b.0]);
        a.silent || b.silent || a.side != b.side
    }

    pub(super) fn dialled(&mut self, from: Node, addr: SocketAddr, gives_up: Time) {
        let target = (0..self.hosts.len()).map(Node).find(|n| n.addr() == addr);
        let reachable = target.filter(|t| !self.is_cut(from, *t));
        let Some(target) = reachable else {
            self.schedule(gives_up, WorldEvent::DialFailed { from, addr });
            return;
        };
        if matches!(self.hosts[target.0].role, Role::Down) {
            self.schedule(self.now, WorldEvent::DialFailed { from, addr });
            return;
        }
        self.join(from, target);
    }

    /// Opens a connection now.
    pub fn join(&mut self, from: Node, to: Node) -> PeerId {
        let (outer, inner) = (self.new_end(from), self.new_end(to));
        // The port of an outbound connection is any.
        let from_addr = SocketAddr::new(from.addr().ip(), 50_000 + (outer.1.0 % 10_000) as u16);
        let now = self.now;
        self.links.insert(
            outer,
            Link {
                other: inner,
                addr: to.addr(),
                busy_until: now,
            },
        );
        self.links.insert(
            inner,
            Link {
                other: outer,
                addr: from_addr,
                busy_until: now,
            },
        );
        self.schedule(now + KEEPALIVE_AFTER, WorldEvent::KeepAlive(outer));
        self.input(
            to,
            Input::Connected {
                peer: inner.1,
                addr: from_addr,
                inbound: true,
            },
        );
        self.input(
            from,
            Input::Connected {
                peer: outer.1,
                addr: to.addr(),
                inbound: false,
            },
        );
        outer.1
    }

    pub(super) fn new_end(&mut self, node: Node) -> End {
        self.hosts[node.0].next_peer += 1;
        (node, PeerId(self.hosts[node.0].next_peer))
    }

    pub(super) fn arrive(&mut self, at: End, from: End, what: Piece, sent: Time) {
        if !self.links.contains_key(&at) {
            return self.reset(from, at);
        }
        if self.is_cut(at.0, from.0) {
            if self.now.since(sent) >= UNACKNOWLEDGED_MAX {
                // The sender gives up; the other end does not hear of it.
                return self.lose(from);
            }
            // TCP tries again.
            let again = self.now + RETRANSMISSION;
            if let Some(link) = self.links.get_mut(&at) {
                link.busy_until = link.busy_until.max(again);
            }
            self.schedule(
                again,
                WorldEvent::Arrive {
                    at,
                    from,
                    what,
                    sent,
                },
            );
            return;
        }
        let (node, peer) = at;
        match what {
            Piece::Message(message) => {
                let wire_bytes = message.wire_size();
                self.input(
                    node,
                    Input::Received {
                        peer,
                        message,
                        wire_bytes,
                    },
                );
            }
            Piece::Bytes(bytes) => self.decode(at, &bytes),
            Piece::Close => {
                self.links.remove(&at);
                self.input(node, Input::Disconnected { peer });
            }
        }
    }

    /// What a driver does with bytes.
    pub(super) fn decode(&mut self, at: End, bytes: &[u8]) {
        let (node, peer) = at;
        let mut decoder = Decoder::new();
        decoder.push(bytes);
        loop {
            match decoder.next_message() {
                Ok(Some((message, wire_bytes))) => {
                    self.input(
                        node,
                        Input::Received {
                            peer,
                            message,
                            wire_bytes,
                        },
                    );
                }
                Ok(None) => return,
                Err(error) => {
                    let reason = error.to_string();
                    self.input(node, Input::Malformed { peer, reason });
                    return;
                }
            }
        }
    }

    pub fn transmit(&mut self, from: End, what: Piece) {
        let Some(link) = self.links.get(&from) else {
            return;
        };
        let other = link.other;
        let arrives = self.now + self.delay_between(from.0, other.0);
        // In order, also behind what waits at a cut.
        let Some(back) = self.links.get_mut(&other) else {
            return self.reset(from, other);
        };
        let at = arrives.max(back.busy_until);
        back.busy_until = at;
        self.schedule(
            at,
            WorldEvent::Arrive {
                at: other,
                from,
                what,
                sent: self.now,
            },
        );
    }

    /// Whether the other end is still there, asked now and then by who opened the connection.
    pub(super) fn keep_alive(&mut self, end: End) {
        let Some(link) = self.links.get(&end) else {
            return;
        };
        let other = link.other;
        if self.is_cut(end.0, other.0) || !self.links.contains_key(&other) {
            self.lose(end);
        } else {
            self.schedule(self.now + KEEPALIVE_AFTER, WorldEvent::KeepAlive(end));
        }
    }

    /// Something was sent to an end that has given up: the news of that comes back, or never.
    pub(super) fn reset(&mut self, end: End, other: End) {
        let wait = match self.is_cut(end.0, other.0) {
            true => UNACKNOWLEDGED_MAX,
            false => self.delay_between(end.0, other.0) * 2,
        };
        self.schedule(self.now + wait, WorldEvent::Break(end));
    }

    /// One end's stream breaks.
    pub(super) fn lose(&mut self, end: End) {
        if self.links.remove(&end).is_some() {
            self.input(end.0, Input::Disconnected { peer: end.1 });
        }
    }

    /// One end closes: it hears of it at once, the other when the news arrives.
    pub(super) fn close(&mut self, end: End) {
        self.transmit(end, Piece::Close);
        self.lose(end);
    }
}
