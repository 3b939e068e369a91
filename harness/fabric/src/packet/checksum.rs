//! The Internet checksum (RFC 1071): one's complement sum of 16-bit words, big endian.

/// Adds `bytes` to a running sum. Only the last call may have an odd number of bytes.
pub(super) fn add(sum: u32, bytes: &[u8]) -> u32 {
    // A packet has at most 32,768 words, so 64 bits never overflow here.
    let mut wide = u64::from(sum);
    let mut words = bytes.chunks_exact(2);
    for word in &mut words {
        wide += u64::from(u16::from_be_bytes([word[0], word[1]]));
    }
    if let [last] = words.remainder() {
        wide += u64::from(u16::from_be_bytes([*last, 0]));
    }
    while wide > u64::from(u16::MAX) {
        wide = (wide >> 16) + (wide & 0xffff);
    }
    wide as u32
}

/// A running sum as the field holds it when it is finished.
pub(super) fn finish(sum: u32) -> u16 {
    !partial(sum)
}

/// A running sum as the field holds it when a device is to finish it (virtio `NEEDS_CSUM`).
pub(super) fn partial(sum: u32) -> u16 {
    let folded = (sum >> 16) + (sum & 0xffff);
    ((folded >> 16) + (folded & 0xffff)) as u16
}

/// The sum of the pseudo header of TCP over IPv4 (RFC 9293, 3.1). `addresses` are the source and
/// the destination, as they stand in the IP header.
pub(super) fn tcp_pseudo_header(addresses: &[u8], tcp_bytes: u16) -> u32 {
    let with_protocol = add(0, &[0, super::headers::PROTOCOL_TCP]);
    let with_length = add(with_protocol, &tcp_bytes.to_be_bytes());
    add(with_length, addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(add(0, &bytes), 0xddf2);
        assert_eq!(finish(add(0, &bytes)), !0xddf2);
    }

    #[test]
    fn an_odd_last_byte_is_padded_with_zero() {
        assert_eq!(add(0, &[1, 2, 3]), add(0, &[1, 2, 3, 0]));
    }

    #[test]
    fn a_known_ip_header() {
        // Textbook header (Wikipedia, "Internet checksum"), whose checksum is 0xb861.
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8,
            0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(finish(add(0, &header)), 0xb861);
    }
}
