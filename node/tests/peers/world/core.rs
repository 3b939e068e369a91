//! The network itself: who is in it, what is done to it, and what is noted of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use peerlab_core::ledger::Premined;
use peerlab_core::{plan, topology};
use peerlab_link::proto::ProcessOp;
use peerlab_link::{Change, Nanos, Network, NodeId, Shape};
use peerlab_node::chain::{CachedChain, SharedChainCache};
use peerlab_node::io::{Event, Input, Output, PeerId, Time};
use peerlab_node::mempool::Mempool;
use peerlab_node::{Config, Machine};
use peerlab_sim::simulator::{EPOCH_SECS, Passed, Programs, Shard, WorkerPool};

use crate::ledger::{chain_with_past, fresh_chain, import_past};

/// When every story begins: later than the blocks of the common past.
pub const START: Time = Time(EPOCH_SECS as u64 * 1_000_000_000);
/// Regtest's usual port.
const PORT: u16 = 18_444;
/// What simulated nodes may do in one story, so that one without end is a failure and not a hang.
const EVENTS_MAX: u64 = 20_000_000;
/// Name of the partition, and of the delay, of a story.
const ONLY: u32 = 0;

/// Places for more nodes than any story has, 20 to 40 ms apart. Which programs run there, stories say.
const PLACES: &str = "
name: stories
phases: { warmup: 5s, settle: 5s }
nodes: { places: { count: 130 } }
network: { latency: 20ms jitter 20ms }
";

static STAGE: LazyLock<(Network, Arc<Programs>)> = LazyLock::new(|| {
    let topology = topology::parse("stories.yaml", PLACES).unwrap();
    let plan = plan::compile(&topology, 1).unwrap();
    let programs = Programs::new(&plan, Arc::new(Premined::mine(0))).unwrap();
    (plan.network, Arc::new(programs))
});

/// A node of the story: its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node(pub usize);

impl Node {
    pub fn addr(self) -> SocketAddr {
        (STAGE.0.nodes[self.0].ip, PORT).into()
    }

    pub fn id(self) -> NodeId {
        NodeId(self.0 as u32)
    }

    fn of(id: NodeId) -> Node {
        Node(id.index())
    }
}

/// The whole network.
pub struct World {
    pub now: Time,
    pub(super) pool: WorkerPool,
    /// Of each node that there is, how its machine is configured.
    pub(super) configs: Vec<Config>,
    pub(super) seed: u64,
    pub(super) extra_nonce: u64,
    /// The common past, where all nodes share what they have in common.
    shared_past: Option<CachedChain>,
    /// Who is at the other end of a connection.
    pub others: BTreeMap<(Node, PeerId), SocketAddr>,
    /// Who closed connections with whom, and why.
    pub(super) closed: Vec<(Node, SocketAddr, String)>,
    /// How many blocks each change of a tip took off.
    pub(super) tips: Vec<(Node, u32)>,
    /// Everything that machines put out, where a story asks for it.
    trace: Option<Vec<String>>,
}

impl World {
    pub fn new(seed: u64) -> World {
        let (network, programs) = &*STAGE;
        let network = Network {
            seed,
            ..network.clone()
        };
        let mut pool = WorkerPool::new(&network, programs, 1).unwrap();
        pool.shards_mut().for_each(|shard| {
            shard.disturb();
            shard.take_passed();
        });
        World {
            now: START,
            pool,
            configs: Vec::new(),
            seed,
            extra_nonce: 1 << 32,
            shared_past: None,
            others: BTreeMap::new(),
            closed: Vec::new(),
            tips: Vec::new(),
            trace: None,
        }
    }

    /// From now on, nodes share their chains' states.
    pub fn share_chains(&mut self) {
        let mut past = CachedChain::new(&SharedChainCache::new());
        import_past(&mut past);
        self.shared_past = Some(past);
    }

    /// From now on, what machines put out is noted.
    pub fn trace(&mut self) {
        self.trace = Some(Vec::new());
    }

    pub fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    /// Lets time pass.
    pub fn run(&mut self, length: Duration) {
        self.now = self.now + length;
        self.pool.run_until(Nanos(self.now.0 - START.0));
        self.note();
        assert!(
            self.pool.simulated().events < EVENTS_MAX,
            "this story does not end"
        );
    }

    /// Lets time pass until something holds. Panics if it does not in time.
    pub fn run_until(&mut self, at_most: Duration, what: &str, holds: impl Fn(&World) -> bool) {
        let end = self.now + at_most;
        while !holds(self) {
            assert!(self.now < end, "within {at_most:?}: {what}");
            self.run(Duration::from_millis(50));
        }
    }

    /// Adds a node with the common past.
    pub fn add(&mut self, config: Config) -> Node {
        let chain = self.chain_with_past();
        self.add_with(config, chain)
    }

    /// Adds a node that knows nothing but the genesis block.
    pub fn add_fresh(&mut self, config: Config) -> Node {
        self.add_with(config, fresh_chain())
    }

    /// Adds a peer whose every message the story writes.
    pub fn add_puppet(&mut self) -> Node {
        let node = Node(self.configs.len());
        self.control(node, ProcessOp::Freeze);
        self.add_with(Config::default(), fresh_chain())
    }

    fn add_with(&mut self, config: Config, chain: CachedChain) -> Node {
        let node = Node(self.configs.len());
        self.configs.push(Config {
            listen_port: Some(PORT),
            ..config
        });
        self.boot(node, chain);
        node
    }

    fn boot(&mut self, node: Node, chain: CachedChain) {
        let config = self.configs[node.0].clone();
        let seed = self.seed.wrapping_mul(1_000).wrapping_add(node.0 as u64);
        let machine = Machine::new(config, chain, Mempool::new(), seed, self.now);
        self.shard_of(node).start_with(node.id(), machine);
        self.note();
    }

    fn chain_with_past(&self) -> CachedChain {
        let shared = self.shared_past.as_ref().map(CachedChain::fork);
        shared.unwrap_or_else(chain_with_past)
    }

    /// Kills a node's process: its connections are closed, its mempool is gone.
    pub fn kill(&mut self, node: Node) {
        self.control(node, ProcessOp::Kill);
    }

    /// Starts a killed node again, with the common past only.
    pub fn restart(&mut self, node: Node) {
        self.set_silent(node, false);
        let chain = self.chain_with_past();
        self.boot(node, chain);
    }

    fn control(&mut self, node: Node, op: ProcessOp) {
        let seen = self.shard_of(node).control(node.id(), op);
        assert!(seen.is_ok(), "{seen:?}");
    }

    /// A node's user does something.
    pub fn command<T>(&mut self, node: Node, act: impl FnOnce(&mut Machine) -> T) -> T {
        let shard = self.shard_of(node);
        let result = shard.command(node.id(), |machine, _, _| act(machine));
        self.note();
        result.unwrap_or_else(|| panic!("{node:?} is no running machine"))
    }

    pub fn shard_of(&mut self, node: Node) -> &mut Shard {
        self.pool.shard_of(node.id())
    }

    /// The link of a node goes silent, or comes back.
    pub fn set_silent(&mut self, node: Node, silent: bool) {
        let node = node.id();
        self.apply(match silent {
            true => Change::Silence { node },
            false => Change::Unsilence { node },
        });
    }

    /// Parts the network: nodes on different sides do not reach each other. Those that are added later
    /// are on side 0.
    pub fn partition(&mut self, side: impl Fn(Node) -> u32) {
        let mut sides: BTreeMap<u32, Vec<NodeId>> = BTreeMap::new();
        for node in (0..self.configs.len()).map(Node) {
            sides.entry(side(node)).or_default().push(node.id());
        }
        sides.remove(&0);
        self.heal();
        self.apply(Change::Partition {
            id: ONLY,
            groups: sides.into_values().collect(),
            one_way: false,
        });
    }

    /// Joins all sides.
    pub fn heal(&mut self) {
        self.apply(Change::Heal { id: ONLY });
    }

    /// From now on, everything takes so much longer.
    pub fn slow(&mut self, delay: Duration) {
        let nodes = 0..STAGE.0.nodes.len() as u32;
        self.apply(Change::Shape {
            id: ONLY,
            nodes: nodes.map(NodeId).collect(),
            shape: Shape {
                delay: Some(Nanos(delay.as_nanos() as u64)),
                ..Shape::default()
            },
        });
    }

    fn apply(&mut self, change: Change) {
        self.pool.apply(&change).unwrap();
    }

    /// Notes what has happened since the last call.
    fn note(&mut self) {
        let passed = self.pool.shards_mut().flat_map(Shard::take_passed);
        for passed in passed {
            if let (Some(trace), Passed::PutOut(node, output)) = (&mut self.trace, &passed) {
                trace.push(format!("{node:?} {output:?}"));
            }
            match passed {
                Passed::Read(node, Input::Connected { peer, addr, .. }) => {
                    self.others.insert((Node::of(node), peer), addr);
                }
                Passed::PutOut(node, Output::Disconnect { peer, reason }) => {
                    let node = Node::of(node);
                    if let Some(addr) = self.others.get(&(node, peer)) {
                        self.closed.push((node, *addr, reason));
                    }
                }
                Passed::PutOut(node, Output::Event(Event::Tip { disconnected, .. })) => {
                    self.tips.push((Node::of(node), disconnected));
                }
                Passed::PutOut(_, Output::Event(Event::StoreFailed(failure))) => {
                    panic!("{failure}")
                }
                _ => {}
            }
        }
        self.pool.take_observations();
    }
}

/// Seconds.
pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
