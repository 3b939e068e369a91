//! What was ordered and not yet heard of: each as often as it was ordered.

use std::collections::BTreeMap;

/// How often each is waited for.
#[derive(Debug)]
pub struct Outstanding<K>(BTreeMap<K, u32>);

impl<K> Default for Outstanding<K> {
    fn default() -> Outstanding<K> {
        Outstanding(BTreeMap::new())
    }
}

impl<K: Ord> Outstanding<K> {
    /// It was ordered.
    pub fn ordered(&mut self, what: K) {
        *self.0.entry(what).or_default() += 1;
    }

    /// Something was heard of it.
    pub fn answered(&mut self, what: &K) {
        if let Some(open) = self.0.get_mut(what) {
            *open -= 1;
            if *open == 0 {
                self.0.remove(what);
            }
        }
    }

    /// Nothing will be heard of it any more.
    pub fn lost(&mut self, what: &K) {
        self.0.remove(what);
    }

    /// Whether everything was heard of.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord + Clone> Outstanding<K> {
    /// All that is waited for, which it is no longer.
    pub fn take(&mut self) -> impl Iterator<Item = K> + use<K> {
        let open = std::mem::take(&mut self.0).into_iter();
        open.flat_map(|(what, count)| std::iter::repeat_n(what, count as usize))
    }
}
