//! The link model: what the emulated network does to each packet. Sans-IO and pure; the fabric
//! asks it in real time, the simulator in virtual time, and both get the same answers.
//!
//! A packet passes three points, in this order:
//!
//! ```text
//! source -> [up queue] ---- path: delay, jitter, loss ----> [down queue] -> destination
//!           LinkModel::send                                 LinkModel::arrive
//! ```
//!
//! [`LinkModel::send`] says when it reaches the destination's access link. At that instant the
//! caller asks [`LinkModel::arrive`], which says when it is delivered (often the same instant).
//! Two steps, because packets from many sources reach one access link in another order than
//! they were sent in, and its queue serves them in the order of arrival.
//!
//! Instants are given in advance, which is as good as moving packets from queue to queue until a
//! link changes: then [`LinkModel::apply`] says for which packets they are given anew, as if each
//! had been given its instant only when it left the queue.

mod access;
mod change_error;
mod cuts;
mod link_model;
mod link_table;
mod loss_process;
mod random_stream;
mod retiming;
mod shapes;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod retiming_properties;

pub use change_error::{ChangeError, NetworkError};
pub use link_model::{LinkModel, Passage, Verdict};
pub use retiming::Retiming;
