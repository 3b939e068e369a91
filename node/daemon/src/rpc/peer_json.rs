//! A peer as getpeerinfo shows it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bitcoin::Amount;
use peerlab_node::chain::{Chain, HeaderEntry};
use peerlab_node::peers::{BytesByCommand, Peer};
use peerlab_node::time::Time;
use serde_json::{Value, json};

use super::context::present;
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
    let version = peer.version.as_deref();
    let services = peer.services().to_u64();
    let best_known = peer.sync.best_known();
    let synced_headers = best_known.and_then(|hash| chain.entry(&hash));
    // The last block of the active chain that the peer has.
    let synced_blocks = best_known.and_then(|hash| chain.fork_point(&hash));
    present(json!({
        "id": peer.id.0,
        "addr": peer.addr,
        "addrlocal": peer.local_addr(),
        "network": network_of(&peer.addr),
        "services": format!("{services:016x}"),
        "servicesnames": service_names(services),
        "relaytxes": peer.transactions.is_wanted(),
        "lastsend": secs(peer.last_sent.get()),
        "lastrecv": secs(peer.last_received.get()),
        "last_transaction": secs(peer.last_transaction.get()),
        "last_block": secs(peer.last_block.get()),
        "bytessent": peer.traffic.sent.total(),
        "bytesrecv": peer.traffic.received.total(),
        "conntime": peer.connected_at.unix_secs(),
        "timeoffset": peer.time_offset_secs,
        "pingtime": peer.ping.last.as_ref().map(Duration::as_secs_f64),
        "minping": peer.ping.min.as_ref().map(Duration::as_secs_f64),
        "pingwait": peer.ping.wait(now).as_ref().map(Duration::as_secs_f64),
        "version": version.map_or(0, |v| v.protocol),
        "subver": version.map_or(String::new(), |v| printable(&v.user_agent)),
        "inbound": peer.kind.is_inbound(),
        "bip152_hb_to": peer.sync.is_high_bandwidth_to(),
        "bip152_hb_from": peer.sync.is_high_bandwidth_from(),
        "startingheight": version.map_or(-1, |v| v.start_height),
        "presynced_headers": -1,
        "synced_headers": height(synced_headers),
        "synced_blocks": height(synced_blocks),
        "inflight": peer.sync.heights_in_flight().collect::<Value>(),
        "relaytxpackages": false,
        "addr_relay_enabled": peer.gossip.enabled,
        "addr_processed": peer.gossip.processed,
        "addr_rate_limited": peer.gossip.rate_limited,
        "permissions": [],
        "minfeefilter": btc(Amount::from_sat(peer.transactions.fee_filter())),
        "bytessent_per_msg": by_command(&peer.traffic.sent),
        "bytesrecv_per_msg": by_command(&peer.traffic.received),
        "connection_type": peer.kind.as_str(),
        "transport_protocol_type": "v1",
        "session_id": "",
    }))
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

fn secs(time: Option<Time>) -> u32 {
    time.map_or(0, Time::unix_secs)
}

fn by_command(bytes: &BytesByCommand) -> Value {
    let named = bytes.iter().map(|(command, bytes)| (command.name(), bytes));
    named.collect()
}

/// -1 if it is not known.
fn height(entry: Option<&HeaderEntry>) -> i64 {
    entry.map_or(-1, |entry| i64::from(entry.height))
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
