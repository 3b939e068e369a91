//! The context itself: what a sub-protocol may ask and order. It decides nothing.

use std::collections::VecDeque;

use bitcoin::Wtxid;

use super::config::Config;
use super::fact::Fact;
use super::peer::Peer;
use super::randomness::Randomness;
use super::table::PeerTable;
use crate::chain::CachedChain;
use crate::io::{Event, Output, PeerId, Time};
use crate::mempool::Mempool;
use crate::wire::{Message, NamedTransaction};

/// What the sub-protocols of one node share. What most inputs need stands at the beginning, up to
/// `mempool`, then what is needed where transactions are, up to `config`.
#[repr(C)]
pub(crate) struct Context {
    /// The time of the input that is being handled.
    pub(crate) now: Time,
    pub(crate) outputs: VecDeque<Output>,
    facts: VecDeque<Fact>,
    pub(crate) peers: PeerTable,
    pub(crate) chain: CachedChain,
    pub(crate) mempool: Mempool,
    pub(crate) randomness: Randomness,
    pub(crate) config: Config,
}

impl Context {
    pub(crate) fn new(
        config: Config,
        chain: CachedChain,
        mempool: Mempool,
        seed: u64,
        now: Time,
    ) -> Context {
        Context {
            now,
            outputs: VecDeque::new(),
            facts: VecDeque::new(),
            peers: PeerTable::default(),
            chain,
            mempool,
            randomness: Randomness::new(seed),
            config,
        }
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Notes what others have to know.
    pub(crate) fn note(&mut self, fact: Fact) {
        self.facts.push_back(fact);
    }

    /// The mempool let transactions go: a block may still have them.
    pub(crate) fn note_dropped(&mut self, dropped: Vec<NamedTransaction>) {
        let facts = dropped.into_iter().map(Fact::TransactionDropped);
        self.facts.extend(facts);
    }

    /// The next fact that was not routed yet.
    pub(crate) fn next_fact(&mut self) -> Option<Fact> {
        self.facts.pop_front()
    }

    /// Sends to a peer, unless its connection is being closed.
    pub(crate) fn send(&mut self, id: PeerId, message: Message) {
        let Some(peer) = self.peers.get_mut_later(&id).filter(|p| !p.closing) else {
            return;
        };
        let (command, bytes) = (message.command(), message.wire_size());
        peer.last_sent = self.now.into();
        peer.traffic.sent.add(command, bytes);
        self.push(Output::Send { peer: id, message });
    }

    /// Closes a connection. What it was asked for is asked of others.
    pub(crate) fn disconnect(&mut self, id: PeerId, reason: &str) {
        let Some(peer) = self.peers.get_mut(&id).filter(|p| !p.closing) else {
            return;
        };
        peer.closing = true;
        self.push(Output::Disconnect {
            peer: id,
            reason: reason.to_owned(),
        });
        self.note(Fact::PeerClosing(id));
    }

    /// Closes a connection that did what no honest peer does, and avoids its address for a while.
    pub(crate) fn misbehaved(&mut self, id: PeerId, reason: &str) {
        self.note(Fact::PeerMisbehaved(id));
        self.disconnect(id, reason);
    }

    /// The store failed: the node cannot go on.
    pub(crate) fn store_failed(&mut self, failure: impl ToString) {
        self.push(Output::Event(Event::StoreFailed(failure.to_string())));
    }

    /// Under which what is noted of a transaction is found.
    pub(crate) fn tx_id(&self, wtxid: &Wtxid) -> u64 {
        self.randomness.short_id(wtxid.as_ref())
    }

    /// The ids of those of [`PeerTable::due`] of whom this is true.
    pub(crate) fn due_peers(&self, holds: impl Fn(&Peer) -> bool) -> Vec<PeerId> {
        let peers = self.peers.due(self.now).filter(|peer| holds(peer));
        peers.map(|peer| peer.id).collect()
    }

    #[cfg(feature = "planted-bugs")]
    pub(crate) fn has_bug(&self, bug: super::PlantedBug) -> bool {
        self.config.planted_bug == Some(bug)
    }
}
