//! What all have in common that listen on this machine: `connections` takes them, and no more than so many
//! at once; `host` says whether a request of HTTP is for this machine. What is answered is not known here.

mod connections;
mod host;

pub use connections::{Connections, Slot};
pub use host::{only, own_host};
