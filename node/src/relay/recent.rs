//! A small memory by id: what was put in lately is very likely still there, and it never grows
//! beyond its bound. Forgetting costs a repeated message, no more.

/// Slots at first, so that a node without transactions has next to nothing.
const SLOTS_MIN: usize = 16;

/// Ids alone.
pub(crate) type RecentIds = Recent<()>;

/// Values by id, each in the slot that its id names; a newer one takes the place of an older one.
#[derive(Clone, Debug)]
pub(crate) struct Recent<V> {
    slots: Vec<Slot<V>>,
    filled: u32,
    slots_max: u32,
}

/// Empty, if its id is zero.
#[derive(Clone, Debug, Default)]
struct Slot<V> {
    id: u64,
    value: V,
}

impl<V: Clone + Default> Recent<V> {
    /// Remembers up to `slots_max` ids (a power of two), 8 bytes each and their values.
    pub(crate) fn new(slots_max: u32) -> Recent<V> {
        Recent {
            slots: Vec::new(),
            filled: 0,
            slots_max: slots_max.next_power_of_two(),
        }
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.get(id).is_some()
    }

    /// What an id has.
    pub(crate) fn get(&self, id: u64) -> Option<&V> {
        let id = nonzero(id);
        let slot = self.slots.get(self.index_of(id))?;
        (slot.id == id).then_some(&slot.value)
    }

    /// Where in memory it would be.
    pub(crate) fn line(&self, id: u64) -> Option<*const u8> {
        let slot = self.slots.get(self.index_of(nonzero(id)))?;
        Some(std::ptr::from_ref(slot).cast())
    }

    /// What an id has, to be changed; the default, if it was not there.
    pub(crate) fn entry(&mut self, id: u64) -> &mut V {
        let id = nonzero(id);
        if self.filled as usize * 2 >= self.slots.len()
            && self.slots.len() < self.slots_max as usize
        {
            self.grow();
        }
        if !self.contains(id) {
            let value = V::default();
            self.put(Slot { id, value });
        }
        let at = self.index_of(id);
        &mut self.slots[at].value
    }

    /// All that is remembered.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.slots.iter_mut().map(|slot| &mut slot.value)
    }

    pub(crate) fn clear(&mut self) {
        self.slots = Vec::new();
        self.filled = 0;
    }

    fn put(&mut self, slot: Slot<V>) {
        let at = self.index_of(slot.id);
        self.filled += u32::from(self.slots[at].id == 0);
        self.slots[at] = slot;
    }

    fn grow(&mut self) {
        let larger =
            (self.slots.len() * 2).clamp(SLOTS_MIN, (self.slots_max as usize).max(SLOTS_MIN));
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); larger]);
        self.filled = 0;
        old.into_iter()
            .filter(|slot| slot.id != 0)
            .for_each(|slot| self.put(slot));
    }

    fn index_of(&self, id: u64) -> usize {
        (id as usize) & self.slots.len().saturating_sub(1)
    }
}

impl RecentIds {
    pub(crate) fn insert(&mut self, id: u64) {
        self.entry(id);
    }
}

/// Zero marks an empty slot.
fn nonzero(id: u64) -> u64 {
    id.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spreads small numbers as a keyed hash would.
    fn id(n: u64) -> u64 {
        (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
    }

    #[test]
    fn what_was_put_in_is_there_until_cleared() {
        let mut ids = RecentIds::new(4_096);
        assert!(!ids.contains(id(0)));
        (0..200).for_each(|n| ids.insert(id(n)));
        let kept = (0..200).filter(|n| ids.contains(id(*n))).count();
        assert!(kept > 150, "{kept}");
        assert!(ids.contains(id(199)));
        assert!((200..1_000).all(|n| !ids.contains(id(n))));
        ids.clear();
        assert!(!ids.contains(id(199)));
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let mut ids = RecentIds::new(64);
        (0..10_000).for_each(|n| ids.insert(id(n)));
        assert_eq!(ids.slots.len(), 64);
        assert!(ids.contains(id(9_999)));
    }
}
