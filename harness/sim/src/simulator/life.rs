//! The life of a node's program: started, killed, frozen; what it reads, and what it answers with.
//! What its kernel does meanwhile is in `connect` and `stream`.

use std::collections::VecDeque;
use std::sync::Arc;

use bitcoin::BlockHash;
use peerlab_link::Nanos;
use peerlab_link::NodeId;
use peerlab_link::proto::{ProcessOp, Seen};
use peerlab_node::Machine;
use peerlab_node::io::{Event, Input, Output};
use peerlab_node::time::Time;
use peerlab_node::wire::Message;

use super::node::{NEVER, Sockets, end_of, peer_of};
use super::packet::{EndId, Load};
use super::queue::Key;
use super::shard::{Observation, Observed, Passed, Shard, SimEvent};
use super::work::Work;
use peerlab_core::conduct::BlockFacts;

/// How long a program takes from its start until it listens and answers: it loads the pre-mined
/// chain.
const LOADING: Nanos = Nanos::from_millis(60);
/// A transaction of a block's filler, bytes: about the mean of Bitcoin's.
const FILLER_TRANSACTION_BYTES: u32 = 350;
/// A transaction in a compact block, bytes (BIP152).
const SHORT_ID_BYTES: u32 = 6;

/// What a program writes to a connection in one go, and its bytes.
type Written = (EndId, Load, u32);

impl Shard {
    /// Does something to a node's program, now. What is seen of it, or why it has no effect.
    pub fn control(&mut self, node: NodeId, op: ProcessOp) -> Result<Seen, String> {
        self.caused_by(node);
        Ok(match op {
            ProcessOp::Kill | ProcessOp::Stop => {
                self.end_program(node);
                Seen::NotRunning
            }
            ProcessOp::Start => {
                self.start_program(node);
                Seen::Running
            }
            ProcessOp::Freeze => {
                self.node(node).frozen = true;
                Seen::StandsStill { processes: 1 }
            }
            ProcessOp::Thaw => {
                self.thaw(node);
                Seen::Running
            }
            ProcessOp::Wipe => {
                let disk = self.new_disk.fork();
                let state = self.node(node);
                if state.machine.is_some() {
                    return Err("the program is running".into());
                }
                let had = state.disk.replace(disk);
                let entries = had.map_or(0, |had| u64::from(had.tip().height));
                Seen::Emptied { entries }
            }
            ProcessOp::Slow { id, cpu_millis } => {
                self.cpus.slow(node, id, Some(cpu_millis));
                Seen::Slowed
            }
            ProcessOp::Unslow { id } => {
                self.cpus.slow(node, id, None);
                Seen::Running
            }
        })
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
        // Whoever asks is answered in between.
        state.busy_until = Nanos::ZERO;
        let result = act(machine, now, &mut state.mined);
        self.mining = Some(node);
        self.carry_out(node);
        self.mining = None;
        Some(result)
    }

    /// Has a node run this program at once, whatever the plan says it runs.
    pub fn start_with(&mut self, node: NodeId, machine: Machine) {
        self.caused_by(node);
        self.run(node, machine);
    }

    /// Carries out what a node's program would put out, in the place of one that is frozen.
    pub fn put_out(&mut self, node: NodeId, output: Output) {
        self.caused_by(node);
        let mut together = None;
        self.carry_out_one(node, output, &mut together);
        self.flush(node, &mut together);
    }

    /// What a node's program has not read yet; to be read in its place.
    pub fn unread(&mut self, node: NodeId) -> &mut VecDeque<Input> {
        &mut self.node(node).unread
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
        self.cause(node, at, SimEvent::Loaded { node, life });
    }

    pub(super) fn loaded(&mut self, node: NodeId, life: u32) {
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
        self.run(node, machine);
    }

    fn run(&mut self, node: NodeId, machine: Machine) {
        let state = self.node(node);
        state.sockets = Sockets::of(machine.config());
        state.machine = Some(Box::new(machine));
        state.timer = NEVER;
        self.answers(node);
    }

    /// A program answers for the first time, or again.
    fn answers(&mut self, node: NodeId) {
        if let Some(machine) = self.node(node).machine.as_deref() {
            let tip = machine.chain().tip();
            let (hash, height) = (tip.hash, tip.height);
            self.observe(Observed::Up(node));
            self.observe(Observed::Tip(node, hash, height));
            self.carry_out(node);
        }
    }

    fn end_program(&mut self, node: NodeId) {
        let state = self.node(node);
        state.loading = false;
        state.frozen = false;
        state.busy_until = Nanos::ZERO;
        state.unread.clear();
        state.timer = NEVER;
        if let Some(machine) = state.machine.take() {
            let disk = &mut state.disk;
            disk.get_or_insert_with(|| machine.into_chain().reopened());
            self.close_all(node);
        }
    }

    fn thaw(&mut self, node: NodeId) {
        let state = self.node(node);
        if !std::mem::take(&mut state.frozen) {
            return;
        }
        self.answers(node);
        self.wake(node);
    }

    pub(super) fn woken(&mut self, node: NodeId) {
        let now = self.now;
        if self.node(node).wake_came(now) {
            self.wake(node);
        }
    }

    /// Tells the machine that its time has come, or wakes up again when it will have.
    fn wake(&mut self, node: NodeId) {
        let now = self.now;
        let state = self.node(node);
        let timer = state.timer;
        if timer > now {
            if state.needs_wake(timer) {
                self.cause(node, timer, SimEvent::Wake { node });
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
        if state.needs_wake(at) {
            self.cause(node, at, SimEvent::Wake { node });
        }
    }

    /// Something happened that the program is to know of.
    pub(super) fn tell(&mut self, node: NodeId, input: Input) {
        if self.node(node).machine.is_none() {
            return;
        }
        let mut room = std::mem::take(&mut self.unread);
        let state = self.node(node);
        if state.unread.is_empty() {
            std::mem::swap(&mut state.unread, &mut room);
        }
        state.unread.push_back(input);
        self.unread = room;
        self.carry_out(node);
        let state = self.node(node);
        if state.unread.is_empty() {
            self.unread = std::mem::take(&mut state.unread);
        }
    }

    /// Lets the program read what it has not read yet, and carries out what it answers.
    pub(super) fn carry_out(&mut self, node: NodeId) {
        let now = self.now;
        let state = self.node(node);
        if state.frozen || state.busy_until > now {
            return;
        }
        if let Some(still_until) = self.cpus.still_until(now, node) {
            self.be_busy(node, still_until);
            return;
        }
        // Whatever is told to the node meanwhile waits until it is its turn.
        let Some(mut machine) = self.node(node).machine.take() else {
            return;
        };
        machine.lend_outputs(std::mem::take(&mut self.outputs));
        let mut together: Option<Written> = None;
        loop {
            let Some(output) = machine.poll_output() else {
                self.flush(node, &mut together);
                match self.node(node).unread.pop_front() {
                    Some(input) => {
                        if self.is_busy_after(node, &mut machine, input) {
                            break;
                        }
                    }
                    None => break,
                }
                continue;
            };
            if let Some(passed) = &mut self.passed {
                passed.push(Passed::PutOut(node, output.clone()));
            }
            match output {
                Output::Event(event) => self.note(node, &machine, event),
                output => self.carry_out_one(node, output, &mut together),
            }
        }
        self.outputs = machine.return_outputs();
        self.node(node).machine = Some(machine);
    }

    /// Does what a program wants done; what it writes to one connection goes `together`. Inlined where
    /// programs run, since outputs are large.
    #[inline(always)]
    fn carry_out_one(&mut self, node: NodeId, output: Output, together: &mut Option<Written>) {
        match output {
            Output::Send { peer, message } => {
                let (id, bytes) = (end_of(peer), self.size_of(&message));
                *together = match together.take() {
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
                self.flush(node, together);
                self.close(node, end_of(peer));
                let closed = Input::Disconnected { peer };
                self.node(node).unread.push_back(closed);
            }
            Output::SetTimer(time) => self.set_timer(node, time),
            Output::Event(_) => {}
        }
    }

    /// Lets the program read something. Returns whether that keeps it busy for a while; what it
    /// answers waits until then.
    fn is_busy_after(&mut self, node: NodeId, machine: &mut Machine, input: Input) -> bool {
        if let Some(passed) = &mut self.passed {
            passed.push(Passed::Read(node, input.clone()));
        }
        let message = matches!(input, Input::Received { .. });
        if let Input::Received { message, .. } = &input {
            self.simulated.messages += 1;
            self.simulated.items += items_in(message);
        }
        let tip = machine.chain().tip_hash();
        machine.handle(self.time(), input);
        let chain = machine.chain();
        let block = (chain.tip_hash() != tip).then(|| chain.tip().tx_count.unwrap_or(0));
        let Some(done) = self.cpus.done(self.now, node, Work { message, block }) else {
            return false;
        };
        self.be_busy(node, done);
        true
    }

    fn be_busy(&mut self, node: NodeId, until: Nanos) {
        self.node(node).busy_until = until;
        self.cause(node, until, SimEvent::Done { node });
    }

    /// A message's size on the wire, with what blocks weigh more.
    fn size_of(&self, message: &Message) -> u32 {
        let filler_bytes = self.programs.filler_bytes;
        let more = match message {
            Message::Block(_) => filler_bytes,
            Message::CmpctBlock(_) => filler_bytes / FILLER_TRANSACTION_BYTES * SHORT_ID_BYTES,
            _ => 0,
        };
        message.wire_size().saturating_add(more)
    }

    /// Writes what a program wrote to one connection in one go.
    fn flush(&mut self, node: NodeId, together: &mut Option<Written>) {
        if let Some((id, load, bytes)) = together.take()
            && !self.write(node, id, load, bytes)
        {
            // The other does not read what is sent to it.
            self.node(node).remove_end(id);
            let peer = peer_of(id);
            self.node(node)
                .unread
                .push_back(Input::Disconnected { peer });
        }
    }

    fn note(&mut self, node: NodeId, machine: &Machine, event: Event) {
        match event {
            Event::Tip { hash, height, .. } => {
                self.note_blocks(machine, hash);
                self.observe(Observed::Tip(node, hash, height));
            }
            Event::StoreFailed(reason) => self.observe(Observed::Failed(node, reason)),
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
                size: block.total_size() as u64 + u64::from(self.programs.filler_bytes),
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
            self.observe(Observed::Block(Box::new(facts), miner));
        }
    }

    fn observe(&mut self, what: Observed) {
        let key = Key {
            at: self.now,
            ..self.key
        };
        self.observations.push(Observation { key, what });
    }
}

/// How many things a message tells of or asks for.
fn items_in(message: &Message) -> u64 {
    match message {
        Message::Inv(list) | Message::GetData(list) | Message::NotFound(list) => list.len() as u64,
        _ => 1,
    }
}
