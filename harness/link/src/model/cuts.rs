//! Who is cut off from whom: partitions and silence. A change of them is one assignment, so it
//! takes effect between two packets, for all pairs at once.

use crate::id::NodeId;
use crate::model::change_error::ChangeError;
use crate::proto::DropReason;

/// The group of nodes that a partition does not name.
const REST: u32 = u32::MAX;

/// One partition in force.
#[derive(Clone, Debug)]
struct Partition {
    id: u32,
    one_way: bool,
    /// By node.
    group_of: Vec<u32>,
}

impl Partition {
    fn cuts(&self, src: NodeId, dst: NodeId) -> bool {
        let from = self.group_of[src.index()];
        let to = self.group_of[dst.index()];
        from != to && (!self.one_way || from == 0)
    }
}

/// All cuts in force.
#[derive(Clone, Debug)]
pub(super) struct Cuts {
    partitions: Vec<Partition>,
    /// By node.
    silent: Vec<bool>,
    silent_count: usize,
}

impl Cuts {
    /// Nobody is cut off.
    pub(super) fn none(nodes: usize) -> Cuts {
        Cuts {
            partitions: Vec::new(),
            silent: vec![false; nodes],
            silent_count: 0,
        }
    }

    /// There is one node more; of partitions in force it is on no side.
    pub(super) fn add(&mut self) {
        self.silent.push(false);
        for partition in &mut self.partitions {
            partition.group_of.push(REST);
        }
    }

    /// Why nothing passes from `src` to `dst`, if so.
    #[inline]
    pub(super) fn between(&self, src: NodeId, dst: NodeId) -> Option<DropReason> {
        if self.silent_count > 0 && (self.silent[src.index()] || self.silent[dst.index()]) {
            return Some(DropReason::Silence);
        }
        let parted = self.partitions.iter().any(|p| p.cuts(src, dst));
        parted.then_some(DropReason::Partition)
    }

    /// Adds a partition, or replaces the one of this id.
    pub(super) fn partition(
        &mut self,
        id: u32,
        groups: &[Vec<NodeId>],
        one_way: bool,
    ) -> Result<(), ChangeError> {
        let mut group_of = vec![REST; self.silent.len()];
        for (index, group) in (0..).zip(groups) {
            for &node in group {
                let slot = group_of
                    .get_mut(node.index())
                    .ok_or(ChangeError::UnknownNode(node))?;
                if *slot != REST {
                    return Err(ChangeError::NodeInTwoGroups(node));
                }
                *slot = index;
            }
        }
        self.heal(id);
        self.partitions.push(Partition {
            id,
            one_way,
            group_of,
        });
        Ok(())
    }

    /// Ends a partition, if there is one of this id.
    pub(super) fn heal(&mut self, id: u32) {
        self.partitions.retain(|p| p.id != id);
    }

    /// Silences a node, or lets it speak again.
    pub(super) fn silence(&mut self, node: NodeId, silent: bool) -> Result<(), ChangeError> {
        let slot = self
            .silent
            .get_mut(node.index())
            .ok_or(ChangeError::UnknownNode(node))?;
        if *slot != silent {
            *slot = silent;
            self.silent_count = if silent {
                self.silent_count + 1
            } else {
                self.silent_count - 1
            };
        }
        Ok(())
    }

    /// Ends every cut.
    pub(super) fn heal_all(&mut self) {
        self.partitions.clear();
        self.silent.fill(false);
        self.silent_count = 0;
    }
}
