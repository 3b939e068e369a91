//! Methods about peers: who they are, what passes between, who is wanted and who is not.

use std::net::SocketAddr;
use std::time::Duration;

use peerlab_node::io::PeerId;
use peerlab_node::options::{P2P_PORT, parse_address};
use peerlab_node::peers::{Subnet, TargetKind};
use peerlab_node::time::Time;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::context::{Answer, Context, done};
use super::error::{Code, OrFail, RpcError, fail};
use super::peer_json::{peer_json, service_names};
use super::tx_json::btc;

/// What `-bantime` is in Bitcoin Core by default.
const BAN_TIME_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);
/// Addresses that getnodeaddresses returns by default. Bitcoin Core's.
const NODE_ADDRESSES_DEFAULT: i64 = 1;
/// Nanoseconds in a millisecond.
const NANOS_PER_MILLI: u64 = 1_000_000;
/// The window that `uploadtarget` names; there is no target.
const UPLOAD_TIMEFRAME_SECS: u32 = 86_400;
/// Bitcoin Core version whose answers these are.
const CORE_VERSION: u32 = 280_000;

pub(super) fn getpeerinfo(context: &mut Context<'_>, _: &Arguments) -> Answer {
    let machine = &context.machine;
    let peers = machine.peers();
    let shown = peers.map(|peer| peer_json(peer, machine.chain(), context.now));
    done(shown.collect::<Value>())
}

pub(super) fn getconnectioncount(context: &mut Context<'_>, _: &Arguments) -> Answer {
    done(context.machine.peers().count())
}

pub(super) fn getnettotals(context: &mut Context<'_>, _: &Arguments) -> Answer {
    let totals = context.machine.totals();
    let tally = context.machine.compact_tally();
    done(json!({
        "totalbytesrecv": totals.received.total(),
        "totalbytessent": totals.sent.total(),
        "timemillis": context.now.0 / NANOS_PER_MILLI,
        // Not in Bitcoin Core: how compact blocks served this node.
        "compactblocks": {
            "rebuilt": tally.rebuilt,
            "asked": tally.asked,
            "missing": tally.missing,
            "waitednanos": u64::try_from(tally.waited.as_nanos()).unwrap_or(u64::MAX),
        },
        "uploadtarget": {
            "timeframe": UPLOAD_TIMEFRAME_SECS,
            "target": 0,
            "target_reached": false,
            "serve_historical_blocks": true,
            "bytes_left_in_cycle": 0,
            "time_left_in_cycle": 0,
        },
    }))
}

pub(super) fn getnetworkinfo(context: &mut Context<'_>, _: &Arguments) -> Answer {
    let machine = &context.machine;
    let config = machine.config();
    let (inbound, outbound): (Vec<_>, Vec<_>) =
        machine.peers().partition(|peer| peer.kind.is_inbound());
    let relay_fee = bitcoin::Amount::from_sat(machine.mempool().min_relay_fee());
    let services = machine.services().to_u64();
    let networks = ["ipv4", "ipv6"].map(|name| {
        json!({
            "name": name, "limited": false, "reachable": true, "proxy": "",
            "proxy_randomize_credentials": false,
        })
    });
    let local = config
        .external_addr
        .iter()
        .map(|addr| json!({ "address": addr.ip(), "port": addr.port(), "score": 1 }));
    done(json!({
        "version": CORE_VERSION,
        "subversion": config.user_agent,
        "protocolversion": peerlab_node::peers::PROTOCOL_VERSION,
        "localservices": format!("{services:016x}"),
        "localservicesnames": service_names(services),
        "localrelay": config.relay_transactions,
        "timeoffset": 0,
        "networkactive": true,
        "connections": inbound.len() + outbound.len(),
        "connections_in": inbound.len(),
        "connections_out": outbound.len(),
        "networks": networks,
        "relayfee": btc(relay_fee),
        "incrementalfee": btc(relay_fee),
        "localaddresses": local.collect::<Value>(),
        "warnings": [],
    }))
}

pub(super) fn getnodeaddresses(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let count = arguments.integer_or(0, NODE_ADDRESSES_DEFAULT)?;
    let count =
        usize::try_from(count).or_fail(Code::InvalidParameter, "Address count out of range")?;
    let network = arguments.text_opt(1)?;
    let family = |addr: &SocketAddr| if addr.is_ipv4() { "ipv4" } else { "ipv6" };
    let shown = context
        .machine
        .known_addresses()
        .filter(|known| network.is_none_or(|network| network == family(&known.addr)))
        .take(if count == 0 { usize::MAX } else { count })
        .map(|known| {
            json!({
                "time": known.last_seen_secs,
                "services": known.services,
                "address": known.addr.ip(),
                "port": known.addr.port(),
                "network": family(&known.addr),
            })
        });
    done(shown.collect::<Value>())
}

pub(super) fn addnode(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let (text, command) = (arguments.text(0)?, arguments.text(1)?);
    let addr = node_address(text)?;
    let machine = &mut context.machine;
    match command {
        "onetry" => machine.try_node(context.now, addr),
        "add" => machine
            .add_node(context.now, addr)
            .or_fail(Code::NodeAlreadyAdded, "Error: Node already added")?,
        "remove" => machine.remove_node(addr).or_fail(
            Code::NodeNotAdded,
            "Error: Node could not be removed. It has not been added previously.",
        )?,
        _ => {
            return fail(
                Code::InvalidParameter,
                format!("command is 'add', 'remove' or 'onetry', not '{command}'"),
            );
        }
    }
    done(Value::Null)
}

pub(super) fn getaddednodeinfo(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let only = arguments.text_opt(0)?.map(node_address).transpose()?;
    let machine = &context.machine;
    let is_inbound = |addr: SocketAddr| {
        let mut peers = machine.peers();
        peers.any(|peer| peer.addr == addr && peer.kind.is_inbound())
    };
    let shown: Vec<Value> = machine
        .added_nodes()
        .filter(|(_, kind, _)| *kind != TargetKind::Seed)
        .filter(|(addr, _, _)| only.is_none_or(|only| only == *addr))
        .map(|(addr, _, connected)| {
            let direction = if is_inbound(addr) {
                "inbound"
            } else {
                "outbound"
            };
            let address = json!({ "address": addr, "connected": direction });
            json!({
                "addednode": addr,
                "connected": connected,
                "addresses": connected.then_some(address).as_slice(),
            })
        })
        .collect();
    (only.is_none() || !shown.is_empty())
        .or_fail(Code::NodeNotAdded, "Error: Node has not been added.")?;
    done(shown)
}

pub(super) fn disconnectnode(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let address = arguments.text_opt(0)?.filter(|address| !address.is_empty());
    let gone = match (address, arguments.has(1)) {
        (Some(address), false) => {
            let addr = node_address(address).ok();
            addr.is_some_and(|addr| context.machine.disconnect_node(context.now, addr))
        }
        (None, true) => {
            let id = u64::try_from(arguments.integer(1)?).ok().map(PeerId);
            id.is_some_and(|id| context.machine.disconnect_peer(context.now, id))
        }
        _ => {
            return fail(
                Code::InvalidParams,
                "Only one of address and nodeid should be provided.",
            );
        }
    };
    gone.or_fail(Code::NodeNotConnected, "Node not found in connected nodes")?;
    done(Value::Null)
}

pub(super) fn ping(context: &mut Context<'_>, _: &Arguments) -> Answer {
    context.machine.ping_all(context.now);
    done(Value::Null)
}

pub(super) fn setban(context: &mut Context<'_>, arguments: &Arguments) -> Answer {
    let (text, command) = (arguments.text(0)?, arguments.text(1)?);
    let subnet: Subnet = text
        .parse()
        .or_fail(Code::InvalidIpOrSubnet, "Error: Invalid IP/Subnet")?;
    match command {
        "add" => {
            let banned = context.machine.has_ban(&subnet, context.now);
            (!banned).or_fail(Code::NodeAlreadyAdded, "Error: IP/Subnet already banned")?;
            let until = ban_end(context, arguments)?;
            context.machine.set_ban(context.now, subnet, until);
        }
        "remove" => context.machine.clear_ban(&subnet).or_fail(
            Code::InvalidIpOrSubnet,
            "Error: Unban failed. Requested address/subnet was not previously manually banned.",
        )?,
        _ => {
            return fail(
                Code::InvalidParameter,
                format!("command is 'add' or 'remove', not '{command}'"),
            );
        }
    }
    done(Value::Null)
}

fn ban_end(context: &Context<'_>, arguments: &Arguments) -> Result<Time, RpcError> {
    let secs = arguments.integer_or(2, 0)?;
    let absolute = arguments.flag_or(3, false)?;
    let secs =
        u64::try_from(secs).or_fail(Code::InvalidParameter, "bantime must not be negative")?;
    let nanos = |secs: u64| Duration::from_secs(secs).as_nanos();
    let end = match (secs, absolute) {
        (0, false) => u128::from(context.now.0) + BAN_TIME_DEFAULT.as_nanos(),
        (secs, false) => u128::from(context.now.0) + nanos(secs),
        (secs, true) => nanos(secs),
    };
    let end = Time(u64::try_from(end).unwrap_or(u64::MAX));
    (end >= context.now).or_fail(
        Code::InvalidParameter,
        "Error: Absolute timestamp is in the past",
    )?;
    Ok(end)
}

pub(super) fn listbanned(context: &mut Context<'_>, _: &Arguments) -> Answer {
    let now = context.now.unix_secs();
    let shown = context.machine.bans(context.now).map(|(subnet, ban)| {
        let (created, until) = (ban.created.unix_secs(), ban.until.unix_secs());
        json!({
            "address": subnet.to_string(),
            "ban_created": created,
            "banned_until": until,
            "ban_duration": until - created,
            "time_remaining": until.saturating_sub(now),
        })
    });
    done(shown.collect::<Value>())
}

pub(super) fn clearbanned(context: &mut Context<'_>, _: &Arguments) -> Answer {
    context.machine.clear_bans();
    done(Value::Null)
}

/// Names are not looked up.
fn node_address(text: &str) -> Result<SocketAddr, RpcError> {
    parse_address(text, P2P_PORT).or_fail(
        Code::InvalidParameter,
        format!("'{text}' is no IP address, with or without a port"),
    )
}
