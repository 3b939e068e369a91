//! The kinds of fault, and all that a kind is: its key in a file, the nodes that it names, what
//! it does to links and nodes and when, who records its begin and end, what people read of it,
//! and how `explore` makes it smaller. Adding a kind begins here; the compiler names the rest.

use peerlab_link::proto::{Action, ProcessOp, Timed};
use peerlab_link::{Change, Nanos, NodeId, Shape};
use serde::{Deserialize, Serialize};

use super::Down;

/// Nodes that a fault names once chance is drawn, sorted.
pub type Nodes = Vec<NodeId>;

/// What a fault does. `N` is how it names nodes: a selection in an experiment file, [`Nodes`] in a
/// plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind<N> {
    /// The network splits.
    Partition {
        /// The sides. In a plan every node is on one of them.
        sides: Vec<N>,
        /// Whether only packets from the first side to the others are lost.
        one_way: bool,
    },
    /// Nodes go down, or freeze, and come back at the end.
    Down {
        /// Who.
        nodes: N,
        /// In which way.
        how: Down,
    },
    /// Links get worse.
    Shape {
        /// Whose.
        nodes: N,
        /// In which way.
        shape: Shape,
    },
    /// Programs get little processor time.
    Slow {
        /// Whose.
        nodes: N,
        /// Of one core, in thousandths.
        cpu_millis: u32,
    },
    /// Two conflicting transactions, on two sides of a partition, at one instant.
    DoubleSpend {
        /// Index of the partition among the faults.
        partition: usize,
    },
}

/// The key by which a fault in a file says what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKey {
    /// `partition`
    Partition,
    /// `kill` and the other ways down.
    Down(Down),
    /// `shape`
    Shape,
    /// `slow`
    Slow,
    /// `double_spend`
    DoubleSpend,
}

impl FaultKey {
    /// All of them, in the order of the documentation. That it is whole is tested against the
    /// file's own keys.
    pub const ALL: [FaultKey; 9] = [
        FaultKey::Partition,
        FaultKey::Down(Down::Kill),
        FaultKey::Down(Down::Stop),
        FaultKey::Down(Down::Vanish),
        FaultKey::Down(Down::Freeze),
        FaultKey::Down(Down::Replace),
        FaultKey::Shape,
        FaultKey::Slow,
        FaultKey::DoubleSpend,
    ];

    /// As experiment files have it.
    pub fn word(self) -> &'static str {
        match self {
            FaultKey::Partition => "partition",
            FaultKey::Down(how) => how.word(),
            FaultKey::Shape => "shape",
            FaultKey::Slow => "slow",
            FaultKey::DoubleSpend => "double_spend",
        }
    }
}

impl<N> FaultKind<N> {
    /// Its key in a file.
    pub fn key(&self) -> FaultKey {
        match self {
            FaultKind::Partition { .. } => FaultKey::Partition,
            FaultKind::Down { how, .. } => FaultKey::Down(*how),
            FaultKind::Shape { .. } => FaultKey::Shape,
            FaultKind::Slow { .. } => FaultKey::Slow,
            FaultKind::DoubleSpend { .. } => FaultKey::DoubleSpend,
        }
    }

    /// Every choice of nodes in it: the sides of a partition, the nodes of others, or none.
    pub fn node_sets(&self) -> &[N] {
        match self {
            FaultKind::Partition { sides, .. } => sides,
            FaultKind::Down { nodes, .. }
            | FaultKind::Shape { nodes, .. }
            | FaultKind::Slow { nodes, .. } => std::slice::from_ref(nodes),
            FaultKind::DoubleSpend { .. } => &[],
        }
    }

    /// The same, to change them.
    pub fn node_sets_mut(&mut self) -> &mut [N] {
        match self {
            FaultKind::Partition { sides, .. } => sides,
            FaultKind::Down { nodes, .. }
            | FaultKind::Shape { nodes, .. }
            | FaultKind::Slow { nodes, .. } => std::slice::from_mut(nodes),
            FaultKind::DoubleSpend { .. } => &mut [],
        }
    }

    /// The same fault with its nodes named in another way. `name` gets [`Self::node_sets`], all at
    /// once because the sides of a partition exclude each other, and gives one for each.
    ///
    /// # Errors
    /// As `name`.
    pub fn try_map<M: Clone + Default, E>(
        &self,
        name: impl FnOnce(&[N]) -> Result<Vec<M>, E>,
    ) -> Result<FaultKind<M>, E> {
        let sides = name(self.node_sets())?;
        let nodes = sides.first().cloned().unwrap_or_default();
        Ok(match *self {
            FaultKind::Partition { one_way, .. } => FaultKind::Partition { sides, one_way },
            FaultKind::Down { how, .. } => FaultKind::Down { nodes, how },
            FaultKind::Shape { shape, .. } => FaultKind::Shape { nodes, shape },
            FaultKind::Slow { cpu_millis, .. } => FaultKind::Slow { nodes, cpu_millis },
            FaultKind::DoubleSpend { partition } => FaultKind::DoubleSpend { partition },
        })
    }

    /// The sides, of a partition.
    pub fn sides(&self) -> Option<&[N]> {
        match self {
            FaultKind::Partition { sides, .. } => Some(sides),
            FaultKind::Down { .. }
            | FaultKind::Shape { .. }
            | FaultKind::Slow { .. }
            | FaultKind::DoubleSpend { .. } => None,
        }
    }

    /// Index of the partition that it needs, of a double spend. This is the one kind that
    /// happens at an instant.
    pub fn across(&self) -> Option<usize> {
        match self {
            FaultKind::DoubleSpend { partition } => Some(*partition),
            FaultKind::Partition { .. }
            | FaultKind::Down { .. }
            | FaultKind::Shape { .. }
            | FaultKind::Slow { .. } => None,
        }
    }

    /// The same, to change it.
    pub fn across_mut(&mut self) -> Option<&mut usize> {
        match self {
            FaultKind::DoubleSpend { partition } => Some(partition),
            FaultKind::Partition { .. }
            | FaultKind::Down { .. }
            | FaultKind::Shape { .. }
            | FaultKind::Slow { .. } => None,
        }
    }

    /// Whether it does something to programs, and not to links or what is paid.
    pub fn is_of_programs(&self) -> bool {
        match self {
            FaultKind::Down { .. } | FaultKind::Slow { .. } => true,
            FaultKind::Partition { .. }
            | FaultKind::Shape { .. }
            | FaultKind::DoubleSpend { .. } => false,
        }
    }

    /// How its nodes are down while it lasts, if they are.
    pub fn down(&self) -> Option<Down> {
        match self {
            FaultKind::Down { how, .. } => Some(*how),
            FaultKind::Partition { .. }
            | FaultKind::Shape { .. }
            | FaultKind::Slow { .. }
            | FaultKind::DoubleSpend { .. } => None,
        }
    }

    /// The nodes that it leaves a part of a CPU only.
    pub fn slowed(&self) -> Option<&N> {
        match self {
            FaultKind::Slow { nodes, .. } => Some(nodes),
            FaultKind::Partition { .. }
            | FaultKind::Down { .. }
            | FaultKind::Shape { .. }
            | FaultKind::DoubleSpend { .. } => None,
        }
    }

    /// Whether one line of the fault schedule begins it and one ends it, so that it is recorded when
    /// the fabric applies these. Others are recorded at the times that the plan gives.
    pub fn is_recorded_when_applied(&self) -> bool {
        match self {
            FaultKind::Partition { .. } | FaultKind::Shape { .. } => true,
            FaultKind::Down { .. } | FaultKind::Slow { .. } | FaultKind::DoubleSpend { .. } => {
                false
            }
        }
    }
}

/// What it does to the network.
impl FaultKind<Nodes> {
    /// Of a partition: nodes that are on no side form one of their own. All nodes are
    /// numbered below `count`.
    pub fn complete(&mut self, count: usize) {
        if let FaultKind::Partition { sides, .. } = self {
            let mut left = vec![true; count];
            for node in sides.iter().flatten() {
                left[node.index()] = false;
            }
            let others = (0..count as u32).map(NodeId);
            let others: Nodes = others.filter(|node| left[node.index()]).collect();
            if !others.is_empty() {
                sides.push(others);
            }
        }
    }

    /// Its lines of the fault schedule, by its index among the faults. What [`Self::down`] does is not
    /// among them: that a node is down can have several causes at once.
    pub fn fault_schedule(&self, index: u32, start: Nanos, end: Option<Nanos>) -> Vec<Timed> {
        let id = index;
        let mut lines = Vec::new();
        let mut change = |begin, heal| {
            let heal = end.map(|end| (end, heal));
            let times = std::iter::once((start, begin)).chain(heal);
            lines.extend(times.map(|(at, action)| Timed { at, action }));
        };
        match self {
            FaultKind::Partition { sides, one_way } => {
                let begin = Change::Partition {
                    id,
                    groups: sides.clone(),
                    one_way: *one_way,
                };
                change(Action::Link(begin), Action::Link(Change::Heal { id }));
            }
            FaultKind::Shape { nodes, shape } => {
                let (nodes, shape) = (nodes.clone(), *shape);
                let begin = Change::Shape { id, nodes, shape };
                change(Action::Link(begin), Action::Link(Change::Unshape { id }));
            }
            FaultKind::Slow { nodes, cpu_millis } => {
                let cpu_millis = *cpu_millis;
                for node in nodes {
                    let order = |op| Action::Process { node: *node, op };
                    let begin = ProcessOp::Slow { id, cpu_millis };
                    change(order(begin), order(ProcessOp::Unslow { id }));
                }
            }
            FaultKind::Down { .. } | FaultKind::DoubleSpend { .. } => {}
        }
        lines
    }

    /// What it is, for people; `names` tells nodes.
    pub fn label(&self, names: impl Fn(&[NodeId]) -> String) -> String {
        match self {
            FaultKind::Partition { sides, one_way } => {
                let sizes: Vec<String> = sides.iter().map(|side| side.len().to_string()).collect();
                let ways = if *one_way { "one-way " } else { "" };
                format!("{ways}partition of {} nodes", sizes.join(" | "))
            }
            FaultKind::Down { nodes, how } => format!("{} of {}", how.word(), names(nodes)),
            FaultKind::Shape { nodes, .. } => format!("worse links for {}", names(nodes)),
            FaultKind::Slow { nodes, cpu_millis } => {
                let percent = f64::from(*cpu_millis) / 10.0;
                format!("{percent}% of a core for {}", names(nodes))
            }
            FaultKind::DoubleSpend { .. } => "double spend across the partition".into(),
        }
    }
}

/// How it gets smaller.
impl FaultKind<Nodes> {
    /// How much there is to read in it.
    pub fn details(&self) -> usize {
        match self {
            // How the nodes are spread over the sides is no detail; their number is.
            FaultKind::Partition { sides, one_way } => sides.len() + usize::from(*one_way),
            FaultKind::Down { nodes, .. } | FaultKind::Slow { nodes, .. } => nodes.len(),
            FaultKind::Shape { nodes, shape } => nodes.len() + properties(shape),
            FaultKind::DoubleSpend { .. } => 0,
        }
    }

    /// The nodes of which any part will do.
    pub fn victims_mut(&mut self) -> Option<&mut Nodes> {
        match self {
            FaultKind::Down { nodes, .. }
            | FaultKind::Shape { nodes, .. }
            | FaultKind::Slow { nodes, .. } => Some(nodes),
            FaultKind::Partition { .. } | FaultKind::DoubleSpend { .. } => None,
        }
    }

    /// The same with one detail less, in each way that there is but for fewer victims.
    pub fn simpler(&self) -> Vec<FaultKind<Nodes>> {
        match self {
            FaultKind::Partition { sides, one_way } => {
                let merged = (2..sides.len()).map(|side| {
                    let mut sides = sides.clone();
                    let merged = sides.remove(side);
                    sides[1].extend(merged);
                    sides[1].sort_unstable();
                    (sides, *one_way)
                });
                let both_ways = one_way.then(|| (sides.clone(), false));
                let partition = |(sides, one_way)| FaultKind::Partition { sides, one_way };
                merged.chain(both_ways).map(partition).collect()
            }
            FaultKind::Shape { nodes, shape } => {
                let without: [fn(&mut Shape); 4] = [
                    |shape| shape.rate_bps = None,
                    |shape| shape.loss = None,
                    |shape| shape.delay = None,
                    |shape| shape.jitter = None,
                ];
                let less = without.into_iter().map(|without| {
                    let mut less = *shape;
                    without(&mut less);
                    less
                });
                less.filter(|less| less != shape && properties(less) > 0)
                    .map(|shape| FaultKind::Shape {
                        nodes: nodes.clone(),
                        shape,
                    })
                    .collect()
            }
            FaultKind::Down { .. } | FaultKind::Slow { .. } | FaultKind::DoubleSpend { .. } => {
                Vec::new()
            }
        }
    }

    /// Takes a node out, and gives the others the numbers that `renamed` says.
    pub fn remove_node(&mut self, gone: NodeId, renamed: impl Fn(NodeId) -> NodeId) {
        for nodes in self.node_sets_mut() {
            nodes.retain(|node| *node != gone);
            nodes.iter_mut().for_each(|node| *node = renamed(*node));
        }
    }

    /// Drops sides that are empty. Whether anything is left of it.
    pub fn prune(&mut self) -> bool {
        match self {
            FaultKind::Partition { sides, one_way } => {
                // Without its first side a one-way partition would mean another.
                if *one_way && sides.first().is_some_and(Vec::is_empty) {
                    sides.clear();
                }
                sides.retain(|side| !side.is_empty());
                sides.len() >= 2
            }
            FaultKind::Down { nodes, .. } | FaultKind::Slow { nodes, .. } => !nodes.is_empty(),
            FaultKind::Shape { nodes, shape } => !nodes.is_empty() && properties(shape) > 0,
            FaultKind::DoubleSpend { .. } => true,
        }
    }
}

/// How many properties a shape changes.
fn properties(shape: &Shape) -> usize {
    let Shape {
        rate_bps,
        loss,
        delay,
        jitter,
    } = shape;
    let rate_and_loss = rate_bps.iter().count() + loss.iter().count();
    rate_and_loss + delay.iter().count() + jitter.iter().count()
}
