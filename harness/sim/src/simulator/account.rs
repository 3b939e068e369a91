//! What a simulated node tells of itself when it is asked, as the probe would hear it.

use std::collections::{BTreeMap, HashMap};

use peerlab_link::NodeId;
use peerlab_node::Machine;
use peerlab_node::peers::BytesByCommand;

use peerlab_core::event::{Tip, What};

/// Its connections, and their bytes by message type.
pub fn peers(node: NodeId, machine: &Machine) -> What {
    let mut outbound = 0;
    let mut inbound = 0;
    let mut sent = BTreeMap::new();
    let mut received = BTreeMap::new();
    for peer in machine.peers() {
        if peer.kind.is_inbound() {
            inbound += 1;
        } else {
            outbound += 1;
        }
        add(&mut sent, &peer.traffic.sent);
        add(&mut received, &peer.traffic.received);
    }
    What::Peers {
        node,
        outbound,
        inbound,
        sent,
        received,
    }
}

/// Tip and hash of the coins by state: most nodes hold the very same one, and a hash costs a
/// division of large numbers.
pub type KnownStates = HashMap<usize, (Tip, String)>;

/// Its ledger's state.
pub fn ledger(node: NodeId, machine: &Machine, known: &mut KnownStates) -> What {
    let chain = machine.chain();
    let (tip, muhash) = known.entry(chain.state_name()).or_insert_with(|| {
        let stats = chain.utxo_stats();
        let tip = Tip {
            hash: stats.best_block.to_string(),
            height: stats.height,
        };
        (tip, stats.muhash.to_string())
    });
    What::Ledger {
        node,
        tip: tip.clone(),
        muhash: Some(muhash.clone()),
    }
}

fn add(sums: &mut BTreeMap<String, u64>, bytes: &BytesByCommand) {
    for (command, count) in bytes.iter() {
        *sums.entry(command.name().to_string()).or_default() += count;
    }
}
