//! The command line of our own node.

use std::net::Ipv4Addr;

use peerlab_link::NodeId;

use super::spec::Peers;
use crate::topology::template::{DATA_PATH, PREMINED_PATH};
use crate::topology::{Group, RPC_PORT};

/// The P2P port of Bitcoin Core's regtest, and of our node.
pub const P2P_PORT: u16 = 18444;
/// User and password of every node's RPC. It listens inside the node only.
pub const RPC_AUTH: &str = "peerlab";
/// Bitcoin Core's default of `-maxconnections`, and ours.
const CONNECTIONS_DEFAULT: u32 = 125;
/// Connections that a node may have besides those that the plan counts on.
const CONNECTIONS_SPARE: u32 = 25;

/// One node, as its command line needs it.
pub struct Subject<'a> {
    /// Its group.
    pub group: &'a Group,
    /// Who.
    pub node: NodeId,
    /// Its first peers.
    pub peers: &'a Peers,
    /// How many other nodes name it among their first peers.
    pub named_by: u32,
}

impl Subject<'_> {
    /// What our own node is told where others would find all its connections taken.
    pub fn most_connections(&self) -> Option<String> {
        let wanted = self.named_by + CONNECTIONS_SPARE;
        let most = wanted.min(u32::from(u16::MAX));
        (wanted > CONNECTIONS_DEFAULT).then(|| format!("-maxconnections={most}"))
    }
}

/// What our own node is told of itself.
pub fn base(ip: Ipv4Addr) -> Vec<String> {
    vec![
        format!("-datadir={DATA_PATH}"),
        format!("-port={P2P_PORT}"),
        format!("-rpcport={RPC_PORT}"),
        format!("-rpcuser={RPC_AUTH}"),
        format!("-rpcpassword={RPC_AUTH}"),
        format!("-externalip={ip}"),
        format!("-loadblock={PREMINED_PATH}"),
    ]
}

/// What our own node is told of its first peers.
pub fn peer_flags(peers: &Peers, addresses: &[Ipv4Addr]) -> Vec<String> {
    let flag = |name: &str| {
        addresses
            .iter()
            .map(|ip| format!("-{name}={ip}:{P2P_PORT}"))
            .collect()
    };
    match peers {
        // As in Bitcoin Core `-connect` switches listening off, and 0 connects to nobody.
        Peers::Fixed(known) => {
            let mut flags: Vec<String> = flag("connect");
            if known.is_empty() {
                flags.push("-connect=0".into());
            }
            flags.push("-listen=1".into());
            flags
        }
        Peers::Bootstrap(_) => flag("addnode"),
        Peers::Seeds(_) => flag("seednode"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_peers_still_listen_and_a_node_without_any_connects_to_nobody() {
        let ip = Ipv4Addr::new(10, 0, 0, 2);
        let flags = peer_flags(&Peers::Fixed(vec![NodeId(1)]), &[ip]);
        assert_eq!(flags, ["-connect=10.0.0.2:18444", "-listen=1"]);
        assert_eq!(
            peer_flags(&Peers::Fixed(vec![]), &[]),
            ["-connect=0", "-listen=1"]
        );
        assert_eq!(
            peer_flags(&Peers::Seeds(vec![NodeId(1)]), &[ip]),
            ["-seednode=10.0.0.2:18444"]
        );
    }
}
