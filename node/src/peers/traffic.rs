//! Bytes by kind of message.

use crate::wire::Command;

/// Kinds for which there is room in place: a connection sees few, and fetching a second place from
/// memory for each message would cost more than the rest of counting.
const KINDS_IN_PLACE: usize = 12;

/// Bytes by kind of message, headers included. A short sorted list of words: the kind, counted from
/// one, in the highest byte, the count below it. A count of 2^56 bytes, which no connection lives to
/// see, would stay there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BytesByCommand {
    /// The first kinds; zeros at its end are no kinds.
    first: [u64; KINDS_IN_PLACE],
    /// All kinds, once there are more; else empty.
    all: Vec<u64>,
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
        let kind = kind_of(command);
        match self.place(kind) {
            Ok(at) => {
                let entry = match self.all.as_mut_slice() {
                    [] => &mut self.first[at],
                    all => &mut all[at],
                };
                *entry += bytes.min(COUNT_MAX - (*entry & COUNT_MAX));
            }
            Err(at) => self.insert(at, kind << COUNT_BITS | bytes.min(COUNT_MAX)),
        }
    }

    fn insert(&mut self, at: usize, entry: u64) {
        let count = self.entries().len();
        if count < KINDS_IN_PLACE {
            self.first.copy_within(at..count, at + 1);
            self.first[at] = entry;
            return;
        }
        if self.all.is_empty() {
            self.all = self.first.to_vec();
        }
        self.all.insert(at, entry);
    }

    fn entries(&self) -> &[u64] {
        match self.all.as_slice() {
            [] => {
                let count = self.first.iter().position(|entry| *entry == 0);
                &self.first[..count.unwrap_or(KINDS_IN_PLACE)]
            }
            all => all,
        }
    }

    fn place(&self, kind: u64) -> Result<usize, usize> {
        let entries = self.entries();
        let before = entries
            .iter()
            .take_while(|entry| **entry >> COUNT_BITS < kind)
            .count();
        match entries.get(before) {
            Some(entry) if entry >> COUNT_BITS == kind => Ok(before),
            _ => Err(before),
        }
    }

    /// All kinds together, bytes.
    pub fn total(&self) -> u64 {
        self.entries().iter().map(|entry| entry & COUNT_MAX).sum()
    }

    /// Bytes of one kind.
    pub fn of(&self, command: Command) -> u64 {
        self.place(kind_of(command))
            .map_or(0, |at| self.entries()[at] & COUNT_MAX)
    }

    /// Kinds that occurred, by name.
    pub fn iter(&self) -> impl Iterator<Item = (Command, u64)> + '_ {
        let command = |entry: u64| {
            let place = (entry >> COUNT_BITS) as usize - 1;
            Command::NAMED.get(place).copied()
        };
        self.entries().iter().map(move |entry| {
            let command = command(*entry).unwrap_or(Command::Other);
            (command, entry & COUNT_MAX)
        })
    }
}

/// A kind as a word holds it, never zero.
fn kind_of(command: Command) -> u64 {
    command as u64 + 1
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
    #[test]
    fn every_kind_has_room() {
        let mut bytes = BytesByCommand::default();
        let kinds = || Command::NAMED.into_iter().chain([Command::Other]);
        for round in 1..=2u64 {
            for (n, command) in (1u32..).zip(kinds()) {
                bytes.add(command, n);
                assert_eq!(bytes.of(command), round * u64::from(n));
            }
        }
        let listed: Vec<_> = bytes.iter().map(|(command, _)| command).collect();
        assert_eq!(listed, kinds().collect::<Vec<_>>());
    }
}
