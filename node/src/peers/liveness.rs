//! Whether the other end still lives: peers are pinged now and then, and one that does not answer
//! is let go. That is how a link is noticed that has gone without a word (no FIN, no RST) while
//! nothing was sent over it; where something was, the driver's stream breaks sooner (see
//! [`crate::io::Output::Send`]). So pings can be as rare as Bitcoin Core's, and a thousand idle
//! nodes cost next to nothing.

use super::Peers;
use crate::context::{Context, Handshake, Peer, Timing};
use crate::io::{PeerId, Time};
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

impl Peers {
    /// Pings, and lets go of the dead.
    pub(crate) fn run_liveness(&mut self, ctx: &mut Context) {
        let timing = &ctx.config.timing;
        let due: Vec<_> = ctx
            .peers
            .due(ctx.now)
            .filter(|p| !p.closing)
            .map(|p| (p.id, next_due(p, timing)))
            .filter(|(_, (at, _))| *at <= ctx.now)
            .map(|(id, (_, due))| (id, due))
            .collect();
        for (id, due) in due {
            if due != Due::Ping {
                self.dialer.unsettle(ctx.now);
            }
            match due {
                Due::Ping => Peers::send_ping(ctx, id),
                Due::HandshakeTimeout => ctx.disconnect(id, "handshake timeout"),
                Due::Silent => ctx.disconnect(id, "silent: no answer to a ping"),
                Due::PingTimeout => ctx.disconnect(id, "ping timeout"),
            }
        }
    }

    /// Pings, unless an answer is still awaited.
    pub(crate) fn send_ping(ctx: &mut Context, id: PeerId) {
        let nonce = ctx.randomness.u64();
        let Some(peer) = ctx.peers.get_mut(&id) else {
            return;
        };
        if !peer.is_ready() || peer.ping.outstanding_since().is_some() {
            return;
        }
        peer.ping.sent(nonce, ctx.now);
        ctx.send(id, Message::Ping(nonce));
    }

    pub(crate) fn received_pong(ctx: &mut Context, id: PeerId, nonce: u64) {
        if let Some(peer) = ctx.peers.get_mut(&id) {
            peer.ping.answered(nonce, ctx.now);
        }
    }
}

/// When a connection needs a ping, or to be let go.
pub(super) fn deadline(timing: &Timing, peer: &Peer) -> Time {
    next_due(peer, timing).0
}
