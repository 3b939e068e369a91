//! How a node is asked, whatever it is: a trait with its steps of ability, and each kind of probe
//! that experiments may name. Who reaches into the node's namespaces, and what is done with the
//! answers, is the engine's affair.

mod bitcoin_rpc;
mod error;
mod exec;
mod file;
mod http;
mod log;
mod polled;
mod probe_trait;
#[cfg(test)]
mod scripted;
mod tcp;

pub use bitcoin_rpc::BitcoinRpc;
pub use error::{ProbeError, bounded};
pub use exec::Exec;
use file::File;
use http::Http;
use log::Log;
pub use polled::{Ask, Polled};
use tcp::Tcp;

pub use probe_trait::{Answer, Chain, Connection, Ledger, Methods, Probe, Reach};

pub use peerlab_core::conduct::Said;
use peerlab_core::experiment::Probe as Kind;

/// Makes a connection to a node's probe.
///
/// # Errors
/// When the node does not take it: it is down, or not yet ready; or when no such question can be asked.
pub async fn open(kind: &Kind, reach: impl Reach) -> Result<Box<dyn Probe>, ProbeError> {
    Ok(match kind {
        Kind::Exec { command } => Box::new(Polled(Exec::new(reach, command.clone()))),
        Kind::Tcp { port, greeting } => Box::new(Polled(Tcp::new(reach, *port, *greeting))),
        Kind::Http(http) => Box::new(Polled(Http::new(reach, http)?)),
        Kind::Log { pattern } => Box::new(Polled(Log::new(reach, pattern)?)),
        Kind::File { path } => Box::new(Polled(File::new(reach, path.clone()))),
        Kind::BitcoinRpc { port } => Box::new(BitcoinRpc::connect(reach.dial(*port).await?).await?),
    })
}
