//! When this sub-protocol has something to do, and what it does then.

use super::Peers;
use super::dialing::short_stay_ends;
use super::{gossip, liveness};
use crate::context::{Config, Context, Peer};
use crate::io::{PeerId, Time};

impl Peers {
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
}
