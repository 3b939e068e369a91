//! Peers whose every message the story writes.

use std::time::Duration;

use peerlab_node::io::PeerId;
use peerlab_node::wire::{Message, Version, encode};

use crate::world::{Node, Piece, Role, START, World, secs};

/// What puppets do.
impl World {
    /// A puppet sends a message.
    pub fn say(&mut self, puppet: Node, peer: PeerId, message: Message) {
        self.transmit((puppet, peer), Piece::Message(message));
    }

    /// A puppet sends bytes, in one piece.
    pub fn say_bytes(&mut self, puppet: Node, peer: PeerId, bytes: Vec<u8>) {
        self.transmit((puppet, peer), Piece::Bytes(bytes));
    }

    /// A puppet connects and says what everyone says first.
    pub fn puppet_joins(&mut self, puppet: Node, node: Node, start_height: i32) -> PeerId {
        let peer = self.join(puppet, node);
        let version = puppet_version(puppet, start_height);
        self.say(puppet, peer, version);
        self.say(puppet, peer, Message::WtxidRelay);
        self.say(puppet, peer, Message::Verack);
        self.run(secs(1));
        peer
    }

    /// What a puppet has received since the last time.
    pub fn heard(&mut self, puppet: Node) -> Vec<Message> {
        match &mut self.hosts[puppet.0].role {
            Role::Puppet(inbox) => inbox.drain(..).map(|(_, message)| message).collect(),
            _ => panic!("{puppet:?} is no puppet"),
        }
    }

    /// Lets time pass, in which a puppet answers pings. Returns what else it received.
    pub fn run_answering(&mut self, length: Duration, puppet: Node) -> Vec<Message> {
        let end = self.now + length;
        let mut others = Vec::new();
        while self.now < end {
            self.run(Duration::from_millis(500));
            let Role::Puppet(inbox) = &mut self.hosts[puppet.0].role else {
                panic!("{puppet:?} is no puppet");
            };
            for (peer, message) in std::mem::take(inbox) {
                match message {
                    Message::Ping(nonce) => self.say(puppet, peer, Message::Pong(nonce)),
                    other => others.push(other),
                }
            }
        }
        others
    }
}

/// The `version` of a puppet.
pub fn puppet_version(puppet: Node, start_height: i32) -> Message {
    Message::Version(Box::new(Version {
        protocol: 70_016,
        services: 9,
        time_secs: i64::from(START.unix_secs()),
        receiver_services: 0,
        receiver: "10.9.9.9:18444".parse().unwrap(),
        sender: puppet.addr(),
        nonce: 1 + puppet.0 as u64,
        user_agent: "/puppet/".into(),
        start_height,
        relay: true,
    }))
}

/// A message's bytes, with something changed.
pub fn spoilt(message: &Message, spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = encode(message);
    spoil(&mut bytes);
    bytes
}
