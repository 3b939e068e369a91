//! Whether the other end still lives: peers are pinged now and then, and one that does not answer
//! is let go. That is how a link is noticed that has gone without a word (no FIN, no RST) while
//! nothing was sent over it; where something was, the driver's stream breaks sooner (see
//! [`crate::io::Output::Send`]). So pings can be as rare as Bitcoin Core's, and a thousand idle
//! nodes cost next to nothing.

use super::peer::{Handshake, Peer};
use crate::io::{PeerId, Time};
use crate::machine::{Machine, Timing};
use crate::wire::Message;

/// A peer that keeps talking but leaves a ping unanswered has this many times the peer timeout: a
/// pong may have to wait behind megabytes of blocks.
const UNANSWERED_PING_FACTOR: u32 = 8;

/// What is due on a connection, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    HandshakeTimeout,
    Silent,
    PingTimeout,
    Ping,
}

/// The first thing that will be due.
fn next_due(peer: &Peer, timing: &Timing) -> (Time, Due) {
    if peer.handshake != Handshake::Ready {
        return (
            peer.connected_at + timing.handshake_timeout,
            Due::HandshakeTimeout,
        );
    }
    let heard = peer.last_received.get().unwrap_or(peer.connected_at);
    match peer.ping.outstanding_since() {
        Some(pinged) => {
            // From the later of both: a ping that a stalled host sent late is waited for as well.
            let silent = heard.max(pinged) + timing.peer_timeout;
            let unanswered = pinged + timing.peer_timeout * UNANSWERED_PING_FACTOR;
            if silent <= unanswered {
                (silent, Due::Silent)
            } else {
                (unanswered, Due::PingTimeout)
            }
        }
        None => {
            let pinged = peer.ping.sent_at().unwrap_or(peer.connected_at);
            (pinged + timing.ping_interval, Due::Ping)
        }
    }
}

impl Machine {
    /// Pings, and lets go of the dead.
    pub(crate) fn run_liveness(&mut self, now: Time) {
        let timing = &self.config.timing;
        let due: Vec<_> = self
            .peers
            .due(now)
            .filter(|p| !p.closing)
            .map(|p| (p.id, next_due(p, timing)))
            .filter(|(_, (at, _))| *at <= now)
            .map(|(id, (_, due))| (id, due))
            .collect();
        for (id, due) in due {
            if due != Due::Ping {
                self.dialer.unsettle(now);
            }
            match due {
                Due::Ping => self.send_ping(now, id),
                Due::HandshakeTimeout => self.disconnect(id, "handshake timeout"),
                Due::Silent => self.disconnect(id, "silent: no answer to a ping"),
                Due::PingTimeout => self.disconnect(id, "ping timeout"),
            }
        }
    }

    /// When a connection needs [`Machine::run_liveness`].
    pub(crate) fn liveness_deadline(&self, peer: &Peer) -> Time {
        next_due(peer, &self.config.timing).0
    }

    /// Pings, unless an answer is still awaited.
    pub(crate) fn send_ping(&mut self, now: Time, id: PeerId) {
        let nonce = self.randomness.u64();
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if !peer.is_ready() || peer.ping.outstanding_since().is_some() {
            return;
        }
        peer.ping.sent(nonce, now);
        self.send(now, id, Message::Ping(nonce));
    }

    pub(crate) fn received_pong(&mut self, now: Time, id: PeerId, nonce: u64) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.ping.answered(nonce, now);
        }
    }
}
