//! Something per directed link, kept only for the links that were used: of the hundred million
//! pairs of 10,000 nodes few ever speak.

#![expect(
    clippy::disallowed_types,
    reason = "this map's hasher is fixed, and its order is never seen"
)]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::id::{NodeId, link_number};
use crate::model::random_stream::mix;

/// A table by `(from, to)`. Its order is never seen.
#[derive(Clone, Debug)]
pub struct LinkTable<T> {
    links: HashMap<u64, T, BuildHasherDefault<LinkHasher>>,
}

impl<T> Default for LinkTable<T> {
    fn default() -> Self {
        LinkTable {
            links: HashMap::default(),
        }
    }
}

impl<T> LinkTable<T> {
    /// What the link has, made by `make` when it is first used.
    #[inline]
    pub fn get_or_insert_with(
        &mut self,
        from: NodeId,
        to: NodeId,
        make: impl FnOnce() -> T,
    ) -> &mut T {
        self.links.entry(link_number(from, to)).or_insert_with(make)
    }

    /// Changes all links that were used, in no order.
    pub(crate) fn for_each(&mut self, mut change: impl FnMut(NodeId, &mut T)) {
        for (&number, value) in &mut self.links {
            change(NodeId((number >> 32) as u32), value);
        }
    }
}

/// Hashes a link's number. Node ids come from the plan, so nobody can aim at collisions.
#[derive(Clone, Copy, Debug, Default)]
struct LinkHasher(u64);

impl Hasher for LinkHasher {
    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = mix(number);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = mix(self.0 ^ u64::from(byte));
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
