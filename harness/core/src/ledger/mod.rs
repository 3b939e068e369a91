//! The money of an experiment: the pre-mined chain that every node starts from, the signed
//! transactions that spend it, and the addresses that miners are paid to. Pure and
//! deterministic: the same numbers give the same bytes on any machine. No node is asked here.

mod payment;
mod premined;
mod wallet;

pub use payment::Payment;
pub use premined::{Premined, block_count};
pub use wallet::{AddressForm, payout_address};
