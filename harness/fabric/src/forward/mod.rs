//! The data plane: packets from device to device by way of the link model, on one thread of its
//! own. `switch` decides and keeps; `worker` reads, writes and waits.
//!
//! A second thread would get a switch of its own for a share of the source nodes, with the stage
//! after [`peerlab_link::LinkModel::arrive`] handed to the destination's owner; nothing here is
//! shared between threads but the clock.

mod buffers;
mod capture;
mod fault_schedule;
mod lateness;
mod packet_queue;
mod routes;
mod switch;
mod worker;

#[cfg(test)]
mod stories;
mod story;

pub(crate) use capture::{Capture, Taken};
pub use story::Story;
pub(crate) use worker::{Command, Forwarder};
