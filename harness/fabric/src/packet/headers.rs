//! Where things stand in the headers that the fabric reads: virtio (version 1.2, 5.1.6, without
//! the buffer count), IPv4 (RFC 791) and TCP (RFC 9293).

use std::net::Ipv4Addr;

/// IPv4's number of TCP.
pub(super) const PROTOCOL_TCP: u8 = 6;
/// Bytes of an IPv4 header without options.
const IPV4_HEADER_BYTES_MIN: usize = 20;
/// Where the total length stands.
pub(super) const IPV4_TOTAL_LENGTH: usize = 2;
/// Where the identification stands.
pub(super) const IPV4_ID: usize = 4;
/// Where flags and fragment offset stand.
pub(super) const IPV4_FRAGMENT: usize = 6;
/// Where the protocol stands.
pub(super) const IPV4_PROTOCOL: usize = 9;
/// Where the header checksum stands.
pub(super) const IPV4_CHECKSUM: usize = 10;
/// Where the two addresses stand, source first.
pub(super) const IPV4_ADDRESSES: std::ops::Range<usize> = 12..20;
/// Bytes of a TCP header without options.
pub(super) const TCP_HEADER_BYTES_MIN: usize = 20;
/// Where the sequence number stands.
pub(super) const TCP_SEQUENCE: usize = 4;
/// Where the data offset stands, in the upper four bits.
pub(super) const TCP_OFFSET: usize = 12;
/// Where the flags stand.
pub(super) const TCP_FLAGS: usize = 13;
/// Where the checksum stands.
pub(super) const TCP_CHECKSUM: usize = 16;

/// Reads a big-endian 16-bit field. The caller has checked that it is there.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Writes a big-endian 16-bit field.
pub(super) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Bytes of the IPv4 header at the start of `packet`, if there is one.
pub(super) fn ipv4_header_bytes(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let bytes = usize::from(first & 0x0f) * 4;
    let whole = packet.len() >= bytes && bytes >= IPV4_HEADER_BYTES_MIN;
    (first >> 4 == 4 && whole).then_some(bytes)
}

/// Where an IPv4 packet says that it comes from, and where it goes; `None` when it is something
/// else.
#[inline]
pub(crate) fn addresses(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    ipv4_header_bytes(packet)?;
    let addresses = packet.get(IPV4_ADDRESSES)?;
    let (source, rest) = addresses.split_first_chunk::<4>()?;
    let destination = rest.first_chunk::<4>()?;
    Some((Ipv4Addr::from(*source), Ipv4Addr::from(*destination)))
}

/// What the kernel says about a packet beside it (`struct virtio_net_hdr`, native byte order).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VirtioHeader {
    pub(crate) flags: u8,
    pub(crate) gso_type: u8,
    pub(crate) header_bytes: u16,
    /// Payload bytes of each segment but the last.
    pub(crate) gso_bytes: u16,
    pub(crate) checksum_start: u16,
    pub(crate) checksum_offset: u16,
}

impl VirtioHeader {
    /// Its length.
    pub(crate) const BYTES: usize = 10;
    /// Flag: the checksum field holds the pseudo header's sum; whoever needs it finishes it.
    pub(crate) const NEEDS_CHECKSUM: u8 = 1;
    /// Type: one packet.
    pub(crate) const GSO_NONE: u8 = 0;
    /// Type: a train of TCP segments over IPv4.
    pub(crate) const GSO_TCP4: u8 = 1;
    /// Bit of the type: congestion window reduced (RFC 3168) stands in the first segment only.
    pub(crate) const GSO_ECN: u8 = 0x80;

    /// Splits a read into this header and the packet.
    #[inline]
    pub(crate) fn split(read: &[u8]) -> Option<(VirtioHeader, &[u8])> {
        let (h, packet) = read.split_first_chunk::<{ VirtioHeader::BYTES }>()?;
        let field = |at: usize| u16::from_ne_bytes([h[at], h[at + 1]]);
        let header = VirtioHeader {
            flags: h[0],
            gso_type: h[1],
            header_bytes: field(2),
            gso_bytes: field(4),
            checksum_start: field(6),
            checksum_offset: field(8),
        };
        Some((header, packet))
    }

    /// As it is written to a device.
    pub(crate) fn encode(&self) -> [u8; VirtioHeader::BYTES] {
        let mut bytes = [0; VirtioHeader::BYTES];
        bytes[0] = self.flags;
        bytes[1] = self.gso_type;
        let fields = [
            self.header_bytes,
            self.gso_bytes,
            self.checksum_start,
            self.checksum_offset,
        ];
        for (slot, field) in bytes[2..].chunks_exact_mut(2).zip(fields) {
            slot.copy_from_slice(&field.to_ne_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_virtio_header_survives(bytes: [u8; VirtioHeader::BYTES]) {
            let (header, rest) = VirtioHeader::split(&bytes).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(header.encode(), bytes);
        }

        #[test]
        fn any_bytes_have_addresses_or_none(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            if let Some((source, destination)) = addresses(&bytes) {
                prop_assert_eq!(bytes[0] >> 4, 4);
                prop_assert_eq!(&source.octets()[..], &bytes[12..16]);
                prop_assert_eq!(&destination.octets()[..], &bytes[16..20]);
            }
        }
    }

    #[test]
    fn ipv6_has_no_addresses_here() {
        let mut packet = [0u8; 60];
        packet[0] = 0x60;
        assert_eq!(addresses(&packet), None);
        packet[0] = 0x44;
        assert_eq!(addresses(&packet), None, "header shorter than its least");
    }
}
