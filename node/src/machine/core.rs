//! The machine itself: state, routing, timer. Each sub-protocol's handlers stand in its own file.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bitcoin::p2p::message_blockdata::Inventory;

use super::alarm::Watched;
use super::config::Config;
use super::randomness::Randomness;
use crate::chain::Chain;
use crate::io::{Event, Input, Output, PeerId, Time};
use crate::mempool::Mempool;
use crate::peers::{AddressBook, BanList, Dialer, Handshake, Peer, PeerTable, Traffic, Unwelcome};
use crate::relay::{Arrivals, Knowers, Orphans, OwnTransactions, RecentIds, TxName, TxRequests};
use crate::sync::{CompactBlocks, Downloads};
use crate::wire::{Command, Message};

/// Transactions remembered as refused, until the next block; and as confirmed. 8 bytes each.
const RECENT_TRANSACTIONS_MAX: u32 = 4_096;
/// Rounds of doing what is due before the driver gets its turn: what is done in one may make
/// something else due at once.
const ROUNDS_MAX: usize = 8;
/// If something is still due after that, the timer goes off after this.
const BREATH: Duration = Duration::from_millis(1);

/// A node without sockets and clock. See [`crate::io`] for how it is driven. What most inputs need
/// stands together at the beginning, in this order (see [`super::foresight`]).
#[repr(C)]
pub struct Machine {
    /// The time of the input that is being handled.
    pub(crate) now: Time,
    /// The time that the driver was last told to wake us.
    armed: Time,
    /// No connection needs anything before; see [`super::alarm`].
    pub(super) peers_due: Time,
    /// Nor does the dialer, unless it was in hand.
    pub(super) dialer_due: Time,
    outputs: VecDeque<Output>,
    pub(crate) peers: PeerTable,
    pub(crate) chain: Chain,
    /// The one peer that is asked for a long chain of headers.
    pub(crate) header_sync: Option<PeerId>,
    /// When peers are told of the tip, while that is held back.
    pub(crate) announce_at: Option<Time>,
    pub(crate) requests: TxRequests,
    pub(crate) own: OwnTransactions,
    /// Transactions that peers are to be told of. What follows stands together as well: it is needed
    /// where transactions are.
    pub(crate) arrivals: Arrivals,
    pub(crate) knowers: Knowers,
    pub(crate) mempool: Mempool,
    pub(crate) randomness: Randomness,
    pub(crate) dialer: Watched<Dialer>,
    pub(crate) downloads: Downloads,
    pub(crate) compact: CompactBlocks,
    pub(crate) config: Config,
    pub(crate) bans: BanList,
    pub(crate) unwelcome: Unwelcome,
    pub(crate) addresses: AddressBook,
    /// Addresses that turned out to be this node's.
    pub(crate) own_addrs: BTreeSet<SocketAddr>,
    pub(crate) orphans: Orphans,
    /// Transactions that the mempool refused since the last block.
    pub(crate) rejected: RecentIds,
    /// Transactions that lately got into a block, by either name.
    pub(crate) confirmed: RecentIds,
    /// Bytes of connections that are gone.
    former: Traffic,
}

impl Machine {
    /// A node that begins to dial with its first output. Everything that it leaves to chance comes
    /// from `seed`.
    pub fn new(config: Config, chain: Chain, mempool: Mempool, seed: u64, now: Time) -> Machine {
        let mut machine = Machine {
            randomness: Randomness::new(seed),
            now,
            peers: PeerTable::default(),
            bans: BanList::default(),
            unwelcome: Unwelcome::default(),
            addresses: AddressBook::new(config.addresses_max),
            own_addrs: config.external_addr.into_iter().collect(),
            dialer: Watched::new(Dialer::new(&config)),
            downloads: Downloads::new(config.timing.block_timeout),
            compact: CompactBlocks::default(),
            header_sync: None,
            announce_at: None,
            requests: TxRequests::default(),
            orphans: Orphans::default(),
            knowers: Knowers::default(),
            arrivals: Arrivals::default(),
            own: OwnTransactions::default(),
            rejected: RecentIds::new(RECENT_TRANSACTIONS_MAX),
            confirmed: RecentIds::new(RECENT_TRANSACTIONS_MAX),
            former: Traffic::default(),
            outputs: VecDeque::new(),
            peers_due: Time::NEVER,
            dialer_due: Time::NEVER,
            armed: Time::NEVER,
            config,
            chain,
            mempool,
        };
        #[cfg(feature = "planted-bugs")]
        if machine.has_bug(super::PlantedBug::FirstSeenForEver) {
            machine.chain.keep_first_branch();
        }
        machine.command_ends(now);
        machine
    }

    /// Takes in what happened. Afterwards [`Machine::poll_output`] is to be drained.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.command_begins(now);
        let now = self.now;
        match input {
            Input::Connected {
                peer,
                addr,
                inbound,
            } => self.connected(now, peer, addr, inbound),
            Input::ConnectFailed { addr } => self.connect_failed(now, addr),
            Input::Received {
                peer,
                message,
                wire_bytes,
            } => {
                self.received(now, peer, message, wire_bytes);
            }
            Input::Progress { peer } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.last_received = now.into();
                }
                self.progressed(now, peer);
            }
            Input::Malformed { peer, reason } => self.misbehaved(peer, &reason),
            Input::Disconnected { peer } => self.disconnected(now, peer),
            Input::Timer => {}
        }
        self.command_ends(now);
    }

    /// What is to be done next; `None` until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Lends the machine room for its outputs, until [`Machine::return_outputs`]: of thousands of
    /// machines in one process hardly one has any, so that one room serves all.
    pub fn lend_outputs(&mut self, mut room: VecDeque<Output>) {
        room.append(&mut self.outputs);
        self.outputs = room;
    }

    /// Takes the room back, unless something in it has not been polled yet.
    pub fn return_outputs(&mut self) -> VecDeque<Output> {
        if self.outputs.is_empty() {
            std::mem::take(&mut self.outputs)
        } else {
            VecDeque::new()
        }
    }

    /// Time never goes back, even if a driver's clock does.
    pub(crate) fn command_begins(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// Does what is due, and sets the timer.
    pub(crate) fn command_ends(&mut self, now: Time) {
        let now = self.now.max(now);
        let mut deadline = self.deadline_bound(now);
        if deadline <= now {
            deadline = self.deadline(now);
        }
        for _ in 0..ROUNDS_MAX {
            if deadline > now {
                break;
            }
            self.run_due(now);
            deadline = self.deadline(now);
        }
        let wake = if deadline > now {
            deadline
        } else {
            now + BREATH
        };
        // An alarm that goes off too early does no harm; one set anew every time costs.
        if wake < self.armed || (self.armed <= now && wake < Time::NEVER) {
            self.armed = wake;
            self.push(Output::SetTimer(wake));
        }
    }

    fn run_due(&mut self, now: Time) {
        self.run_liveness(now);
        self.run_sync(now);
        self.run_relay(now);
        self.run_gossip(now);
        self.end_short_connections(now);
        if self.dialer_is_due(now) {
            self.run_dialer(now);
        }
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Sends to a peer, unless its connection is being closed.
    pub(crate) fn send(&mut self, now: Time, id: PeerId, message: Message) {
        let Some(peer) = self.peers.get_mut_later(&id).filter(|p| !p.closing) else {
            return;
        };
        let (command, bytes) = (message.command(), message.wire_size());
        peer.last_sent = now.into();
        peer.traffic.sent.add(command, bytes);
        self.push(Output::Send { peer: id, message });
    }

    /// The store failed: the node cannot go on.
    pub(crate) fn store_failed(&mut self, failure: String) {
        self.push(Output::Event(Event::StoreFailed(failure)));
    }

    fn received(&mut self, now: Time, id: PeerId, message: Message, wire_bytes: u32) {
        let Some(peer) = self.peers.get_mut_later(&id).filter(|p| !p.closing) else {
            return;
        };
        peer.last_received = now.into();
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
        self.dispatch(now, id, message);
    }

    fn dispatch(&mut self, now: Time, id: PeerId, message: Message) {
        match message {
            Message::Version(version) => self.received_version(now, id, *version),
            Message::Verack => self.received_verack(now, id),
            Message::WtxidRelay | Message::SendAddrV2 => self.received_feature(id, &message),
            Message::SendHeaders => self.received_sendheaders(id),
            Message::SendCmpct {
                high_bandwidth,
                version,
            } => self.received_sendcmpct(id, high_bandwidth, version),
            Message::FeeFilter(rate) => self.received_feefilter(id, rate),
            Message::Ping(nonce) => self.send(now, id, Message::Pong(nonce)),
            Message::Pong(nonce) => self.received_pong(now, id, nonce),
            Message::GetAddr => self.received_getaddr(now, id),
            Message::Addr(told) | Message::AddrV2(told) => self.received_addresses(now, id, told),
            Message::GetHeaders(asked) => self.received_getheaders(now, id, &asked),
            Message::Headers(headers) => self.received_headers(now, id, &headers),
            Message::Inv(entries) => self.received_inv(now, id, &entries),
            Message::GetData(wanted) => self.received_getdata(now, id, wanted),
            Message::NotFound(entries) => self.received_notfound(now, id, &entries),
            Message::Block(block) => self.received_block(now, id, block),
            Message::CmpctBlock(compact) => self.received_compact_block(now, id, compact),
            Message::GetBlockTxn(asked) => self.received_getblocktxn(now, id, &asked),
            Message::BlockTxn(given) => self.received_blocktxn(now, id, *given),
            Message::Tx(tx) => self.received_tx(now, id, tx),
            // Counted already.
            Message::Unknown { .. } => {}
        }
    }

    #[cfg(feature = "planted-bugs")]
    pub(crate) fn has_bug(&self, bug: super::PlantedBug) -> bool {
        self.config.planted_bug == Some(bug)
    }

    /// Sorts announcements into blocks and transactions.
    fn received_inv(&mut self, now: Time, id: PeerId, entries: &[Inventory]) {
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
            self.received_block_inv(now, id, &blocks);
        }
        if !transactions.is_empty() {
            self.received_tx_inv(now, id, &transactions);
        }
    }

    /// What the node was told at its start.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The ledger.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Ends the node, and gives back its ledger: what is left of it on disk.
    pub fn into_chain(self) -> Chain {
        self.chain
    }

    /// Transactions that no block has yet.
    pub fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    /// Connections, by [`PeerId`].
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// One connection.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(&id)
    }

    /// Bytes of all connections that there were.
    pub fn totals(&self) -> Traffic {
        let mut totals = self.former.clone();
        self.peers().for_each(|peer| totals.add(&peer.traffic));
        totals
    }

    /// A connection is gone: its bytes still count.
    pub(crate) fn note_former(&mut self, traffic: &Traffic) {
        self.former.add(traffic);
    }
}
