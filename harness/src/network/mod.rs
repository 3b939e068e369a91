//! Networks that stay: one process of the user's holds each, and answers on a socket that only its
//! user can open.
//!
//! `folder` is where networks are found, `request` what is said on a socket, `client` and `server` its
//! two ends, `holder` what the holding process answers with, `detach` how that process goes on without
//! the terminal that it came from. No request is carried out here: the engine's run task does that.

mod client;
mod detach;
mod folder;
mod holder;
mod request;
mod server;

pub use client::{Answers, ask, ask_for_all, find, networks};
pub use detach::{Held, detach};
pub use folder::{Claim, Folder};
pub use holder::Network;
pub use request::{
    Description, Did, NAME_CHARS_MAX, NodeFailure, NodeLog, RanText, Reply, Request, check_name,
};
pub use server::Server;
