//! The beginning of a connection: `version`, what both want, `verack`; and the connection's end.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use bitcoin::p2p::ServiceFlags;

use super::eviction::{self, Candidate};
use super::peer::{ConnectionKind, Handshake, Peer};
use crate::io::{Event, Output, PeerId, Time};
use crate::machine::Machine;
use crate::wire::{Message, Version};

/// What this node speaks: 70016 has BIP130, BIP133, BIP152, BIP155 and BIP339.
pub const PROTOCOL_VERSION: u32 = 70_016;
/// Older peers are let go. They would need ways of speaking that nobody tests any more.
const PROTOCOL_VERSION_MIN: u32 = 70_016;

/// Connections between the same two nodes that were opened within this were dialled at the same
/// moment. A later one means that the other end has lost the earlier.
const SAME_MOMENT: Duration = Duration::from_secs(3);

impl Machine {
    /// What this node offers its peers.
    pub fn services(&self) -> ServiceFlags {
        ServiceFlags::NETWORK | ServiceFlags::WITNESS
    }

    /// A connection is open.
    pub(crate) fn connected(&mut self, now: Time, id: PeerId, addr: SocketAddr, inbound: bool) {
        if self.peers.contains_key(&id) {
            return;
        }
        let kind = if inbound {
            ConnectionKind::Inbound
        } else {
            self.dialer.opened(&addr)
        };
        let refusal = self.refusal(now, addr, kind);
        let nonce = self.randomness.u64();
        self.peers.insert(Peer::new(id, addr, kind, nonce, now));
        if let Some(reason) = refusal {
            self.disconnect(id, reason);
        } else if !inbound {
            self.send_version(now, id);
        }
    }

    /// Why a new connection is not wanted.
    fn refusal(
        &mut self,
        now: Time,
        addr: SocketAddr,
        kind: ConnectionKind,
    ) -> Option<&'static str> {
        if self.bans.is_banned(addr.ip(), now) {
            return Some("banned");
        }
        if !kind.is_inbound() {
            return None;
        }
        if self.unwelcome.contains(addr.ip(), now) {
            return Some("misbehaved lately");
        }
        let inbound = self
            .peers
            .values()
            .filter(|p| p.kind.is_inbound() && !p.closing);
        let kept_free = if self.config.connect_only {
            0
        } else {
            self.config.outbound_max
        };
        let inbound_max = self.config.connections_max.saturating_sub(kept_free);
        if inbound.clone().count() < inbound_max {
            return None;
        }
        let candidates = inbound
            .map(|p| Candidate {
                peer: p.id,
                connected_at: p.connected_at,
                ping_min: p.ping.min,
                last_transaction: p.last_transaction.get(),
                last_block: p.last_block.get(),
                was_told_addresses: p.gossip.was_answered(),
            })
            .collect();
        match eviction::select(candidates, now) {
            Some(evicted) => {
                self.disconnect(evicted, "evicted for a new connection");
                None
            }
            None => Some("no place for another connection"),
        }
    }

    fn send_version(&mut self, now: Time, id: PeerId) {
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        let unspecified = SocketAddr::from(([0, 0, 0, 0], self.config.listen_port.unwrap_or(0)));
        let version = Version {
            protocol: PROTOCOL_VERSION,
            services: self.services().to_u64(),
            time_secs: i64::from(now.unix_secs()),
            receiver_services: 0,
            receiver: peer.addr,
            sender: self.config.external_addr.unwrap_or(unspecified),
            nonce: peer.our_nonce,
            user_agent: self.config.user_agent.as_str().into(),
            start_height: i32::try_from(self.chain.tip().height).unwrap_or(i32::MAX),
            relay: self.config.relay_transactions,
        };
        self.send(now, id, Message::Version(Box::new(version)));
    }

    pub(crate) fn received_version(&mut self, now: Time, id: PeerId, version: Version) {
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        if peer.version.is_some() {
            // Bitcoin Core ignores a second one as well.
            return;
        }
        if peer.kind.is_inbound() && self.is_own_nonce(version.nonce) {
            self.own_connection(id, version.nonce);
            return;
        }
        if version.protocol < PROTOCOL_VERSION_MIN {
            self.disconnect(
                id,
                &format!("obsolete protocol version {}", version.protocol),
            );
            return;
        }
        let kind = peer.kind;
        let needed = ServiceFlags::NETWORK | ServiceFlags::WITNESS;
        let serves = ServiceFlags::from(version.services).has(needed);
        if matches!(kind, ConnectionKind::Automatic | ConnectionKind::Probe) && !serves {
            self.addresses.shun(&peer.addr.clone(), now);
            self.disconnect(id, "does not offer the services NETWORK and WITNESS");
            return;
        }
        if kind.is_inbound() {
            self.send_version(now, id);
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            // The port is believed, the host is where the connection comes from.
            if kind.is_inbound() {
                peer.listen_port = NonZeroU16::new(version.sender.port());
            }
            peer.time_offset_secs = version.time_secs.saturating_sub(i64::from(now.unix_secs()));
            peer.transactions
                .set_wanted(version.relay && self.config.relay_transactions);
            peer.handshake = Handshake::Verack;
            peer.introduced(version);
        }
        self.send(now, id, Message::WtxidRelay);
        self.send(now, id, Message::SendAddrV2);
        self.send(now, id, Message::Verack);
    }

    /// Whether one of our own unfinished outbound connections has this nonce.
    fn is_own_nonce(&self, nonce: u64) -> bool {
        self.peers
            .values()
            .any(|p| !p.kind.is_inbound() && p.our_nonce == nonce)
    }

    /// A connection to oneself: both ends go, and the address is not dialled again.
    fn own_connection(&mut self, inbound: PeerId, nonce: u64) {
        let dialled: Vec<_> = self
            .peers
            .values()
            .filter(|p| !p.kind.is_inbound() && p.our_nonce == nonce)
            .map(|p| (p.id, p.addr))
            .collect();
        for (id, addr) in dialled {
            self.note_own_addr(addr);
            self.dialer.remove(&addr);
            self.disconnect(id, "connected to self");
        }
        self.disconnect(inbound, "connected to self");
    }

    /// What is only allowed between `version` and `verack`.
    pub(crate) fn received_feature(&mut self, id: PeerId, message: &Message) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        match peer.handshake {
            Handshake::Version => {}
            Handshake::Verack => match message {
                Message::WtxidRelay => peer.transactions.announce_by_wtxid(),
                _ => peer.gossip.send_v2(),
            },
            Handshake::Ready => {
                let reason = format!("{} after verack", message.command().name());
                self.misbehaved(id, &reason);
            }
        }
    }

    pub(crate) fn received_verack(&mut self, now: Time, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if peer.handshake != Handshake::Verack {
            return;
        }
        peer.handshake = Handshake::Ready;
        let (kind, addr, services) = (peer.kind, peer.addr, peer.services());
        let alone = self.peers.values().filter(|p| p.is_ready()).count() <= 1;
        let came_back = !kind.is_inbound() && self.addresses.worked(&addr, services.to_u64(), now);
        if alone || came_back {
            // The network may just have healed.
            self.addresses.wake_all();
            self.search_again(now);
        }
        self.push(Output::Event(Event::PeerReady { peer: id }));
        if self.end_double(id) {
            return;
        }
        self.send(now, id, Message::SendHeaders);
        self.begin_compact(now, id);
        self.send_ping(now, id);
        self.begin_gossip(now, id);
        if kind != ConnectionKind::AddressFetch {
            self.begin_sync(now, id);
            self.begin_relay(now, id);
        }
    }

    /// Two nodes that dialled each other at the same moment have two connections. Both keep the one
    /// that the node with the lower address opened. Returns whether the one at hand went.
    fn end_double(&mut self, id: PeerId) -> bool {
        let double = self.peers.get(&id).and_then(|peer| {
            let other = self.peers.values().find(|other| {
                let apart = other.connected_at.since(peer.connected_at);
                let apart = apart.max(peer.connected_at.since(other.connected_at));
                other.id != id
                    && other.is_ready()
                    && other.kind.is_inbound() != peer.kind.is_inbound()
                    && other.listen_addr() == peer.listen_addr()
                    && apart < SAME_MOMENT
            })?;
            let (inbound, outbound) = if peer.kind.is_inbound() {
                (peer, other)
            } else {
                (other, peer)
            };
            let ours = self.own_addr_for(outbound.id)?;
            let theirs = outbound.listen_addr()?;
            Some(if ours < theirs {
                inbound.id
            } else {
                outbound.id
            })
        });
        if let Some(double) = double {
            self.disconnect(double, "connected twice");
        }
        double == Some(id)
    }

    /// Closes a connection that did what no honest peer does, and avoids its address for a while.
    pub(crate) fn misbehaved(&mut self, id: PeerId, reason: &str) {
        if let Some(peer) = self.peers.get(&id) {
            let addr = peer.listen_addr().unwrap_or(peer.addr);
            self.unwelcome.add(addr.ip(), self.now);
            self.addresses.shun(&addr, self.now);
            self.dialer.shun(&addr);
        }
        self.disconnect(id, reason);
    }

    /// Closes a connection. What it was asked for is asked of others.
    pub(crate) fn disconnect(&mut self, id: PeerId, reason: &str) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if peer.closing {
            return;
        }
        peer.closing = true;
        // Its place is free.
        self.dialer.touch();
        self.push(Output::Disconnect {
            peer: id,
            reason: reason.to_owned(),
        });
        self.release_sync(id);
        self.release_relay(id);
    }

    /// A connection is closed.
    pub(crate) fn disconnected(&mut self, now: Time, id: PeerId) {
        let mut lost = false;
        if let Some(peer) = self.peers.get_mut(&id) {
            lost = !peer.closing && peer.kind.is_kept();
            peer.closing = true;
        }
        if lost {
            self.dialer.unsettle(now);
        }
        self.release_sync(id);
        self.release_relay(id);
        if let Some(peer) = self.peers.remove(&id) {
            self.note_former(&peer.traffic);
            self.outbound_lost(now, &peer);
        }
    }
}
