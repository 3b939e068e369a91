//! Which node is meant to be up, and which one is.

use peerlab_link::NodeId;
use tokio::sync::watch;

/// What a node's watcher is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// The program runs, or is about to: reach its probe.
    Up {
        /// Which of its lives: each start, and each thaw, begins one.
        life: u32,
    },
    /// It is down or frozen: leave it alone.
    Down,
}

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Down or frozen, by plan or not.
    Down,
    /// Started, its probe has not answered yet.
    Starting,
    /// Its probe answers.
    Up,
    /// Its gate has gone: it cannot come back.
    Gone,
}

#[derive(Debug)]
struct Node {
    state: State,
    life: u32,
    /// Whether it has ever answered.
    answered: bool,
    /// Whether it ended without having been asked to.
    abnormal: bool,
    meant: watch::Sender<Meant>,
}

/// All nodes' states. A node's watcher follows them through [`Nodes::subscribe`].
#[derive(Debug)]
pub struct Nodes {
    nodes: Vec<Node>,
}

impl Nodes {
    /// All down.
    pub fn new(count: usize) -> Nodes {
        let node = || Node {
            state: State::Down,
            life: 0,
            answered: false,
            abnormal: false,
            meant: watch::Sender::new(Meant::Down),
        };
        Nodes {
            nodes: (0..count).map(|_| node()).collect(),
        }
    }

    /// What the node's watcher is to do, as it changes.
    pub fn subscribe(&self, node: NodeId) -> watch::Receiver<Meant> {
        self.nodes[node.index()].meant.subscribe()
    }

    /// The program was started or thawed.
    pub fn started(&mut self, node: NodeId) {
        let node = &mut self.nodes[node.index()];
        if node.state == State::Down {
            node.life += 1;
            node.state = State::Starting;
            node.meant.send_replace(Meant::Up { life: node.life });
        }
    }

    /// The program is down or frozen. Says whether that is news.
    pub fn went_down(&mut self, node: NodeId) -> bool {
        let node = &mut self.nodes[node.index()];
        let news = matches!(node.state, State::Starting | State::Up);
        if news {
            node.state = State::Down;
            node.meant.send_replace(Meant::Down);
        }
        news
    }

    /// The node's gate has gone. Says whether that is news.
    pub fn gone(&mut self, node: NodeId) -> bool {
        let node = &mut self.nodes[node.index()];
        let news = node.state != State::Gone;
        node.state = State::Gone;
        node.abnormal = true;
        node.meant.send_replace(Meant::Down);
        news
    }

    /// The program ended without having been asked to.
    pub fn note_abnormal(&mut self, node: NodeId) {
        self.nodes[node.index()].abnormal = true;
    }

    /// The probe answered. Says whether that is news in the node's present life.
    pub fn answered(&mut self, node: NodeId, life: u32) -> bool {
        let node = &mut self.nodes[node.index()];
        let news = node.state == State::Starting && node.life == life;
        if news {
            node.state = State::Up;
            node.answered = true;
        }
        news
    }

    /// Whether the node is up, and in this life.
    pub fn lives(&self, node: NodeId, life: u32) -> bool {
        self.is_up(node) && self.nodes[node.index()].life == life
    }

    /// Whether the node is up.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.nodes[node.index()].state == State::Up
    }

    /// The nodes that are up.
    pub fn up(&self) -> Vec<NodeId> {
        self.ids(|node| node.state == State::Up)
    }

    /// The nodes that did something that nobody asked for.
    pub fn abnormal(&self) -> Vec<NodeId> {
        self.ids(|node| node.abnormal)
    }

    /// Whether every node that was started has ended by itself before it ever answered.
    pub fn all_stillborn(&self) -> bool {
        let mut started = self.nodes.iter().filter(|n| n.life > 0).peekable();
        started.peek().is_some()
            && started.all(|n| n.abnormal && !n.answered && n.state != State::Starting)
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
    const B: NodeId = NodeId(1);

    #[test]
    fn an_answer_from_a_former_life_is_no_news() {
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
        assert!(nodes.lives(A, 2) && !nodes.lives(A, 1));
    }

    #[test]
    fn a_node_whose_gate_has_gone_does_not_come_back() {
        let mut nodes = Nodes::new(1);
        assert!(nodes.gone(A));
        nodes.started(A);
        assert_eq!(*nodes.subscribe(A).borrow(), Meant::Down);
        assert!(!nodes.gone(A));
    }

    #[test]
    fn stillborn_means_all_and_never_answered() {
        let mut nodes = Nodes::new(2);
        assert!(!nodes.all_stillborn(), "nothing was started");
        nodes.started(A);
        nodes.note_abnormal(A);
        nodes.went_down(A);
        assert!(nodes.all_stillborn());
        nodes.started(B);
        assert!(!nodes.all_stillborn());
        nodes.answered(B, 1);
        nodes.note_abnormal(B);
        nodes.went_down(B);
        assert!(!nodes.all_stillborn(), "B has answered");
    }
}
