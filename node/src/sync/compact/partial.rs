//! A block that is being put together from its compact form. Data only: where transactions come
//! from, and who is asked for the rest, is decided elsewhere.

use std::sync::Arc;

use bitcoin::{Block, Transaction, Wtxid};

use crate::wire::{CompactBlock, TxPlaces};

/// What is known of one place in the block.
#[derive(Clone, Debug)]
enum Place {
    Open,
    Filled(Arc<Transaction>),
    /// Several transactions have its short id: none of them is taken, its own is asked for.
    Disputed,
}

/// Transactions that were given are not those that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sync) struct NotAsAsked;

/// A block of which some transactions are here.
#[derive(Clone, Debug)]
pub(in crate::sync) struct Partial {
    compact: Arc<CompactBlock>,
    places: Vec<Place>,
    /// Places that are open still.
    open: usize,
}

impl Partial {
    /// `None` if two of its transactions have the same short id: only the whole block tells them
    /// apart.
    pub(in crate::sync) fn new(compact: Arc<CompactBlock>) -> Option<Partial> {
        if compact.has_twins() {
            return None;
        }
        let mut places = vec![Place::Open; compact.transaction_count()];
        for (place, tx) in compact.prefilled() {
            places[usize::from(*place)] = Place::Filled(Arc::clone(tx));
        }
        Some(Partial {
            open: compact.short_ids().len(),
            compact,
            places,
        })
    }

    pub(in crate::sync) fn compact(&self) -> &Arc<CompactBlock> {
        &self.compact
    }

    /// Takes what fits. It stops once nothing is open, as Bitcoin Core does: a collision that
    /// would have shown later shows in the block's merkle root.
    pub(in crate::sync) fn look_through<'a>(
        &mut self,
        pool: impl Iterator<Item = (Wtxid, &'a Arc<Transaction>)>,
    ) {
        for (wtxid, tx) in pool {
            if self.open == 0 {
                return;
            }
            let Some(at) = self.compact.place_of(wtxid) else {
                continue;
            };
            let place = &mut self.places[usize::from(at)];
            match place {
                Place::Open => {
                    *place = Place::Filled(Arc::clone(tx));
                    self.open -= 1;
                }
                Place::Filled(other) if other.compute_wtxid() != wtxid => {
                    *place = Place::Disputed;
                }
                Place::Filled(_) | Place::Disputed => {}
            }
        }
    }

    /// What has to be asked for.
    pub(in crate::sync) fn missing(&self) -> TxPlaces {
        let places = self.places.iter().enumerate();
        places
            .filter(|(_, place)| !matches!(place, Place::Filled(_)))
            // A compact block has no more places than 16 bits count.
            .map(|(at, _)| at as u16)
            .collect()
    }

    /// Takes what was asked for: all that was missing, in order. Every transaction is held
    /// against the short id of its place.
    pub(in crate::sync) fn fill(&mut self, given: Vec<Arc<Transaction>>) -> Result<(), NotAsAsked> {
        let missing = self.missing();
        if missing.len() != given.len() {
            return Err(NotAsAsked);
        }
        for (at, tx) in missing.iter().zip(given) {
            if self.compact.place_of(tx.compute_wtxid()) != Some(at) {
                return Err(NotAsAsked);
            }
            self.places[usize::from(at)] = Place::Filled(tx);
        }
        Ok(())
    }

    /// The block, if nothing is missing. Whether it is the one that its header names is the
    /// chain's to say. Where one and the same is held already in this process, it is that one.
    pub(in crate::sync) fn into_block(self, held: Option<Arc<Block>>) -> Option<Arc<Block>> {
        let found: Option<Vec<Arc<Transaction>>> = self
            .places
            .into_iter()
            .map(|place| match place {
                Place::Filled(tx) => Some(tx),
                Place::Open | Place::Disputed => None,
            })
            .collect();
        let found = found?;
        let same = |held: &Arc<Block>| held.txdata.iter().eq(found.iter().map(|tx| &**tx));
        if let Some(held) = held.filter(same) {
            return Some(held);
        }
        Some(Arc::new(Block {
            header: *self.compact.header(),
            txdata: found.into_iter().map(Arc::unwrap_or_clone).collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::bip152::ShortId;
    use bitcoin::hashes::Hash;
    use bitcoin::{Network, OutPoint, TxIn, Txid};

    use super::*;

    /// A block of some transactions, all different.
    fn block_of(count: u8) -> Arc<Block> {
        let mut block = bitcoin::constants::genesis_block(Network::Regtest);
        for n in 1..count {
            let mut tx = block.txdata[0].clone();
            tx.input = vec![TxIn {
                previous_output: OutPoint::new(Txid::from_byte_array([n; 32]), 0),
                ..TxIn::default()
            }];
            block.txdata.push(tx);
        }
        Arc::new(block)
    }

    fn pool(block: &Block, places: impl Iterator<Item = usize>) -> Vec<(Wtxid, Arc<Transaction>)> {
        let named = |tx: &Transaction| (tx.compute_wtxid(), Arc::new(tx.clone()));
        places.map(|at| named(&block.txdata[at])).collect()
    }

    fn partial_of(block: &Arc<Block>) -> Partial {
        Partial::new(Arc::new(CompactBlock::of(block, 3).unwrap())).unwrap()
    }

    fn look(partial: &mut Partial, pool: &[(Wtxid, Arc<Transaction>)]) {
        partial.look_through(pool.iter().map(|(wtxid, tx)| (*wtxid, tx)));
    }

    #[test]
    fn a_block_whose_transactions_are_here_needs_nothing() {
        let block = block_of(20);
        let mut partial = partial_of(&block);
        look(&mut partial, &pool(&block, (0..20).rev()));
        assert!(partial.missing().is_empty());
        assert_eq!(partial.into_block(None).unwrap(), block);
    }

    #[test]
    fn what_is_missing_is_asked_for_and_filled_in() {
        let block = block_of(20);
        let mut partial = partial_of(&block);
        look(&mut partial, &pool(&block, (1..20).filter(|n| n % 5 != 0)));
        let missing = partial.missing();
        assert_eq!(missing.iter().collect::<Vec<_>>(), [5, 10, 15]);
        assert_eq!(partial.clone().into_block(None), None);
        let given = missing.iter().map(usize::from);
        let given = pool(&block, given).into_iter().map(|(_, tx)| tx).collect();
        assert_eq!(partial.fill(given), Ok(()));
        assert_eq!(partial.into_block(None).unwrap(), block);
    }

    #[test]
    fn what_was_not_asked_for_does_not_fill() {
        let block = block_of(20);
        let mut partial = partial_of(&block);
        look(&mut partial, &pool(&block, 3..20));
        let given = |places: &[usize]| -> Vec<_> {
            let pool = pool(&block, places.iter().copied());
            pool.into_iter().map(|(_, tx)| tx).collect()
        };
        for wrong in [&[1][..], &[2, 1], &[1, 3], &[1, 2, 3], &[], &[0, 2]] {
            assert_eq!(partial.clone().fill(given(wrong)), Err(NotAsAsked));
        }
        assert_eq!(partial.fill(given(&[1, 2])), Ok(()));
    }

    #[test]
    fn of_two_candidates_for_one_place_neither_is_taken() {
        let block = block_of(4);
        let stranger = block_of(9).txdata[8].clone();
        let mut partial = partial_of(&block);
        // As if its short id were that of place 2.
        let mut pool = pool(&block, [2, 1].into_iter());
        look(&mut partial, &pool[..1]);
        pool[0].1 = Arc::new(stranger);
        partial.places[2] = Place::Filled(Arc::clone(&pool[0].1));
        let again = super::tests::pool(&block, [2, 1, 3].into_iter());
        look(&mut partial, &again);
        assert_eq!(partial.missing().iter().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn equal_short_ids_within_a_block_cannot_be_put_together() {
        let block = block_of(3);
        let id = ShortId::with_siphash_keys(&[0; 32], (0, 0));
        let coinbase = (0, Arc::new(block.txdata[0].clone()));
        let compact = CompactBlock::new(block.header, 0, vec![id, id], vec![coinbase]).unwrap();
        assert!(Partial::new(Arc::new(compact)).is_none());
    }

    #[test]
    fn a_block_that_somebody_holds_is_not_held_twice() {
        let block = block_of(5);
        let mut partial = partial_of(&block);
        look(&mut partial, &pool(&block, 1..5));
        let of = |held| partial.clone().into_block(held).unwrap();
        assert!(Arc::ptr_eq(&of(Some(Arc::clone(&block))), &block));
        // Another block of the same header is no such block.
        let mut forged = Block::clone(&block);
        forged.txdata.swap(1, 2);
        assert_eq!(of(Some(Arc::new(forged))), block);
    }
}
