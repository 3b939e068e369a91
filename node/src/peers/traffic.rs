//! Bytes by kind of message.

use crate::wire::Command;

/// Bytes by kind of message, headers included. A node has many of these and a connection sees few
/// kinds, hence a short sorted list of words: the kind in the highest byte, the count below it. A
/// count of 2^56 bytes, which no connection lives to see, would stay there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BytesByCommand {
    entries: Vec<u64>,
}

/// Bits of a count.
const COUNT_BITS: u32 = 56;
/// The highest count.
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

impl BytesByCommand {
    /// Counts one message.
    pub fn add(&mut self, command: Command, bytes: u32) {
        self.add_count(command, u64::from(bytes));
    }

    fn add_count(&mut self, command: Command, bytes: u64) {
        match self.place(command) {
            Ok(at) => {
                let entry = &mut self.entries[at];
                *entry += bytes.min(COUNT_MAX - (*entry & COUNT_MAX));
            }
            Err(at) => {
                self.entries.reserve_exact(1);
                self.entries
                    .insert(at, (command as u64) << COUNT_BITS | bytes);
            }
        }
    }

    fn place(&self, command: Command) -> Result<usize, usize> {
        self.entries
            .binary_search_by_key(&(command as u64), |entry| entry >> COUNT_BITS)
    }

    /// All kinds together, bytes.
    pub fn total(&self) -> u64 {
        self.entries.iter().map(|entry| entry & COUNT_MAX).sum()
    }

    /// Bytes of one kind.
    pub fn of(&self, command: Command) -> u64 {
        self.place(command)
            .map_or(0, |at| self.entries[at] & COUNT_MAX)
    }

    /// Kinds that occurred, by name.
    pub fn iter(&self) -> impl Iterator<Item = (Command, u64)> + '_ {
        let kind = |entry: u64| {
            let named = Command::NAMED.get((entry >> COUNT_BITS) as usize);
            named.copied().unwrap_or(Command::Other)
        };
        self.entries
            .iter()
            .map(move |entry| (kind(*entry), entry & COUNT_MAX))
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
        let pairs = [
            (&mut self.sent, &other.sent),
            (&mut self.received, &other.received),
        ];
        for (sum, part) in pairs {
            part.iter()
                .for_each(|(command, bytes)| sum.add_count(command, bytes));
        }
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
}
