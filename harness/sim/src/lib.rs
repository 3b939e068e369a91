//! The simulator, an engine in virtual time, and over it the search for failing seeds.

pub mod explore;
pub mod simulator;
