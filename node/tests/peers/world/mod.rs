//! The stage: machines joined by a network in memory, in virtual time. Everything that happens
//! follows from the seed and from what the story does.

mod core;
mod hosts;
mod links;
mod state;
mod story;

pub use self::core::World;
pub use state::{Node, Piece, Role, START, secs};
pub use story::{bootstrap_from, connect_to, line};
