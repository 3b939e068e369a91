//! The nodes spread over threads, without anybody being able to tell. No packet takes less time than
//! the least latency of the network: until that long after the earliest happening no shard can be
//! disturbed by another, so all of them run up to there at once, and then exchange what they sent
//! (conservative lookahead: Chandy and Misra 1979, by windows as in Fujimoto 1990).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use peerlab_link::proto::NodeCounters;
use peerlab_link::{LinkModel, Nanos, Network, NodeId};

use super::program::Programs;
use super::shard::{Mail, News, Shard, Simulated};
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

/// Which shard has which node, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Index of the shard.
    pub shard: u32,
    /// Index among the shard's nodes.
    pub place: u32,
}

/// All shards.
pub struct Team {
    shards: Vec<Shard>,
    /// One for each shard but the first, which the caller's thread runs.
    helpers: Vec<Helper>,
    homes: Arc<[Home]>,
    lookahead: Nanos,
    now: Nanos,
}

impl Team {
    /// Spreads the nodes over at most so many threads.
    ///
    /// # Errors
    /// When the network cannot be.
    pub fn new(network: &Network, programs: &Arc<Programs>, threads: usize) -> Result<Team> {
        // Who shares a CPU cannot run ahead of the others.
        let threads = if programs.cpus().is_some() {
            1
        } else {
            threads
        };
        let (shard_of, lookahead) = part(network, threads);
        let count = shard_of.iter().max().map_or(1, |most| most + 1);
        let mut sizes = vec![0u32; count as usize];
        let homes: Arc<[Home]> = shard_of
            .iter()
            .map(|&shard| {
                let place = sizes[shard as usize];
                sizes[shard as usize] += 1;
                Home { shard, place }
            })
            .collect();
        let model = LinkModel::new(network).map_err(|error| {
            Error::input("the plan's network cannot be").because(error.to_string())
        })?;
        let shards = (0..count)
            .map(|id| Shard::new(id, &homes, network, model.clone(), programs))
            .collect::<Result<_>>()?;
        Ok(Team {
            shards,
            helpers: (1..count).map(|_| Helper::spawn()).collect(),
            homes,
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
        let home = self.homes[node.index()];
        &mut self.shards[home.shard as usize]
    }

    /// All shards.
    pub fn shards_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.shards.iter_mut()
    }

    /// When the next thing happens anywhere.
    pub fn next_at(&self) -> Option<Nanos> {
        self.shards.iter().filter_map(Shard::next_at).min()
    }

    /// How much was simulated.
    pub fn simulated(&self) -> Simulated {
        self.shards.iter().map(Shard::simulated).sum()
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
            let mut sent = std::mem::take(self.shards[from].elsewhere());
            for (to, mail) in self.shards.iter_mut().zip(&mut sent) {
                to.receive(mail);
            }
        }
    }

    fn run_together(&mut self, end: Nanos) {
        let count = self.shards.len();
        let meeting = Arc::new(Meeting {
            rendezvous: Rendezvous::of(count),
            next: (0..count).map(|_| AtomicU64::new(u64::MAX)).collect(),
            mail: (0..count).map(|_| Mutex::default()).collect(),
            lookahead: self.lookahead,
            end,
        });
        for ((index, shard), helper) in (1..).zip(self.shards.drain(1..)).zip(&self.helpers) {
            helper.send(Arc::clone(&meeting), index, shard);
        }
        meeting.attend(0, &mut self.shards[0]);
        let back = self.helpers.iter().map(Helper::receive);
        self.shards.extend(back);
    }

    /// What the record is to tell since the last call, in the one order.
    pub fn take_news(&mut self) -> Vec<News> {
        let mut news: Vec<News> = self.shards.iter_mut().flat_map(Shard::take_news).collect();
        if self.shards.len() > 1 {
            // Stable: what one happening told keeps its order.
            news.sort_by_key(|told| told.key);
        }
        news
    }

    /// Byte counters of all nodes.
    pub fn counters(&self) -> Vec<NodeCounters> {
        let mut sums = vec![NodeCounters::default(); self.homes.len()];
        for shard in &self.shards {
            shard.counters().add_to(&mut sums);
        }
        sums
    }
}

/// A thread that runs a shard when it is sent one, and then gives it back. It ends with its team.
struct Helper {
    shards: Sender<(Arc<Meeting>, usize, Shard)>,
    back: Receiver<Shard>,
}

impl Helper {
    fn spawn() -> Helper {
        let (shards, inbox) = channel::<(Arc<Meeting>, usize, Shard)>();
        let (outbox, back) = channel();
        thread::spawn(move || {
            while let Ok((meeting, index, mut shard)) = inbox.recv() {
                meeting.attend(index, &mut shard);
                if outbox.send(shard).is_err() {
                    break;
                }
            }
        });
        Helper { shards, back }
    }

    fn send(&self, meeting: Arc<Meeting>, index: usize, shard: Shard) {
        let sent = self.shards.send((meeting, index, shard));
        sent.unwrap_or_else(|_| panic!("a thread of the simulator has ended"));
    }

    fn receive(&self) -> Shard {
        let back = self.back.recv();
        back.unwrap_or_else(|_| panic!("a thread of the simulator has ended"))
    }
}

/// Where the threads of a team wait for each other.
struct Meeting {
    rendezvous: Rendezvous,
    /// When the next thing happens in each shard.
    next: Vec<AtomicU64>,
    /// What was sent to each shard.
    mail: Vec<Mutex<Mail>>,
    lookahead: Nanos,
    end: Nanos,
}

impl Meeting {
    /// One shard's part: window by window until the end.
    fn attend(&self, index: usize, shard: &mut Shard) {
        loop {
            let next = shard.next_at().map_or(u64::MAX, |at| at.0);
            self.next[index].store(next, Ordering::Release);
            self.rendezvous.wait();
            let first = self.next.iter().map(|at| at.load(Ordering::Acquire)).min();
            let first = Nanos(first.unwrap_or(u64::MAX));
            if first >= self.end {
                break;
            }
            shard.run_until(first.saturating_add(self.lookahead).min(self.end));
            for (to, sent) in shard.elsewhere().iter_mut().enumerate() {
                self.mailbox(to).append(sent);
            }
            self.rendezvous.wait();
            shard.receive(&mut self.mailbox(index));
        }
        shard.run_until(self.end);
    }

    fn mailbox(&self, index: usize) -> std::sync::MutexGuard<'_, Mail> {
        self.mail[index]
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
