//! What happened in a run: the one schema that every engine writes and every check reads.
//! Data only; `log` writes and reads the file.

use std::collections::BTreeMap;

use peerlab_link::proto::{Action, Lateness, NodeCounters, NodeUsage, Seen};
use peerlab_link::{Nanos, NodeId, NodeLink};
use serde::{Deserialize, Serialize};

use super::Reason;
use crate::experiment::{Down, FaultKind, Launch, Nodes, Peers};

/// The format of records that is written. What it has more than the first, lines on the values of
/// nodes, on why they gave no answer and on what they wrote last, and further counters, and more than
/// the second, lines on what the fault schedule's orders came to, older records lack, so that they
/// are read as well.
pub const FORMAT: u32 = 3;
/// The format of the record of a network that stays, which has lines on what was done by hand besides.
/// It is the latest that is read.
pub const FORMAT_BY_HAND: u32 = 4;
/// Since this format every line of the fault schedule has its [`What::Effect`].
pub const FORMAT_WITH_EFFECTS: u32 = 3;

fn first_format() -> u32 {
    1
}

/// One line of `events.jsonl`. Lines are in the order in which the harness learned of them;
/// `t` is when they happened, on the one clock that started at `go`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunEvent {
    /// Nanoseconds since `go`.
    pub t: Nanos,
    #[serde(flatten)]
    pub what: What,
}

/// What happened. In JSON the field `event` names the kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// First line.
    Started(Started),
    /// Where it runs. Second line.
    Host(HostFacts),
    /// A phase begins.
    Phase { name: String },
    /// A node's program runs, and answers its probe; or a frozen one runs again. A
    /// [`What::Tip`] of this node follows, even where its best block is the one it had before:
    /// until then its ledger counts as unknown.
    NodeUp { node: NodeId },
    /// A node's program is down or frozen, by plan or not.
    NodeDown {
        node: NodeId,
        /// The plan's way; `None` when nobody asked for it.
        how: Option<Down>,
        /// Exit code, or minus the signal, when known.
        status: Option<i32>,
        /// Why, when it is not the plan's doing.
        reason: Option<Reason>,
    },
    /// What a line of the plan's fault schedule came to, as was seen where it was carried out:
    /// one for each line, and so for each fault and node.
    Effect {
        /// Index into the plan's fault schedule.
        line: u32,
        /// What was seen of it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        seen: Option<Seen>,
        /// Why it had no effect, if so.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        error: Option<String>,
    },
    /// Somebody did something by hand: from now on it stands behind the plan's faults, and begins and
    /// ends as they do.
    ByHand {
        /// Its index there.
        fault: u32,
        kind: FaultKind<Nodes>,
        /// For people.
        label: String,
    },
    /// Something was ordered by hand, or for what was done by hand: from now on it stands behind the
    /// lines of the plan's fault schedule, and has its [`What::Effect`].
    Ordered {
        /// Its index there.
        line: u32,
        action: Action,
    },
    /// Somebody added a node by hand: from now on it stands behind the plan's nodes. It is down until it is
    /// started.
    Joined(Joined),
    /// Somebody removed a node by hand: from now on it is meant to be down, for good.
    Left { node: NodeId },
    /// A new node in the place of another answered for the first time.
    Replaced {
        node: NodeId,
        /// Bytes that were delivered to it since the other was gone, at most.
        received: u64,
    },
    /// A fault took effect.
    FaultBegan {
        /// Index into the plan's faults.
        fault: u32,
    },
    /// A fault ended: healed, by its own end or by the start of the settle phase. A fault
    /// without this line is taken as in force until the run ends.
    FaultEnded {
        /// Index into the plan's faults.
        fault: u32,
    },
    /// A block exists. Written once per block, when first seen, its parent's line before it.
    Block(Block),
    /// A block that the plan wanted was not mined.
    MineMissed {
        /// Who was to mine it.
        node: NodeId,
        reason: Reason,
    },
    /// A node's best block changed (or is first known).
    Tip {
        node: NodeId,
        /// The best block.
        tip: Tip,
    },
    /// What a node says changed (or is first known), of one that has no chain to tell of; the empty text
    /// is that it says nothing any more.
    Value { node: NodeId, value: String },
    /// A transaction was to be submitted.
    Transaction {
        node: NodeId,
        txid: String,
        /// The index of the double-spend fault that it belongs to.
        double_spend: Option<u32>,
        /// Why the node did not take it, if it did not.
        refused: Option<Reason>,
    },
    /// Counters of every node, by [`NodeId`], sums since `go`; about once a second, and at phase
    /// borders.
    Traffic {
        /// One row per node.
        nodes: Vec<NodeCounters>,
    },
    /// A node's own counters, near the end and now and then.
    Peers {
        node: NodeId,
        #[serde(flatten)]
        sums: PeerSums,
    },
    /// What a node's gate measured inside its node, sums since `go`: again and again, and at the
    /// end.
    Usage {
        node: NodeId,
        /// The kernel's own counters of its interface, and what its program takes.
        usage: NodeUsage,
    },
    /// How well the host kept up since the last such line. Every engine writes at least one
    /// (the simulator's is all zero): a run without any is inconclusive.
    Fidelity {
        /// How late the fabric delivered.
        lateness: Lateness,
        /// CPU pressure (PSI `some avg10`, percent), where the host tells it.
        cpu_pressure: Option<f64>,
        /// What was computed there, where the host tells it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host_cpu: Option<HostCpu>,
    },
    /// A live node's ledger state, read once the plan is over. A live node that does not answer
    /// has no such line, but a [`What::Unanswered`], and fails the check.
    Ledger {
        node: NodeId,
        #[serde(flatten)]
        state: LedgerState,
    },
    /// Once the plan is over: a live node did not tell its ledger's state, or a program that runs
    /// has not answered since it was started.
    Unanswered {
        node: NodeId,
        /// Its own words, or what came of asking.
        reason: Reason,
    },
    /// The last lines that a node's program wrote, of some nodes that ended by themselves or never
    /// answered.
    LogEnd { node: NodeId, lines: Vec<Reason> },
    /// Last line. A run without it was killed, or its engine failed.
    Ended {
        /// Whether the run was cut short by an interrupt.
        interrupted: bool,
    },
}

impl What {
    /// Whether it was measured, again and again, and nothing has happened: what a record that has become
    /// long can do without.
    pub fn is_measurement(&self) -> bool {
        match self {
            What::Traffic { .. }
            | What::Peers { .. }
            | What::Usage { .. }
            | What::Fidelity { .. } => true,
            What::Started(_)
            | What::Host(_)
            | What::Phase { .. }
            | What::NodeUp { .. }
            | What::NodeDown { .. }
            | What::Effect { .. }
            | What::ByHand { .. }
            | What::Ordered { .. }
            | What::Joined(_)
            | What::Left { .. }
            | What::Replaced { .. }
            | What::FaultBegan { .. }
            | What::FaultEnded { .. }
            | What::Block(_)
            | What::MineMissed { .. }
            | What::Tip { .. }
            | What::Value { .. }
            | What::Transaction { .. }
            | What::Ledger { .. }
            | What::Unanswered { .. }
            | What::LogEnd { .. }
            | What::Ended { .. } => false,
        }
    }
}

/// How a run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Format of the record, [`FORMAT`]; the first one did not say so.
    #[serde(default = "first_format")]
    pub format: u32,
    /// `docker`, `local` or `sim`; for showing only, no check may ask.
    pub engine: String,
    /// Version of Peerlab.
    pub version: String,
    /// Wall clock at `go`, nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
    /// From the first create to all gates open.
    pub bring_up: Nanos,
    /// Hash and height of the pre-mined tip that every node starts from.
    pub base: Tip,
}

/// A node that was added by hand: what a plan says of its nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    /// Its index among the plan's nodes and those that joined before.
    pub node: NodeId,
    /// `GROUP-INDEX`.
    pub name: String,
    /// Index into the plan's groups.
    pub group: u32,
    /// Whom it knows at first.
    pub peers: Peers,
    /// Whole argument list of the image's entrypoint.
    pub args: Vec<String>,
    /// How its program is started otherwise than the image says.
    #[serde(default, skip_serializing_if = "Launch::is_usual")]
    pub launch: Launch,
    /// Its place in the network, and its access link.
    pub link: NodeLink,
    /// It is no node, but a program of the host that has come in by itself: it is never meant to be up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guest: bool,
}

/// A block of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its hash and height.
    pub tip: Tip,
    /// Its parent.
    pub prev: String,
    /// Who mined it, when the engine asked for it.
    pub miner: Option<NodeId>,
    /// Serialised size, bytes.
    pub size: u64,
    /// Transactions, the coinbase included.
    pub txs: u32,
    /// The transactions' ids, without the coinbase's.
    pub txids: Vec<String>,
}

/// What the nodes run on: the engine's host, which need not be the harness', and the images. What is
/// not known is empty or zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// Operating system, as it calls itself.
    pub os: String,
    /// Kernel version.
    pub kernel: String,
    /// CPUs.
    pub cpus: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// The engine's own version.
    pub engine_version: String,
    /// Digests of the images that are not ours, by what the plan calls them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
}

/// CPU time that was taken on the nodes' host. Sums: only differences mean something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCpu {
    pub cpus: u32,
    /// By whatever it was, the kernel and other virtual machines included; summed over its CPUs.
    pub busy: Nanos,
    /// Of that, by harness, fabric, the engine's own processes and the kernel's own threads, which are
    /// nobody's program.
    pub own: Nanos,
}

/// A block, by hash and height.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tip {
    /// Block hash, hex as Bitcoin shows it.
    pub hash: String,
    /// Height; the genesis block has 0.
    pub height: u32,
}

/// A node's peers, summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerSums {
    /// Connections that it opened.
    pub outbound: u32,
    /// Connections that it accepted.
    pub inbound: u32,
    /// Bytes sent over all its current connections, by message type.
    pub sent: BTreeMap<String, u64>,
    /// Bytes received, likewise.
    pub received: BTreeMap<String, u64>,
    /// How compact blocks served it, where it counts that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compact: Option<CompactSums>,
}

/// What a node's program made of the compact blocks of new blocks, since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactSums {
    /// Put together from transactions that were there.
    pub rebuilt: u64,
    /// More had to be asked for.
    pub asked: u64,
    /// Transactions that were not there, of those.
    pub missing: u64,
    /// From the compact block to the block, summed over those.
    pub waited: Nanos,
}

/// A node's ledger state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerState {
    /// The best block that the state belongs to.
    pub tip: Tip,
    /// Of the set of unspent outputs, where the probe can tell. Its key in JSON is its kind.
    #[serde(flatten)]
    pub digest: Option<StateDigest>,
}

/// A digest of the set of unspent outputs (`gettxoutsetinfo`). Those of different kinds do not compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateDigest {
    Muhash(String),
    #[serde(rename = "hash_serialized_3")]
    HashSerialized3(String),
    #[serde(rename = "hash_serialized_2")]
    HashSerialized2(String),
}

impl StateDigest {
    /// Its kind, as `gettxoutsetinfo` names it, and the digest itself.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            StateDigest::Muhash(digest) => ("muhash", digest),
            StateDigest::HashSerialized3(digest) => ("hash_serialized_3", digest),
            StateDigest::HashSerialized2(digest) => ("hash_serialized_2", digest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_older_records_are_read() {
        let line = r#"{"t":5,"event":"traffic","nodes":[{"tx_packets":9,"tx_bytes":8,"rx_packets":7,
            "rx_bytes":6,"device_tx_bytes":5,"device_rx_bytes":4,"drops":[1,2,3,4,5,6,7,8]}]}"#;
        let event: RunEvent = serde_json::from_str(line).unwrap();
        let What::Traffic { nodes } = event.what else {
            panic!("{event:?}");
        };
        assert_eq!(nodes[0].drops, [1, 2, 3, 4, 5, 6, 7, 8, 0]);
        let longer = line.replace("7,8]", "7,8,9,10]");
        assert!(serde_json::from_str::<RunEvent>(&longer).is_err());

        let line = r#"{"t":5,"event":"usage","node":1,
            "usage":{"rx_bytes":1,"tx_bytes":2,"memory_bytes":3,"cpu":4}}"#;
        let event: RunEvent = serde_json::from_str(line).unwrap();
        let What::Usage { usage, .. } = event.what else {
            panic!("{event:?}");
        };
        assert_eq!((usage.tx_dropped, usage.memory_bytes), (0, Some(3)));
    }

    #[test]
    fn a_ledgers_digest_is_read_whatever_its_kind_and_as_older_records_have_it() {
        let muhash = StateDigest::Muhash("ff".into());
        let serialized = StateDigest::HashSerialized2("ee".into());
        for (digest, told) in [
            (r#","muhash":"ff""#, Some(muhash)),
            (r#","hash_serialized_2":"ee""#, Some(serialized)),
            (r#","muhash":null"#, None),
            ("", None),
        ] {
            let line = format!(
                r#"{{"t":5,"event":"ledger","node":1,"tip":{{"hash":"aa","height":3}}{digest}}}"#
            );
            let event: RunEvent = serde_json::from_str(&line).unwrap();
            let What::Ledger { state, .. } = &event.what else {
                panic!("{event:?}");
            };
            assert_eq!(state.digest, told);
            let written = serde_json::to_string(&event).unwrap();
            assert_eq!(written == line, !digest.ends_with("null"), "{written}");
        }
    }
}
