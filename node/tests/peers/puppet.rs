//! Peers whose every message the story writes.

use std::time::Duration;

use peerlab_node::io::{Input, Output, PeerId};
use peerlab_node::wire::{Decoder, Message, Version, encode};

use crate::world::{Node, START, World, secs};

/// What puppets do.
impl World {
    /// A puppet sends a message.
    pub fn say(&mut self, puppet: Node, peer: PeerId, message: Message) {
        self.put_out(puppet, Output::Send { peer, message });
    }

    /// A puppet sends bytes. What comes of them at the other end its driver says, as a driver does with
    /// bytes.
    pub fn say_bytes(&mut self, puppet: Node, peer: PeerId, bytes: &[u8]) {
        let mut decoder = Decoder::new();
        decoder.push(bytes);
        loop {
            match decoder.next_message() {
                Ok(Some((message, _))) => self.say(puppet, peer, message),
                Ok(None) => return,
                Err(error) => return self.say_malformed(puppet, peer, error.to_string()),
            }
        }
    }

    fn say_malformed(&mut self, puppet: Node, peer: PeerId, reason: String) {
        self.run(secs(1));
        let (to, ip) = (self.others[&(puppet, peer)], puppet.addr().ip());
        let mut ends = self.others.iter().rev();
        let back = ends.find(|((node, _), addr)| node.addr() == to && addr.ip() == ip);
        let (node, peer) = *back.unwrap().0;
        let now = self.now;
        self.command(node, |m| m.handle(now, Input::Malformed { peer, reason }));
    }

    /// A puppet connects. Panics if it is refused.
    pub fn join(&mut self, puppet: Node, node: Node) -> PeerId {
        self.dial(puppet, node).expect("the connection is granted")
    }

    /// A puppet asks for a connection.
    pub fn dial(&mut self, puppet: Node, node: Node) -> Option<PeerId> {
        let addr = node.addr();
        self.put_out(puppet, Output::Connect { addr });
        let answers = |input: &Input| match input {
            Input::Connected { inbound, .. } => !inbound,
            other => matches!(other, Input::ConnectFailed { .. }),
        };
        loop {
            self.run(Duration::from_millis(10));
            let inbox = self.shard_of(puppet).unread(puppet.id());
            let answer = inbox.iter().position(answers);
            if let Some(answer) = answer.and_then(|place| inbox.remove(place)) {
                let Input::Connected { peer, .. } = answer else {
                    return None;
                };
                self.others.insert((puppet, peer), addr);
                return Some(peer);
            }
        }
    }

    fn put_out(&mut self, puppet: Node, output: Output) {
        self.shard_of(puppet).put_out(puppet.id(), output);
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
        let inbox = self.inbox(puppet).into_iter();
        inbox.map(|(_, message)| message).collect()
    }

    fn inbox(&mut self, puppet: Node) -> Vec<(PeerId, Message)> {
        let inbox = self.shard_of(puppet).unread(puppet.id()).drain(..);
        let received = |input| match input {
            Input::Received { peer, message, .. } => Some((peer, message)),
            _ => None,
        };
        inbox.filter_map(received).collect()
    }

    /// Lets time pass, in which a puppet answers pings. Returns what else it received.
    pub fn run_answering(&mut self, length: Duration, puppet: Node) -> Vec<Message> {
        let end = self.now + length;
        let mut others = Vec::new();
        while self.now < end {
            self.run(Duration::from_millis(500));
            for (peer, message) in self.inbox(puppet) {
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
