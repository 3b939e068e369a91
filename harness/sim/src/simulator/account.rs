//! What a simulated node tells of itself when it is asked, as the probe would hear it.

use std::collections::BTreeMap;

use peerlab_link::Nanos;
use peerlab_node::Machine;
use peerlab_node::peers::BytesByCommand;

use peerlab_core::event::{CompactSums, LedgerState, PeerSums, StateDigest, Tip};

/// Its connections, their bytes by message type, and how compact blocks served it.
pub fn peers(machine: &Machine) -> PeerSums {
    let tally = machine.compact_tally();
    let mut sums = PeerSums {
        compact: Some(CompactSums {
            rebuilt: tally.rebuilt,
            asked: tally.asked,
            missing: tally.missing,
            waited: Nanos(u64::try_from(tally.waited.as_nanos()).unwrap_or(u64::MAX)),
        }),
        ..PeerSums::default()
    };
    for peer in machine.peers() {
        if peer.kind.is_inbound() {
            sums.inbound += 1;
        } else {
            sums.outbound += 1;
        }
        add(&mut sums.sent, &peer.traffic.sent);
        add(&mut sums.received, &peer.traffic.received);
    }
    sums
}

/// Tip and hash of the coins by state: most nodes hold the very same one, and a hash costs a
/// division of large numbers.
pub type KnownStates = BTreeMap<usize, (Tip, String)>;

/// Its ledger's state.
pub fn ledger(machine: &Machine, known: &mut KnownStates) -> LedgerState {
    let chain = machine.chain();
    let (tip, muhash) = known.entry(chain.state_name()).or_insert_with(|| {
        let stats = chain.utxo_stats();
        let tip = Tip {
            hash: stats.best_block.to_string(),
            height: stats.height,
        };
        (tip, stats.muhash.to_string())
    });
    LedgerState {
        tip: tip.clone(),
        digest: Some(StateDigest::Muhash(muhash.clone())),
    }
}

fn add(sums: &mut BTreeMap<String, u64>, bytes: &BytesByCommand) {
    for (command, count) in bytes.iter() {
        *sums.entry(command.name().to_string()).or_default() += count;
    }
}
