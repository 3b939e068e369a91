//! The experiment, resolved: names have become indices, defaults are filled in, and what cannot
//! be has been refused. `plan::compile` draws chance for it.

use std::path::PathBuf;
use std::sync::Arc;

use peerlab_link::{Loss, Nanos, PathDelay};

use super::distribution::Distribution;
use super::marked::{Document, Path};
use super::network_values::Graph;
use super::units::Amount;
use crate::error::{Error, Kind, Place, Report};
use crate::experiment::{Down, Expectation, FaultKind, Image, Probe};

/// A whole experiment.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Its name.
    pub name: String,
    /// What it shows.
    pub description: Option<String>,
    /// The seed of the file.
    pub seed: u64,
    /// Lengths of the phases.
    pub phases: Phases,
    /// Node groups, in the order of the file.
    pub groups: Vec<Group>,
    /// The network.
    pub network: Network,
    /// The ledger.
    pub ledger: Ledger,
    /// Churn rules.
    pub churn: Vec<Churn>,
    /// Faults, in the order of the file.
    pub faults: Vec<Fault>,
    /// What must hold, in the order of the file.
    pub expect: Vec<Expectation>,
    /// Where each of these is written.
    pub expect_paths: Vec<Path>,
    /// The file, for errors that only the drawing of nodes brings up.
    pub document: Arc<Document>,
}

impl Topology {
    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.groups.iter().map(|group| group.count as usize).sum()
    }

    /// The index of the first node of a group.
    pub fn first_of(&self, group: usize) -> usize {
        self.groups[..group]
            .iter()
            .map(|group| group.count as usize)
            .sum()
    }

    /// Reads the files that nodes get a copy of.
    ///
    /// # Errors
    /// One that cannot be read, with its place in the file and what `read` says.
    pub fn fill_in(
        &mut self,
        read: impl Fn(&std::path::Path) -> Result<Vec<u8>, String>,
    ) -> Result<(), Error> {
        let document = self.document.clone();
        let files = self.groups.iter_mut().flat_map(|it| &mut it.launch.files);
        for file in files {
            let Content::Copy { from, bytes } = &mut file.content else {
                continue;
            };
            match read(from) {
                Ok(read) => *bytes = Some(read),
                Err(cause) => {
                    let report = Report {
                        causes: vec![cause],
                        hint: Some("its path counts from the folder of this file".into()),
                        ..Report::new(format!("cannot read {}", from.display()))
                    };
                    return Err(Error {
                        kind: Kind::Input,
                        reports: vec![document.report(&file.path, report)],
                    });
                }
            }
        }
        Ok(())
    }

    /// The same network and ledger, to which nothing is done and of which nothing is expected.
    #[must_use]
    pub fn undisturbed(&self) -> Topology {
        Topology {
            churn: Vec::new(),
            faults: Vec::new(),
            expect: Vec::new(),
            expect_paths: Vec::new(),
            ..self.clone()
        }
    }

    /// Keeps some of the expectations.
    pub fn retain_expectations(&mut self, keep: impl Fn(&Expectation) -> bool) {
        let mut kept = self.expect.iter().map(&keep);
        self.expect_paths.retain(|_| kept.next() == Some(true));
        self.expect.retain(keep);
    }

    /// Where each expectation is written, in their order.
    pub fn expect_places(&self) -> Vec<Place> {
        let places = self.expect_paths.iter();
        places.map(|path| self.document.place(path)).collect()
    }

    /// An error about a place in the file.
    pub fn error_at(&self, path: &Path, report: Report) -> Error {
        Error {
            kind: Kind::Input,
            reports: vec![self.document.report(path, report)],
        }
    }
}

/// Lengths of the phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases {
    /// Undisturbed.
    pub warmup: Nanos,
    /// Faults; may be zero.
    pub faults: Nanos,
    /// Healed.
    pub settle: Nanos,
}

impl Phases {
    /// When the settle phase begins.
    pub fn settle_start(&self) -> Nanos {
        self.warmup.saturating_add(self.faults)
    }

    /// When the run ends.
    pub fn end(&self) -> Nanos {
        self.settle_start().saturating_add(self.settle)
    }
}

/// A group of nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How many; at least one.
    pub count: u32,
    /// What they run.
    pub image: Image,
    /// How they are read.
    pub probe: Probe,
    /// How long each may take to answer for the first time, where the file says it.
    pub ready: Option<Nanos>,
    /// How their program is started.
    pub launch: LaunchTemplate,
    /// The group's whole hash power.
    pub hash_power: f64,
    /// Where its nodes are.
    pub regions: Places,
    /// Links.
    pub access: Access,
    /// Thousandths of a core.
    pub cpu_millis: Option<u32>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Loss on what they send.
    pub loss: Loss,
}

/// How the program of each node of a group is started. Texts may hold templates, which are known to be right.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaunchTemplate {
    /// In place of the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments of the entrypoint.
    pub command: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Files that are there before it starts.
    pub files: Vec<LaunchFile>,
    /// Its user.
    pub user: Option<String>,
    /// Its working directory.
    pub workdir: Option<String>,
    /// Where the group is written, for what only filling in the templates brings up.
    pub path: Path,
}

/// A file of each node of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchFile {
    /// Where it is written.
    pub path: Path,
    /// Where the node has it; a template.
    pub place: String,
    /// What is in it.
    pub content: Content,
    /// Permissions.
    pub mode: u16,
    /// Whose it is; `None` is the program's user.
    pub owner: Option<String>,
    /// Whether there are templates in it. `None`: unless it is no UTF-8.
    pub template: Option<bool>,
}

/// Why a path is not [`LaunchFile::is_place`].
pub const NO_PLACE: &str = "it is no absolute path of a file";

impl LaunchFile {
    /// Whether a node can have a file there: a plain absolute path.
    pub fn is_place(path: &str) -> bool {
        let mut parts = path.split('/');
        parts.next() == Some("") && parts.all(|it| !matches!(it, "" | "." | ".."))
    }
}

/// What is in a file of a node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// This.
    Text(String),
    /// What is in a file of the user's; see [`Topology::fill_in`].
    Copy {
        from: PathBuf,
        /// `None` as long as nobody has read it.
        bytes: Option<Vec<u8>>,
    },
}

/// In which regions the nodes of a group are; regions are those of [`Network::regions`].
#[derive(Clone, Debug, PartialEq)]
pub enum Places {
    /// Shares by region; they add to one. Chance decides which node is where.
    Shares(Vec<f64>),
    /// The region of each node of the group.
    Each(Vec<u16>),
}

/// Access links of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Rates by region, in the order of [`Network::regions`].
    pub rates: Vec<AccessRates>,
    /// Queue of each direction, bytes.
    pub queue_bytes: u32,
}

/// The two rates of a link; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessRates {
    /// Towards the network, bits per second.
    pub up_bps: Option<u64>,
    /// From the network, bits per second.
    pub down_bps: Option<u64>,
}

/// The network.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Region names.
    pub regions: Vec<String>,
    /// `paths[from][to]`.
    pub paths: Vec<Vec<PathDelay>>,
    /// Largest IP packet, bytes.
    pub mtu: u16,
    /// Bytes added to a packet.
    pub framing_bytes: u16,
    /// How nodes find each other.
    pub discovery: Discovery,
}

/// How nodes find each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Discovery {
    /// Each node knows some others at first.
    Pure(Bootstrap),
    /// All ask the same seeds.
    Hybrid(Bootstrap),
    /// A graph of a kind.
    Graph(GraphKind),
    /// These connections, by node index, opened by the first.
    Edges(Vec<(u32, u32)>),
}

/// Whom a node knows at first.
#[derive(Clone, Debug, PartialEq)]
pub enum Bootstrap {
    /// So many, drawn.
    Count(u32),
    /// These.
    Nodes(Selection),
    /// By node index, those of each node; only with [`Discovery::Pure`].
    Each(Vec<Vec<u32>>),
}

/// A graph, and for a star the node in its middle.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphKind {
    /// The kind.
    pub graph: Graph,
    /// The middle of a star.
    pub centre: u32,
}

/// The ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// Who mines when.
    pub blocks: Blocks,
    /// Who pays when.
    pub transactions: Transactions,
    /// What every block weighs more, bytes.
    pub filler_bytes: u32,
}

impl Ledger {
    /// Mean time between blocks, where they come by a lottery.
    pub fn block_interval(&self) -> Option<Nanos> {
        match self.blocks {
            Blocks::Every(interval) => Some(interval),
            Blocks::None | Blocks::Listed(_) => None,
        }
    }

    /// Whether any block is mined.
    pub fn mines(&self) -> bool {
        match &self.blocks {
            Blocks::None => false,
            Blocks::Every(_) => true,
            Blocks::Listed(blocks) => !blocks.is_empty(),
        }
    }
}

/// Who mines when.
#[derive(Clone, Debug, PartialEq)]
pub enum Blocks {
    /// Nobody.
    None,
    /// A lottery with this mean time between blocks.
    Every(Nanos),
    /// These blocks, sorted by time.
    Listed(Vec<Moment>),
}

/// Who pays when.
#[derive(Clone, Debug, PartialEq)]
pub enum Transactions {
    /// So many a second over the whole network; zero is none.
    PerSecond(f64),
    /// These, sorted by time.
    Listed(Vec<Moment>),
}

/// A node does something at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Nanos,
    /// Which node, by its index.
    pub node: u32,
}

/// A churn rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Churn {
    /// In which way nodes leave.
    pub how: Down,
    /// Who leaves when.
    pub outages: Outages,
}

/// Who leaves when.
#[derive(Clone, Debug, PartialEq)]
pub enum Outages {
    /// Chance decides.
    Drawn(Renewal),
    /// These.
    Listed(Vec<NodeOutages>),
}

/// The outages of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeOutages {
    /// Where they are written.
    pub path: Path,
    /// Who, by its index.
    pub node: u32,
    /// Starts and ends, in the order of the file.
    pub times: Vec<(Nanos, Nanos)>,
}

/// Sessions and outages that follow each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Renewal {
    /// Who.
    pub nodes: Selection,
    /// The part that never leaves.
    pub always_on: f64,
    /// Time up.
    pub session: Distribution,
    /// Time down.
    pub offline: Distribution,
}

/// A fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Where it is written.
    pub path: Path,
    /// Start, since the start of the run.
    pub start: Nanos,
    /// End; `None` is never. For a double spend, its start.
    pub end: Option<Nanos>,
    /// Its name.
    pub name: Option<String>,
    /// What happens.
    pub kind: FaultKind<Selection>,
}

/// Which nodes, with names resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Where it is written.
    pub path: Path,
    /// The union of these.
    pub terms: Vec<Term>,
}

/// Nodes of a stock.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Where it is written.
    pub path: Path,
    /// How many are drawn; `None` takes all.
    pub draw: Option<Amount>,
    /// Out of these.
    pub stock: Stock,
}

/// A stock of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stock {
    /// Every node.
    All,
    /// What no other side of the partition has.
    Rest,
    /// Nodes by index, the last included.
    Nodes {
        /// First.
        first: u32,
        /// Last.
        last: u32,
    },
    /// The nodes of a region, by index.
    Region(u16),
}
