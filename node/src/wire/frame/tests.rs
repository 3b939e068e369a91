//! The codec against itself, against known bytes, against rust-bitcoin's, and against noise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bitcoin::bip152::ShortId;
use bitcoin::block::Header;
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::p2p::message::{NetworkMessage, RawNetworkMessage};
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{
    BlockHash, CompactTarget, Network, OutPoint, ScriptBuf, Transaction, TxIn, TxMerkleNode, TxOut,
    Txid, Witness, Wtxid, absolute, transaction,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::{
    AddressesV2, BlockTransactions, BlockTransactionsRequest, CompactBlock, LocatorRequest,
    PeerAddress, SendCmpct, Version,
};

fn socket() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<[u8; 4]>().prop_map(|ip| IpAddr::V4(Ipv4Addr::from(ip)));
    let v6 = any::<[u8; 16]>().prop_map(|ip| {
        let ip = Ipv6Addr::from(ip);
        ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
    });
    (prop_oneof![v4, v6], any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn address() -> impl Strategy<Value = PeerAddress> {
    (any::<u32>(), any::<u64>(), socket()).prop_map(|(last_seen_secs, services, addr)| {
        PeerAddress {
            last_seen_secs,
            services,
            addr,
        }
    })
}

fn block_hash() -> impl Strategy<Value = BlockHash> {
    any::<[u8; 32]>().prop_map(BlockHash::from_byte_array)
}

fn header() -> impl Strategy<Value = Header> {
    (
        any::<i32>(),
        block_hash(),
        any::<[u8; 32]>(),
        any::<[u32; 3]>(),
    )
        .prop_map(
            |(version, prev_blockhash, merkle, [time, bits, nonce])| Header {
                version: bitcoin::block::Version::from_consensus(version),
                prev_blockhash,
                merkle_root: TxMerkleNode::from_byte_array(merkle),
                time,
                bits: CompactTarget::from_consensus(bits),
                nonce,
            },
        )
}

fn inventory() -> impl Strategy<Value = Inventory> {
    (0u8..7, any::<[u8; 32]>()).prop_map(|(kind, hash)| match kind {
        0 => Inventory::Transaction(Txid::from_byte_array(hash)),
        1 => Inventory::Block(BlockHash::from_byte_array(hash)),
        2 => Inventory::CompactBlock(BlockHash::from_byte_array(hash)),
        3 => Inventory::WTx(Wtxid::from_byte_array(hash)),
        4 => Inventory::WitnessTransaction(Txid::from_byte_array(hash)),
        5 => Inventory::WitnessBlock(BlockHash::from_byte_array(hash)),
        _ => Inventory::Unknown { inv_type: 77, hash },
    })
}

fn version() -> impl Strategy<Value = Version> {
    (
        any::<(u32, u64, i64, u64, u64, i32, bool)>(),
        socket(),
        socket(),
        "[ -~]{0,256}",
    )
        .prop_map(|(numbers, receiver, sender, user_agent)| Version {
            protocol: numbers.0,
            services: numbers.1,
            time_secs: numbers.2,
            receiver_services: numbers.3,
            receiver,
            sender,
            nonce: numbers.4,
            user_agent: user_agent.into(),
            start_height: numbers.5,
            relay: numbers.6,
        })
}

/// Transactions that no two have alike.
fn transactions() -> impl Strategy<Value = Vec<Transaction>> {
    vec(
        (vec(any::<u8>(), 0..300), vec(vec(any::<u8>(), 0..80), 0..3)),
        1..300,
    )
    .prop_map(|list| {
        let made = list.into_iter().enumerate().map(|(n, (script, witness))| {
            let input = TxIn {
                previous_output: OutPoint::new(Txid::from_byte_array([7; 32]), n as u32),
                script_sig: ScriptBuf::from_bytes(script),
                witness: Witness::from_slice(&witness),
                ..TxIn::default()
            };
            Transaction {
                version: transaction::Version::TWO,
                lock_time: absolute::LockTime::ZERO,
                input: vec![input],
                output: vec![TxOut::NULL],
            }
        });
        made.collect()
    })
}

/// Compact blocks with any of their transactions prefilled.
fn compact_block() -> impl Strategy<Value = CompactBlock> {
    let parts = (
        header(),
        any::<u64>(),
        transactions(),
        vec(any::<bool>(), 300),
    );
    parts.prop_map(|(header, nonce, transactions, chosen)| {
        let keys = ShortId::calculate_siphash_keys(&header, nonce);
        let (mut short_ids, mut prefilled) = (Vec::new(), Vec::new());
        for (place, tx) in transactions.into_iter().enumerate() {
            match chosen[place] {
                true => prefilled.push((place as u16, Arc::new(tx))),
                false => {
                    let wtxid = tx.compute_wtxid().to_byte_array();
                    short_ids.push(ShortId::with_siphash_keys(&wtxid, keys));
                }
            }
        }
        CompactBlock::new(header, nonce, short_ids, prefilled).unwrap()
    })
}

fn inventories() -> impl Strategy<Value = Vec<Inventory>> {
    vec(inventory(), 0..300)
}

fn send_cmpct() -> impl Strategy<Value = SendCmpct> {
    (any::<bool>(), any::<u64>()).prop_map(|(high_bandwidth, version)| SendCmpct {
        high_bandwidth,
        version,
    })
}

fn block_transactions_request() -> impl Strategy<Value = BlockTransactionsRequest> {
    (block_hash(), vec(any::<u16>(), 0..300)).prop_map(|(block, places)| BlockTransactionsRequest {
        block,
        places: places.into_iter().collect(),
    })
}

fn block_transactions() -> impl Strategy<Value = BlockTransactions> {
    (block_hash(), transactions()).prop_map(|(block, list)| BlockTransactions {
        block,
        transactions: list.into_iter().map(Arc::new).collect(),
    })
}

fn locator_request() -> impl Strategy<Value = LocatorRequest> {
    (vec(block_hash(), 0..=101), block_hash())
        .prop_map(|(locator, stop)| LocatorRequest { locator, stop })
}

/// Any message of a kind; all kinds are here, or it does not compile.
fn message_of(command: Command) -> BoxedStrategy<Message> {
    let genesis = bitcoin::constants::genesis_block(Network::Regtest);
    match command {
        Command::Addr => vec(address(), 0..300).prop_map(Message::Addr).boxed(),
        Command::AddrV2 => vec(address(), 0..300)
            .prop_map(|list| Message::AddrV2(AddressesV2(list)))
            .boxed(),
        Command::Block => Just(Message::Block(Arc::new(genesis))).boxed(),
        Command::BlockTxn => block_transactions()
            .prop_map(|given| Message::BlockTxn(Box::new(given)))
            .boxed(),
        Command::CmpctBlock => compact_block()
            .prop_map(|compact| Message::CmpctBlock(Arc::new(compact)))
            .boxed(),
        Command::FeeFilter => (0..=bitcoin::Amount::MAX_MONEY.to_sat())
            .prop_map(Message::FeeFilter)
            .boxed(),
        Command::GetAddr => Just(Message::GetAddr).boxed(),
        Command::GetBlocks => locator_request()
            .prop_map(|asked| Message::GetBlocks(Box::new(asked)))
            .boxed(),
        Command::GetBlockTxn => block_transactions_request()
            .prop_map(|asked| Message::GetBlockTxn(Box::new(asked)))
            .boxed(),
        Command::GetData => inventories().prop_map(Message::GetData).boxed(),
        Command::GetHeaders => locator_request()
            .prop_map(|asked| Message::GetHeaders(Box::new(asked)))
            .boxed(),
        Command::Headers => vec(header(), 0..300)
            .prop_map(|headers| Message::Headers(headers.into()))
            .boxed(),
        Command::Inv => inventories().prop_map(Message::Inv).boxed(),
        Command::NotFound => inventories().prop_map(Message::NotFound).boxed(),
        Command::Ping => any::<u64>().prop_map(Message::Ping).boxed(),
        Command::Pong => any::<u64>().prop_map(Message::Pong).boxed(),
        Command::SendAddrV2 => Just(Message::SendAddrV2).boxed(),
        Command::SendCmpct => send_cmpct().prop_map(Message::SendCmpct).boxed(),
        Command::SendHeaders => Just(Message::SendHeaders).boxed(),
        Command::Tx => Just(Message::Tx(Arc::new(genesis.txdata[0].clone()).into())).boxed(),
        Command::Verack => Just(Message::Verack).boxed(),
        Command::Version => version()
            .prop_map(|version| Message::Version(Box::new(version)))
            .boxed(),
        Command::WtxidRelay => Just(Message::WtxidRelay).boxed(),
        Command::Other => vec(any::<u8>(), 0..300)
            .prop_map(|payload| Message::Unknown {
                command: CommandName::from_wire(*b"mystery\0\0\0\0\0").unwrap(),
                payload: payload.into(),
            })
            .boxed(),
    }
}

fn message() -> impl Strategy<Value = Message> {
    let kinds = Command::NAMED.into_iter().chain([Command::Other]);
    proptest::sample::select(kinds.collect::<Vec<_>>()).prop_flat_map(message_of)
}

/// Everything that a stream holds, cut into pieces of the given length.
fn decode_in_pieces(bytes: &[u8], piece: usize) -> Result<Vec<(Message, u32)>, DecodeError> {
    let mut decoder = Decoder::new();
    let mut messages = Vec::new();
    for part in bytes.chunks(piece.max(1)) {
        decoder.push(part);
        while let Some(found) = decoder.next_message()? {
            messages.push(found);
        }
    }
    assert_eq!(decoder.pending_bytes(), 0);
    Ok(messages)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_however_it_is_cut(
        sent in vec(message(), 1..6),
        piece in 1usize..5_000,
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(encode).collect();
        let received = decode_in_pieces(&bytes, piece).unwrap();
        prop_assert_eq!(received.iter().map(|(m, _)| m.clone()).collect::<Vec<_>>(), sent);
        prop_assert_eq!(received.iter().map(|(_, n)| *n as usize).sum::<usize>(), bytes.len());
    }

    #[test]
    fn the_size_on_the_wire_is_known_without_encoding(message in message()) {
        prop_assert_eq!(message.wire_size() as usize, encode(&message).len());
    }

    #[test]
    fn rust_bitcoin_reads_the_same_frames(message in message()) {
        prop_assume!(!matches!(message, Message::Unknown { .. }));
        let bytes = encode(&message);
        let theirs: RawNetworkMessage = bitcoin::consensus::deserialize(&bytes).unwrap();
        prop_assert_eq!(theirs.cmd(), message.command().name());
        prop_assert_eq!(serialize(&theirs), bytes);
    }

    #[test]
    fn noise_never_panics_nor_is_buffered_beyond_what_came(bytes in vec(any::<u8>(), 0..2_000)) {
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        while let Ok(Some(_)) = decoder.next_message() {}
        prop_assert!(decoder.pending_bytes() <= bytes.len());
    }

    #[test]
    fn noise_inside_well_formed_frames_never_panics(
        which in 0usize..Command::NAMED.len(),
        payload in vec(any::<u8>(), 0..3_000),
    ) {
        let command = Command::NAMED[which];
        let limit = command.payload_bytes_max();
        let payload = &payload[..payload.len().min(limit)];
        // Only the payload's reading is meant: `read` is given it as the frame would.
        let _ = Message::read(command.into(), payload);
    }

    #[test]
    fn a_spoilt_payload_is_refused_or_is_another_message(
        message in message(),
        spoilt in vec((any::<usize>(), any::<u8>()), 1..6),
        kept in any::<usize>(),
    ) {
        let mut payload = encode(&message).split_off(FRAME_HEADER_BYTES);
        for (at, byte) in spoilt {
            let at = at.checked_rem(payload.len()).unwrap_or(0);
            payload.splice(at..(at + 1).min(payload.len()), [byte]);
        }
        payload.truncate(payload.len() - (kept % payload.len()) / 20);
        if let Ok(other) = Message::read(message.command_name(), &payload) {
            prop_assert_eq!(other.wire_size() as usize, encode(&other).len());
        }
    }

    #[test]
    fn one_flipped_bit_is_an_error_or_waits_for_more(message in message(), at in any::<usize>()) {
        let mut bytes = encode(&message);
        let bit = at % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        // A flip inside the command name gives another name whose payload still has its checksum.
        let in_name = (4 * 8..16 * 8).contains(&bit);
        prop_assert!(in_name || !matches!(decoder.next_message(), Ok(Some(_))));
    }
}

#[test]
fn a_verack_has_its_well_known_bytes() {
    let bytes = encode(&Message::Verack);
    let mut expected = MAGIC_REGTEST.to_vec();
    expected.extend_from_slice(b"verack\0\0\0\0\0\0");
    expected.extend_from_slice(&[0, 0, 0, 0, 0x5d, 0xf6, 0xe0, 0xe2]);
    assert_eq!(bytes, expected);
}

#[test]
fn rust_bitcoin_s_headers_are_read() {
    let genesis = bitcoin::constants::genesis_block(Network::Regtest);
    let theirs = RawNetworkMessage::new(
        bitcoin::p2p::Magic::REGTEST,
        NetworkMessage::Headers(vec![genesis.header]),
    );
    let messages = decode_in_pieces(&serialize(&theirs), 7).unwrap();
    assert_eq!(messages[0].0, Message::Headers(vec![genesis.header].into()));
}

/// A frame's header without its payload.
fn frame_header(command: &[u8; 12], bytes: u32) -> Vec<u8> {
    let mut header = MAGIC_REGTEST.to_vec();
    header.extend_from_slice(command);
    header.extend_from_slice(&bytes.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    header
}

#[test]
fn an_oversized_message_is_refused_by_its_header_alone() {
    for (command, bytes) in [
        (b"ping\0\0\0\0\0\0\0\0", 9),
        (b"block\0\0\0\0\0\0\0", 4_000_001),
        (b"mystery\0\0\0\0\0", u32::MAX),
        (b"headers\0\0\0\0\0", 2_001 * 81 + 3),
    ] {
        let mut decoder = Decoder::new();
        decoder.push(&frame_header(command, bytes));
        let error = decoder.next_message().unwrap_err();
        assert!(
            matches!(error, DecodeError::Oversized { bytes: b, .. } if b == bytes),
            "{error}"
        );
    }
}

#[test]
fn another_network_is_noticed() {
    let mut bytes = encode(&Message::Verack);
    bytes[..4].copy_from_slice(&[0xf9, 0xbe, 0xb4, 0xd9]);
    let mut decoder = Decoder::new();
    decoder.push(&bytes);
    let error = decoder.next_message().unwrap_err();
    assert_eq!(error.to_string(), "wrong network magic f9beb4d9");
}

#[test]
fn a_large_buffer_is_given_back() {
    let payload = vec![0; 100_000].into();
    let command = CommandName::from_wire(*b"mystery\0\0\0\0\0").unwrap();
    let mut decoder = Decoder::new();
    decoder.push(&encode(&Message::Unknown { command, payload }));
    assert!(decoder.next_message().unwrap().is_some());
    assert_eq!(decoder.buffer.capacity(), 0);
}

#[test]
fn a_version_without_the_relay_flag_means_relay() {
    let version = Version {
        protocol: 70_016,
        services: 9,
        time_secs: 1,
        receiver_services: 0,
        receiver: "1.2.3.4:5".parse().unwrap(),
        sender: "0.0.0.0:0".parse().unwrap(),
        nonce: 7,
        user_agent: "/a/".into(),
        start_height: 3,
        relay: false,
    };
    let bytes = encode(&Message::Version(Box::new(version)));
    let payload = &bytes[FRAME_HEADER_BYTES..bytes.len() - 1];
    let Message::Version(read) = Message::read(Command::Version.into(), payload).unwrap() else {
        panic!("not a version");
    };
    assert!(read.relay);
}
