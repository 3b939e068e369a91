//! For tests: builds the trains that a kernel hands to a TUN device, and takes packets apart with
//! checksums computed in the plainest way, apart from the code under test.

use super::headers::VirtioHeader;

/// A TCP packet as it stands in a read from a TUN device.
pub(crate) struct TcpPacket {
    pub(crate) payload: Vec<u8>,
    pub(crate) gso_bytes: u16,
    pub(crate) ip_option_words: usize,
    pub(crate) tcp_option_words: usize,
    pub(crate) sequence: u32,
    pub(crate) id: u16,
    pub(crate) flags: u8,
    pub(crate) needs_checksum: bool,
}

impl Default for TcpPacket {
    fn default() -> Self {
        TcpPacket {
            payload: vec![7; 5_000],
            gso_bytes: 1_460,
            ip_option_words: 0,
            tcp_option_words: 0,
            sequence: u32::MAX - 1_000,
            id: u16::MAX,
            flags: 0x18,
            needs_checksum: true,
        }
    }
}

const SOURCE: [u8; 4] = [10, 0, 0, 1];
const DESTINATION: [u8; 4] = [10, 0, 0, 2];

impl TcpPacket {
    /// The TCP options: numbered bytes.
    pub(crate) fn tcp_options(&self) -> Vec<u8> {
        (0..self.tcp_option_words * 4).map(|n| n as u8).collect()
    }

    /// Virtio header, IP header, TCP header, payload.
    pub(crate) fn build(&self) -> Vec<u8> {
        let ip_header = 20 + self.ip_option_words * 4;
        let tcp_header = 20 + self.tcp_option_words * 4;
        let total = ip_header + tcp_header + self.payload.len();
        let header = VirtioHeader {
            flags: u8::from(self.needs_checksum),
            gso_type: VirtioHeader::GSO_TCP4,
            header_bytes: (ip_header + tcp_header) as u16,
            gso_bytes: self.gso_bytes,
            checksum_start: ip_header as u16,
            checksum_offset: 16,
        };
        let mut read = header.encode().to_vec();
        read.extend([0x40 | (ip_header / 4) as u8, 0]);
        read.extend((total as u16).to_be_bytes());
        read.extend(self.id.to_be_bytes());
        read.extend([0x40, 0, 64, 6, 0, 0]);
        read.extend(SOURCE);
        read.extend(DESTINATION);
        read.extend(std::iter::repeat_n(1, self.ip_option_words * 4));
        read.extend([0x1f, 0x90, 0xc0, 0x01]);
        read.extend(self.sequence.to_be_bytes());
        read.extend([0, 0, 0, 9, ((tcp_header / 4) as u8) << 4, self.flags]);
        read.extend([0xff, 0xff, 0xab, 0xcd, 0, 0]);
        read.extend(self.tcp_options());
        read.extend(&self.payload);
        read
    }
}

/// A read of one packet that is no train: virtio header, IP header of 20 bytes, payload. Its
/// protocol is one kept for experiments (RFC 3692).
pub(crate) fn plain_packet(source: [u8; 4], destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut read = VirtioHeader::default().encode().to_vec();
    read.extend([0x45, 0]);
    read.extend((20 + payload.len() as u16).to_be_bytes());
    read.extend([0, 0, 0x40, 0, 64, 253, 0, 0]);
    read.extend(source);
    read.extend(destination);
    read.extend(payload);
    read
}

/// What a packet holds.
pub(crate) struct Seen {
    pub(crate) id: u16,
    pub(crate) sequence: u32,
    pub(crate) flags: u8,
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// Takes a packet apart, and checks its lengths and both checksums. Where the checksum is partial
/// it is finished first, as a device would.
pub(crate) fn verify(read: &[u8], ip_option_words: usize) -> Seen {
    let (header, packet) = VirtioHeader::split(read).unwrap();
    let mut packet = packet.to_vec();
    assert_eq!(header.gso_type, VirtioHeader::GSO_NONE);
    let ip_header = 20 + ip_option_words * 4;
    let word = |p: &[u8], at: usize| u16::from_be_bytes([p[at], p[at + 1]]);
    assert_eq!(usize::from(packet[0] & 15) * 4, ip_header);
    assert_eq!(usize::from(word(&packet, 2)), packet.len());
    assert_eq!(naive_checksum(&packet[..ip_header]), 0, "IP checksum");
    if header.flags & VirtioHeader::NEEDS_CHECKSUM != 0 {
        let start = usize::from(header.checksum_start);
        let sum = naive_checksum(&packet[start..]).to_be_bytes();
        let field = start + usize::from(header.checksum_offset);
        packet[field..field + 2].copy_from_slice(&sum);
    }
    let tcp = &packet[ip_header..];
    let mut summed = [SOURCE, DESTINATION].concat();
    summed.extend([0, 6]);
    summed.extend((tcp.len() as u16).to_be_bytes());
    summed.extend(tcp);
    assert_eq!(naive_checksum(&summed), 0, "TCP checksum");
    let tcp_header = usize::from(tcp[12] >> 4) * 4;
    Seen {
        id: word(&packet, 4),
        sequence: u32::from_be_bytes(tcp[4..8].try_into().unwrap()),
        flags: tcp[13],
        options: tcp[20..tcp_header].to_vec(),
        payload: tcp[tcp_header..].to_vec(),
    }
}

/// The Internet checksum, one word and one carry at a time.
pub(crate) fn naive_checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u16;
    for word in bytes.chunks(2) {
        let word = u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)]);
        let (added, carried) = sum.overflowing_add(word);
        sum = added + u16::from(carried);
    }
    !sum
}
