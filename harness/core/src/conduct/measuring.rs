//! Measuring nodes from inside, by their gates: in turns during the run, and all of them at the end.

use peerlab_link::NodeId;

use super::outstanding::Outstanding;

/// Nodes that are measured at each reading of the counters, all others in their turn: a measurement takes
/// a gate some 300 us (a thousand gates, seen from outside), so that no network costs its machine much more
/// than half a per cent of a core.
const AT_ONCE: usize = 20;

/// Which nodes are being measured, and whose turn it is.
#[derive(Debug, Default)]
pub struct Measuring {
    /// Those of which no measurement has come yet.
    pub open: Outstanding<NodeId>,
    /// Where the next turn begins.
    next: usize,
}

impl Measuring {
    /// Those whose turn it is.
    pub fn turn(&mut self, present: &[NodeId]) -> Vec<NodeId> {
        let first = self.next % present.len().max(1);
        let count = present.len().min(AT_ONCE);
        self.next = first + count;
        let turn = present.iter().cycle().skip(first).take(count);
        turn.copied().collect()
    }
}
