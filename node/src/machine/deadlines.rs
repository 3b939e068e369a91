//! When the machine has something to do next. Asking every connection after every input would cost
//! more than most inputs do, so a bound is kept: nothing is due before it. A deadline can only come
//! nearer where something was changed, and what was changed is known (the table of peers and
//! the dialer note it), so that after an input only that is asked. A bound that turns out too early,
//! because what it stood for was put off, is found anew from everything.

use super::core::Machine;
use crate::context::{Config, Peer};
use crate::io::Time;
use crate::peers::Peers;
use crate::relay::Relay;
use crate::sync::Sync;

impl Machine {
    /// Nothing is due before this time.
    pub(super) fn deadline_bound(&mut self) -> Time {
        let config = &self.ctx.config;
        let touched = self
            .ctx
            .peers
            .ask_touched(|peer| peer_deadline(config, peer));
        self.peers_due = self.peers_due.min(touched);
        self.bound()
    }

    /// As [`Machine::deadline_bound`], with all that has come due asked anew: what it says is due
    /// now is.
    pub(super) fn deadline(&mut self) -> Time {
        let (now, config) = (self.ctx.now, &self.ctx.config);
        self.peers_due = self
            .ctx
            .peers
            .ask_due(now, |peer| peer_deadline(config, peer));
        self.bound()
    }

    fn bound(&mut self) -> Time {
        let dialer = self.peers.deadline(&self.ctx);
        let whatever = self.sync.deadline().min(self.relay.deadline());
        self.peers_due.min(dialer).min(whatever)
    }
}

/// When a connection needs something.
fn peer_deadline(config: &Config, peer: &Peer) -> Time {
    if peer.closing {
        return Time::NEVER;
    }
    let mut deadline = Peers::peer_deadline(config, peer).min(Sync::peer_deadline(config, peer));
    if peer.is_ready() {
        deadline = deadline.min(Relay::peer_deadline(peer));
    }
    deadline
}
