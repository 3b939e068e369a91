//! Opening connections: the operator's targets always, seeds while addresses are needed, automatic
//! connections up to the number aimed at, and now and then a probe beyond it.

use std::net::SocketAddr;
use std::time::Duration;

use super::Peers;
use super::dialer::TargetKind;
use super::gossip::ask_for_addresses;
use crate::context::{ConnectionKind, Context, Handshake, Peer};
use crate::io::{Output, PeerId, Time};

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

impl Peers {
    /// Dials whoever is due.
    pub(super) fn run_dialer(&mut self, ctx: &mut Context) {
        for (addr, kind) in self.dialer.due(ctx.now) {
            let wanted = match kind {
                TargetKind::Connect | TargetKind::AddNode => true,
                TargetKind::Seed => self.needs_addresses(ctx),
            };
            if wanted && !ctx.peers.has_address(&addr) {
                let kind = match kind {
                    TargetKind::Seed => ConnectionKind::AddressFetch,
                    TargetKind::Connect | TargetKind::AddNode => ConnectionKind::Manual,
                };
                self.dial(ctx, addr, kind);
            }
        }
        if ctx.config.connect_only {
            return;
        }
        if self.dialer.next_automatic <= ctx.now {
            self.dial_automatic(ctx);
        }
        self.dial_probe(ctx);
    }

    /// Dials an address that the operator names, unless that is under way.
    pub(crate) fn dial_once(&mut self, ctx: &mut Context, addr: SocketAddr) {
        if !self.dialer.is_pending(&addr) {
            self.dial(ctx, addr, ConnectionKind::Manual);
        }
    }

    fn dial(&mut self, ctx: &mut Context, addr: SocketAddr, kind: ConnectionKind) {
        self.dialer.dialled(addr, kind);
        ctx.push(Output::Connect { addr });
    }

    /// Connections of a kind, open or being opened.
    fn count(&self, ctx: &Context, kind: ConnectionKind) -> usize {
        let open = ctx
            .peers
            .values()
            .filter(|p| p.kind == kind && !p.closing)
            .count();
        open + self.dialer.pending_count(kind)
    }

    /// An address to connect to, if there is one.
    fn draw_address(&self, ctx: &mut Context) -> Option<SocketAddr> {
        let (now, peers) = (ctx.now, &ctx.peers);
        self.addresses.draw(now, &mut ctx.randomness, |addr| {
            self.dialer.is_pending(addr)
                || self.own_addrs.contains(addr)
                || self.bans.is_banned(addr.ip(), now)
                || peers.has_address(addr)
        })
    }

    /// Whether automatic connections are wanted that the known addresses do not give.
    fn needs_addresses(&self, ctx: &Context) -> bool {
        !ctx.config.connect_only
            && self.dialer.next_automatic > ctx.now
            && self.count(ctx, ConnectionKind::Automatic) < ctx.config.outbound_max
    }

    fn dial_automatic(&mut self, ctx: &mut Context) {
        while self.count(ctx, ConnectionKind::Automatic) < ctx.config.outbound_max {
            let Some(addr) = self.draw_address(ctx) else {
                let wait = self
                    .dialer
                    .automatic_wait
                    .clamp(SEARCH_WAIT_MIN, SEARCH_WAIT_MAX);
                self.dialer.next_automatic = ctx.now + ctx.randomness.jittered(wait);
                self.dialer.automatic_wait = (wait * 2).min(SEARCH_WAIT_MAX);
                if self.dialer.next_ask <= ctx.now {
                    let wait = self.dialer.ask_wait.clamp(ASK_WAIT_MIN, ASK_WAIT_MAX);
                    self.dialer.next_ask = ctx.now + ctx.randomness.jittered(wait);
                    self.dialer.ask_wait = (wait * 2).min(ASK_WAIT_MAX);
                    ask_for_addresses(ctx);
                }
                return;
            };
            self.dial(ctx, addr, ConnectionKind::Automatic);
        }
        // Woken again by whatever frees a place.
        self.dialer.next_automatic = Time::NEVER;
    }

    /// There is hope for automatic connections again: new addresses, or old ones that came back.
    pub(super) fn search_again(&mut self, now: Time) {
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

    fn dial_probe(&mut self, ctx: &mut Context) {
        let complete = self.count(ctx, ConnectionKind::Automatic) >= ctx.config.outbound_max;
        if !complete {
            self.dialer.next_probe = None;
            return;
        }
        match self.dialer.next_probe {
            Some(at) if at > ctx.now => {}
            at => {
                let timing = &ctx.config.timing;
                let mean = if self.dialer.is_settled(ctx.now) {
                    timing.probe_interval_settled
                } else {
                    timing.probe_interval
                };
                let wait = ctx.randomness.exponential(mean);
                self.dialer.next_probe = Some(ctx.now + wait.max(SEARCH_WAIT_MIN));
                if at.is_some()
                    && self.count(ctx, ConnectionKind::Probe) == 0
                    && let Some(addr) = self.draw_address(ctx)
                {
                    self.dial(ctx, addr, ConnectionKind::Probe);
                }
            }
        }
    }

    /// Ends probes and address fetches that had their time.
    pub(super) fn end_short_connections(&mut self, ctx: &mut Context) {
        if ctx.config.connect_only {
            return;
        }
        let over: Vec<_> = ctx
            .peers
            .due(ctx.now)
            .filter(|p| p.is_ready() && short_stay_ends(p).is_some_and(|end| end <= ctx.now))
            .map(|p| (p.id, p.kind))
            .collect();
        for (peer, kind) in over {
            match kind {
                ConnectionKind::Probe => self.end_probe(ctx, peer),
                _ => ctx.disconnect(peer, "no addresses in time"),
            }
        }
    }

    /// A probe that brought a block takes the place of the automatic connection that has been
    /// without one for longest; any other probe goes.
    fn end_probe(&mut self, ctx: &mut Context, probe: PeerId) {
        let useful = ctx
            .peers
            .get(&probe)
            .is_some_and(|p| p.last_block.is_some());
        let full = self.count(ctx, ConnectionKind::Automatic) >= ctx.config.outbound_max;
        if full && !useful {
            ctx.disconnect(probe, "probe is over");
            return;
        }
        if full {
            let worst = ctx
                .peers
                .values()
                .filter(|p| p.kind == ConnectionKind::Automatic && !p.closing)
                .min_by_key(|p| (p.last_block.get(), std::cmp::Reverse(p.connected_at), p.id))
                .map(|p| p.id);
            if let Some(worst) = worst {
                ctx.disconnect(worst, "replaced by a peer with newer blocks");
            }
        }
        if let Some(peer) = ctx.peers.get_mut(&probe) {
            peer.kind = ConnectionKind::Automatic;
        }
        self.search_on(ctx.now);
    }

    /// An outbound connection could not be opened.
    pub(crate) fn connect_failed(&mut self, ctx: &mut Context, addr: SocketAddr) {
        let kind = self.dialer.failed(&addr, ctx.now, &mut ctx.randomness);
        self.dialer.unsettle(ctx.now);
        self.addresses.attempt_failed(&addr, ctx.now);
        if kind == Some(ConnectionKind::Automatic) {
            self.search_on(ctx.now);
        }
    }

    /// A connection is gone: notes it for the next attempt.
    pub(super) fn outbound_lost(&mut self, ctx: &mut Context, peer: &Peer) {
        let lasted = ctx.now.since(peer.connected_at);
        let target = peer.listen_addr().unwrap_or(peer.addr);
        self.dialer
            .lost(&target, lasted, ctx.now, &mut ctx.randomness);
        if !peer.kind.is_inbound() && peer.handshake != Handshake::Ready {
            self.addresses.attempt_failed(&peer.addr, ctx.now);
        }
        self.search_on(ctx.now);
    }

    /// When [`Peers::run_dialer`] has something to do next, but for the stays of single peers.
    pub(super) fn dialer_deadline(&self, ctx: &Context) -> Time {
        let needs_addresses = self.needs_addresses(ctx);
        let targets = self.dialer.next_due(|addr, kind| {
            (kind != TargetKind::Seed || needs_addresses) && !ctx.peers.has_address(addr)
        });
        let mut deadline = targets.unwrap_or(Time::NEVER);
        if !ctx.config.connect_only {
            let complete = self.count(ctx, ConnectionKind::Automatic) >= ctx.config.outbound_max;
            let probe = if complete {
                self.dialer.next_probe.unwrap_or(ctx.now)
            } else {
                Time::NEVER
            };
            deadline = deadline.min(self.dialer.next_automatic).min(probe);
        }
        deadline
    }
}

/// When a short-lived connection is over; `None` for the others.
pub(super) fn short_stay_ends(peer: &Peer) -> Option<Time> {
    match peer.kind {
        ConnectionKind::Probe if peer.sync.blocks_in_flight() > 0 => {
            Some(peer.connected_at + PROBE_STAYS * 4)
        }
        ConnectionKind::Probe => Some(peer.connected_at + PROBE_STAYS),
        ConnectionKind::AddressFetch => Some(peer.connected_at + ADDRESS_FETCH_STAYS),
        _ => None,
    }
}
