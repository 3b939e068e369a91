//! Each node as one character: the branch that its tip is on, or why it has none. A branch keeps its
//! letter while its nodes move on from block to block, whichever is the highest.

use std::collections::{BTreeMap, BTreeSet};

use super::network_view::{NodeRow, NodeState, Snapshot};
use crate::experiment::Down;

/// Branches that have a letter of their own.
const LETTERS: usize = 26;

/// What marks mean that are no branch's letter; `?` is a program of the host, or not known yet.
pub const LEGEND: &str = "- behind  . starting  x down  z frozen  ! ended  _ removed";

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// On the branch of that number.
    Branch(usize),
    /// Its tip is a block that others build on.
    Behind,
    /// Up, and its tip is not known yet.
    Unknown,
    /// It has not answered yet.
    Starting,
    /// Somebody took it down.
    Down,
    /// Somebody had it stand still.
    Frozen,
    /// It ended by itself.
    Ended,
    /// It is there no more.
    Removed,
}

impl Mark {
    /// The character.
    pub fn letter(self) -> char {
        match self {
            Mark::Branch(number) => match u8::try_from(number) {
                Ok(nth) if number < LETTERS => char::from(b'A' + nth),
                _ => '+',
            },
            Mark::Behind => '-',
            Mark::Unknown => '?',
            Mark::Starting => '.',
            Mark::Down => 'x',
            Mark::Frozen => 'z',
            Mark::Ended => '!',
            Mark::Removed => '_',
        }
    }
}

/// The marks of a network as it is seen again and again.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// Of each node, now.
    nodes: Vec<Mark>,
    /// The branch that each node was on last.
    last: Vec<Option<usize>>,
    /// The number of each branch, in the order of the status.
    branches: Vec<usize>,
}

impl Marks {
    /// Of each node.
    pub fn nodes(&self) -> &[Mark] {
        &self.nodes
    }

    /// The number of each branch, in the order of the status.
    pub fn branches(&self) -> &[usize] {
        &self.branches
    }

    /// The network was seen.
    pub fn see(&mut self, snapshot: &Snapshot) {
        self.last.resize(snapshot.nodes.len(), None);
        self.branches = self.numbers(snapshot);
        let tips = snapshot.status.branches.iter();
        let tips = tips.map(|it| it.tip.hash.as_str());
        let numbers: BTreeMap<&str, usize> = tips.zip(self.branches.iter().copied()).collect();
        let nodes = snapshot.nodes.iter();
        self.nodes = nodes.map(|row| mark(row, &numbers)).collect();
        for (last, mark) in self.last.iter_mut().zip(&self.nodes) {
            if let Mark::Branch(number) = mark {
                *last = Some(*number);
            }
        }
    }

    /// Each branch has the number that most of its nodes had, those with the most nodes first; an only
    /// one has the first.
    fn numbers(&self, snapshot: &Snapshot) -> Vec<usize> {
        let branches = &snapshot.status.branches;
        if branches.len() < 2 {
            return vec![0; branches.len()];
        }
        let before: BTreeMap<&str, usize> = snapshot
            .nodes
            .iter()
            .zip(&self.last)
            .filter_map(|(row, last)| Some((row.node.as_str(), (*last)?)))
            .collect();
        let mut order: Vec<usize> = (0..branches.len()).collect();
        order.sort_by_key(|nth| std::cmp::Reverse(branches[*nth].nodes.len()));
        let mut taken = BTreeSet::new();
        let mut numbers = vec![0; branches.len()];
        for nth in order {
            let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
            for node in &branches[nth].nodes {
                if let Some(number) = before.get(node.as_str())
                    && !taken.contains(number)
                {
                    *votes.entry(*number).or_default() += 1;
                }
            }
            let most = votes
                .into_iter()
                .max_by_key(|(number, votes)| (*votes, std::cmp::Reverse(*number)));
            let number = most.map(|(number, _)| number);
            let number = number.or_else(|| (0..).find(|number| !taken.contains(number)));
            numbers[nth] = number.unwrap_or_default();
            taken.insert(numbers[nth]);
        }
        numbers
    }
}

fn mark(row: &NodeRow, numbers: &BTreeMap<&str, usize>) -> Mark {
    match (&row.state, &row.tip) {
        (NodeState::Starting, _) => Mark::Starting,
        (NodeState::Down { how: None, .. }, _) => Mark::Ended,
        (NodeState::Down { how: Some(how), .. }, _) => match how {
            Down::Freeze => Mark::Frozen,
            Down::Kill | Down::Stop | Down::Vanish | Down::Replace => Mark::Down,
        },
        (NodeState::Removed, _) => Mark::Removed,
        (NodeState::Guest, _) | (NodeState::Up, None) => Mark::Unknown,
        (NodeState::Up, Some(tip)) => match numbers.get(tip.hash.as_str()) {
            Some(number) => Mark::Branch(*number),
            None => Mark::Behind,
        },
    }
}

#[cfg(test)]
mod tests {
    use peerlab_link::Nanos;

    use super::super::network_view::NetworkView;
    use super::*;
    use crate::check::story::Story;
    use crate::event::{Joined, RunEvent, Tip, What};
    use crate::experiment::{Launch, Peers};
    use peerlab_link::NodeId;

    /// What four nodes with these tips are marked with, one look after the other.
    fn looks(tips: &[[&str; 4]]) -> Vec<String> {
        let mut view = NetworkView::new(&Story::of(4).plan);
        let mut marks = Marks::default();
        let mut look = |tips: &[&str; 4]| {
            for (node, tip) in (0..).map(NodeId).zip(tips) {
                let tip = Tip {
                    hash: (*tip).to_owned(),
                    height: tip.len() as u32,
                };
                for what in [What::NodeUp { node }, What::Tip { node, tip }] {
                    let t = Nanos::ZERO;
                    view.take(&RunEvent { t, what });
                }
            }
            marks.see(&view.snapshot("x", Nanos::ZERO));
            marks.nodes().iter().map(|mark| mark.letter()).collect()
        };
        tips.iter().map(&mut look).collect()
    }

    #[test]
    fn a_branch_keeps_its_letter_whichever_is_the_highest() {
        let seen = looks(&[
            ["0", "0", "0", "0"],
            ["a1", "a1", "0", "0"],
            ["a1", "a1", "b10", "b10"],
            ["a100", "a100", "b10", "b10"],
            ["a100", "a100", "b1000", "b1000"],
            ["b1000", "b1000", "b1000", "b1000"],
        ]);
        assert_eq!(seen[0], "AAAA");
        let (a, b) = (seen[2].chars().next(), seen[2].chars().last());
        assert_ne!(a, b);
        assert_eq!([&seen[2], &seen[2]], [&seen[3], &seen[4]]);
        assert_eq!(seen[5], "AAAA");
    }

    #[test]
    fn branches_have_letters_as_far_as_there_are_some() {
        assert_eq!(Mark::Branch(0).letter(), 'A');
        assert_eq!(Mark::Branch(25).letter(), 'Z');
        assert_eq!(Mark::Branch(26).letter(), '+');
        assert_eq!(Mark::Branch(999).letter(), '+');
    }

    #[test]
    fn who_is_gone_keeps_its_place() {
        let mut view = NetworkView::new(&Story::of(2).plan);
        let (t, mut marks) = (Nanos::ZERO, Marks::default());
        let guest = Joined {
            node: NodeId(2),
            name: "guest-2".into(),
            group: 0,
            peers: Peers::Fixed(Vec::new()),
            args: Vec::new(),
            launch: Launch::default(),
            link: Story::of(3).plan.network.nodes[2].clone(),
            guest: true,
        };
        let node = Joined {
            node: NodeId(3),
            name: "peers-3".into(),
            guest: false,
            ..guest.clone()
        };
        for what in [
            What::NodeUp { node: NodeId(1) },
            What::Joined(guest),
            What::Joined(node),
            What::Left { node: NodeId(2) },
        ] {
            view.take(&RunEvent { t, what });
        }
        let snapshot = view.snapshot("x", t);
        marks.see(&snapshot);
        let letters: String = marks.nodes().iter().map(|mark| mark.letter()).collect();
        assert_eq!(letters, ".?_.");
        assert_eq!(snapshot.nodes[3].node, "peers-3");
        // Whoever lists nodes leaves it out.
        let shown: Vec<String> = view.shown().into_iter().map(|row| row.node).collect();
        assert_eq!(shown, ["peers-0", "peers-1", "peers-3"]);
    }
}
