//! A peer as getpeerinfo shows it.

use std::net::{IpAddr, SocketAddr};

use bitcoin::{Amount, BlockHash};
use peerlab_node::chain::Chain;
use peerlab_node::peers::{BytesByCommand, Peer};
use peerlab_node::time::Time;
use serde_json::{Map, Value, json};

use super::tx_json::btc;

/// Names of service bits, by bit (Bitcoin Core's `serviceFlagToStr`).
const SERVICE_NAMES: [(u32, &str); 6] = [
    (0, "NETWORK"),
    (2, "BLOOM"),
    (3, "WITNESS"),
    (6, "COMPACT_FILTERS"),
    (10, "NETWORK_LIMITED"),
    (11, "P2P_V2"),
];

/// All that is reported of a peer. What the node does not have (packages, permissions) is reported
/// as absent.
pub fn peer_json(peer: &Peer, chain: &Chain, now: Time) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("id", peer.id.0.into());
    put("addr", peer.addr.to_string().into());
    if let Some(local) = peer.local_addr() {
        put("addrlocal", local.to_string().into());
    }
    put("network", network_of(&peer.addr).into());
    let services = peer.services().to_u64();
    put("services", format!("{services:016x}").into());
    put("servicesnames", json!(service_names(services)));
    put("relaytxes", peer.transactions.is_wanted().into());
    put("lastsend", secs(peer.last_sent.get()));
    put("lastrecv", secs(peer.last_received.get()));
    put("last_transaction", secs(peer.last_transaction.get()));
    put("last_block", secs(peer.last_block.get()));
    put("bytessent", peer.traffic.sent.total().into());
    put("bytesrecv", peer.traffic.received.total().into());
    put("conntime", peer.connected_at.unix_secs().into());
    put("timeoffset", peer.time_offset_secs.into());
    if let Some(last) = peer.ping.last {
        put("pingtime", last.as_secs_f64().into());
    }
    if let Some(min) = peer.ping.min {
        put("minping", min.as_secs_f64().into());
    }
    if let Some(wait) = peer.ping.wait(now) {
        put("pingwait", wait.as_secs_f64().into());
    }
    let version = peer.version.as_deref();
    put("version", version.map_or(0, |v| v.protocol).into());
    let agent = version.map_or(String::new(), |v| printable(&v.user_agent));
    put("subver", agent.into());
    put("inbound", peer.kind.is_inbound().into());
    put("bip152_hb_to", peer.sync.is_high_bandwidth_to().into());
    put("bip152_hb_from", peer.sync.is_high_bandwidth_from().into());
    put(
        "startingheight",
        version.map_or(-1, |v| v.start_height).into(),
    );
    put("presynced_headers", (-1).into());
    let best_known = peer.sync.best_known();
    put("synced_headers", height_of(chain, best_known).into());
    put("synced_blocks", height_in_common(chain, best_known).into());
    put("inflight", peer.sync.heights_in_flight().collect());
    put("relaytxpackages", false.into());
    put("addr_relay_enabled", peer.gossip.enabled.into());
    put("addr_processed", peer.gossip.processed.into());
    put("addr_rate_limited", peer.gossip.rate_limited.into());
    put("permissions", json!([]));
    put(
        "minfeefilter",
        btc(Amount::from_sat(peer.transactions.fee_filter())),
    );
    put("bytessent_per_msg", by_command(&peer.traffic.sent));
    put("bytesrecv_per_msg", by_command(&peer.traffic.received));
    put("connection_type", peer.kind.as_str().into());
    put("transport_protocol_type", "v1".into());
    put("session_id", "".into());
    Value::Object(shown)
}

/// Names of the service bits that are set.
pub fn service_names(services: u64) -> Vec<String> {
    (0..u64::BITS)
        .filter(|bit| services >> bit & 1 == 1)
        .map(|bit| {
            let name = SERVICE_NAMES.iter().find(|(known, _)| *known == bit);
            name.map_or_else(
                || format!("UNKNOWN[2^{bit}]"),
                |(_, name)| (*name).to_owned(),
            )
        })
        .collect()
}

fn secs(time: Option<Time>) -> Value {
    time.map_or(0, Time::unix_secs).into()
}

fn by_command(bytes: &BytesByCommand) -> Value {
    bytes
        .iter()
        .map(|(command, bytes)| (command.name().to_owned(), Value::from(bytes)))
        .collect::<Map<String, Value>>()
        .into()
}

/// -1 if it is not known.
fn height_of(chain: &Chain, hash: Option<BlockHash>) -> i64 {
    hash.and_then(|hash| chain.entry(&hash))
        .map_or(-1, |entry| i64::from(entry.height))
}

/// The last block of the active chain that the peer has.
fn height_in_common(chain: &Chain, hash: Option<BlockHash>) -> i64 {
    hash.and_then(|hash| chain.fork_point(&hash))
        .map_or(-1, |entry| i64::from(entry.height))
}

fn network_of(addr: &SocketAddr) -> &'static str {
    let private = match addr.ip() {
        IpAddr::V4(ip) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    match addr {
        _ if private => "not_publicly_routable",
        SocketAddr::V4(_) => "ipv4",
        SocketAddr::V6(_) => "ipv6",
    }
}

/// A peer's words without what could confuse a reader: Bitcoin Core's safe characters.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || " .,;-_/:?@()".contains(*c))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_bits_have_core_s_names() {
        assert_eq!(
            service_names(1 | 8 | 1 << 10 | 1 << 30),
            ["NETWORK", "WITNESS", "NETWORK_LIMITED", "UNKNOWN[2^30]"]
        );
    }

    #[test]
    fn a_peer_cannot_smuggle_text_into_the_answer() {
        assert_eq!(printable("/Evil:1.0\"\u{1b}[31m<b>/"), "/Evil:1.031mb/");
    }

    #[test]
    fn addresses_of_a_lab_are_not_routable() {
        for (addr, network) in [
            ("10.1.2.3:1", "not_publicly_routable"),
            ("127.0.0.1:1", "not_publicly_routable"),
            ("8.8.8.8:1", "ipv4"),
            ("[fd00::1]:1", "not_publicly_routable"),
            ("[2001:4860::1]:1", "ipv6"),
        ] {
            assert_eq!(network_of(&addr.parse().unwrap()), network, "{addr}");
        }
    }
}
