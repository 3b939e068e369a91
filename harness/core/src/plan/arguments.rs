//! Command lines: what our own node gets, and what a group's templates become.

use std::net::Ipv4Addr;

use peerlab_link::NodeId;

use super::place::address;
use super::spec::Peers;
use crate::experiment::Image;
use crate::topology::template::{PREMINED_PATH, Values, fill};
use crate::topology::{Group, RPC_PORT};

/// The P2P port of Bitcoin Core's regtest, and of our node.
pub const P2P_PORT: u16 = 18444;
/// Where our node's image keeps its data.
const DATA_DIR: &str = "/data";
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
    /// Its name.
    pub name: &'a str,
    /// Its index in the group.
    pub index: u32,
    /// Its first peers.
    pub peers: &'a Peers,
    /// How many other nodes name it among their first peers.
    pub named_by: u32,
}

/// The whole argument list of a node's entrypoint.
pub fn arguments(subject: &Subject<'_>) -> Vec<String> {
    let known = subject.peers.known().iter();
    let addresses: Vec<Ipv4Addr> = known.map(|node| address(*node)).collect();
    let values = Values {
        name: subject.name,
        index: subject.index,
        ip: address(subject.node),
        peers: &addresses,
    };
    let own = fill(&subject.group.command, values);
    match subject.group.image {
        Image::Named(_) | Image::Archive(_) => own,
        Image::Peerlab => {
            let mut arguments = base(address(subject.node));
            arguments.extend(peer_flags(subject.peers, &addresses));
            if subject.named_by + CONNECTIONS_SPARE > CONNECTIONS_DEFAULT {
                let most = (subject.named_by + CONNECTIONS_SPARE).min(u32::from(u16::MAX));
                arguments.push(format!("-maxconnections={most}"));
            }
            arguments.extend(own);
            arguments
        }
    }
}

fn base(ip: Ipv4Addr) -> Vec<String> {
    vec![
        format!("-datadir={DATA_DIR}"),
        format!("-port={P2P_PORT}"),
        format!("-rpcport={RPC_PORT}"),
        format!("-rpcuser={RPC_AUTH}"),
        format!("-rpcpassword={RPC_AUTH}"),
        format!("-externalip={ip}"),
        format!("-loadblock={PREMINED_PATH}"),
    ]
}

fn peer_flags(peers: &Peers, addresses: &[Ipv4Addr]) -> Vec<String> {
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
