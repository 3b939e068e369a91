//! When the machine has something to do next. Asking every connection after every input would cost
//! more than most inputs do, so a bound is kept: nothing is due before it. A deadline can only come
//! nearer where something was changed, and what was changed is known (the table of peers and
//! [`Watched`] note it), so that after an input only that is asked. A bound that turns out too early,
//! because what it stood for was put off, is found anew from everything.

use std::ops::{Deref, DerefMut};

use super::core::Machine;
use crate::io::Time;
use crate::peers::Peer;

/// Data that notes when it was in hand for a change.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Watched<T> {
    /// First: it is asked after every input.
    touched: bool,
    value: T,
}

impl<T> Watched<T> {
    pub(crate) fn new(value: T) -> Watched<T> {
        Watched {
            value,
            touched: true,
        }
    }

    /// Something that it depends on has changed.
    pub(crate) fn touch(&mut self) {
        self.touched = true;
    }
}

impl<T> Deref for Watched<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Watched<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.touched = true;
        &mut self.value
    }
}

impl Machine {
    /// Nothing is due before this time.
    pub(super) fn deadline_bound(&mut self, now: Time) -> Time {
        let mut peers = std::mem::take(&mut self.peers);
        let touched = peers.ask_touched(|peer| self.peer_deadline(peer));
        self.peers = peers;
        self.peers_due = self.peers_due.min(touched);
        self.ask_dialer(now);
        self.bound()
    }

    /// As [`Machine::deadline_bound`], with all that has come due asked anew: what it says is due
    /// now is.
    pub(super) fn deadline(&mut self, now: Time) -> Time {
        let mut peers = std::mem::take(&mut self.peers);
        self.peers_due = peers.ask_due(now, |peer| self.peer_deadline(peer));
        self.peers = peers;
        self.ask_dialer(now);
        self.bound()
    }

    fn ask_dialer(&mut self, now: Time) {
        if self.dialer_is_due(now) {
            self.dialer.touched = false;
            self.dialer_due = self.dialer_deadline(now);
        }
    }

    /// Whether the dialer may have something to do.
    pub(super) fn dialer_is_due(&self, now: Time) -> bool {
        self.dialer.touched || self.dialer_due <= now
    }

    fn bound(&self) -> Time {
        self.peers_due.min(self.dialer_due).min(self.own_deadline())
    }

    /// When a connection needs something.
    fn peer_deadline(&self, peer: &Peer) -> Time {
        if peer.closing {
            return Time::NEVER;
        }
        let mut deadline = self.liveness_deadline(peer).min(self.sync_deadline(peer));
        if peer.is_ready() {
            deadline = deadline
                .min(Machine::relay_deadline(peer))
                .min(Machine::gossip_deadline(peer))
                .min(self.stay_deadline(peer));
        }
        deadline
    }

    /// What is due whatever the connections are; cheap to tell.
    fn own_deadline(&self) -> Time {
        [
            self.announce_at,
            self.requests.next_deadline(),
            Some(self.arrivals.first_turn()),
            Some(self.rebroadcast_deadline()),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Time::NEVER)
    }
}
