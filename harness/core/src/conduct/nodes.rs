//! Which nodes are up, as far as the conductor knows, and in which incarnation: each start of a
//! program, and each thaw, begins one. What was seen of a former incarnation counts for nothing.

use peerlab_link::{Nanos, NodeId};

use crate::event::Reason;

/// Why a node has not answered, where nobody heard anything.
const NOT_HEARD: &str = "nothing was heard of it";

/// Where a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Down or frozen, by plan or not.
    #[default]
    Down,
    /// Started, its probe has not answered yet.
    Starting,
    /// Its probe answers.
    Up,
    /// Its gate has gone: it cannot come back.
    Gone,
    /// It was removed by hand.
    Left,
}

#[derive(Clone, Debug, Default)]
struct Node {
    state: State,
    incarnation: u32,
    /// When its program was started last.
    began: Nanos,
    /// Whether it ended without having been asked to.
    abnormal: bool,
    /// Why it does not answer, where that was heard.
    why: Option<Reason>,
}

/// All nodes' states.
#[derive(Debug)]
pub struct Nodes {
    nodes: Vec<Node>,
}

impl Nodes {
    /// All down.
    pub fn new(count: usize) -> Nodes {
        Nodes {
            nodes: vec![Node::default(); count],
        }
    }

    /// One more, down.
    pub fn add(&mut self) {
        self.nodes.push(Node::default());
    }

    /// The program was started or thawed. The incarnation that begins, if one does.
    pub fn started(&mut self, node: NodeId) -> Option<u32> {
        let node = &mut self.nodes[node.index()];
        (node.state == State::Down).then(|| {
            node.incarnation += 1;
            node.state = State::Starting;
            node.why = None;
            node.incarnation
        })
    }

    /// The program's present life began.
    pub fn began(&mut self, node: NodeId, t: Nanos) {
        self.nodes[node.index()].began = t;
    }

    /// When it did.
    pub fn beginning(&self, node: NodeId) -> Nanos {
        self.nodes[node.index()].began
    }

    /// The program is down or frozen. Says whether that is news.
    pub fn went_down(&mut self, node: NodeId) -> bool {
        let node = &mut self.nodes[node.index()];
        let news = matches!(node.state, State::Starting | State::Up);
        if news {
            node.state = State::Down;
            node.why = None;
        }
        news
    }

    /// A node is down for this reason, which nobody wanted.
    pub fn is_down_because(&mut self, node: NodeId, reason: Reason) {
        self.nodes[node.index()].why = Some(reason);
    }

    /// The node's gate has gone. Says whether that is news.
    pub fn gone(&mut self, node: NodeId) -> bool {
        let node = &mut self.nodes[node.index()];
        let news = !matches!(node.state, State::Gone | State::Left);
        if news {
            node.state = State::Gone;
            node.abnormal = true;
        }
        news
    }

    /// The node was removed, or is about to be: nothing of it is news any more.
    pub fn left(&mut self, node: NodeId) {
        self.nodes[node.index()] = Node {
            state: State::Left,
            incarnation: self.nodes[node.index()].incarnation,
            ..Node::default()
        };
    }

    /// Whether it was.
    pub fn has_left(&self, node: NodeId) -> bool {
        self.nodes[node.index()].state == State::Left
    }

    /// Whether the node's program runs, as far as is known, and does not stand still.
    pub fn is_running(&self, node: NodeId) -> bool {
        matches!(self.nodes[node.index()].state, State::Starting | State::Up)
    }

    /// The program ended without having been asked to.
    pub fn note_abnormal(&mut self, node: NodeId) {
        let node = &mut self.nodes[node.index()];
        node.abnormal = node.state != State::Left;
    }

    /// The probe answered. Says whether that is news in its present incarnation.
    pub fn answered(&mut self, node: NodeId, incarnation: u32) -> bool {
        let node = &mut self.nodes[node.index()];
        let news = node.state == State::Starting && node.incarnation == incarnation;
        if news {
            node.state = State::Up;
            node.why = None;
        }
        news
    }

    /// The probe has not answered yet.
    pub fn unready(&mut self, node: NodeId, incarnation: u32, reason: Reason) {
        let node = &mut self.nodes[node.index()];
        if node.state == State::Starting && node.incarnation == incarnation {
            node.why = Some(reason);
        }
    }

    /// Why nothing is asked of a node that is not up.
    pub fn why_not_up(&self, node: NodeId) -> String {
        let node = &self.nodes[node.index()];
        let what = match node.state {
            State::Starting => "the node has not answered yet",
            State::Left => "the node was removed",
            State::Down | State::Gone | State::Up => "the node is down",
        };
        match &node.why {
            Some(why) => format!("{what}: {why}"),
            None => what.into(),
        }
    }

    /// Whether the node's program is down, and can be started.
    pub fn is_down(&self, node: NodeId) -> bool {
        self.nodes[node.index()].state == State::Down
    }

    /// Why a node is not started.
    pub fn why_not_started(&self, node: NodeId) -> &'static str {
        match self.nodes[node.index()].state {
            State::Gone => "the node is lost, and cannot come back",
            State::Left => "it was removed",
            State::Starting => "it has been started already",
            State::Down | State::Up => "it is up",
        }
    }

    /// Why a node has not answered yet, as far as that was heard.
    pub fn why_unready(&self, node: NodeId) -> Reason {
        let why = self.nodes[node.index()].why.clone();
        why.unwrap_or_else(|| NOT_HEARD.into())
    }

    /// The nodes that were started and have not answered yet.
    pub fn starting(&self) -> Vec<NodeId> {
        self.ids(|node| node.state == State::Starting)
    }

    /// The nodes that were started, or ended without having been asked to, and do not answer.
    pub fn silent(&self) -> Vec<NodeId> {
        self.ids(|node| match node.state {
            State::Starting => true,
            State::Down | State::Gone => node.abnormal,
            State::Up | State::Left => false,
        })
    }

    /// The node's present incarnation, or its last; zero before the first.
    pub fn incarnation(&self, node: NodeId) -> u32 {
        self.nodes[node.index()].incarnation
    }

    /// Whether the node is up, and in this incarnation.
    pub fn is_up_in(&self, node: NodeId, incarnation: u32) -> bool {
        self.is_up(node) && self.incarnation(node) == incarnation
    }

    /// Whether the node is up.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.nodes[node.index()].state == State::Up
    }

    /// The nodes whose gate has not gone.
    pub fn present(&self) -> Vec<NodeId> {
        self.ids(|node| !matches!(node.state, State::Gone | State::Left))
    }

    /// The nodes that are up.
    pub fn up(&self) -> Vec<NodeId> {
        self.ids(|node| node.state == State::Up)
    }

    /// The nodes that did something that nobody asked for, or have not answered yet.
    pub fn telling(&self) -> Vec<NodeId> {
        self.ids(|node| node.abnormal || node.state == State::Starting)
    }

    fn ids(&self, want: impl Fn(&Node) -> bool) -> Vec<NodeId> {
        let wanted = self.nodes.iter().enumerate().filter(|(_, n)| want(n));
        wanted.map(|(i, _)| NodeId(i as u32)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(0);

    #[test]
    fn an_answer_from_a_former_incarnation_is_no_news() {
        let mut nodes = Nodes::new(1);
        nodes.started(A);
        assert!(nodes.answered(A, 1));
        assert!(!nodes.answered(A, 1));
        assert!(nodes.went_down(A));
        assert!(!nodes.went_down(A));
        nodes.started(A);
        assert!(!nodes.answered(A, 1));
        assert!(!nodes.is_up(A));
        assert!(nodes.answered(A, 2));
        assert!(nodes.is_up_in(A, 2) && !nodes.is_up_in(A, 1));
    }

    #[test]
    fn a_node_whose_gate_has_gone_does_not_come_back() {
        let mut nodes = Nodes::new(1);
        assert!(nodes.gone(A));
        assert_eq!(nodes.started(A), None);
        assert!(!nodes.gone(A));
    }
}
