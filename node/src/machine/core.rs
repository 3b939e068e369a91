//! The machine itself: it routes inputs to the sub-protocols and the facts that they find to the
//! others, and keeps their one timer.

use std::collections::VecDeque;
use std::time::Duration;

use bitcoin::p2p::message_blockdata::Inventory;

use crate::chain::{BlockAccepted, CachedChain};
use crate::context::{Config, ConnectionKind, Context, Fact, Handshake, Peer, Traffic};
use crate::io::{Event, Input, Output, PeerId, Time};
use crate::mempool::Mempool;
use crate::peers::Peers;
use crate::relay::{Relay, TxName};
use crate::sync::{CompactTally, Sync};
use crate::wire::{AddressesV2, Command, Message};

/// Rounds of doing what is due before the driver gets its turn: what is done in one may make
/// something else due at once.
const ROUNDS_MAX: usize = 8;
/// If something is still due after that, the timer goes off after this.
const RESUME_AFTER: Duration = Duration::from_millis(1);

/// A node without sockets and clock. See [`crate::io`] for how it is driven. What most inputs need
/// stands at the beginning of each part (see `machine/prefetch.rs`).
#[repr(C)]
pub struct Machine {
    /// The time for which the driver was last asked to wake the machine.
    timer_at: Time,
    /// No connection needs anything before; see [`super::deadlines`].
    pub(super) peers_due: Time,
    pub(super) ctx: Context,
    pub(super) relay: Relay,
    pub(super) sync: Sync,
    pub(super) peers: Peers,
}

impl Machine {
    /// A node that begins to dial with its first output. Everything that it leaves to chance comes
    /// from `seed`.
    pub fn new(
        config: Config,
        chain: impl Into<CachedChain>,
        mempool: Mempool,
        seed: u64,
        now: Time,
    ) -> Machine {
        let mut machine = Machine {
            timer_at: Time::NEVER,
            peers_due: Time::NEVER,
            relay: Relay::new(),
            sync: Sync::new(&config),
            peers: Peers::new(&config),
            ctx: Context::new(config, chain.into(), mempool, seed, now),
        };
        #[cfg(feature = "planted-bugs")]
        if machine.ctx.has_bug(crate::PlantedBug::FirstSeenForEver) {
            machine.ctx.chain.keep_first_branch();
        }
        machine.command_ends();
        machine
    }

    /// Takes in what happened. Afterwards [`Machine::poll_output`] is to be drained.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.command_begins(now);
        let ctx = &mut self.ctx;
        match input {
            Input::Connected {
                peer,
                addr,
                inbound,
            } => self.peers.connected(ctx, peer, addr, inbound),
            Input::ConnectFailed { addr } => self.peers.connect_failed(ctx, addr),
            Input::Received {
                peer,
                message,
                wire_bytes,
            } => self.received(peer, message, wire_bytes),
            Input::Progress { peer } => {
                if let Some(peer) = ctx.peers.get_mut(&peer) {
                    peer.last_received = ctx.now.into();
                }
                self.sync.progressed(ctx, peer);
            }
            Input::Malformed { peer, reason } => ctx.misbehaved(peer, &reason),
            Input::Disconnected { peer } => {
                self.peers.lost(ctx, peer);
                self.release(peer);
                self.peers.forget(&mut self.ctx, peer);
            }
            Input::Timer => {}
        }
        self.command_ends();
    }

    /// What is to be done next; `None` until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.ctx.outputs.pop_front()
    }

    /// Lends the machine room for its outputs, until [`Machine::return_outputs`]: of thousands of
    /// machines in one process hardly one has any, so that one room serves all.
    pub fn lend_outputs(&mut self, mut room: VecDeque<Output>) {
        room.append(&mut self.ctx.outputs);
        self.ctx.outputs = room;
    }

    /// Takes the room back, unless something in it has not been polled yet.
    pub fn return_outputs(&mut self) -> VecDeque<Output> {
        if self.ctx.outputs.is_empty() {
            std::mem::take(&mut self.ctx.outputs)
        } else {
            VecDeque::new()
        }
    }

    /// Time never goes back, even if a driver's clock does.
    pub(super) fn command_begins(&mut self, now: Time) {
        self.ctx.now = self.ctx.now.max(now);
    }

    /// Routes the facts that were found, does what is due, and sets the timer.
    pub(super) fn command_ends(&mut self) {
        self.route_facts();
        let now = self.ctx.now;
        let mut deadline = self.deadline_bound();
        if deadline <= now {
            deadline = self.deadline();
        }
        for _ in 0..ROUNDS_MAX {
            if deadline > now {
                break;
            }
            self.run_due();
            deadline = self.deadline();
        }
        let wake = if deadline > now {
            deadline
        } else {
            now + RESUME_AFTER
        };
        // A timer that goes off too early does no harm; one set anew every time costs.
        if wake < self.timer_at || (self.timer_at <= now && wake < Time::NEVER) {
            self.timer_at = wake;
            self.ctx.push(Output::SetTimer(wake));
        }
    }

    fn run_due(&mut self) {
        self.peers.run_liveness(&mut self.ctx);
        self.route_facts();
        self.sync.run(&mut self.ctx);
        self.route_facts();
        self.relay.run(&mut self.ctx);
        self.route_facts();
        self.peers.run(&mut self.ctx);
        self.route_facts();
    }

    /// Notifies the others of what a sub-protocol found.
    fn route_facts(&mut self) {
        while let Some(fact) = self.ctx.next_fact() {
            match fact {
                Fact::PeerReady(id) => self.peer_is_ready(id),
                Fact::PeerMisbehaved(id) => self.peers.shun(&self.ctx, id),
                Fact::PeerClosing(id) => {
                    // Its place is free.
                    self.peers.dialer.touch();
                    self.release(id);
                }
                Fact::BlockAccepted {
                    from,
                    hash,
                    accepted,
                } => {
                    self.chain_updated(&accepted);
                    self.sync.go_on_after(&mut self.ctx, from, &hash);
                }
                Fact::TransactionDropped(tx) => self.sync.remember(tx),
            }
        }
    }

    fn peer_is_ready(&mut self, id: PeerId) {
        let ctx = &mut self.ctx;
        let Some(kind) = ctx.peers.get(&id).map(|peer| peer.kind) else {
            return;
        };
        Sync::introduce(ctx, id);
        Peers::begin(ctx, id);
        if kind != ConnectionKind::AddressFetch {
            self.sync.begin(ctx, id);
            self.relay.begin(ctx, id);
        }
    }

    /// A connection takes no more part: what it owes is asked of others.
    fn release(&mut self, id: PeerId) {
        self.sync.release(&mut self.ctx, id);
        self.relay.release(&mut self.ctx, id);
    }

    /// The active chain may have changed: brings everything else in line.
    pub(super) fn chain_updated(&mut self, update: &BlockAccepted) {
        let ctx = &mut self.ctx;
        self.sync.blame_for_rejected(ctx, update);
        if update.connected.is_empty() && update.disconnected.is_empty() {
            return;
        }
        let dropped = ctx.mempool.chain_updated(&ctx.chain, ctx.now, update);
        ctx.note_dropped(dropped);
        self.relay.chain_updated(ctx, update);
        let tip = ctx.chain.tip();
        let event = Event::Tip {
            hash: tip.hash,
            height: tip.height,
            disconnected: u32::try_from(update.disconnected.len()).unwrap_or(u32::MAX),
        };
        ctx.push(Output::Event(event));
        self.sync.announce_blocks(ctx, update);
    }

    fn received(&mut self, id: PeerId, message: Message, wire_bytes: u32) {
        let ctx = &mut self.ctx;
        let Some(peer) = ctx.peers.get_mut_later(&id).filter(|p| !p.closing) else {
            return;
        };
        peer.last_received = ctx.now.into();
        let command = message.command();
        peer.traffic.received.add(command, wire_bytes);
        let is_handshake = matches!(
            command,
            Command::Version | Command::Verack | Command::WtxidRelay | Command::SendAddrV2
        );
        if peer.handshake != Handshake::Ready && !is_handshake {
            // As Bitcoin Core: what comes too early is ignored.
            return;
        }
        self.dispatch(id, message);
    }

    fn dispatch(&mut self, id: PeerId, message: Message) {
        let Machine {
            ctx,
            relay,
            sync,
            peers,
            ..
        } = self;
        match message {
            Message::Version(version) => peers.received_version(ctx, id, *version),
            Message::Verack => peers.received_verack(ctx, id),
            Message::WtxidRelay | Message::SendAddrV2 => {
                Peers::received_feature(ctx, id, &message);
            }
            Message::SendHeaders => Sync::received_sendheaders(ctx, id),
            Message::SendCmpct(wanted) => Sync::received_sendcmpct(ctx, id, wanted),
            Message::FeeFilter(rate) => Relay::received_feefilter(ctx, id, rate),
            Message::Ping(nonce) => ctx.send(id, Message::Pong(nonce)),
            Message::Pong(nonce) => Peers::received_pong(ctx, id, nonce),
            Message::GetAddr => peers.received_getaddr(ctx, id),
            Message::Addr(list) | Message::AddrV2(AddressesV2(list)) => {
                peers.received_addresses(ctx, id, list)
            }
            Message::GetBlocks(asked) => Sync::received_getblocks(ctx, id, &asked),
            Message::GetHeaders(asked) => Sync::received_getheaders(ctx, id, &asked),
            Message::Headers(headers) => sync.received_headers(ctx, id, &headers),
            Message::Inv(entries) => self.received_inv(id, &entries),
            Message::GetData(wanted) => sync.received_getdata(ctx, id, wanted),
            Message::NotFound(entries) => relay.received_notfound(ctx, id, &entries),
            Message::Block(block) => sync.received_block(ctx, id, block),
            Message::CmpctBlock(compact) => {
                sync.received_compact_block(ctx, id, compact, relay.orphans());
            }
            Message::GetBlockTxn(asked) => sync.received_getblocktxn(ctx, id, &asked),
            Message::BlockTxn(given) => sync.received_blocktxn(ctx, id, *given),
            Message::Tx(tx) => relay.received_tx(ctx, id, tx),
            // Counted already.
            Message::Unknown { .. } => {}
        }
    }

    /// Sorts announcements into blocks and transactions.
    fn received_inv(&mut self, id: PeerId, entries: &[Inventory]) {
        let mut blocks = Vec::new();
        let mut transactions = Vec::new();
        for entry in entries {
            match entry {
                Inventory::Block(hash)
                | Inventory::WitnessBlock(hash)
                | Inventory::CompactBlock(hash) => blocks.push(*hash),
                Inventory::Transaction(txid) | Inventory::WitnessTransaction(txid) => {
                    transactions.push(TxName::Txid(*txid));
                }
                Inventory::WTx(wtxid) => transactions.push(TxName::Wtxid(*wtxid)),
                Inventory::Error | Inventory::Unknown { .. } => {}
            }
        }
        if !blocks.is_empty() {
            self.sync.received_block_inv(&mut self.ctx, id, &blocks);
        }
        if !transactions.is_empty() {
            self.relay.received_tx_inv(&mut self.ctx, id, &transactions);
        }
    }

    /// What the node was configured with at its start.
    pub fn config(&self) -> &Config {
        &self.ctx.config
    }

    /// The ledger.
    pub fn chain(&self) -> &CachedChain {
        &self.ctx.chain
    }

    /// Ends the node, and gives back its ledger: what is left of it on disk.
    pub fn into_chain(self) -> CachedChain {
        self.ctx.chain
    }

    /// Transactions that no block has yet.
    pub fn mempool(&self) -> &Mempool {
        &self.ctx.mempool
    }

    /// Connections, by [`PeerId`].
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.ctx.peers.values()
    }

    /// One connection.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.ctx.peers.get(&id)
    }

    /// How well compact blocks served this node.
    pub fn compact_tally(&self) -> &CompactTally {
        self.sync.compact_tally()
    }

    /// Bytes of all connections that there were.
    pub fn totals(&self) -> Traffic {
        let mut totals = self.peers.former.clone();
        self.peers().for_each(|peer| totals.add(&peer.traffic));
        totals
    }
}
