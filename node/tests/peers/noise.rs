//! Peers that say anything at any time: the node may let them go, but it never panics, and it goes
//! on serving an honest peer.

use std::sync::Arc;

use bitcoin::bip152::ShortId;
use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{BlockHash, Txid, Wtxid};
use peerlab_node::Config;
use peerlab_node::wire::{
    AddressesV2, BlockTransactions, BlockTransactionsRequest, CommandName, CompactBlock,
    LocatorRequest, Message, PeerAddress, SendCmpct,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::ledger::*;
use crate::puppet::*;
use crate::world::*;

/// A hash that means something in the common past, or nothing.
fn hash() -> impl Strategy<Value = [u8; 32]> {
    prop_oneof![
        (0..PAST_BLOCKS as usize).prop_map(|n| past()[n].block_hash().to_byte_array()),
        (0..PAST_BLOCKS as usize).prop_map(|n| past()[n].txdata[0].compute_txid().to_byte_array()),
        (0..20usize).prop_map(|n| spend_past(n, 0).compute_wtxid().to_byte_array()),
        any::<[u8; 32]>(),
        Just([0; 32]),
    ]
}

fn inventory() -> impl Strategy<Value = Inventory> {
    (0..7u8, hash()).prop_map(|(kind, hash)| match kind {
        0 => Inventory::Transaction(Txid::from_byte_array(hash)),
        1 => Inventory::Block(BlockHash::from_byte_array(hash)),
        2 => Inventory::WTx(Wtxid::from_byte_array(hash)),
        3 => Inventory::WitnessTransaction(Txid::from_byte_array(hash)),
        4 => Inventory::WitnessBlock(BlockHash::from_byte_array(hash)),
        5 => Inventory::CompactBlock(BlockHash::from_byte_array(hash)),
        _ => Inventory::Unknown { inv_type: 9, hash },
    })
}

/// A header of the common past, or one like it with work but without a place.
fn header() -> impl Strategy<Value = Header> {
    (0..PAST_BLOCKS as usize, any::<bool>(), hash(), any::<u32>()).prop_map(
        |(n, true_to_past, parent, time)| {
            let mut header = past()[n].header;
            if !true_to_past {
                header.prev_blockhash = BlockHash::from_byte_array(parent);
                header.time = time;
                while header.validate_pow(header.target()).is_err() {
                    header.nonce = header.nonce.wrapping_add(1);
                }
            }
            header
        },
    )
}

fn address() -> impl Strategy<Value = PeerAddress> {
    (any::<u32>(), any::<u64>(), any::<[u8; 4]>(), any::<u16>()).prop_map(
        |(last_seen_secs, services, ip, port)| PeerAddress {
            last_seen_secs,
            services,
            addr: (ip, port).into(),
        },
    )
}

/// Handshakes with absurd numbers.
fn version() -> impl Strategy<Value = Message> {
    (any::<i32>(), any::<i64>(), any::<u64>(), any::<u32>()).prop_map(
        |(height, time_secs, services, protocol)| {
            let Message::Version(mut version) = puppet_version(Node(9), height) else {
                unreachable!("it is a version");
            };
            version.time_secs = time_secs;
            version.services = services | 9;
            version.protocol = protocol.max(70_016);
            Message::Version(version)
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let plain = prop_oneof![
        Just(Message::Verack),
        Just(Message::WtxidRelay),
        Just(Message::SendAddrV2),
        Just(Message::SendHeaders),
        Just(Message::GetAddr),
        any::<u64>().prop_map(Message::Ping),
        any::<u64>().prop_map(Message::Pong),
        any::<u64>().prop_map(Message::FeeFilter),
        version(),
        (any::<bool>(), 0..4u64).prop_map(|(high_bandwidth, version)| Message::SendCmpct(
            SendCmpct {
                high_bandwidth,
                version,
            }
        )),
        Just(Message::Unknown {
            command: CommandName::from_wire(*b"mystery\0\0\0\0\0").unwrap(),
            payload: [1].into(),
        }),
    ];
    let lists = prop_oneof![
        vec(address(), 0..20).prop_map(Message::Addr),
        vec(address(), 0..20).prop_map(|list| Message::AddrV2(AddressesV2(list))),
        vec(inventory(), 0..30).prop_map(Message::Inv),
        vec(inventory(), 0..30).prop_map(Message::GetData),
        vec(inventory(), 0..30).prop_map(Message::NotFound),
        vec(header(), 0..5).prop_map(|headers| Message::Headers(headers.into())),
        (vec(hash(), 0..10), hash(), any::<bool>()).prop_map(|(locator, stop, headers)| {
            let locator = locator.into_iter().map(BlockHash::from_byte_array);
            let asked = Box::new(LocatorRequest {
                locator: locator.collect(),
                stop: BlockHash::from_byte_array(stop),
            });
            match headers {
                true => Message::GetHeaders(asked),
                false => Message::GetBlocks(asked),
            }
        }),
    ];
    let bodies = prop_oneof![
        (0..PAST_BLOCKS as usize).prop_map(|n| Message::Block(past()[n].clone())),
        (0..20usize, 0..3u64).prop_map(|(n, v)| Message::Tx(spend_past(n, v).into())),
    ];
    prop_oneof![2 => plain, 4 => lists, 1 => bodies, 3 => compact_messages()]
}

/// Blocks that are sound or not, on the tip or anywhere, with short ids that mean something or
/// nothing; and transactions of them.
fn compact_messages() -> impl Strategy<Value = Message> {
    let id = (0..20usize, 0..3u64, any::<bool>());
    let compact = (next_header(), any::<bool>(), vec(id, 0..6), 0..6u16).prop_map(
        |(header, salted, ids, place)| {
            let nonce = u64::from(salted);
            let keys = ShortId::calculate_siphash_keys(&header, nonce);
            let ids: Vec<_> = ids
                .into_iter()
                .map(|(n, variant, known)| {
                    let wtxid = spend_past(n, variant).compute_wtxid().to_byte_array();
                    ShortId::with_siphash_keys(&if known { wtxid } else { [n as u8; 32] }, keys)
                })
                .collect();
            let coinbase = Arc::new(past()[3].txdata[0].clone());
            let place = place.min(ids.len() as u16);
            let made = CompactBlock::new(header, nonce, ids, vec![(place, coinbase)]);
            Message::CmpctBlock(Arc::new(made.unwrap()))
        },
    );
    let asked = (next_hash(), vec(any::<u16>(), 0..4), any::<bool>());
    let asked = asked.prop_map(|(block, places, first)| {
        let places = if first { vec![0] } else { places };
        Message::GetBlockTxn(Box::new(BlockTransactionsRequest {
            block,
            places: places.into_iter().collect(),
        }))
    });
    let given = (next_hash(), vec((0..20usize, 0..3u64), 0..4));
    let given = given.prop_map(|(block, list)| {
        Message::BlockTxn(Box::new(BlockTransactions {
            block,
            transactions: list.into_iter().map(|(n, v)| spend_past(n, v)).collect(),
        }))
    });
    prop_oneof![2 => compact, 1 => asked, 2 => given]
}

/// A header of the past, or one of four on the tip.
fn next_header() -> impl Strategy<Value = Header> {
    let next = (0..4u8).prop_map(|n| {
        let tip = past()[PAST_BLOCKS as usize - 1].block_hash();
        let mut header = past()[PAST_BLOCKS as usize - 1].header;
        header.prev_blockhash = tip;
        header.time += 1 + u32::from(n);
        while header.validate_pow(header.target()).is_err() {
            header.nonce = header.nonce.wrapping_add(1);
        }
        header
    });
    prop_oneof![1 => header(), 4 => next]
}

fn next_hash() -> impl Strategy<Value = BlockHash> {
    next_header().prop_map(|header| header.block_hash())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 500, ..Default::default() })]
    #[test]
    fn peers_that_say_anything_do_no_harm(
        seed in 0u64..100,
        greets in any::<bool>(),
        said in vec((0usize..3, message(), 0u64..3_000), 0..60),
    ) {
        let mut world = World::new(seed);
        let node = world.add(Config { addresses_max: 50, ..Config::default() });
        let friend = world.add(connect_to(&[node]));
        let puppets: Vec<_> = (0..3)
            .map(|_| {
                let puppet = world.add_puppet();
                let link = if greets {
                    world.puppet_joins(puppet, node, 7)
                } else {
                    world.join(puppet, node)
                };
                (puppet, link)
            })
            .collect();
        for (who, message, millis) in said {
            let (puppet, link) = puppets[who];
            world.say(puppet, link, message);
            world.run(std::time::Duration::from_millis(millis));
        }
        world.mine(friend);
        world.run(secs(15));
        prop_assert_eq!(world.tip(node), world.tip(friend));
        prop_assert!(world.reasons(node, friend).is_empty());
    }
}
