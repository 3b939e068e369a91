//! Opening connections: the operator's targets always, seeds while addresses are needed, automatic
//! connections up to the number aimed at, and now and then a probe beyond it.

use std::net::SocketAddr;
use std::time::Duration;

use super::dialer::TargetKind;
use super::peer::{ConnectionKind, Peer};
use crate::io::{Output, PeerId, Time};
use crate::machine::Machine;

/// While nobody can be found to connect to, the search is repeated after this, doubled each time
/// up to the next one. New addresses restart it.
const SEARCH_WAIT_MIN: Duration = Duration::from_millis(250);
/// See [`SEARCH_WAIT_MIN`].
const SEARCH_WAIT_MAX: Duration = Duration::from_secs(5);
/// While no address is left to dial, a peer is asked for more after this, doubled each time up to
/// the next one: in a network smaller than the connections aimed at there are none, for ever.
const ASK_WAIT_MIN: Duration = Duration::from_millis(500);
/// See [`ASK_WAIT_MIN`].
const ASK_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a probe has to show a better chain, from the end of its handshake: headers, and the
/// blocks behind them. It stays while blocks are still on their way, four times as long at most.
const PROBE_STAYS: Duration = Duration::from_secs(5);
/// How long a peer that was connected to for its addresses has to give some.
const ADDRESS_FETCH_STAYS: Duration = Duration::from_secs(10);

impl Machine {
    /// Dials whoever is due.
    pub(crate) fn run_dialer(&mut self, now: Time) {
        for (addr, kind) in self.dialer.due(now) {
            let wanted = match kind {
                TargetKind::Connect | TargetKind::AddNode => true,
                TargetKind::Seed => self.needs_addresses(now),
            };
            if wanted && !self.is_connected_to(&addr) {
                let kind = match kind {
                    TargetKind::Seed => ConnectionKind::AddressFetch,
                    TargetKind::Connect | TargetKind::AddNode => ConnectionKind::Manual,
                };
                self.dial(addr, kind);
            }
        }
        if self.config.connect_only {
            return;
        }
        if self.dialer.next_automatic <= now {
            self.dial_automatic(now);
        }
        self.dial_probe(now);
    }

    /// Dials an address that the operator names, unless that is under way.
    pub(crate) fn dial_once(&mut self, addr: SocketAddr) {
        if !self.dialer.is_pending(&addr) {
            self.dial(addr, ConnectionKind::Manual);
        }
    }

    fn dial(&mut self, addr: SocketAddr, kind: ConnectionKind) {
        self.dialer.dialled(addr, kind);
        self.push(Output::Connect { addr });
    }

    /// Connections of a kind, open or being opened.
    fn count(&self, kind: ConnectionKind) -> usize {
        let open = self
            .peers
            .values()
            .filter(|p| p.kind == kind && !p.closing)
            .count();
        open + self.dialer.pending_count(kind)
    }

    /// Whether a connection to this listening address exists, whoever opened it.
    pub(crate) fn is_connected_to(&self, addr: &SocketAddr) -> bool {
        self.peers
            .values()
            .any(|p| p.addr == *addr || p.listen_addr() == Some(*addr))
    }

    /// An address to connect to, if there is one.
    fn draw_address(&mut self, now: Time) -> Option<SocketAddr> {
        let Machine {
            addresses,
            randomness,
            peers,
            dialer,
            bans,
            own_addrs,
            ..
        } = self;
        addresses.draw(now, randomness, |addr| {
            dialer.is_pending(addr)
                || own_addrs.contains(addr)
                || bans.is_banned(addr.ip(), now)
                || peers
                    .values()
                    .any(|p| p.addr == *addr || p.listen_addr() == Some(*addr))
        })
    }

    /// Whether automatic connections are wanted that the known addresses do not give.
    fn needs_addresses(&self, now: Time) -> bool {
        !self.config.connect_only
            && self.dialer.next_automatic > now
            && self.count(ConnectionKind::Automatic) < self.config.outbound_max
    }

    fn dial_automatic(&mut self, now: Time) {
        while self.count(ConnectionKind::Automatic) < self.config.outbound_max {
            let Some(addr) = self.draw_address(now) else {
                let wait = self
                    .dialer
                    .automatic_wait
                    .clamp(SEARCH_WAIT_MIN, SEARCH_WAIT_MAX);
                self.dialer.next_automatic = now + self.randomness.jittered(wait);
                self.dialer.automatic_wait = (wait * 2).min(SEARCH_WAIT_MAX);
                if self.dialer.next_ask <= now {
                    let wait = self.dialer.ask_wait.clamp(ASK_WAIT_MIN, ASK_WAIT_MAX);
                    self.dialer.next_ask = now + self.randomness.jittered(wait);
                    self.dialer.ask_wait = (wait * 2).min(ASK_WAIT_MAX);
                    self.ask_for_addresses(now);
                }
                return;
            };
            self.dial(addr, ConnectionKind::Automatic);
        }
        // Woken again by whatever frees a place.
        self.dialer.next_automatic = Time::NEVER;
    }

    /// There is hope for automatic connections again: new addresses, or old ones that came back.
    pub(crate) fn search_again(&mut self, now: Time) {
        self.dialer.automatic_wait = Duration::ZERO;
        self.dialer.ask_wait = Duration::ZERO;
        self.dialer.next_automatic = self.dialer.next_automatic.min(now);
    }

    /// A place became free; an address may have begun to rest.
    fn search_on(&mut self, now: Time) {
        if self.dialer.next_automatic == Time::NEVER {
            self.dialer.next_automatic = now;
        }
    }

    fn dial_probe(&mut self, now: Time) {
        let complete = self.count(ConnectionKind::Automatic) >= self.config.outbound_max;
        if !complete {
            self.dialer.next_probe = None;
            return;
        }
        match self.dialer.next_probe {
            Some(at) if at > now => {}
            at => {
                let timing = &self.config.timing;
                let mean = if self.dialer.is_settled(now) {
                    timing.probe_interval_settled
                } else {
                    timing.probe_interval
                };
                let wait = self.randomness.exponential(mean);
                self.dialer.next_probe = Some(now + wait.max(SEARCH_WAIT_MIN));
                if at.is_some()
                    && self.count(ConnectionKind::Probe) == 0
                    && let Some(addr) = self.draw_address(now)
                {
                    self.dial(addr, ConnectionKind::Probe);
                }
            }
        }
    }

    /// Ends probes and address fetches that had their time.
    pub(crate) fn end_short_connections(&mut self, now: Time) {
        if self.config.connect_only {
            return;
        }
        let over: Vec<_> = self
            .peers
            .due(now)
            .filter(|p| p.is_ready() && short_stay_ends(p).is_some_and(|end| end <= now))
            .map(|p| (p.id, p.kind))
            .collect();
        for (peer, kind) in over {
            match kind {
                ConnectionKind::Probe => self.end_probe(now, peer),
                _ => self.disconnect(peer, "no addresses in time"),
            }
        }
    }

    /// A probe that brought a block takes the place of the automatic connection that has been
    /// without one for longest; any other probe goes.
    fn end_probe(&mut self, now: Time, probe: PeerId) {
        let useful = self
            .peers
            .get(&probe)
            .is_some_and(|p| p.last_block.is_some());
        let full = self.count(ConnectionKind::Automatic) >= self.config.outbound_max;
        if full && !useful {
            self.disconnect(probe, "probe is over");
            return;
        }
        if full {
            let worst = self
                .peers
                .values()
                .filter(|p| p.kind == ConnectionKind::Automatic && !p.closing)
                .min_by_key(|p| (p.last_block.get(), std::cmp::Reverse(p.connected_at), p.id))
                .map(|p| p.id);
            if let Some(worst) = worst {
                self.disconnect(worst, "replaced by a peer with newer blocks");
            }
        }
        if let Some(peer) = self.peers.get_mut(&probe) {
            peer.kind = ConnectionKind::Automatic;
        }
        self.search_on(now);
    }

    /// An outbound connection could not be opened.
    pub(crate) fn connect_failed(&mut self, now: Time, addr: SocketAddr) {
        let kind = self.dialer.failed(&addr, now, &mut self.randomness);
        self.dialer.unsettle(now);
        self.addresses.attempt_failed(&addr, now);
        if kind == Some(ConnectionKind::Automatic) {
            self.search_on(now);
        }
    }

    /// A connection is gone: notes it for the next attempt.
    pub(crate) fn outbound_lost(&mut self, now: Time, peer: &Peer) {
        let lasted = now.since(peer.connected_at);
        let target = peer.listen_addr().unwrap_or(peer.addr);
        self.dialer.lost(&target, lasted, now, &mut self.randomness);
        if !peer.kind.is_inbound() && peer.handshake != super::Handshake::Ready {
            self.addresses.attempt_failed(&peer.addr, now);
        }
        self.search_on(now);
    }

    /// When [`Machine::run_dialer`] has something to do next, but for the stays of single peers.
    pub(crate) fn dialer_deadline(&self, now: Time) -> Time {
        let needs_addresses = self.needs_addresses(now);
        let targets = self.dialer.next_due(|addr, kind| {
            (kind != TargetKind::Seed || needs_addresses) && !self.is_connected_to(addr)
        });
        let mut deadline = targets.unwrap_or(Time::NEVER);
        if !self.config.connect_only {
            let complete = self.count(ConnectionKind::Automatic) >= self.config.outbound_max;
            let probe = if complete {
                self.dialer.next_probe.unwrap_or(now)
            } else {
                Time::NEVER
            };
            deadline = deadline.min(self.dialer.next_automatic).min(probe);
        }
        deadline
    }

    /// When a short-lived connection is to end.
    pub(crate) fn stay_deadline(&self, peer: &Peer) -> Time {
        let ends = short_stay_ends(peer).filter(|_| !self.config.connect_only);
        ends.unwrap_or(Time::NEVER)
    }
}

/// When a short-lived connection is over; `None` for the others.
fn short_stay_ends(peer: &Peer) -> Option<Time> {
    match peer.kind {
        ConnectionKind::Probe if peer.sync.blocks_in_flight() > 0 => {
            Some(peer.connected_at + PROBE_STAYS * 4)
        }
        ConnectionKind::Probe => Some(peer.connected_at + PROBE_STAYS),
        ConnectionKind::AddressFetch => Some(peer.connected_at + ADDRESS_FETCH_STAYS),
        _ => None,
    }
}
