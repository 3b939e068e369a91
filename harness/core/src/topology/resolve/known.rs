//! What the sections after `nodes` refer to by name: groups, nodes and regions, and the phases.

use super::problems::At;
use super::regions::Regions;
use crate::topology::resolved::{Group, Phases};

/// What is known when `nodes` is resolved.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The groups of nodes.
    pub groups: &'a [Group],
    /// The regions.
    pub regions: &'a Regions,
    /// The phases, if they are right.
    pub phases: Option<Phases>,
}

impl Known<'_> {
    /// How many nodes there are.
    pub fn count(&self) -> u32 {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// First index and count of a group.
    pub fn group(&self, name: &str) -> Option<(u32, u32)> {
        let index = self.groups.iter().position(|group| group.name == name)?;
        let before = self.groups[..index].iter().map(|group| group.count);
        Some((before.sum(), self.groups[index].count))
    }

    /// Index of a node.
    pub fn node(&self, name: &str) -> Option<u32> {
        let (group, index) = name.rsplit_once('-')?;
        let (first, count) = self.group(group)?;
        let number: u32 = index.parse().ok()?;
        (number < count && number.to_string() == index).then_some(first + number)
    }

    /// Index of a node, or a mistake and `None`.
    pub fn find_node(&self, at: &At, name: &str) -> Option<u32> {
        let node = self.node(name);
        if node.is_none() {
            at.unknown("node", name, self.group_names());
        }
        node
    }

    /// Names of the groups.
    pub fn group_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.groups.iter().map(|group| group.name.as_str())
    }
}
