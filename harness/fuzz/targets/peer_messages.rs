//! What peers send to a node: frames with sound headers around any payload, and any bytes; read, written
//! again, and given to a node with two peers, as time passes.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::net::SocketAddr;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use bitcoin::hashes::{Hash as _, sha256d};
use peerlab_fuzz::ledger;
use peerlab_node::io::{Event, Input, Output, PeerId, Time};
use peerlab_node::mempool::Mempool;
use peerlab_node::wire::{Command, CommandName, Decoder, MAGIC_REGTEST, Message, Version, encode};
use peerlab_node::{Config, Machine};

const PEERS: u64 = 2;
/// As of a node that knows compact blocks and announces by wtxid.
const PROTOCOL: u32 = 70_016;

pub fn check(bytes: &[u8]) -> bool {
    let mut node = Node::new();
    node.greet();
    let _ = node.hear(&mut Unstructured::new(bytes));
    node.heard > 0
}

struct Node {
    machine: Machine,
    now: Time,
    decoders: Vec<Decoder>,
    /// Messages that were read from bytes.
    heard: u32,
}

impl Node {
    fn new() -> Node {
        let now = ledger::now();
        let config = Config::default();
        Node {
            machine: Machine::new(config, ledger::begun(), Mempool::new(), 1, now),
            now,
            decoders: (0..PEERS).map(|_| Decoder::new()).collect(),
            heard: 0,
        }
    }

    /// Both connect and say who they are.
    fn greet(&mut self) {
        for peer in (0..PEERS).map(PeerId) {
            let addr = SocketAddr::from(([10, 0, 0, peer.0 as u8 + 1], 18_444));
            self.handle(Input::Connected {
                peer,
                addr,
                inbound: true,
            });
            let version = Version {
                protocol: PROTOCOL,
                services: 9,
                time_secs: i64::from(self.now.unix_secs()),
                receiver_services: 0,
                receiver: addr,
                sender: addr,
                nonce: 7 + peer.0,
                user_agent: "/fuzz/".into(),
                start_height: 0,
                relay: true,
            };
            for message in [
                Message::Version(Box::new(version)),
                Message::WtxidRelay,
                Message::Verack,
            ] {
                self.received(peer, message);
            }
        }
        assert_eq!(self.machine.peers().count() as u64, PEERS);
    }

    fn hear(&mut self, draw: &mut Unstructured<'_>) -> Result<()> {
        while !draw.is_empty() {
            let peer = PeerId(draw.int_in_range(0..=PEERS - 1)?);
            match draw.arbitrary::<u8>()? % 16 {
                0 => {
                    self.now = self.now + Duration::from_millis(draw.arbitrary::<u16>()?.into());
                    self.handle(Input::Timer);
                }
                1 => {
                    self.now = self.now + Duration::from_secs(draw.arbitrary::<u16>()?.into());
                    self.handle(Input::Timer);
                }
                2 => {
                    let length = usize::from(draw.arbitrary::<u8>()?).min(draw.len());
                    self.read(peer, draw.bytes(length)?);
                }
                3 => self.handle(Input::Progress { peer }),
                _ => {
                    let bytes = frame(draw)?;
                    self.read(peer, &bytes);
                }
            }
        }
        Ok(())
    }

    /// As a driver does with what it reads.
    fn read(&mut self, peer: PeerId, bytes: &[u8]) {
        let decoder = &mut self.decoders[peer.0 as usize];
        decoder.push(bytes);
        loop {
            match self.decoders[peer.0 as usize].next_message() {
                Ok(Some((message, _))) => {
                    written_again(&message);
                    self.heard += 1;
                    self.received(peer, message);
                }
                Ok(None) => return,
                Err(error) => {
                    let reason = error.to_string();
                    // A new connection of the same peer.
                    self.decoders[peer.0 as usize] = Decoder::new();
                    return self.handle(Input::Malformed { peer, reason });
                }
            }
        }
    }

    fn received(&mut self, peer: PeerId, message: Message) {
        let wire_bytes = message.wire_size();
        self.handle(Input::Received {
            peer,
            message,
            wire_bytes,
        });
    }

    fn handle(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { message, .. } => written_again(&message),
                Output::Event(Event::StoreFailed(failure)) => panic!("{failure}"),
                _ => {}
            }
        }
    }
}

/// A message has the size that it says, and is read as it was written.
fn written_again(message: &Message) {
    let bytes = encode(message);
    assert_eq!(bytes.len() as u32, message.wire_size(), "{message:?}");
    let mut decoder = Decoder::new();
    decoder.push(&bytes);
    let (again, _) = decoder
        .next_message()
        .expect("it is sound")
        .expect("it is whole");
    assert_eq!(encode(&again), bytes);
}

/// A message of a kind that there is, or of another.
fn frame(draw: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let kind = usize::from(draw.arbitrary::<u8>()?);
    let name = match Command::NAMED.get(kind) {
        Some(command) => CommandName::from(*command).to_wire(),
        None => *b"mystery\0\0\0\0\0",
    };
    let length = usize::from(draw.arbitrary::<u16>()?).min(draw.len());
    let payload = draw.bytes(length)?;
    let mut bytes = MAGIC_REGTEST.to_vec();
    bytes.extend(name);
    bytes.extend((length as u32).to_le_bytes());
    bytes.extend(&sha256d::Hash::hash(payload).to_byte_array()[..4]);
    bytes.extend(payload);
    Ok(bytes)
}

peerlab_fuzz::target!();
