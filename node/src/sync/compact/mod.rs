//! Compact blocks (BIP152 version 2): a new block is announced by six bytes a transaction, since
//! nearly all of them are in the receiver's mempool already. What is missing is asked for with one
//! more round trip; where the short form does not lead to the block, the whole block is asked for.
//!
//! High bandwidth: at most three peers, those that last were first with a new block, send the
//! compact form unasked. Everybody else announces by headers, and is asked for the compact form
//! while this node keeps up with the chain.
//!
//! **One nonce for all.** The nonce salts the short ids. Bitcoin Core draws one on every hop, so
//! that an unlucky pair of transactions with the same short id stops a block on one link at most.
//! Here, who puts a block together from its compact form passes that form on as it is: in a process
//! that holds ten thousand nodes it is then made once per block, held once, and its ids are sorted
//! once. What it costs: the miner (or whoever made the form) chooses the nonce, and one who tries
//! long enough can make the short ids of its block collide with those of transactions that lie in
//! mempools. Who meets such a collision asks for the whole block, one round trip more, and then
//! makes a form with a nonce of its own: so the harm ends there. Since the form is passed on by
//! nodes that did not make it, every short id is held against its transaction first, also those of
//! transactions that the peer itself gave: nobody passes on a form that does not fit the block.

mod extra;
mod partial;
mod state;
mod tally;

pub(super) use partial::Partial;
pub(super) use state::CompactBlocks;
pub use tally::CompactTally;
