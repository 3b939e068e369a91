//! The network of a story: nodes with their kernels, streams and links as the simulator has them, in
//! virtual time. A story starts each machine with the configuration and the chain that it wants, and
//! reads and writes in the place of puppets, whose own programs stand still. Everything that happens
//! follows from the seed and from what the story does.

mod core;
mod story;

pub use self::core::{Node, START, World, secs};
pub use story::{bootstrap_from, connect_to, line};
