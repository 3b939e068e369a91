//! Some of the nodes, their share of the network, and what is still to happen to them. Everything
//! that a node does comes from here; what it sends to nodes elsewhere is handed out.
//!
//! A shard reads no clock and draws nothing from chance. What a node sees depends on the order of
//! `queue` alone, not on how nodes are spread over shards: packets ask the link model at their
//! source's shard when they are sent, and at their destination's when they arrive, and the model
//! keeps what belongs to a source and what belongs to a destination apart.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bitcoin::BlockHash;
use peerlab_link::proto::{DropReason, NodeCounters, ProcessOp};
use peerlab_link::{Change, LinkModel, Nanos, Network, NodeId, Verdict};
use peerlab_node::Machine;
use peerlab_node::chain::Chain;
use peerlab_node::io::{Event, Input, Output};
use peerlab_node::time::Time;
use peerlab_node::wire::Message;

use super::node::{NEVER, Node, end_of};
use super::packet::{Body, EndId, HEADER_BYTES, Load, Packet};
use super::program::{Programs, load};
use super::queue::{Key, Queue};
use super::stream::missed_after;
use super::team::Home;
use crate::error::Result;
use crate::probe::BlockFacts;

/// How long a program takes from its start until it listens and answers: it loads the pre-mined
/// chain.
const LOADING: Nanos = Nanos::from_millis(60);

/// A transaction of a block's filler, bytes: about the mean of Bitcoin's.
const FILLER_TRANSACTION_BYTES: u32 = 350;
/// A transaction in a compact block, bytes (BIP152).
const SHORT_ID_BYTES: u32 = 6;

/// Something that happens to a node.
#[derive(Debug)]
pub enum Happening {
    /// A packet has passed its destination's access link, if that was idle.
    Arrive(Packet),
    /// A packet comes out of the access link's queue, in which it had to wait.
    Deliver(Packet),
    /// It is time to send again what was lost.
    Lost(Packet),
    /// The program's timer goes off.
    Wake {
        /// Whose.
        node: NodeId,
    },
    /// A program is loaded.
    Loaded {
        /// Whose.
        node: NodeId,
        /// In which of its lives.
        life: u32,
    },
    /// A handshake has taken as long as it may.
    GiveUp {
        /// Whose.
        node: NodeId,
        /// Which.
        end: EndId,
    },
    /// An address that no node has was dialled long enough.
    NoRoute {
        /// By whom.
        node: NodeId,
        /// Which.
        addr: std::net::SocketAddr,
    },
    /// A window may have opened.
    Look {
        /// Whose.
        node: NodeId,
        /// Of which connection.
        end: EndId,
    },
    /// Idle connections are to be looked after.
    KeepAlive {
        /// Whose.
        node: NodeId,
    },
}

impl Happening {
    /// To which node it happens.
    fn node(&self) -> NodeId {
        match self {
            Happening::Arrive(packet) | Happening::Deliver(packet) => packet.dst,
            Happening::Lost(packet) => packet.src,
            Happening::Wake { node }
            | Happening::Loaded { node, .. }
            | Happening::GiveUp { node, .. }
            | Happening::NoRoute { node, .. }
            | Happening::Look { node, .. }
            | Happening::KeepAlive { node } => *node,
        }
    }
}

/// Something that the record tells.
#[derive(Debug)]
pub struct News {
    /// When, and in which order.
    pub key: Key,
    /// What.
    pub what: Told,
}

/// What the record tells of nodes.
#[derive(Debug)]
pub enum Told {
    /// A node's program answers, or goes on.
    Up(NodeId),
    /// A block that this shard had not seen.
    Block(Box<BlockFacts>, Option<NodeId>),
    /// A node's best block.
    Tip(NodeId, BlockHash, u32),
    /// A node's store failed, or its program ended by itself.
    Failed(NodeId, String),
}

/// See the module.
pub struct Shard {
    pub(super) now: Nanos,
    /// Of the happening that is being handled.
    key: Key,
    pub(super) framing_bytes: u32,
    /// Data in a full segment.
    pub(super) segment_bytes: u32,
    model: LinkModel,
    queue: Queue<Happening>,
    id: u32,
    homes: Arc<[Home]>,
    nodes: Vec<Node>,
    /// What a new node has on its disk once the pre-mined chain is loaded.
    new_disk: Chain,
    programs: Arc<Programs>,
    /// What happens to nodes of other shards.
    elsewhere: Vec<(u32, Key, Happening)>,
    counters: Vec<NodeCounters>,
    news: Vec<News>,
    known_blocks: HashSet<BlockHash>,
    mining: Option<NodeId>,
    handled: u64,
    /// Whether anything has happened yet that can leave a connection with one end.
    pub(super) disturbed: bool,
}

impl Shard {
    /// All its nodes down, at the instant of `go`.
    ///
    /// # Errors
    /// When the pre-mined chain cannot be loaded.
    pub fn new(
        id: u32,
        homes: &Arc<[Home]>,
        network: &Network,
        model: LinkModel,
        programs: &Arc<Programs>,
    ) -> Result<Shard> {
        let new_disk = load(programs.premined())?;
        let own = homes.iter().filter(|home| home.shard == id);
        Ok(Shard {
            id,
            homes: Arc::clone(homes),
            nodes: own.map(|_| Node::new(new_disk.fork())).collect(),
            new_disk,
            elsewhere: Vec::new(),
            now: Nanos::ZERO,
            key: Key {
                at: Nanos::ZERO,
                origin: 0,
                sequence: 0,
            },
            framing_bytes: u32::from(network.framing_bytes),
            segment_bytes: u32::from(network.mtu).saturating_sub(HEADER_BYTES).max(1),
            model,
            queue: Queue::default(),
            counters: vec![NodeCounters::default(); network.nodes.len()],
            news: Vec::new(),
            known_blocks: programs.premined().hashes.iter().copied().collect(),
            mining: None,
            programs: Arc::clone(programs),
            handled: 0,
            disturbed: false,
        })
    }

    /// What its nodes sent to nodes of other shards since the last call.
    pub fn take_elsewhere(&mut self) -> Vec<(u32, Key, Happening)> {
        std::mem::take(&mut self.elsewhere)
    }

    /// Something that another shard's node causes here.
    pub fn receive(&mut self, key: Key, happening: Happening) {
        self.queue.push(key, happening);
    }

    /// Lets everything happen that happens before `end`.
    pub fn run_until(&mut self, end: Nanos) {
        while let Some((key, happening)) = self.queue.pop_before(end) {
            self.now = key.at;
            self.key = key;
            self.handled += 1;
            self.happen(happening);
        }
        self.now = end;
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<Nanos> {
        self.queue.next_at()
    }

    /// How many things have happened.
    pub fn handled(&self) -> u64 {
        self.handled
    }

    /// Byte counters of all nodes.
    pub fn counters(&self) -> &[NodeCounters] {
        &self.counters
    }

    /// What the record is to tell since the last call.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// From now on connections may be left with one end.
    pub fn disturb(&mut self) {
        self.disturbed = true;
    }

    /// A change of the network, now.
    pub fn apply(&mut self, change: &Change) -> Result<(), String> {
        self.model.apply(change).map_err(|error| error.to_string())
    }

    /// A node's machine, while its program runs and does not stand still.
    pub fn running(&self, node: NodeId) -> Option<&Machine> {
        let node = &self.nodes[self.homes[node.index()].place as usize];
        node.machine.as_deref().filter(|_| !node.frozen)
    }

    /// Does something to a node's program, now.
    pub fn control(&mut self, node: NodeId, op: ProcessOp) {
        self.caused_by(node);
        match op {
            ProcessOp::Kill | ProcessOp::Stop => self.end_program(node),
            ProcessOp::Start => self.start_program(node),
            ProcessOp::Freeze => self.node(node).frozen = true,
            ProcessOp::Thaw => self.thaw(node),
            ProcessOp::Wipe => {
                let disk = self.new_disk.fork();
                let node = self.node(node);
                if node.machine.is_none() {
                    node.disk = Some(disk);
                }
            }
        }
    }

    /// Has a node's user do something.
    pub fn command<T>(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut Machine, Time, &mut u64) -> T,
    ) -> Option<T> {
        self.caused_by(node);
        let now = self.time();
        let state = self.node(node);
        if state.frozen {
            return None;
        }
        let machine = state.machine.as_deref_mut()?;
        let result = act(machine, now, &mut state.mined);
        self.mining = Some(node);
        self.carry_out(node);
        self.mining = None;
        Some(result)
    }

    /// From now on things happen because of this node.
    fn caused_by(&mut self, node: NodeId) {
        self.key = Key {
            at: self.now,
            origin: node.0,
            sequence: 0,
        };
    }

    fn start_program(&mut self, node: NodeId) {
        let at = self.now.saturating_add(LOADING);
        let state = self.node(node);
        if state.machine.is_some() || state.loading {
            return;
        }
        state.loading = true;
        state.life += 1;
        let life = state.life;
        self.cause(node, at, Happening::Loaded { node, life });
    }

    fn loaded(&mut self, node: NodeId, life: u32) {
        let now = self.time();
        let programs = Arc::clone(&self.programs);
        let state = self.node(node);
        if !state.loading || state.life != life {
            return;
        }
        state.loading = false;
        let Some(disk) = state.disk.take() else {
            return;
        };
        let machine = programs.start(node, life, disk, now);
        let tip = machine.chain().tip();
        let (hash, height) = (tip.hash, tip.height);
        state.machine = Some(Box::new(machine));
        state.timer = NEVER;
        self.tell_record(Told::Up(node));
        self.tell_record(Told::Tip(node, hash, height));
        self.carry_out(node);
    }

    fn end_program(&mut self, node: NodeId) {
        let state = self.node(node);
        state.loading = false;
        state.frozen = false;
        state.unread.clear();
        state.timer = NEVER;
        if let Some(machine) = state.machine.take() {
            state.disk = Some(machine.into_chain().reopened());
            self.close_all(node);
        }
    }

    fn thaw(&mut self, node: NodeId) {
        let state = self.node(node);
        if !std::mem::take(&mut state.frozen) {
            return;
        }
        let Some(machine) = state.machine.as_deref() else {
            return;
        };
        let tip = machine.chain().tip();
        let (hash, height) = (tip.hash, tip.height);
        self.tell_record(Told::Up(node));
        self.tell_record(Told::Tip(node, hash, height));
        self.carry_out(node);
        self.wake(node);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive(packet) => self.arrive(packet),
            Happening::Deliver(packet) => match self.model.cut(packet.src, packet.dst) {
                None => self.deliver(packet),
                Some(reason) => self.dropped(packet, reason),
            },
            Happening::Lost(packet) => self.send_again(packet),
            Happening::Wake { node } => self.woken(node),
            Happening::Loaded { node, life } => self.loaded(node, life),
            Happening::GiveUp { node, end } => self.give_up(node, end),
            Happening::NoRoute { node, addr } => self.tell(node, Input::ConnectFailed { addr }),
            Happening::Look { node, end } => self.look(node, end),
            Happening::KeepAlive { node } => {
                let now = self.now;
                if self.node(node).keepalive_at <= now {
                    self.look_after_idle(node);
                }
            }
        }
    }

    fn arrive(&mut self, packet: Packet) {
        let now = self.now;
        let verdict = self
            .model
            .arrive_ending(now, packet.src, packet.dst, packet.wire_bytes);
        match verdict {
            Verdict::Drop(reason) => self.dropped(packet, reason),
            Verdict::Deliver { at } if at <= now => self.deliver(packet),
            Verdict::Deliver { at } => self.cause(packet.dst, at, Happening::Deliver(packet)),
        }
    }

    /// Something that was on its way gets nowhere: its sender misses it.
    fn dropped(&mut self, packet: Packet, reason: DropReason) {
        self.count_drops(packet.src, packet.segments, reason);
        let again = matches!(packet.body, Body::Data { .. } | Body::Syn | Body::SynAck);
        if again {
            let round_trip = Nanos(2 * self.now.saturating_sub(packet.first_sent).0);
            let at = self.now.saturating_add(missed_after(round_trip));
            self.send_event(packet.dst, at, Happening::Lost(packet));
        }
    }

    fn deliver(&mut self, packet: Packet) {
        let received = &mut self.counters[packet.dst.index()];
        received.rx_packets += u64::from(packet.segments);
        received.rx_bytes += u64::from(packet.wire_bytes);
        received.device_rx_bytes +=
            u64::from(packet.wire_bytes - packet.segments * self.framing_bytes);
        let (node, id) = (packet.dst, packet.to);
        match packet.body {
            Body::Syn => self.syn_came(&packet),
            Body::SynAck => self.syn_ack_came(&packet),
            Body::Established => self.established(node, id),
            Body::Reset => self.reset_came(node, id),
            Body::Data { .. } => self.data_came(packet),
            Body::Acknowledged { bytes } => self.acknowledged(node, id, bytes),
            Body::Probe => self.probe_came(&packet),
            Body::ProbeAnswer => self.probe_answered(node, id),
        }
    }

    fn woken(&mut self, node: NodeId) {
        let now = self.now;
        let state = self.node(node);
        if state.wake_at > now {
            return;
        }
        state.wake_at = NEVER;
        self.wake(node);
    }

    /// Tells the machine that its time has come, or wakes up again when it will have.
    fn wake(&mut self, node: NodeId) {
        let now = self.now;
        let state = self.node(node);
        let timer = state.timer;
        if timer > now {
            if timer < state.wake_at {
                state.wake_at = timer;
                self.cause(node, timer, Happening::Wake { node });
            }
        } else if !state.frozen {
            state.timer = NEVER;
            self.tell(node, Input::Timer);
        }
    }

    fn set_timer(&mut self, node: NodeId, time: Time) {
        let at = if time == Time::NEVER {
            NEVER
        } else {
            self.programs.instant(time).max(self.now)
        };
        let state = self.node(node);
        state.timer = at;
        if at < state.wake_at {
            state.wake_at = at;
            self.cause(node, at, Happening::Wake { node });
        }
    }

    /// Something happened that the program is to know of.
    pub(super) fn tell(&mut self, node: NodeId, input: Input) {
        let state = self.node(node);
        if state.machine.is_some() {
            state.unread.push_back(input);
            self.carry_out(node);
        }
    }

    /// Lets the program read what it has not read yet, and carries out what it answers.
    fn carry_out(&mut self, node: NodeId) {
        let now = self.time();
        if self.node(node).frozen {
            return;
        }
        // Whatever is told to the node meanwhile waits until it is its turn.
        let Some(mut machine) = self.node(node).machine.take() else {
            return;
        };
        let mut together: Option<(EndId, Load, u32)> = None;
        loop {
            let Some(output) = machine.poll_output() else {
                self.flush(node, &mut together);
                match self.node(node).unread.pop_front() {
                    Some(input) => machine.handle(now, input),
                    None => break,
                }
                continue;
            };
            match output {
                Output::Send { peer, message } => {
                    let (id, bytes) = (end_of(peer), self.size_of(&message));
                    together = match together.take() {
                        Some((at, load, sum)) if at == id => {
                            Some((id, load.add(message, bytes), sum.saturating_add(bytes)))
                        }
                        other => {
                            self.flush(node, &mut { other });
                            Some((id, Load::One(message, bytes), bytes))
                        }
                    };
                }
                Output::Connect { addr } => self.dial(node, addr),
                Output::Disconnect { peer, .. } => {
                    self.flush(node, &mut together);
                    self.close_peer(node, peer);
                    self.node(node)
                        .unread
                        .push_back(Input::Disconnected { peer });
                }
                Output::SetTimer(time) => self.set_timer(node, time),
                Output::Event(event) => self.note(node, &machine, event),
            }
        }
        self.node(node).machine = Some(machine);
    }

    /// A message's size on the wire, with what blocks weigh more.
    fn size_of(&self, message: &Message) -> u32 {
        let filler_bytes = self.programs.filler_bytes();
        let more = match message {
            Message::Block(_) => filler_bytes,
            Message::CmpctBlock(_) => filler_bytes / FILLER_TRANSACTION_BYTES * SHORT_ID_BYTES,
            _ => 0,
        };
        message.wire_size().saturating_add(more)
    }

    /// Writes what a program wrote to one connection in one go.
    fn flush(&mut self, node: NodeId, together: &mut Option<(EndId, Load, u32)>) {
        if let Some((id, load, bytes)) = together.take()
            && !self.write(node, id, load, bytes)
        {
            // The other does not read what is sent to it.
            self.node(node).remove_end(id);
            let peer = super::node::peer_of(id);
            self.node(node)
                .unread
                .push_back(Input::Disconnected { peer });
        }
    }

    fn note(&mut self, node: NodeId, machine: &Machine, event: Event) {
        match event {
            Event::Tip { hash, height, .. } => {
                self.note_blocks(machine, hash);
                self.tell_record(Told::Tip(node, hash, height));
            }
            Event::StoreFailed(reason) => self.tell_record(Told::Failed(node, reason)),
            Event::PeerReady { .. } | Event::Transaction(_) => {}
        }
    }

    /// Tells of a block that was not seen before, after its ancestors.
    fn note_blocks(&mut self, machine: &Machine, tip: BlockHash) {
        let mut unknown = Vec::new();
        let mut next = tip;
        while !self.known_blocks.contains(&next)
            && let Ok(Some(block)) = machine.chain().block(&next)
            && let Some(entry) = machine.chain().entry(&next)
        {
            let facts = BlockFacts {
                hash: next.to_string(),
                height: entry.height,
                prev: block.header.prev_blockhash.to_string(),
                size: block.total_size() as u64 + u64::from(self.programs.filler_bytes()),
                tx: block
                    .txdata
                    .iter()
                    .map(|tx| tx.compute_txid().to_string())
                    .collect(),
            };
            unknown.push(facts);
            self.known_blocks.insert(next);
            next = block.header.prev_blockhash;
        }
        let miner = self.mining;
        for facts in unknown.into_iter().rev() {
            self.tell_record(Told::Block(Box::new(facts), miner));
        }
    }

    fn tell_record(&mut self, what: Told) {
        let key = Key {
            at: self.now,
            ..self.key
        };
        self.news.push(News { key, what });
    }

    /// The machine's time.
    fn time(&self) -> Time {
        self.programs.time(self.now)
    }

    pub(super) fn node(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[self.homes[node.index()].place as usize]
    }

    pub(super) fn node_at(&self, ip: IpAddr) -> Option<NodeId> {
        match ip {
            IpAddr::V4(ip) => self.programs.node_at(ip),
            IpAddr::V6(_) => None,
        }
    }

    pub(super) fn address(&self, node: NodeId) -> Ipv4Addr {
        self.programs.address(node)
    }

    /// How long data may stay unacknowledged before this node's kernel breaks a stream.
    pub(super) fn patience(&self, node: NodeId) -> Nanos {
        self.programs.patience(node)
    }

    pub(super) fn dial_patience(&self, node: NodeId) -> Nanos {
        self.programs.dial_patience(node)
    }

    pub(super) fn connections_max(&self, node: NodeId) -> usize {
        self.programs.connections_max(node)
    }

    pub(super) fn listens(&self, node: NodeId) -> bool {
        self.programs.listens(node)
    }

    /// A node causes something to happen to itself.
    pub(super) fn cause(&mut self, node: NodeId, at: Nanos, happening: Happening) {
        self.send_event(node, at, happening);
    }

    /// A packet is on its way, and reaches the other's access link then.
    pub(super) fn send_packet(&mut self, at: Nanos, packet: Packet) {
        let whole = self.model.down_service(packet.dst, packet.wire_bytes);
        let one = Nanos(whole.0 / u64::from(packet.segments.max(1)));
        // The first segments pass the link while the last ones are still coming.
        let last = packet.spread.saturating_add(one);
        let end = at.saturating_add(whole.max(last));
        self.send_event(packet.src, end, Happening::Arrive(packet));
    }

    /// A node causes something to happen anywhere.
    pub(super) fn send_event(&mut self, origin: NodeId, at: Nanos, happening: Happening) {
        let state = self.node(origin);
        state.caused = state.caused.wrapping_add(1);
        let key = Key {
            at,
            origin: origin.0,
            sequence: state.caused,
        };
        let target = happening.node();
        let home = self.homes[target.index()];
        if home.shard == self.id {
            self.queue.push(key, happening);
        } else {
            self.elsewhere.push((home.shard, key, happening));
        }
    }

    /// Sends a segment: when it reaches the other's access link, if it does.
    pub(super) fn send_wire(
        &mut self,
        now: Nanos,
        src: NodeId,
        dst: NodeId,
        wire_bytes: u32,
    ) -> Option<Nanos> {
        self.count_sent(src, 1, wire_bytes);
        match self.model.send(now, src, dst, wire_bytes) {
            Verdict::Deliver { at } => Some(at),
            Verdict::Drop(reason) => {
                self.count_drops(src, 1, reason);
                None
            }
        }
    }

    /// As [`Shard::send_wire`] for a segment that is sent again to see whether anything gets
    /// through: one that does is counted when its whole part is sent.
    pub(super) fn probe_wire(
        &mut self,
        now: Nanos,
        src: NodeId,
        dst: NodeId,
        wire_bytes: u32,
    ) -> Option<Nanos> {
        match self.model.send(now, src, dst, wire_bytes) {
            Verdict::Deliver { at } => Some(at),
            Verdict::Drop(reason) => {
                self.count_sent(src, 1, wire_bytes);
                self.count_drops(src, 1, reason);
                None
            }
        }
    }

    /// Sends a packet that nobody sends again.
    pub(super) fn send_once(
        &mut self,
        src: NodeId,
        from: EndId,
        dst: NodeId,
        to: EndId,
        wire_bytes: u32,
        body: Body,
    ) {
        let now = self.now;
        if let Some(at) = self.send_wire(now, src, dst, wire_bytes) {
            let packet = Packet {
                src,
                from,
                dst,
                to,
                segments: 1,
                wire_bytes,
                spread: Nanos::ZERO,
                first_sent: now,
                tries: 0,
                body,
            };
            self.send_packet(at, packet);
        }
    }

    /// Sends a packet without data that nobody sends again.
    pub(super) fn send_uncertain(
        &mut self,
        src: NodeId,
        from: EndId,
        dst: NodeId,
        to: EndId,
        body: Body,
    ) {
        let wire_bytes = HEADER_BYTES + self.framing_bytes;
        self.send_once(src, from, dst, to, wire_bytes, body);
    }

    /// Sends the acknowledgement that a sender waits for, which has been counted already. Where it
    /// would be lost, a later one says the same: it comes nonetheless.
    pub(super) fn answer_uncounted(
        &mut self,
        src: NodeId,
        from: EndId,
        dst: NodeId,
        to: EndId,
        body: Body,
    ) {
        let now = self.now;
        let wire_bytes = HEADER_BYTES + self.framing_bytes;
        if let Verdict::Deliver { at } = self.model.send(now, src, dst, wire_bytes) {
            let packet = Packet {
                src,
                from,
                dst,
                to,
                segments: 0,
                wire_bytes: 0,
                spread: Nanos::ZERO,
                first_sent: now,
                tries: 0,
                body,
            };
            self.send_packet(at, packet);
        }
    }

    fn count_sent(&mut self, src: NodeId, packets: u32, wire_bytes: u32) {
        let sent = &mut self.counters[src.index()];
        sent.tx_packets += u64::from(packets);
        sent.tx_bytes += u64::from(wire_bytes);
        sent.device_tx_bytes += u64::from(wire_bytes - packets * self.framing_bytes);
    }

    /// Pure acknowledgements, which are counted without being sent.
    pub(super) fn count_acknowledgements(&mut self, src: NodeId, dst: NodeId, packets: u32) {
        let wire_bytes = packets * (HEADER_BYTES + self.framing_bytes);
        self.count_sent(src, packets, wire_bytes);
        let received = &mut self.counters[dst.index()];
        received.rx_packets += u64::from(packets);
        received.rx_bytes += u64::from(wire_bytes);
        received.device_rx_bytes += u64::from(packets * HEADER_BYTES);
    }

    fn count_drops(&mut self, src: NodeId, packets: u32, reason: DropReason) {
        self.counters[src.index()].drops[reason as usize] += u64::from(packets);
    }
}
