//! Stories of several nodes in one deterministic network in virtual time.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod chaos;
mod compact;
mod discovery;
mod getblocks;
mod hostile;
mod ledger;
mod lifecycle;
mod noise;
mod puppet;
mod sync;
mod transactions;
mod world;
