//! Networks that stay: one process of the user's holds each, and answers on a socket that only its
//! user can open.
//!
//! `folder` is where networks are found, `request` what is said on a socket, `client` and `server` its
//! two ends, `order` what a key or a button asks, `holder` what the holding process answers with, `detach`
//! how that process goes on without the terminal that it came from, `log` where its words go then,
//! `last_word` why one ended that nobody took down. No request is carried out here: the engine's run task does that.

mod client;
mod detach;
mod did_text;
mod folder;
mod holder;
mod last_word;
pub mod log;
mod order;
mod request;
mod server;

pub use client::{
    Answers, ask, ask_for_all, ended, find, forget_ended, networks, unexpected, why_ended,
};
pub use detach::{Held, detach, have_run};
pub use did_text::did_text;
pub use folder::{Claim, Folder};
pub use holder::{Network, Origin, Parts, has_ended};
pub use order::{Order, have_done, snapshot};
pub use request::{
    Description, Did, Envelope, Guest, NAME_CHARS_MAX, NodeFailure, NodeLog, RanText, Reply,
    Request, Saved, check_name,
};
pub use server::Server;
