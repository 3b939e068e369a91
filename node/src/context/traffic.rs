//! Bytes by kind of message.

use crate::wire::Command;

/// Kinds of message: those with a name, and all others.
const KINDS: usize = Command::NAMED.len() + 1;

/// Bytes by kind of message, headers included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BytesByCommand {
    /// The lower half of each count.
    low: [u32; KINDS],
    /// The upper halves, once one is more than zero: few connections live to carry four gigabytes
    /// of one kind, and there may be hundreds of thousands of them in one process.
    high: Option<Box<[u32; KINDS]>>,
}

impl BytesByCommand {
    /// Counts one message.
    pub fn add(&mut self, command: Command, bytes: u32) {
        let (sum, carry) = self.low[command as usize].overflowing_add(bytes);
        self.low[command as usize] = sum;
        if carry {
            self.add_high(command, 1);
        }
    }

    fn add_high(&mut self, command: Command, count: u32) {
        let high = &mut self.high.get_or_insert_default()[command as usize];
        *high = high.saturating_add(count);
    }

    /// Adds another's counts.
    fn add_all(&mut self, other: &BytesByCommand) {
        for (command, bytes) in other.iter() {
            self.add(command, bytes as u32);
            let high = (bytes >> u32::BITS) as u32;
            if high > 0 {
                self.add_high(command, high);
            }
        }
    }

    /// Bytes of one kind.
    pub fn of(&self, command: Command) -> u64 {
        let high = self.high.as_ref().map_or(0, |high| high[command as usize]);
        u64::from(high) << u32::BITS | u64::from(self.low[command as usize])
    }

    /// All kinds together, bytes.
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Kinds that occurred, by name.
    pub fn iter(&self) -> impl Iterator<Item = (Command, u64)> + '_ {
        let kinds = Command::NAMED.into_iter().chain([Command::Other]);
        let counts = kinds.map(|command| (command, self.of(command)));
        counts.filter(|(_, bytes)| *bytes > 0)
    }
}

/// Both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// By this node.
    pub sent: BytesByCommand,
    /// By this node.
    pub received: BytesByCommand,
}

impl Traffic {
    /// Adds another's.
    pub(crate) fn add(&mut self, other: &Traffic) {
        self.sent.add_all(&other.sent);
        self.received.add_all(&other.received);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_add_up_by_kind() {
        let mut bytes = BytesByCommand::default();
        bytes.add(Command::Tx, 300);
        bytes.add(Command::Block, 5);
        bytes.add(Command::Tx, 30);
        bytes.add(Command::Other, 7);
        let listed: Vec<_> = bytes.iter().collect();
        assert_eq!(
            listed,
            [(Command::Block, 5), (Command::Tx, 330), (Command::Other, 7)]
        );
        assert_eq!(
            (bytes.total(), bytes.of(Command::Tx), bytes.of(Command::Inv)),
            (342, 330, 0)
        );
    }

    #[test]
    fn every_kind_has_room_beyond_four_gigabytes() {
        let mut bytes = BytesByCommand::default();
        let kinds = || Command::NAMED.into_iter().chain([Command::Other]);
        for round in 1..=2u64 {
            for (n, command) in (0u32..).zip(kinds()) {
                bytes.add(command, u32::MAX - n);
                assert_eq!(bytes.of(command), round * u64::from(u32::MAX - n));
            }
        }
        let listed: Vec<_> = bytes.iter().map(|(command, _)| command).collect();
        assert_eq!(listed, kinds().collect::<Vec<_>>());
        let mut sum = bytes.clone();
        sum.add_all(&bytes);
        assert!(kinds().all(|command| sum.of(command) == 2 * bytes.of(command)));
        assert_eq!(sum.total(), 2 * bytes.total());
    }
}
