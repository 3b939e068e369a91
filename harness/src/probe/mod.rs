//! How a node is asked, whatever it is: a trait with its steps of ability, and each kind of probe
//! that experiments may name. Who reaches into the node's namespaces, and what is done with the
//! answers, is the engine's affair.

mod bitcoin_rpc;
mod error;
mod exec;
mod probe_trait;

pub use bitcoin_rpc::BitcoinRpc;
pub use error::{ProbeError, bounded};
pub use exec::Exec;
pub use probe_trait::{Answer, Chain, Connection, Ledger, Methods, Probe, Reach};

pub use peerlab_core::conduct::Said;
use peerlab_core::experiment::Probe as Kind;

/// Makes a connection to a node's probe.
///
/// # Errors
/// When the node does not take it: it is down, or not yet ready.
pub async fn open(kind: &Kind, reach: impl Reach) -> Result<Box<dyn Probe>, ProbeError> {
    Ok(match kind {
        Kind::Exec { command } => Box::new(Exec::new(reach, command.clone())),
        Kind::BitcoinRpc { port } => Box::new(BitcoinRpc::connect(reach.dial(*port).await?).await?),
    })
}
