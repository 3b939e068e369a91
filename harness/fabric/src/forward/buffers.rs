//! Memory for packets that wait: pooled, in few sizes, bounded as a whole. What is counted is what
//! is held, and that is at most about twice the packet, but for the smallest ones.

use crate::packet::VirtioHeader;

/// Bytes of the longest read from a device: a virtio header and the longest IPv4 packet.
pub(super) const READ_BYTES_MAX: usize = VirtioHeader::BYTES + u16::MAX as usize;

/// The smallest buffer: an acknowledgement or an inventory. Each further size is twice as large.
const SIZE_MIN: usize = 256;
/// Up to here a packet is copied into a buffer of its size, which takes less time than the kernel
/// takes to hand it out. A longer one stays in the buffer that it was read into.
const COPIED_BYTES_MAX: usize = 32_768;
/// How many sizes there are: the last one is that of a read buffer.
const SIZES: usize = (COPIED_BYTES_MAX / SIZE_MIN).ilog2() as usize + 2;

/// The number of the least size that holds so much.
fn class_of(length: usize) -> usize {
    match length.saturating_sub(1) / SIZE_MIN {
        0 => 0,
        more => (more.ilog2() as usize + 1).min(SIZES - 1),
    }
}

fn size_of_class(class: usize) -> usize {
    match class {
        _ if class == SIZES - 1 => READ_BYTES_MAX,
        _ => SIZE_MIN << class,
    }
}

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
    spare: [Vec<Box<[u8]>>; SIZES],
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
        self.take(SIZES - 1)
    }

    /// Whether a packet of this length is moved with its read buffer rather than copied.
    pub(super) fn is_large(length: usize) -> bool {
        length > COPIED_BYTES_MAX
    }

    /// Holds a copy of a packet; `None` when too much is held.
    pub(super) fn hold_copy(&mut self, packet: &[u8]) -> Option<Held> {
        let class = class_of(packet.len());
        self.account(size_of_class(class))?;
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
        if self.spare_bytes + size <= SPARE_BYTES_MAX {
            self.spare_bytes += size;
            self.spare[class_of(size)].push(held.bytes);
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
            None => vec![0; size_of_class(class)].into_boxed_slice(),
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
        assert!(Buffers::is_large(40_000));
        let held = buffers.hold_read(&mut read, 40_000).unwrap();
        assert_eq!(held.packet().as_ptr(), at);
        assert_eq!((held.packet()[0], held.packet().len()), (42, 40_000));
        assert_ne!(read.as_ptr(), at);
    }

    #[test]
    fn at_most_about_twice_a_packet_is_held_for_it() {
        for length in 1..=READ_BYTES_MAX {
            let mut buffers = Buffers::new(HELD_BYTES_MAX);
            let held = if Buffers::is_large(length) {
                let mut read = buffers.read_buffer();
                buffers.hold_read(&mut read, length).unwrap()
            } else {
                buffers.hold_copy(&vec![7; length]).unwrap()
            };
            assert_eq!(held.packet().len(), length);
            assert_eq!(buffers.held_bytes, held.bytes.len());
            let bytes = held.bytes.len();
            assert!(bytes <= (2 * length + VirtioHeader::BYTES).max(SIZE_MIN));
            buffers.release(held);
            assert_eq!(buffers.held_bytes, 0);
        }
    }
}
