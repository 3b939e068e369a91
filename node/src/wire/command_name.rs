//! Names of messages as frames carry them.

use std::fmt;

/// A command as on the wire: printable ASCII, at most twelve bytes, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandName([u8; 12]);

impl CommandName {
    /// From the wire; `None` unless it is printable ASCII followed by zeros only.
    pub fn from_wire(bytes: [u8; 12]) -> Option<CommandName> {
        let length = bytes.iter().position(|b| *b == 0).unwrap_or(12);
        let well_formed = bytes[..length].iter().all(|b| (0x20..0x7f).contains(b))
            && bytes[length..].iter().all(|b| *b == 0);
        well_formed.then_some(CommandName(bytes))
    }

    /// As on the wire.
    pub fn to_wire(self) -> [u8; 12] {
        self.0
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|b| *b == 0).unwrap_or(12);
        // Only ASCII gets in.
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }
}

impl CommandName {
    /// Of a name of at most twelve bytes.
    pub(super) const fn of(name: &str) -> CommandName {
        let (name, mut bytes) = (name.as_bytes(), [0; 12]);
        let mut at = 0;
        while at < name.len() {
            bytes[at] = name[at];
            at += 1;
        }
        CommandName(bytes)
    }
}

impl fmt::Debug for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_unprintable_bytes_or_text_behind_the_zeros_are_refused() {
        assert_eq!(CommandName::from_wire(*b"ping\x01\0\0\0\0\0\0\0"), None);
        assert_eq!(CommandName::from_wire(*b"ping\0x\0\0\0\0\0\0"), None);
    }
}
