//! What the operator may ask of a running node, beyond blocks and transactions. Results are
//! returned at once; effects come as outputs, to be drained afterwards.

use std::net::SocketAddr;

use bitcoin::p2p::ServiceFlags;

use super::core::Machine;
use crate::io::{PeerId, Time};
use crate::peers::{Ban, Peers, Subnet, TargetKind, services};
use crate::wire::PeerAddress;

impl Machine {
    /// Keeps a connection to an address from now on (`addnode ADDR add`); false if it is kept
    /// already.
    pub fn add_node(&mut self, now: Time, addr: SocketAddr) -> bool {
        self.command_begins(now);
        let added = self.peers.dialer.add(addr, TargetKind::AddNode);
        self.command_ends();
        added
    }

    /// Keeps it no longer (`addnode ADDR remove`); false if it was not kept. A connection that
    /// exists stays.
    pub fn remove_node(&mut self, addr: SocketAddr) -> bool {
        self.peers.dialer.remove(&addr)
    }

    /// Tries a connection once (`addnode ADDR onetry`).
    pub fn try_node(&mut self, now: Time, addr: SocketAddr) {
        self.command_begins(now);
        self.peers.dial_once(&mut self.ctx, addr);
        self.command_ends();
    }

    /// Addresses to which connections are kept or seeds are asked at, by address, with whether
    /// such a connection exists.
    pub fn added_nodes(&self) -> impl Iterator<Item = (SocketAddr, TargetKind, bool)> + '_ {
        let targets = self.peers.dialer.targets();
        targets.map(|(addr, kind)| (addr, kind, self.ctx.peers.has_address(&addr)))
    }

    /// Closes the connections to an address; false if there was none.
    pub fn disconnect_node(&mut self, now: Time, addr: SocketAddr) -> bool {
        let ids = self.ctx.peers.ids(|p| p.addr == addr);
        for id in &ids {
            self.disconnect_peer(now, *id);
        }
        !ids.is_empty()
    }

    /// Closes a connection; false if it is not there.
    pub fn disconnect_peer(&mut self, now: Time, id: PeerId) -> bool {
        if self.peer(id).is_none() {
            return false;
        }
        self.command_begins(now);
        self.ctx.disconnect(id, "disconnected by the operator");
        self.command_ends();
        true
    }

    /// Bans a subnet until a time, and closes its connections.
    pub fn set_ban(&mut self, now: Time, subnet: Subnet, until: Time) {
        self.command_begins(now);
        self.peers.bans.set(
            subnet,
            Ban {
                created: now,
                until,
            },
        );
        let banned = self.ctx.peers.ids(|p| subnet.contains(p.addr.ip()));
        for id in banned {
            self.ctx.disconnect(id, "banned");
        }
        self.command_ends();
    }

    /// Lifts the ban of this very subnet; false if there was none.
    pub fn clear_ban(&mut self, subnet: &Subnet) -> bool {
        self.peers.bans.clear(subnet)
    }

    /// Lifts all bans.
    pub fn clear_bans(&mut self) {
        self.peers.bans.clear_all();
    }

    /// Bans in force, by subnet.
    pub fn bans(&self, now: Time) -> impl Iterator<Item = (&Subnet, &Ban)> + '_ {
        self.peers.bans.iter(now)
    }

    /// Whether this very subnet is banned.
    pub fn has_ban(&self, subnet: &Subnet, now: Time) -> bool {
        self.peers.bans.has(subnet, now)
    }

    /// Pings every peer that has no ping to answer yet.
    pub fn ping_all(&mut self, now: Time) {
        self.command_begins(now);
        let ids: Vec<_> = self.peers().map(|p| p.id).collect();
        for id in ids {
            Peers::send_ping(&mut self.ctx, id);
        }
        self.command_ends();
    }

    /// Addresses of peers that this node knows, sorted.
    pub fn known_addresses(&self) -> impl Iterator<Item = PeerAddress> + '_ {
        self.peers.addresses.iter()
    }

    /// What this node offers.
    pub fn services(&self) -> ServiceFlags {
        services()
    }
}
