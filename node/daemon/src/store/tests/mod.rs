//! The store under fire: killed processes, flipped bytes, torn files.

mod crash;
mod durable;
mod records;
mod tamper;
