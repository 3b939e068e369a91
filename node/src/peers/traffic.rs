//! Bytes by kind of message.

use crate::wire::Command;

/// Bytes by kind of message, headers included. A node has many of these and a connection sees few
/// kinds, hence a short sorted list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BytesByCommand {
    entries: Vec<(Command, u64)>,
}

impl BytesByCommand {
    /// Counts one message.
    pub fn add(&mut self, command: Command, bytes: u32) {
        match self.entries.binary_search_by_key(&command, |e| e.0) {
            Ok(at) => self.entries[at].1 += u64::from(bytes),
            Err(at) => self.entries.insert(at, (command, u64::from(bytes))),
        }
    }

    /// All kinds together, bytes.
    pub fn total(&self) -> u64 {
        self.entries.iter().map(|e| e.1).sum()
    }

    /// Bytes of one kind.
    pub fn of(&self, command: Command) -> u64 {
        self.entries
            .binary_search_by_key(&command, |e| e.0)
            .map_or(0, |at| self.entries[at].1)
    }

    /// Kinds that occurred, by name.
    pub fn iter(&self) -> impl Iterator<Item = (Command, u64)> + '_ {
        self.entries.iter().copied()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_add_up_by_kind() {
        let mut bytes = BytesByCommand::default();
        bytes.add(Command::Tx, 300);
        bytes.add(Command::Block, 5);
        bytes.add(Command::Tx, 30);
        let listed: Vec<_> = bytes.iter().collect();
        assert_eq!(listed, [(Command::Block, 5), (Command::Tx, 330)]);
        assert_eq!(
            (bytes.total(), bytes.of(Command::Tx), bytes.of(Command::Inv)),
            (335, 330, 0)
        );
    }
}
