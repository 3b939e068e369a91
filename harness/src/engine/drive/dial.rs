//! Connections to a node's loopback, through fabric and gate.

use std::time::Duration;

use peerlab_link::NodeId;
use peerlab_link::proto::{StreamAnswer, StreamOpen};
use tokio::time::timeout;

use super::mux::{Mux, read_message, write_message};
use crate::probe::{BitcoinRpc, ProbeError};
use peerlab_core::plan::spec::{Plan, Probe};

/// How long a connection may take to open: it is loopback, on a host that may be busy.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens connections to nodes' probes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialer {
    mux: Mux,
    /// The probe's TCP port by node.
    ports: std::sync::Arc<[u16]>,
}

impl Dialer {
    /// For the nodes of this plan.
    pub fn new(mux: Mux, plan: &Plan) -> Dialer {
        let port = |group: u32| match plan.groups.get(group as usize).map(|g| &g.probe) {
            Some(Probe::BitcoinRpc { port }) => *port,
            None => 0,
        };
        Dialer {
            mux,
            ports: plan.nodes.iter().map(|node| port(node.group)).collect(),
        }
    }

    /// A connection to a node's RPC.
    ///
    /// # Errors
    /// When the node does not take it: it is down, or not yet ready.
    pub async fn rpc(&self, node: NodeId) -> Result<BitcoinRpc, ProbeError> {
        let open = async {
            let port = self.ports[node.index()];
            let mut stream = self.mux.open().await.map_err(|e| broken(&e))?;
            write_message(&mut stream, &StreamOpen::Dial { node, port })
                .await
                .map_err(|e| broken(&e))?;
            match read_message(&mut stream).await.map_err(|e| broken(&e))? {
                Some(StreamAnswer::Open) => BitcoinRpc::connect(stream).await,
                Some(StreamAnswer::Refused(reason)) => Err(ProbeError::Transport(reason)),
                None => Err(ProbeError::Transport("the stream was closed".into())),
            }
        };
        timeout(OPEN_TIMEOUT, open)
            .await
            .unwrap_or(Err(ProbeError::TimedOut(OPEN_TIMEOUT)))
    }
}

fn broken(error: &std::io::Error) -> ProbeError {
    ProbeError::Transport(error.to_string())
}
