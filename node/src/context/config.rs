//! What a node is configured with at its start. All of it can be set on the daemon's command line, where
//! Bitcoin Core has a name for it by that name.

use std::net::SocketAddr;
use std::time::Duration;

/// How a node finds peers, how many it takes, and how long it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name and version of the program as peers see it (BIP14), at most 256 bytes.
    pub user_agent: String,
    /// The port on which this node accepts connections, sent to peers; `None` when it does not.
    pub listen_port: Option<u16>,
    /// Where peers reach this node (`-externalip`). When `None`, each peer is sent the address
    /// under which it says to see this node, with `listen_port`.
    pub external_addr: Option<SocketAddr>,
    /// Whether connections are made to `connect` only (`-connect`, also `-connect=0`): no automatic
    /// connections, no search for addresses. Whether it listens is another matter: `listen_port`.
    pub connect_only: bool,
    /// Peers to be connected to at all times (`-connect`).
    pub connect: Vec<SocketAddr>,
    /// Peers to be connected to at all times, besides automatic connections (`-addnode`).
    pub add_nodes: Vec<SocketAddr>,
    /// Peers to be asked for addresses while too few are known, and then left (`-seednode`).
    pub seed_nodes: Vec<SocketAddr>,
    /// Automatic outbound connections aimed at. Bitcoin Core's 8 full-relay ones.
    pub outbound_max: usize,
    /// Connections in all (`-maxconnections`). Inbound ones beyond it evict another, or are
    /// refused. Manual ones are always made.
    pub connections_max: usize,
    /// Addresses of peers that are remembered.
    pub addresses_max: usize,
    /// Whether transactions are relayed (false: `-blocksonly`).
    pub relay_transactions: bool,
    /// Whether the transactions that are here already are announced to a new peer. Bitcoin Core does not;
    /// then a transaction that a partition kept to one side stays there until a block has it.
    pub offer_mempool: bool,
    /// Timeouts and intervals.
    pub timing: Timing,
    /// A fault put in on purpose.
    #[cfg(feature = "planted-bugs")]
    pub planted_bug: Option<super::PlantedBug>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            user_agent: concat!("/Peerlab:", env!("CARGO_PKG_VERSION"), "/").into(),
            listen_port: None,
            external_addr: None,
            connect_only: false,
            connect: Vec::new(),
            add_nodes: Vec::new(),
            seed_nodes: Vec::new(),
            outbound_max: 8,
            connections_max: 125,
            // Bitcoin Core keeps up to 80,000; in a lab each node would then know all others.
            addresses_max: 1_024,
            relay_transactions: true,
            offer_mempool: true,
            timing: Timing::default(),
            #[cfg(feature = "planted-bugs")]
            planted_bug: None,
        }
    }
}

/// Every wait of the node. The defaults are for experiments of minutes: where Bitcoin Core counts
/// in minutes, these count in seconds; its own value stands beside each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long the driver tries to open a connection (`-timeout`; Core: 5 s). Two
    /// retransmissions of a lost SYN fit in.
    pub connect_timeout: Duration,
    /// From the opened connection to the end of the handshake (Core: 60 s).
    pub handshake_timeout: Duration,
    /// Each peer is pinged this often (Core: the same).
    pub ping_interval: Duration,
    /// A peer from which nothing comes for this long after a ping is gone, and so is a connection on
    /// which the other end acknowledges nothing for this long (`-peertimeout`; Core: 20 min). Shorter than the partitions of experiments, so that a connection which outlives
    /// one does not wait for TCP's retransmission, doubled many times by then.
    pub peer_timeout: Duration,
    /// A peer that was asked for headers is no longer waited for (Core: 15 min and more).
    pub headers_timeout: Duration,
    /// A peer that was asked for blocks and has delivered none for this long stalls; doubled
    /// with every stall (Core: 2 s in the window's front, else 10 min).
    pub block_timeout: Duration,
    /// A peer that was asked for a transaction has this long, then another is asked (Core: 60 s).
    pub tx_timeout: Duration,
    /// Mean of the exponential delay before transactions are announced to an inbound peer
    /// (Core: 5 s).
    pub tx_delay_inbound: Duration,
    /// The same for outbound peers (Core: 2 s).
    pub tx_delay_outbound: Duration,
    /// Mean delay before addresses are passed on (Core: 30 s).
    pub addr_delay: Duration,
    /// Mean time between probes while the network is unsettled: one more outbound connection than
    /// aimed at, to an address drawn from those known, kept only if it brings a block. It finds the
    /// other side of a partition again after healing.
    pub probe_interval: Duration,
    /// The same while nothing suggests a partition (Core: feelers every 2 min, extra block-relay
    /// peers every 5 min).
    pub probe_interval_settled: Duration,
    /// Mean time between re-announcements of this node's own unconfirmed transactions
    /// (Core: 10 to 15 min).
    pub rebroadcast_interval: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            connect_timeout: Duration::from_secs(4),
            handshake_timeout: Duration::from_secs(15),
            ping_interval: Duration::from_secs(120),
            peer_timeout: Duration::from_secs(15),
            headers_timeout: Duration::from_secs(10),
            block_timeout: Duration::from_secs(5),
            tx_timeout: Duration::from_secs(5),
            tx_delay_inbound: Duration::from_millis(1_000),
            tx_delay_outbound: Duration::from_millis(400),
            addr_delay: Duration::from_millis(1_000),
            probe_interval: Duration::from_secs(10),
            probe_interval_settled: Duration::from_secs(120),
            rebroadcast_interval: Duration::from_secs(15),
        }
    }
}
