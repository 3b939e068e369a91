//! Which node has which address: a table over the part of 10.0.0.0/8 that is in use.

use std::net::Ipv4Addr;

use peerlab_link::NodeId;

const NOBODY: u32 = u32::MAX;
/// Addresses per block of the table.
const BLOCK: usize = 256;

/// Two levels, as a page table: one block per /24 that holds a node, so that a look-up is two
/// reads whatever addresses the plan gave.
#[derive(Debug)]
pub(super) struct Routes {
    /// By the middle two bytes: the number of a block, or `NOBODY`.
    blocks: Vec<u32>,
    nodes: Vec<[u32; BLOCK]>,
    net: u8,
}

impl Routes {
    /// The addresses of all nodes, by id; they are in one /8.
    pub(super) fn new(addresses: &[Ipv4Addr]) -> Routes {
        let mut routes = Routes {
            blocks: vec![NOBODY; 1 << 16],
            nodes: Vec::new(),
            net: addresses.first().map_or(0, |ip| ip.octets()[0]),
        };
        for (id, ip) in (0..).map(NodeId).zip(addresses) {
            routes.add(id, *ip);
        }
        routes
    }

    /// There is one node more, in the same /8.
    pub(super) fn add(&mut self, id: NodeId, ip: Ipv4Addr) {
        let [_, high, low, host] = ip.octets();
        let block = &mut self.blocks[usize::from(u16::from_be_bytes([high, low]))];
        if *block == NOBODY {
            *block = self.nodes.len() as u32;
            self.nodes.push([NOBODY; BLOCK]);
        }
        self.nodes[*block as usize][usize::from(host)] = id.0;
    }

    /// Who has an address.
    #[inline]
    pub(super) fn node(&self, ip: Ipv4Addr) -> Option<NodeId> {
        let [net, high, low, host] = ip.octets();
        if net != self.net {
            return None;
        }
        let block = self.blocks[usize::from(u16::from_be_bytes([high, low]))];
        let id = self.nodes.get(block as usize)?[usize::from(host)];
        (id != NOBODY).then_some(NodeId(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_leads_to_its_node_and_others_to_none() {
        let addresses: Vec<Ipv4Addr> = [[10, 0, 0, 1], [10, 0, 0, 255], [10, 200, 3, 7]]
            .map(Ipv4Addr::from)
            .to_vec();
        let routes = Routes::new(&addresses);
        for (id, &ip) in (0..).zip(&addresses) {
            assert_eq!(routes.node(ip), Some(NodeId(id)));
        }
        for other in [[10, 0, 0, 2], [10, 200, 4, 7], [11, 0, 0, 1], [255; 4]] {
            assert_eq!(routes.node(other.into()), None);
        }
    }
}
