//! `--metrics PORT`: a network that is up, for Prometheus, over HTTP on loopback.
//!
//! `endpoint` listens, bounds connections and answers; `watched` is what it tells of. The text itself is
//! `peerlab_core::view`'s. Nothing can be changed here, and nothing is told that `ps` and `status` do not.

mod endpoint;
mod watched;

pub use endpoint::Endpoint;
pub use watched::Watched;
