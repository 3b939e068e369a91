//! What this sub-protocol keeps of all connections together, and when it has something to do.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::addresses::AddressBook;
use super::bans::{BanList, Unwelcome};
use super::dialer::{Dialer, TargetKind};
use super::dialing::short_stay_ends;
use super::watched::Watched;
use super::{gossip, liveness};
use crate::context::{Config, Context, Peer, Traffic, lines};
use crate::io::{PeerId, Time};

/// Who one node is connected to.
#[repr(C)]
pub(crate) struct Peers {
    /// The dialer needs nothing before, unless it was in hand. It stands first: it is asked after
    /// every input.
    dialer_due: Time,
    pub(super) dialer: Watched<Dialer>,
    pub(crate) bans: BanList,
    pub(super) unwelcome: Unwelcome,
    pub(crate) addresses: AddressBook,
    /// Addresses that turned out to be this node's.
    pub(super) own_addrs: BTreeSet<SocketAddr>,
    /// Bytes of connections that are gone.
    pub(super) former: Traffic,
}

impl Peers {
    pub(crate) fn new(config: &Config) -> Peers {
        Peers {
            dialer_due: Time::NEVER,
            dialer: Watched::new(Dialer::new(config)),
            bans: BanList::default(),
            unwelcome: Unwelcome::default(),
            addresses: AddressBook::new(config.addresses_max),
            own_addrs: config.external_addr.into_iter().collect(),
            former: Traffic::default(),
        }
    }

    /// Where in memory that stands which any input asks for.
    pub(crate) fn first_lines(&self) -> impl Iterator<Item = *const u8> + use<> {
        lines(&self.dialer_due, size_of::<Time>() + 1)
    }

    /// A handshake is done, and the peer knows how this node wants headers and blocks.
    pub(crate) fn begin(ctx: &mut Context, id: PeerId) {
        Peers::send_ping(ctx, id);
        gossip::begin_gossip(ctx, id);
    }

    /// Everything that is due, but for [`Peers::run_liveness`], which comes before the others.
    pub(crate) fn run(&mut self, ctx: &mut Context) {
        gossip::run_gossip(ctx);
        self.end_short_connections(ctx);
        if self.dialer_is_due(ctx.now) {
            self.run_dialer(ctx);
        }
    }

    /// When a connection needs something.
    pub(crate) fn peer_deadline(config: &Config, peer: &Peer) -> Time {
        let deadline = liveness::deadline(&config.timing, peer);
        if !peer.is_ready() {
            return deadline;
        }
        let stay = short_stay_ends(peer).filter(|_| !config.connect_only);
        deadline
            .min(peer.gossip.deadline())
            .min(stay.unwrap_or(Time::NEVER))
    }

    /// When the dialer has something to do, as far as it is known without asking it.
    pub(crate) fn deadline(&mut self, ctx: &Context) -> Time {
        if self.dialer_is_due(ctx.now) {
            self.dialer.settle();
            self.dialer_due = self.dialer_deadline(ctx);
        }
        self.dialer_due
    }

    fn dialer_is_due(&self, now: Time) -> bool {
        self.dialer.is_touched() || self.dialer_due <= now
    }

    /// A connection is being closed: its place is free.
    pub(crate) fn place_is_free(&mut self) {
        self.dialer.touch();
    }

    /// Keeps a connection to an address from now on; false if it is kept already.
    pub(crate) fn add_target(&mut self, addr: SocketAddr) -> bool {
        self.dialer.add(addr, TargetKind::AddNode)
    }

    /// Keeps it no longer; false if it was not kept.
    pub(crate) fn remove_target(&mut self, addr: &SocketAddr) -> bool {
        self.dialer.remove(addr)
    }

    /// Addresses to which connections are kept or seeds are asked at, by address.
    pub(crate) fn targets(&self) -> impl Iterator<Item = (SocketAddr, TargetKind)> + '_ {
        self.dialer.targets()
    }

    /// Bytes of connections that are gone.
    pub(crate) fn former(&self) -> &Traffic {
        &self.former
    }
}
