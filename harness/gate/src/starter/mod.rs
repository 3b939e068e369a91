//! The starter of the local engine: one small process that keeps a user namespace of its own and
//! starts in it, for any user and without a daemon, what a container engine would: the fabric,
//! and each node's gate in further namespaces with a private root. Forking from here is cheap
//! where forking the harness would not be.
//!
//! Nothing outlives it: it is PID 1 of a PID namespace that holds all it starts, and it ends when
//! the harness' socket closes.

mod advice;
mod child;
mod image;
mod limits;
mod logs;
mod namespaces;
mod nursery;
mod roots;
mod serve;
mod within;

pub use serve::run;
