//! Memory for packets that wait: pooled, in three sizes, bounded as a whole.

use crate::packet::VirtioHeader;

/// Bytes of the longest read from a device: a virtio header and the longest IPv4 packet.
pub(super) const READ_BYTES_MAX: usize = VirtioHeader::BYTES + u16::MAX as usize;

/// Buffer sizes: acknowledgements and inventories; a packet of the usual MTU; anything.
const SIZES: [usize; 3] = [256, 2_048, READ_BYTES_MAX];

/// All packets that wait may hold this much memory: a thousand nodes with a full queue of
/// 512 KiB. Beyond it packets are dropped, and the run is known to be beyond its host.
pub(super) const HELD_BYTES_MAX: usize = 512 << 20;

/// Memory that is kept for packets to come though none holds it.
const SPARE_BYTES_MAX: usize = 64 << 20;

/// A packet in a buffer of the pool.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Box<[u8]>,
    length: usize,
}

impl Held {
    /// The packet, virtio header first.
    pub(super) fn packet(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[derive(Debug)]
pub(super) struct Buffers {
    spare: [Vec<Box<[u8]>>; SIZES.len()],
    spare_bytes: usize,
    held_bytes: usize,
    held_bytes_max: usize,
}

impl Buffers {
    /// An empty pool that hands out at most so much.
    pub(super) fn new(held_bytes_max: usize) -> Buffers {
        Buffers {
            spare: Default::default(),
            spare_bytes: 0,
            held_bytes: 0,
            held_bytes_max,
        }
    }

    /// A buffer to read into.
    pub(super) fn read_buffer(&mut self) -> Box<[u8]> {
        self.take(SIZES.len() - 1)
    }

    /// Whether a packet of this length is moved with its read buffer rather than copied.
    pub(super) fn is_large(length: usize) -> bool {
        length > SIZES[SIZES.len() - 2]
    }

    /// Holds a copy of a packet; `None` when too much is held.
    pub(super) fn hold_copy(&mut self, packet: &[u8]) -> Option<Held> {
        let class = SIZES.iter().position(|&size| packet.len() <= size)?;
        self.account(SIZES[class])?;
        let mut bytes = self.take(class);
        bytes[..packet.len()].copy_from_slice(packet);
        Some(Held {
            bytes,
            length: packet.len(),
        })
    }

    /// Holds the packet in a read buffer, which is replaced by another; `None` when too much is
    /// held.
    pub(super) fn hold_read(&mut self, read: &mut Box<[u8]>, length: usize) -> Option<Held> {
        self.account(READ_BYTES_MAX)?;
        let fresh = self.read_buffer();
        Some(Held {
            bytes: std::mem::replace(read, fresh),
            length,
        })
    }

    /// Takes a packet's memory back.
    pub(super) fn release(&mut self, held: Held) {
        let size = held.bytes.len();
        self.held_bytes -= size;
        let class = SIZES.iter().position(|&s| s == size);
        if let Some(class) = class
            && self.spare_bytes + size <= SPARE_BYTES_MAX
        {
            self.spare_bytes += size;
            self.spare[class].push(held.bytes);
        }
    }

    fn account(&mut self, size: usize) -> Option<()> {
        if self.held_bytes + size > self.held_bytes_max {
            return None;
        }
        self.held_bytes += size;
        Some(())
    }

    fn take(&mut self, class: usize) -> Box<[u8]> {
        match self.spare[class].pop() {
            Some(bytes) => {
                self.spare_bytes -= bytes.len();
                bytes
            }
            None => vec![0; SIZES[class]].into_boxed_slice(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_than_allowed_and_released_memory_is_used_again() {
        let mut buffers = Buffers::new(3 * 256);
        let mut held: Vec<Held> = (0..3u8)
            .map(|n| buffers.hold_copy(&[n; 100]).unwrap())
            .collect();
        assert!(buffers.hold_copy(&[9; 1]).is_none());
        assert_eq!(held[1].packet(), [1; 100]);
        let first = held.remove(0);
        let at = first.bytes.as_ptr();
        buffers.release(first);
        let again = buffers.hold_copy(&[4; 256]).unwrap();
        assert_eq!(again.bytes.as_ptr(), at);
        assert_eq!(again.packet(), [4; 256]);
    }

    #[test]
    fn a_large_packet_is_held_without_a_copy() {
        let mut buffers = Buffers::new(HELD_BYTES_MAX);
        let mut read = buffers.read_buffer();
        read[0] = 42;
        let at = read.as_ptr();
        assert!(Buffers::is_large(5_000));
        let held = buffers.hold_read(&mut read, 5_000).unwrap();
        assert_eq!(held.packet().as_ptr(), at);
        assert_eq!((held.packet()[0], held.packet().len()), (42, 5_000));
        assert_ne!(read.as_ptr(), at);
    }
}
