//! The control plane, on one thread: the harness' multiplexed stream on one side, the gates'
//! sockets on the other. Nothing here is on a packet's way.

mod capture;
mod dial;
mod gate_table;
mod gates;
mod opening;
mod pollable;
mod seqpacket;
mod session;
mod shared_dir;
mod stdio;

pub(crate) use session::run;
pub(crate) use shared_dir::SharedDir;
