//! How connections come and go: the handshake of TCP with its retries, refusals and resets, the
//! end of a stream, and the search for ends that are gone (keep-alive).

use std::net::{SocketAddr, SocketAddrV4};

use peerlab_link::{Nanos, NodeId};
use peerlab_node::io::{Input, KEEPALIVE_AFTER};

use super::node::{End, NEVER, Stage, nanos, peer_of};
use super::packet::{Body, EndId, Load, Packet};
use super::shard::{Shard, SimEvent};
use super::stream::INITIAL_WINDOW_SEGMENTS;

/// The first wait for an answer to a SYN, or a SYN-ACK (RFC 6298, 2.1).
const SYN_WAIT: Nanos = Nanos::from_secs(1);
/// A SYN is sent again so often before the wait doubles each time (`tcp_syn_linear_timeouts`, since
/// Linux 6.5).
const SYN_LINEAR: u8 = 4;
/// What a keep-alive probe may take before its connection counts as gone, beyond the idle time.
const KEEPALIVE_ANSWER: Nanos = Nanos::from_secs(5);
/// Connections are looked after no more often than this, all of a node together.
const KEEPALIVE_LOOK_INTERVAL: Nanos = Nanos::from_secs(2);
/// Ports of connections that are dialled: Linux' range.
const EPHEMERAL_PORTS: (u16, u16) = (32_768, 28_232);

/// How long a packet of a handshake is waited for before it is sent again.
pub(super) fn handshake_wait(packet: &Packet) -> Nanos {
    let linear = match packet.body {
        Body::Syn => SYN_LINEAR,
        _ => 0,
    };
    let doublings = packet.tries.saturating_sub(linear).min(6);
    Nanos(SYN_WAIT.0 << u32::from(doublings))
}

impl Shard {
    /// The program opens a connection.
    pub(super) fn dial(&mut self, node: NodeId, addr: SocketAddr) {
        let now = self.now;
        let timeout = self.node(node).sockets.dial_timeout;
        let known = match addr {
            SocketAddr::V4(addr) => self.programs.addresses.get(addr.ip()).zip(Some(addr)),
            SocketAddr::V6(_) => None,
        };
        let Some((&other, addr)) = known else {
            // Nobody answers for an address that no node has.
            let at = now.saturating_add(timeout);
            return self.cause(
                node,
                at,
                SimEvent::NoRoute {
                    node,
                    addr: Box::new(addr),
                },
            );
        };
        let end = End::new(other, addr, Stage::Dialling, now);
        let id = self.node(node).add_end(end);
        self.cause(
            node,
            now.saturating_add(timeout),
            SimEvent::GiveUp { node, end: id },
        );
        self.send_control((node, id), (other, id), Body::Syn);
    }

    /// The handshake took too long.
    pub(super) fn give_up(&mut self, node: NodeId, id: EndId) {
        let dialling = |end: &mut End| end.stage == Stage::Dialling;
        if self.node(node).end(id).is_some_and(dialling) {
            self.dial_failed(node, id);
        }
    }

    fn dial_failed(&mut self, node: NodeId, id: EndId) {
        if let Some(end) = self.node(node).remove_end(id) {
            self.tell(
                node,
                Input::ConnectFailed {
                    addr: end.addr.into(),
                },
            );
        }
    }

    /// Sends a packet of the handshake, which comes again if it is lost.
    fn send_control(&mut self, from: (NodeId, EndId), to: (NodeId, EndId), body: Body) {
        let wire_bytes = body.header_bytes() + self.framing_bytes;
        let packet = self.packet(from, to, (1, wire_bytes), body);
        self.send_control_packet(packet);
    }

    fn send_control_packet(&mut self, packet: Box<Packet>) {
        let now = self.now;
        match self.send_wire(now, packet.src, packet.dst, packet.wire_bytes) {
            Some(passage) => self.send_packet(passage.at, passage, packet),
            None => {
                let at = now.saturating_add(handshake_wait(&packet));
                self.cause(packet.src, at, SimEvent::Lost(packet));
            }
        }
    }

    /// It is time to send a packet of the handshake again, if its end still waits.
    pub(super) fn send_control_again(&mut self, mut packet: Box<Packet>) {
        let now = self.now;
        let Some(end) = self.node(packet.src).end(packet.from) else {
            return;
        };
        if matches!(end.stage, Stage::Dialling | Stage::Accepting) {
            // The round trip is measured from here (by time stamps, RFC 7323).
            end.sent_at = now;
            packet.tries = packet.tries.saturating_add(1);
            self.send_control_packet(packet);
        }
    }

    /// Somebody wants to connect.
    pub(super) fn syn_came(&mut self, packet: &Packet) {
        let now = self.now;
        let node = packet.dst;
        let state = self.node(node);
        let listens = state.machine.is_some() && state.sockets.listens;
        if !listens || state.open_ends() >= state.sockets.accepted_max {
            return self.answer(packet, Body::Reset);
        }
        let ip = self.programs.address(packet.src);
        let (first, count) = EPHEMERAL_PORTS;
        let port =
            first + (packet.from.generation.wrapping_mul(31) + packet.from.slot) as u16 % count;
        let addr = SocketAddrV4::new(ip, port);
        let mut end = End::new(packet.src, addr, Stage::Accepting, now);
        end.other_end = packet.from;
        end.window_bytes = INITIAL_WINDOW_SEGMENTS * self.segment_bytes;
        let id = self.node(node).add_end(end);
        self.send_control((node, id), (packet.src, packet.from), Body::SynAck);
    }

    /// A connection is granted.
    pub(super) fn syn_ack_came(&mut self, packet: &Packet) {
        let (node, id) = (packet.dst, packet.to);
        let window_bytes = INITIAL_WINDOW_SEGMENTS * self.segment_bytes;
        let Some(end) = self.node(node).end(id) else {
            // Given up meanwhile.
            return self.answer(packet, Body::Reset);
        };
        if end.stage != Stage::Dialling {
            return;
        }
        end.other_end = packet.from;
        end.window_bytes = window_bytes;
        self.answer(packet, Body::Established);
        let due = self.now.saturating_add(nanos(KEEPALIVE_AFTER));
        self.look_after_idle_at(node, due);
        self.opened(node, id);
    }

    /// The handshake of an inbound connection is over.
    pub(super) fn established(&mut self, node: NodeId, id: EndId) {
        let accepting = |end: &mut End| end.stage == Stage::Accepting;
        if self.node(node).end(id).is_some_and(accepting) {
            self.opened(node, id);
            self.send_waiting(node, id);
        }
    }

    /// A connection is open from here on.
    fn opened(&mut self, node: NodeId, id: EndId) {
        let now = self.now;
        let Some(end) = self.node(node).end(id) else {
            return;
        };
        end.stage = Stage::Open;
        end.round_trip = now.saturating_sub(end.sent_at);
        end.last_heard = now;
        let (addr, inbound) = (end.addr.into(), !end.outbound);
        let peer = peer_of(id);
        self.tell(
            node,
            Input::Connected {
                peer,
                addr,
                inbound,
            },
        );
    }

    /// The other kernel says that there is no such connection.
    pub(super) fn reset_came(&mut self, node: NodeId, id: EndId) {
        match self.node(node).end(id).map(|end| end.stage) {
            Some(Stage::Dialling) => self.dial_failed(node, id),
            Some(_) => self.break_end(node, id),
            None => {}
        }
    }

    /// The program closes a connection. What it wrote before is still sent.
    pub(super) fn close(&mut self, node: NodeId, id: EndId) {
        let written = self.write(node, id, Load::Close, 0);
        let waits = |end: &mut End| written && end.waiting.is_some();
        // Until it is sent, the end stays with the kernel.
        if !self.node(node).end(id).is_some_and(waits) {
            self.node(node).remove_end(id);
        }
    }

    /// The other end's stream is over: the program hears of it, and closes its own end.
    pub(super) fn closed_by_other(&mut self, node: NodeId, id: EndId) {
        if let Some(other) = self.node(node).end(id).map(|end| end.other) {
            // FIN and ACK in one, and the other's last ACK.
            self.count_acknowledgements(node, other, 1);
            self.count_acknowledgements(other, node, 1);
            self.break_end(node, id);
        }
    }

    /// A stream breaks: what was not acknowledged is lost, and the other end hears nothing.
    pub(super) fn break_end(&mut self, node: NodeId, id: EndId) {
        let end = self.node(node).remove_end(id);
        // Of one that it closed itself the program was told.
        if end.is_some_and(|end| end.stage == Stage::Open) {
            self.tell(node, Input::Disconnected { peer: peer_of(id) });
        }
    }

    /// All connections of a program that died are closed by its kernel. Of those that it was not yet
    /// told of the kernel says nothing: who dials gives up.
    pub(super) fn close_all(&mut self, node: NodeId) {
        for id in self.node(node).end_ids() {
            match self.node(node).end(id).map(|end| end.stage) {
                Some(Stage::Open) => self.close(node, id),
                Some(Stage::Dialling | Stage::Accepting) => drop(self.node(node).remove_end(id)),
                _ => {}
            }
        }
    }

    /// Looks at connections on which nothing came for long; only who opened one asks whether the
    /// other end is still there.
    pub(super) fn look_after_idle(&mut self, node: NodeId) {
        let now = self.now;
        self.node(node).keepalive_at = NEVER;
        let undisturbed = !self.disturbed;
        let mut next = NEVER;
        for id in self.node(node).end_ids() {
            let Some(end) = self.node(node).end(id) else {
                continue;
            };
            if !end.outbound || end.stage != Stage::Open {
                continue;
            }
            let idle = end.last_heard.saturating_add(nanos(KEEPALIVE_AFTER));
            let dead = idle.saturating_add(KEEPALIVE_ANSWER);
            if end.probing && dead <= now {
                self.break_end(node, id);
                continue;
            }
            if idle > now || end.probing {
                next = next.min(if end.probing { dead } else { idle });
                continue;
            }
            let (other, other_end) = (end.other, end.other_end);
            if undisturbed {
                // It is there, and answers: no need to ask.
                end.last_heard = now;
                next = next.min(now.saturating_add(nanos(KEEPALIVE_AFTER)));
                self.count_acknowledgements(node, other, 1);
                self.count_acknowledgements(other, node, 1);
                continue;
            }
            end.probing = true;
            next = next.min(dead);
            self.send_once((node, id), (other, other_end), Body::Probe);
        }
        self.look_after_idle_at(node, next.max(now.saturating_add(KEEPALIVE_LOOK_INTERVAL)));
    }

    fn look_after_idle_at(&mut self, node: NodeId, at: Nanos) {
        if at < self.node(node).keepalive_at && at < NEVER {
            self.node(node).keepalive_at = at;
            self.cause(node, at, SimEvent::KeepAlive { node });
        }
    }

    /// A keep-alive probe came.
    pub(super) fn probe_came(&mut self, packet: &Packet) {
        let there = self.node(packet.dst).end(packet.to).is_some();
        let answer = if there {
            Body::ProbeAnswer
        } else {
            Body::Reset
        };
        self.answer(packet, answer);
    }

    /// The other end is still there.
    pub(super) fn probe_answered(&mut self, node: NodeId, id: EndId) {
        let now = self.now;
        if let Some(end) = self.node(node).end(id) {
            end.last_heard = now;
            end.probing = false;
        }
    }
}
