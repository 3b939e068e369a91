//! Moves of the chain: what follows from them for mempool, peers and driver.

use std::sync::Arc;

use bitcoin::Block;

use super::core::Machine;
use crate::chain::{BlockAccepted, BlockError};
use crate::io::{Event, Output, Time};

impl Machine {
    /// A block from this node's own user, mined here or submitted.
    ///
    /// # Errors
    /// The chain's, when it does not take it. After [`BlockError::Store`] the node must end.
    pub fn submit_block(&mut self, now: Time, block: Arc<Block>) -> Result<(), BlockError> {
        self.command_begins(now);
        let now = self.now;
        let accepted = self.chain.accept_block(now.unix_secs(), block);
        match &accepted {
            Ok(moved) => self.chain_moved(now, moved),
            Err(error) => {
                if let Some(failure) = error.store_failure() {
                    self.store_failed(failure.to_string());
                }
            }
        }
        self.command_ends(now);
        accepted.map(|_| ())
    }

    /// A block was taken in, and the active chain may have changed: brings everything else in line.
    pub(crate) fn chain_moved(&mut self, now: Time, moved: &BlockAccepted) {
        self.blame_for_rejected(moved);
        if moved.connected.is_empty() && moved.disconnected.is_empty() {
            return;
        }
        let gone = self.mempool.chain_moved(&self.chain, now, moved);
        self.remember_all(gone);
        self.relay_after_move(now, moved);
        let tip = self.chain.tip();
        let event = Event::Tip {
            hash: tip.hash,
            height: tip.height,
            disconnected: u32::try_from(moved.disconnected.len()).unwrap_or(u32::MAX),
        };
        self.push(Output::Event(event));
        self.announce_blocks(now, moved);
    }
}
