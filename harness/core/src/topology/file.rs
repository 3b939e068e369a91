//! The experiment file as written: one type per section, with what each key means, its values
//! and its default. serde reads them, schemars makes the JSON Schema for editors of them, and
//! `resolve` turns them into a [`super::Topology`]. They are written back by `to_yaml`, for what
//! `explore` finds.

use indexmap::IndexMap;
use peerlab_link::{Loss, Nanos, NodeId, PathDelay};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use super::expect::Expect;
use super::listed::{BlockAt, ListOr, OutageAt, TransactionAt};
use super::network_values::{Framing, Graph, Mode};
use super::probe::WrittenProbe;
use super::units::{Rate, Share, Size};
use super::words::{FileMode, Until};
use super::written::{Text, WordOr, Written};
use crate::experiment::{Down, FaultKey, FaultKind, Nodes};

/// A Peerlab experiment: a network of ledger nodes, what is done to it, and what must hold.
///
/// All times count from the start of the run. The run goes through three phases: `warmup`,
/// `faults`, `settle`. When `settle` begins, everything is healed and every node is brought
/// back (except what is `until: never`), and the ledger has until the end to converge.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of an experiment")]
pub struct File {
    /// Format of this file. Default: that which this Peerlab reads, 1.
    pub version: Option<Written<u32>>,
    /// Name of the experiment: letters, digits and dashes. Run directories are named after it.
    pub name: String,
    /// What the experiment shows, for people. Default: nothing.
    pub description: Option<String>,
    /// Everything that chance decides follows from this; `--seed` overrides it. Default: 1.
    pub seed: Option<Written<u64>>,
    /// How long the three phases last.
    pub phases: Phases,
    /// Groups of nodes, by name: small letters, digits and dashes. The nodes of group `peers`
    /// are named `peers-0`, `peers-1` and so on.
    pub nodes: IndexMap<String, NodeGroup>,
    /// The emulated network between the nodes. Default: that of each of its keys.
    #[serde(default)]
    pub network: Network,
    /// What the ledger does. Default: nothing is mined and nobody pays.
    #[serde(default)]
    pub ledger: Ledger,
    /// Peers that come and go, from the start of the run until the settle phase. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub churn: Vec<Churn>,
    /// What is done to the network in the phase `faults`. Default: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What must hold for the run to succeed. Default: nothing, and then the run always does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expect>,
}

/// How long the three phases last.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the keys of `phases`: warmup, faults, settle"
)]
pub struct Phases {
    /// Nodes find each other and the ledger runs undisturbed, except for churn. Blocks and
    /// transactions begin half-way through it, after 10 s at the latest.
    pub warmup: Written<Nanos>,
    /// In it lies every fault, from its start to its end. Default: `0s`, no such phase.
    pub faults: Option<Written<Nanos>>,
    /// Everything is healed at its start; the ledger is to converge. At least 5 s. Mining goes
    /// on, but near the end a quiet time (a fifth of the phase, at most 10 s) comes twice, with
    /// one last block between, so that nobody judges a ledger in the middle of a race.
    pub settle: Written<Nanos>,
}

/// Nodes that run the same program under the same limits.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of a node group")]
pub struct NodeGroup {
    /// How many nodes.
    pub count: Written<u32>,
    /// What they run: `peerlab`, our own node; an image that the engine has, as `name:tag`; or
    /// `oci:PATH`, an image in a file (an OCI layout, or what `docker save` writes), its path
    /// counted from the folder of this file. Default: `peerlab`.
    pub image: Option<String>,
    /// How they are asked whether they are up, and what they say (see `agree`). `bitcoin-rpc`: JSON-RPC
    /// as Bitcoin Core answers it, user and password `peerlab`, with another port as
    /// `bitcoin-rpc(port 18443)`. `exec(PROGRAM ARGUMENTS)`: a program of the image that is run beside
    /// each node about twice a second and as its user; what it prints is what the node says.
    /// `tcp(port 2380)`: up when it takes a connection; with `greeting` behind the port the first line
    /// that the server says. `log(PATTERN)`: up once a line that its program has written matches the
    /// regular expression; what the last such line has in its first group, or the whole match.
    /// `file(/PATH)`: the SHA-256 digest of a file of the node of at most 256 MiB, to which no link leads;
    /// nothing as long as there is none. A map `{ http: { port: 8080, path: /status, json: /height } }`:
    /// a request, and what of the answer is the value. Default: `bitcoin-rpc`.
    pub probe: Option<WrittenProbe>,
    /// How long each of them may take, from its first start until it answers its probe for the first
    /// time. The run ends with exit code 3 where one takes longer, or its program ends before; what
    /// becomes of a node later is judged. Default: `60s`, and 100 ms more for each node of the
    /// experiment.
    pub ready: Option<Written<Nanos>>,
    /// Arguments for the image's entrypoint. For `peerlab` they are added to those that it gets
    /// anyway. They, and all that is said of the program below, may hold templates in the language of
    /// Jinja: `{{ name }}`, `{{ index }}` (in the group), `{{ count }}` (of the group), `{{ group }}`, `{{ ip }}`,
    /// `{{ region }}`, `{{ data }}` (a folder for data, `/data`), `{{ seed }}` (64 hex digits, drawn for each
    /// node), `{{ premined }}` (a file of blocks for `-loadblock`), `{{ peers }}` (the addresses of the peers that
    /// discovery gives the node) and `{{ bootstrap[0] }}` (the first of them; beyond the last it is the last);
    /// and of other nodes `{{ nodes['seeds-0'].ip }}` and `{% for node in groups['seeds'] %}`. An argument with
    /// `{{ peer }}` is repeated for each peer. Default: none, or those of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// What the image runs, in place of its own entrypoint. Default: the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Environment variables, beside those of the image. Default: none.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, Text>,
    /// Files that nodes have before their program starts, and again when they are replaced, by path: the text,
    /// or `{ from: genesis.json, mode: "0600", owner: etcd }`. Default: none.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub files: IndexMap<String, WordOr<FileSource>>,
    /// Whose identity the program takes, as `name`, `name:group` or numbers. Default: the image's.
    pub user: Option<Text>,
    /// The program's working directory. Default: the image's.
    pub workdir: Option<String>,
    /// The group's part in the mining lottery against other groups, divided evenly among its
    /// nodes. Default: 0, does not mine.
    pub hashpower: Option<Written<f64>>,
    /// Where they are: one region (`europe`), shares (`{ europe: 60%, japan: 40% }`), a list of
    /// one region for each node (`[europe, europe, japan]`), or `internet-2019` for the shares
    /// measured of Bitcoin's nodes. Default: `internet-2019` with that latency, otherwise evenly
    /// over the regions there are.
    pub regions: Option<Regions>,
    /// Their links to the network: `{ up: 10 Mbit/s, down: 50 Mbit/s }`, or `internet-2019` for
    /// the rates measured in each region. Default: unlimited.
    pub access: Option<WordOr<Access>>,
    /// Most processor time that a node may take, in cores, as `0.5`. Default: unlimited.
    pub cpu: Option<Written<f64>>,
    /// Most memory that a node may take. Default: unlimited.
    pub memory: Option<Written<Size>>,
    /// Loss on everything these nodes send. Default: the network's `loss`.
    pub loss: Option<Written<Loss>>,
}

/// Where a file of a node's comes from, and whose it is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the keys of a file: text, from, mode, owner, template"
)]
pub struct FileSource {
    /// What is in it. Either this or `from`.
    pub text: Option<String>,
    /// A file to copy, its path counted from the folder of this one.
    pub from: Option<String>,
    /// Its permissions, as `chmod` takes them, in quotes: `"0600"`. Default: `"0644"`.
    pub mode: Option<Written<FileMode>>,
    /// Whose it is, as in `user`. Default: the program's user.
    pub owner: Option<Text>,
    /// Whether templates in it are filled in. Default: true for text, false for a file that is no UTF-8.
    pub template: Option<Written<bool>>,
}

/// Where the nodes of a group are: a word, one region for each node, or shares of the regions.
pub type Regions = WordOr<ListOr<IndexMap<String, Written<Share>>>>;

/// Whom nodes know at first: a word, a choice of nodes for all, or those of each node.
pub type Bootstrap = WordOr<ListOr<IndexMap<String, Vec<String>>>>;

/// A node's link to the network.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the keys of `access`: up, down, queue"
)]
pub struct Access {
    /// Rate towards the network. Default: unlimited.
    pub up: Option<Written<Rate>>,
    /// Rate from the network. Default: unlimited.
    pub down: Option<Written<Rate>>,
    /// What each direction's queue holds before packets are dropped. Default: `256 KiB`.
    pub queue: Option<Written<Size>>,
}

/// Delays from region to region.
pub type LatencyMap = IndexMap<String, IndexMap<String, Written<PathDelay>>>;

/// The emulated network between the nodes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of `network`")]
pub struct Network {
    /// One-way delays: one for all (`50ms`, `50ms jitter 5ms`); `internet-2019`, measured between
    /// six regions (north-america, europe, south-america, asia-pacific, japan, australia); or a
    /// map `{ europe: { europe: 5ms, japan: 120ms }, japan: { japan: 6ms } }`, in which a way
    /// that is not written takes the delay of the way back. Default: `internet-2019`.
    pub latency: Option<WordOr<LatencyMap>>,
    /// Added to each packet's delay, evenly distributed from zero to this, where a delay has no
    /// jitter of its own. Packets keep their order. Default: `0ms`.
    pub jitter: Option<Written<Nanos>>,
    /// Lost packets, at the sender: a share of all (`0.1%`), or bursts
    /// (`gilbert-elliott(enter 1% leave 20% bad 50%)`). Default: `0%`.
    pub loss: Option<Written<Loss>>,
    /// Largest IP packet, 576 to 9000 bytes. Default: 1500.
    pub mtu: Option<Written<u32>>,
    /// What the wire adds to each packet, in rates and counters: `ethernet` (38 bytes), `none`, or
    /// a size. Default: `ethernet`.
    pub framing: Option<Written<Framing>>,
    /// How nodes find each other. Default: `{ mode: pure, bootstrap: 3 }`.
    pub discovery: Option<Discovery>,
}

/// How nodes find each other.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "the keys of `discovery`: mode, bootstrap, graph, edges"
)]
pub struct Discovery {
    /// `pure`: every node knows some other nodes, and gossips from there; there is no centre.
    /// `hybrid`: every node asks a few seed nodes for addresses, leaves them, and gossips from
    /// there. `static`: the graph of connections is given. Default: `static` when `graph` or
    /// `edges` is there, otherwise `pure`.
    pub mode: Option<Written<Mode>>,
    /// Whom a node knows at first. With `pure`, a count: so many nodes, drawn for each node among
    /// those that do not churn. With `hybrid`, a count: so many seeds, the same for all. Or a
    /// choice of nodes: these, for all. Or, with `pure`, whom each node knows, as
    /// `{ peers-0: [peers-3, miners-0], peers-1: [peers-0] }`; a node that is not there knows
    /// nobody. Default: 3.
    pub bootstrap: Option<Bootstrap>,
    /// The graph of connections: `ring`, `line`, `star`, `star(centre hub-0)`, `complete`,
    /// `random-regular(degree 8)`, `small-world(degree 4 rewire 10%)`, `scale-free(links 3)`.
    pub graph: Option<Written<Graph>>,
    /// The graph of connections, as pairs of node names; the first of a pair opens the
    /// connection.
    pub edges: Option<Vec<Vec<String>>>,
}

/// What the ledger does.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of `ledger`")]
pub struct Ledger {
    /// Mean time between blocks; they arrive at random, and each one's miner is drawn by hash
    /// power. Default: nothing is mined.
    pub block_interval: Option<Written<Nanos>>,
    /// In place of `block_interval`: every block, with its time and its miner, as
    /// `[{ at: 12s, by: miners-0 }]`. Nobody needs `hashpower` then.
    pub blocks: Option<Vec<BlockAt>>,
    /// How many transactions are submitted over the whole network, at random times to random
    /// nodes, as `5/s`; or a list of all of them, as `[{ at: 3s, to: peers-1 }]`. Default: none.
    pub transactions: Option<WordOr<Vec<TransactionAt>>>,
    /// What every block weighs more on the wire, up to 4 MB, as if it were full of transactions of
    /// 350 bytes that all nodes have already: with its whole weight where a block is sent, with 6
    /// bytes a transaction where a compact block is. Only for `--engine sim`. Default: nothing.
    pub filler: Option<Written<Size>>,
}

/// Peers that come and go: either at random (`nodes`, `session` and `offline`), or at the times
/// listed in `outages`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of a churn rule")]
pub struct Churn {
    /// Who. No node is in two rules.
    pub nodes: Option<WordOr<Vec<String>>>,
    /// The part of them that never leaves, drawn by the seed. Default: `0%`.
    pub always_on: Option<Written<Share>>,
    /// How long a peer stays: `weibull(shape 0.6 mean 60s)`, `lognormal(median 60s sigma 1.36)`,
    /// `exponential(mean 60s)` or `fixed(60s)`. (No comma inside: it would end the value.)
    pub session: Option<Written<Distribution>>,
    /// How long it is down, likewise.
    pub offline: Option<Written<Distribution>>,
    /// In place of `nodes`, `session` and `offline`: when each node is down, as
    /// `{ peers-3: [{ at: 0s, for: 7s }, { at: 31s, for: 5s }] }`. An outage from `0s` on means that it
    /// does not start with the others.
    pub outages: Option<IndexMap<String, Vec<OutageAt>>>,
    /// How it leaves: `kill` (the process dies, its sockets close), `vanish` (its link goes silent
    /// first, so that its peers must time out), `stop` (politely), `freeze` (it stands still) or
    /// `replace` (it dies, and a new node with an empty disk comes in its place). Default: `kill`.
    pub how: Option<Written<Down>>,
}

/// Something done to the network. Exactly one of `partition`, `kill`, `stop`, `vanish`,
/// `freeze`, `replace`, `shape`, `slow` and `double_spend` says what.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of a fault")]
pub struct Fault {
    /// When it begins, counted from the start of the run. It lies in the phase `faults`.
    pub at: Written<Nanos>,
    /// How long it lasts. Default: see `until`.
    #[serde(rename = "for")]
    pub lasts: Option<Written<Nanos>>,
    /// When it ends: a time since the start of the run; `settle`, when the settle phase begins;
    /// or `never`, and then not even the settle phase heals it. Default: `settle`.
    pub until: Option<Written<Until>>,
    /// A name by which a double spend can refer to a partition. Default: none.
    pub name: Option<String>,
    /// The network splits. A list of sides, each a choice of nodes, as
    /// `[[region:europe], [rest]]`. Nodes that are on no side form one of their own.
    pub partition: Option<Vec<WordOr<Vec<String>>>>,
    /// With `partition`: only packets from the first side to the others are lost. Default: false.
    pub one_way: Option<Written<bool>>,
    /// The processes of these nodes die (SIGKILL); at the end they start again.
    pub kill: Option<WordOr<Vec<String>>>,
    /// These nodes are asked to stop (SIGTERM); at the end they start again.
    pub stop: Option<WordOr<Vec<String>>>,
    /// These nodes go silent, then die; their peers must time out. At the end they start again.
    pub vanish: Option<WordOr<Vec<String>>>,
    /// These nodes stand still (SIGSTOP); at the end they go on.
    pub freeze: Option<WordOr<Vec<String>>>,
    /// These nodes die, and at the end start with an empty disk.
    pub replace: Option<WordOr<Vec<String>>>,
    /// The links of some nodes get worse.
    pub shape: Option<Shape>,
    /// The programs of some nodes get little processor time.
    pub slow: Option<Slow>,
    /// Two conflicting transactions are given to the two sides of a partition.
    pub double_spend: Option<DoubleSpend>,
}

impl Fault {
    /// Whether a key is there.
    pub fn has(&self, key: FaultKey) -> bool {
        match key {
            FaultKey::Partition => self.partition.is_some(),
            FaultKey::Down(how) => self.down(how).is_some(),
            FaultKey::Shape => self.shape.is_some(),
            FaultKey::Slow => self.slow.is_some(),
            FaultKey::DoubleSpend => self.double_spend.is_some(),
        }
    }

    /// A fault of this kind that says nothing else. `choice` names nodes, and `split` partitions.
    pub fn of(
        kind: &FaultKind<Nodes>,
        choice: impl Fn(&[NodeId]) -> Vec<String>,
        split: impl Fn(usize) -> String,
    ) -> Fault {
        let mut fault = Fault::default();
        let choice = |nodes: &Nodes| WordOr::Long(choice(nodes));
        match kind {
            FaultKind::Partition { sides, one_way } => {
                fault.partition = Some(sides.iter().map(choice).collect());
                fault.one_way = one_way.then(|| Written::of(true));
            }
            FaultKind::Down { nodes, how } => {
                *fault.down_mut(*how) = Some(choice(nodes));
            }
            FaultKind::Shape { nodes, shape } => {
                fault.shape = Some(Shape {
                    nodes: choice(nodes),
                    rate: shape.rate_bps.map(|bps| Written::of(Rate { bps })),
                    loss: shape.loss.map(Written::of),
                    delay: shape.delay.map(Written::of),
                    jitter: shape.jitter.map(Written::of),
                });
            }
            FaultKind::Slow { nodes, cpu_millis } => {
                let cpu = Written::of(Share(f64::from(*cpu_millis) / 1000.0));
                let nodes = choice(nodes);
                fault.slow = Some(Slow { nodes, cpu });
            }
            FaultKind::DoubleSpend { partition } => {
                let across = split(*partition);
                fault.double_spend = Some(DoubleSpend { across });
            }
        }
        fault
    }

    /// The nodes that go down in this way.
    pub fn down(&self, how: Down) -> &Option<WordOr<Vec<String>>> {
        match how {
            Down::Kill => &self.kill,
            Down::Vanish => &self.vanish,
            Down::Stop => &self.stop,
            Down::Freeze => &self.freeze,
            Down::Replace => &self.replace,
        }
    }

    /// The same, to write it.
    pub fn down_mut(&mut self, how: Down) -> &mut Option<WordOr<Vec<String>>> {
        match how {
            Down::Kill => &mut self.kill,
            Down::Vanish => &mut self.vanish,
            Down::Stop => &mut self.stop,
            Down::Freeze => &mut self.freeze,
            Down::Replace => &mut self.replace,
        }
    }
}

/// A worsening of links. What is not written stays as it is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of `shape`")]
pub struct Shape {
    /// Whose links.
    pub nodes: WordOr<Vec<String>>,
    /// Replaces the rates of both directions.
    pub rate: Option<Written<Rate>>,
    /// Replaces the loss on what they send.
    pub loss: Option<Written<Loss>>,
    /// Added to the delay of what they send.
    pub delay: Option<Written<Nanos>>,
    /// Added to the jitter of what they send.
    pub jitter: Option<Written<Nanos>>,
}

/// A lack of processor time.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of `slow`: nodes, cpu")]
pub struct Slow {
    /// Whose programs.
    pub nodes: WordOr<Vec<String>>,
    /// What they get of one core, from 1% on, as `10%`: in every 100 ms they run for that part,
    /// and stand still for the rest. A node that starts meanwhile is slow from its start.
    pub cpu: Written<Share>,
}

/// Where the two transactions of a double spend go.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the keys of `double_spend`: across")]
pub struct DoubleSpend {
    /// `partition`, for the partition that is in force at that time, or a partition's name. The
    /// transactions go to its first two sides.
    pub across: String,
}
