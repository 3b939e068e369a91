//! Why a network or a change of it makes no sense.

use std::net::Ipv4Addr;

use crate::id::NodeId;

/// A [`crate::Network`] that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The paths are not a square of the regions.
    #[error("paths are not one row and one column per region")]
    PathsNotSquare,
    /// A node's region is none.
    #[error("node {0} is in region {1}, which is not there")]
    UnknownRegion(NodeId, u16),
    /// An address outside [`crate::NodeLink::NET`], or its network or broadcast address.
    #[error("node {0} has the address {1}, which is not a host of 10.0.0.0/8")]
    BadAddress(NodeId, Ipv4Addr),
    /// Two nodes with one address.
    #[error("node {0} has the address {1}, which another node has")]
    AddressTwice(NodeId, Ipv4Addr),
    /// A rate of nothing passes nothing, ever.
    #[error("node {0} has an access rate of zero")]
    ZeroRate(NodeId),
    /// An IPv4 host must accept 576 bytes (RFC 791), and a packet has at most 65,535.
    #[error("the MTU is {0}, below 576")]
    MtuTooSmall(u16),
    /// More nodes than ids can tell.
    #[error("{0} nodes are too many")]
    TooManyNodes(usize),
}

/// A [`crate::Change`] that cannot be applied. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no node {0}")]
    UnknownNode(NodeId),
    /// The groups of a partition overlap.
    #[error("node {0} is in two groups of the partition")]
    NodeInTwoGroups(NodeId),
    /// A rate of nothing passes nothing, ever: that is a silence or a partition.
    #[error("a shape has the rate zero")]
    ZeroRate,
}
