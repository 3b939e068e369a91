//! A small memory for ids: what was put in lately is very likely still there, and it never grows
//! beyond its bound. Forgetting costs a repeated message, no more.

/// Slots at first, so that a connection without transactions costs next to nothing.
const SLOTS_MIN: usize = 16;

/// Ids, each in the slot that its value names; a newer one takes the place of an older one.
#[derive(Clone, Debug)]
pub(crate) struct RecentIds {
    slots: Vec<u64>,
    filled: u32,
    slots_max: u32,
}

impl RecentIds {
    /// Remembers up to `slots_max` ids (a power of two), 8 bytes each.
    pub(crate) fn new(slots_max: u32) -> RecentIds {
        RecentIds {
            slots: Vec::new(),
            filled: 0,
            slots_max: slots_max.next_power_of_two(),
        }
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        let id = nonzero(id);
        !self.slots.is_empty() && self.slots[self.slot(id)] == id
    }

    pub(crate) fn insert(&mut self, id: u64) {
        if self.filled as usize * 2 >= self.slots.len()
            && self.slots.len() < self.slots_max as usize
        {
            self.grow();
        }
        self.put(nonzero(id));
    }

    pub(crate) fn clear(&mut self) {
        self.slots = Vec::new();
        self.filled = 0;
    }

    fn put(&mut self, id: u64) {
        let at = self.slot(id);
        self.filled += u32::from(self.slots[at] == 0);
        self.slots[at] = id;
    }

    fn grow(&mut self) {
        let larger =
            (self.slots.len() * 2).clamp(SLOTS_MIN, (self.slots_max as usize).max(SLOTS_MIN));
        let old = std::mem::replace(&mut self.slots, vec![0; larger]);
        self.filled = 0;
        old.into_iter()
            .filter(|id| *id != 0)
            .for_each(|id| self.put(id));
    }

    fn slot(&self, id: u64) -> usize {
        (id as usize) & (self.slots.len() - 1)
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
