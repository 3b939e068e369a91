//! The nodes spread over threads, without anybody being able to tell. No packet takes less time than
//! the least latency of the network: until that long after the earliest event no shard can be
//! disturbed by another, so all of them run up to there at once, and then exchange what they sent
//! (conservative lookahead: Chandy and Misra 1979, by windows as in Fujimoto 1990).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use peerlab_link::proto::NodeCounters;
use peerlab_link::{Change, LinkModel, Nanos, Network, NodeId, Retiming};
use peerlab_node::Machine;

use super::program::Programs;
use super::queue::Key;
use super::shard::{CrossShardMessages, Location, Observation, Shard, Simulated};
use peerlab_core::error::{Error, Result};

/// Below this a window holds too little to be worth waiting for each other.
const LOOKAHEAD_MIN: Nanos = Nanos::from_millis(1);
/// No window is longer: what was dropped on its way is missed by its sender after 200 ms or more,
/// so this is safe whatever the network's delays.
const LOOKAHEAD_MAX: Nanos = Nanos::from_millis(150);
/// Some ten microseconds; a thread that has waited longer lets others run.
const SPINS_MAX: u32 = 4_000;
/// Fewer nodes than this are as fast on one thread.
const NODES_MIN: usize = 64;

/// The nodes of a network, in shards.
pub struct WorkerPool {
    shards: Vec<Shard>,
    /// One for each shard but the first, which the caller's thread runs.
    workers: Vec<Worker>,
    shard_map: Arc<[Location]>,
    lookahead: Nanos,
    now: Nanos,
}

impl WorkerPool {
    /// Spreads the nodes over at most so many threads.
    ///
    /// # Errors
    /// When the network cannot be.
    pub fn new(network: &Network, programs: &Arc<Programs>, threads: usize) -> Result<WorkerPool> {
        // Who shares a CPU cannot run ahead of the others.
        let threads = if programs.cpus.is_some() { 1 } else { threads };
        let (shard_of, lookahead) = part(network, threads);
        let count = shard_of.iter().max().map_or(1, |most| most + 1);
        let mut sizes = vec![0u32; count as usize];
        let shard_map: Arc<[Location]> = shard_of
            .iter()
            .map(|&shard| {
                let slot = sizes[shard as usize];
                sizes[shard as usize] += 1;
                Location { shard, slot }
            })
            .collect();
        let model = LinkModel::new(network).map_err(|error| {
            Error::input("the plan's network cannot be").because(error.to_string())
        })?;
        let shards = (0..count)
            .map(|id| Shard::new(id, &shard_map, network, model.clone(), programs))
            .collect::<Result<_>>()?;
        Ok(WorkerPool {
            shards,
            workers: (1..count).map(|_| Worker::spawn()).collect(),
            shard_map,
            lookahead,
            now: Nanos::ZERO,
        })
    }

    /// Up to when everything has happened.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// The shard of a node.
    pub fn shard_of(&mut self, node: NodeId) -> &mut Shard {
        let location = self.shard_map[node.index()];
        &mut self.shards[location.shard as usize]
    }

    /// A node's machine, while its program runs and does not stand still.
    pub fn running(&self, node: NodeId) -> Option<&Machine> {
        let location = self.shard_map[node.index()];
        self.shards[location.shard as usize].running(node)
    }

    /// All of them.
    pub fn shards_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.shards.iter_mut()
    }

    /// A change of the network, now, with what it does to packets under way.
    ///
    /// # Errors
    /// When the change makes no sense; nothing has changed then.
    pub fn apply(&mut self, change: &Change) -> Result<(), String> {
        // Each shard has a model of its own, and all of them were made and changed alike.
        let applied = self.shards.iter_mut().map(|shard| shard.apply(change));
        let applied: Vec<Retiming> = applied.collect::<Result<_, _>>()?;
        if let Some(retiming) = applied.first().filter(|retiming| !retiming.is_empty()) {
            self.retime(retiming);
        }
        Ok(())
    }

    fn retime(&mut self, retiming: &Retiming) {
        self.exchange();
        let shards = self.shards.iter_mut();
        let mut under_way: CrossShardMessages = shards
            .flat_map(|shard| shard.take_under_way(retiming))
            .collect();
        // As they were sent: a node counts what it causes.
        under_way.sort_by_key(|(key, _)| (key.origin, key.sequence));
        for (key, mut event) in under_way {
            let at = self
                .shard_of(NodeId(key.origin))
                .retime(retiming, key.at, &mut event);
            let to = self.shard_of(event.node());
            to.queue.push(Key { at, ..key }, event);
        }
    }

    /// When the next thing happens anywhere.
    pub fn next_at(&self) -> Option<Nanos> {
        let shards = self.shards.iter();
        shards.filter_map(|shard| shard.queue.next_at()).min()
    }

    /// How much was simulated.
    pub fn simulated(&self) -> Simulated {
        self.shards.iter().map(|shard| shard.simulated).sum()
    }

    /// Lets everything happen that happens before `end`.
    pub fn run_until(&mut self, end: Nanos) {
        if let [shard] = self.shards.as_mut_slice() {
            shard.run_until(end);
        } else {
            self.exchange();
            self.run_together(end);
        }
        self.now = end;
    }

    /// What was caused from outside may be for another shard.
    fn exchange(&mut self) {
        for from in 0..self.shards.len() {
            let mut sent = std::mem::take(&mut self.shards[from].outbound);
            for (to, messages) in self.shards.iter_mut().zip(&mut sent) {
                to.queue.push_all(messages.drain(..));
            }
        }
    }

    fn run_together(&mut self, end: Nanos) {
        let count = self.shards.len();
        let window = Arc::new(Window {
            rendezvous: Rendezvous::of(count),
            next: (0..count).map(|_| AtomicU64::new(u64::MAX)).collect(),
            messages: (0..count).map(|_| Mutex::default()).collect(),
            lookahead: self.lookahead,
            end,
        });
        for ((index, shard), worker) in (1..).zip(self.shards.drain(1..)).zip(&self.workers) {
            worker.send(Arc::clone(&window), index, shard);
        }
        window.attend(0, &mut self.shards[0]);
        let back = self.workers.iter().map(Worker::receive);
        self.shards.extend(back);
    }

    /// What the record is to tell since the last call, in the one order.
    pub fn take_observations(&mut self) -> Vec<Observation> {
        let mut observations: Vec<Observation> = self
            .shards
            .iter_mut()
            .flat_map(Shard::take_observations)
            .collect();
        if self.shards.len() > 1 {
            // Stable: what one event brought keeps its order.
            observations.sort_by_key(|seen| seen.key);
        }
        observations
    }

    /// Byte counters of all nodes.
    pub fn counters(&self) -> Vec<NodeCounters> {
        let mut sums = vec![NodeCounters::default(); self.shard_map.len()];
        for shard in &self.shards {
            shard.counters.add_to(&mut sums);
        }
        sums
    }
}

/// A thread that runs a shard when it is sent one, and then gives it back. It ends with its pool.
struct Worker {
    shards: Sender<(Arc<Window>, usize, Shard)>,
    back: Receiver<Shard>,
}

impl Worker {
    #[expect(
        clippy::disallowed_methods,
        reason = "which thread is faster changes nothing: windows are exchanged in shard order"
    )]
    fn spawn() -> Worker {
        let (shards, inbox) = channel::<(Arc<Window>, usize, Shard)>();
        let (outbox, back) = channel();
        thread::spawn(move || {
            while let Ok((window, index, mut shard)) = inbox.recv() {
                window.attend(index, &mut shard);
                if outbox.send(shard).is_err() {
                    break;
                }
            }
        });
        Worker { shards, back }
    }

    fn send(&self, window: Arc<Window>, index: usize, shard: Shard) {
        let sent = self.shards.send((window, index, shard));
        sent.unwrap_or_else(|_| panic!("a thread of the simulator has ended"));
    }

    fn receive(&self) -> Shard {
        let back = self.back.recv();
        back.unwrap_or_else(|_| panic!("a thread of the simulator has ended"))
    }
}

/// Where the threads of a pool wait for each other.
struct Window {
    rendezvous: Rendezvous,
    /// When the next thing happens in each shard.
    next: Vec<AtomicU64>,
    /// What was sent to each shard.
    messages: Vec<Mutex<CrossShardMessages>>,
    lookahead: Nanos,
    end: Nanos,
}

impl Window {
    /// One shard's part: window by window until the end.
    fn attend(&self, index: usize, shard: &mut Shard) {
        loop {
            let next = shard.queue.next_at().map_or(u64::MAX, |at| at.0);
            self.next[index].store(next, Ordering::Release);
            self.rendezvous.wait();
            let first = self.next.iter().map(|at| at.load(Ordering::Acquire)).min();
            let first = Nanos(first.unwrap_or(u64::MAX));
            if first >= self.end {
                break;
            }
            shard.run_until(first.saturating_add(self.lookahead).min(self.end));
            for (to, sent) in shard.outbound.iter_mut().enumerate() {
                self.mailbox(to).append(sent);
            }
            self.rendezvous.wait();
            shard.queue.push_all(self.mailbox(index).drain(..));
        }
        shard.run_until(self.end);
    }

    fn mailbox(&self, index: usize) -> std::sync::MutexGuard<'_, CrossShardMessages> {
        self.messages[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shard of each node, and how far shards may run ahead of each other. Every shard has nodes of
/// every region, so that all have work while a block goes around the world.
fn part(network: &Network, threads: usize) -> (Vec<u32>, Nanos) {
    let least = network.paths.iter().flatten().map(|path| path.base).min();
    let lookahead = least.unwrap_or(Nanos::ZERO).min(LOOKAHEAD_MAX);
    let count = network.nodes.len();
    if threads < 2 || count < NODES_MIN || lookahead < LOOKAHEAD_MIN {
        return (vec![0; count], LOOKAHEAD_MAX);
    }
    (
        (0..count).map(|node| (node % threads) as u32).collect(),
        lookahead,
    )
}

/// Where threads wait for each other: awake at first, since the others are hardly ever far.
struct Rendezvous {
    count: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
}

impl Rendezvous {
    fn of(count: usize) -> Rendezvous {
        Rendezvous {
            count,
            arrived: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
        }
    }

    fn wait(&self) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.count {
            self.arrived.store(0, Ordering::Release);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut spins = 0;
        while self.round.load(Ordering::Acquire) == round {
            if spins < SPINS_MAX {
                spins += 1;
                std::hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}
