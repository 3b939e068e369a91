//! Trains: TCP segments that the sending kernel left joined under one header (TSO). A train can
//! be measured as the packets that it stands for, and cut into them as the kernel's own
//! segmentation (`net/ipv4/tcp_offload.c`) would.

use super::checksum;
use super::headers::{
    IPV4_ADDRESSES, IPV4_CHECKSUM, IPV4_FRAGMENT, IPV4_ID, IPV4_PROTOCOL, IPV4_TOTAL_LENGTH,
    PROTOCOL_TCP, TCP_CHECKSUM, TCP_FLAGS, TCP_HEADER_BYTES_MIN, TCP_OFFSET, TCP_SEQUENCE,
    VirtioHeader, ipv4_header_bytes, put_u16, u16_at,
};

/// TCP flag: no more data. Last segment only.
const FIN: u8 = 0x01;
/// TCP flag: push. Last segment only.
const PSH: u8 = 0x08;
/// TCP flag: congestion window reduced. First segment only.
const CWR: u8 = 0x80;
/// More-fragments flag and fragment offset.
const FRAGMENT_MASK: u16 = 0x3fff;

/// What a device gave is no packet that can be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// How many packets something stands for, and where their parts are. A single packet is a train
/// of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Train {
    /// How many packets.
    pub(crate) packets: u32,
    /// Bytes of all of them, IP headers included.
    pub(crate) ip_bytes: u64,
    ip_header_bytes: usize,
    headers_bytes: usize,
    segment_bytes: usize,
    finish_checksums: bool,
}

impl Train {
    /// Measures a packet.
    ///
    /// # Errors
    /// When it claims to be a train and is none of TCP over IPv4.
    pub(crate) fn measure(header: &VirtioHeader, packet: &[u8]) -> Result<Train, Malformed> {
        if header.gso_type == VirtioHeader::GSO_NONE {
            return Ok(Train {
                packets: 1,
                ip_bytes: packet.len() as u64,
                ip_header_bytes: 0,
                headers_bytes: 0,
                segment_bytes: packet.len(),
                finish_checksums: false,
            });
        }
        if header.gso_type & !VirtioHeader::GSO_ECN != VirtioHeader::GSO_TCP4 {
            return Err(Malformed);
        }
        let ip_header_bytes = ipv4_header_bytes(packet).ok_or(Malformed)?;
        let is_whole = u16_at(packet, IPV4_FRAGMENT) & FRAGMENT_MASK == 0;
        if packet[IPV4_PROTOCOL] != PROTOCOL_TCP || !is_whole {
            return Err(Malformed);
        }
        let tcp = &packet[ip_header_bytes..];
        if tcp.len() < TCP_HEADER_BYTES_MIN {
            return Err(Malformed);
        }
        let tcp_header_bytes = usize::from(tcp[TCP_OFFSET] >> 4) * 4;
        if tcp_header_bytes < TCP_HEADER_BYTES_MIN || tcp.len() <= tcp_header_bytes {
            return Err(Malformed);
        }
        let segment_bytes = usize::from(header.gso_bytes);
        let headers_bytes = ip_header_bytes + tcp_header_bytes;
        if segment_bytes == 0 || headers_bytes + segment_bytes > usize::from(u16::MAX) {
            return Err(Malformed);
        }
        let payload_bytes = packet.len() - headers_bytes;
        let packets = payload_bytes.div_ceil(segment_bytes);
        Ok(Train {
            packets: u32::try_from(packets).map_err(|_| Malformed)?,
            ip_bytes: (payload_bytes + packets * headers_bytes) as u64,
            ip_header_bytes,
            headers_bytes,
            segment_bytes,
            finish_checksums: header.flags & VirtioHeader::NEEDS_CHECKSUM == 0,
        })
    }

    /// Cuts the train that was measured into its packets: calls `each` with every one in order, a
    /// virtio header before it, written in `scratch`.
    pub(crate) fn cut(&self, packet: &[u8], scratch: &mut Vec<u8>, mut each: impl FnMut(&[u8])) {
        let (headers, payload) = packet.split_at(self.headers_bytes);
        let checksum = if self.finish_checksums {
            VirtioHeader::default()
        } else {
            VirtioHeader {
                flags: VirtioHeader::NEEDS_CHECKSUM,
                checksum_start: self.ip_header_bytes as u16,
                checksum_offset: TCP_CHECKSUM as u16,
                ..VirtioHeader::default()
            }
        };
        for (index, piece) in payload.chunks(self.segment_bytes).enumerate() {
            scratch.clear();
            scratch.extend_from_slice(&checksum.encode());
            scratch.extend_from_slice(headers);
            scratch.extend_from_slice(piece);
            let (ip, tcp) = scratch[VirtioHeader::BYTES..].split_at_mut(self.ip_header_bytes);
            let is_last = index + 1 == self.packets as usize;
            self.write_ip(ip, index, tcp.len());
            self.write_tcp(tcp, index, is_last, &ip[IPV4_ADDRESSES]);
            each(scratch);
        }
    }

    fn write_ip(&self, ip: &mut [u8], index: usize, tcp_bytes: usize) {
        put_u16(ip, IPV4_TOTAL_LENGTH, (ip.len() + tcp_bytes) as u16);
        put_u16(ip, IPV4_ID, u16_at(ip, IPV4_ID).wrapping_add(index as u16));
        put_u16(ip, IPV4_CHECKSUM, 0);
        let sum = checksum::add(0, ip);
        put_u16(ip, IPV4_CHECKSUM, checksum::finish(sum));
    }

    fn write_tcp(&self, tcp: &mut [u8], index: usize, is_last: bool, addresses: &[u8]) {
        let high = u32::from(u16_at(tcp, TCP_SEQUENCE)) << 16;
        let sequence = high | u32::from(u16_at(tcp, TCP_SEQUENCE + 2));
        let sequence = sequence.wrapping_add((index * self.segment_bytes) as u32);
        tcp[TCP_SEQUENCE..TCP_SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
        if !is_last {
            tcp[TCP_FLAGS] &= !(FIN | PSH);
        }
        if index > 0 {
            tcp[TCP_FLAGS] &= !CWR;
        }
        let pseudo = checksum::tcp_pseudo_header(addresses, tcp.len() as u16);
        if self.finish_checksums {
            put_u16(tcp, TCP_CHECKSUM, 0);
            let sum = checksum::add(pseudo, tcp);
            put_u16(tcp, TCP_CHECKSUM, checksum::finish(sum));
        } else {
            put_u16(tcp, TCP_CHECKSUM, checksum::partial(pseudo));
        }
    }
}

/// Finishes a packet's checksum, where the kernel left that to others.
pub(crate) fn finish_checksum(header: &VirtioHeader, packet: &mut [u8]) {
    let start = usize::from(header.checksum_start);
    let at = start + usize::from(header.checksum_offset);
    let is_there = at + 2 <= packet.len();
    if header.flags & VirtioHeader::NEEDS_CHECKSUM != 0 && is_there {
        // The field holds the pseudo header's sum already.
        let sum = checksum::finish(checksum::add(0, &packet[start..]));
        put_u16(packet, at, sum);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::examples::{TcpPacket, naive_checksum, verify};
    use super::*;

    fn pieces(example: &TcpPacket) -> Vec<Vec<u8>> {
        let read = example.build();
        let (header, packet) = VirtioHeader::split(&read).unwrap();
        let train = Train::measure(&header, packet).unwrap();
        let mut pieces = Vec::new();
        train.cut(packet, &mut Vec::new(), |p| pieces.push(p.to_vec()));
        assert_eq!(train.packets as usize, pieces.len());
        let bytes: usize = pieces.iter().map(|p| p.len() - VirtioHeader::BYTES).sum();
        assert_eq!(train.ip_bytes, bytes as u64);
        pieces
    }

    proptest! {
        #[test]
        fn the_pieces_are_what_the_sender_would_have_sent_without_offload(
            payload in prop::collection::vec(any::<u8>(), 1..20_000),
            gso_bytes in 50u16..9_000,
            ip_option_words in 0usize..4,
            tcp_option_words in 0usize..11,
            sequence: u32,
            id: u16,
            flags: u8,
            needs_checksum: bool,
        ) {
            let example = TcpPacket {
                payload, gso_bytes, ip_option_words, tcp_option_words, sequence, id, flags,
                needs_checksum,
            };
            let pieces = pieces(&example);
            let count = pieces.len();
            let mut joined = Vec::new();
            for (index, piece) in pieces.iter().enumerate() {
                let seen = verify(piece, example.ip_option_words);
                prop_assert_eq!(seen.sequence, sequence.wrapping_add(joined.len() as u32));
                prop_assert_eq!(seen.id, id.wrapping_add(index as u16));
                let mut expected = flags;
                if index + 1 < count {
                    prop_assert_eq!(seen.payload.len(), usize::from(gso_bytes));
                    expected &= !(FIN | PSH);
                }
                if index > 0 {
                    expected &= !CWR;
                }
                prop_assert_eq!(seen.flags, expected);
                prop_assert_eq!(&seen.options, &example.tcp_options());
                joined.extend_from_slice(&seen.payload);
            }
            prop_assert_eq!(joined, example.payload);
        }

        #[test]
        fn any_bytes_are_measured_or_refused(
            read in prop::collection::vec(any::<u8>(), VirtioHeader::BYTES..200),
            gso_type in prop::sample::select(vec![0u8, 1, 3, 4, 5, 0x81]),
        ) {
            let (mut header, packet) = VirtioHeader::split(&read).unwrap();
            header.gso_type = gso_type;
            if let Ok(train) = Train::measure(&header, packet)
                && gso_type != VirtioHeader::GSO_NONE
            {
                let mut count = 0;
                train.cut(packet, &mut Vec::new(), |_| count += 1);
                prop_assert_eq!(count, train.packets);
            }
        }

        #[test]
        fn the_checksum_is_the_naive_one(bytes in prop::collection::vec(any::<u8>(), 0..3_000)) {
            prop_assert_eq!(checksum::finish(checksum::add(0, &bytes)), naive_checksum(&bytes));
        }
    }

    #[test]
    fn a_whole_read_of_64_kib_is_cut() {
        let example = TcpPacket {
            payload: (0..65_483u32).map(|n| n as u8).collect(),
            gso_bytes: 1_448,
            tcp_option_words: 3,
            ..TcpPacket::default()
        };
        assert_eq!(pieces(&example).len(), 46);
    }

    #[test]
    fn trains_of_other_kinds_are_refused() {
        let read = TcpPacket::default().build();
        let (good, packet) = VirtioHeader::split(&read).unwrap();
        let udp = VirtioHeader {
            gso_type: 5,
            ..good
        };
        assert_eq!(Train::measure(&udp, packet), Err(Malformed));
        let endless = VirtioHeader {
            gso_bytes: 0,
            ..good
        };
        assert_eq!(Train::measure(&endless, packet), Err(Malformed));
        let mut fragment = packet.to_vec();
        fragment[IPV4_FRAGMENT] = 0x20;
        assert_eq!(Train::measure(&good, &fragment), Err(Malformed));
        assert_eq!(Train::measure(&good, &packet[..39]), Err(Malformed));
    }
}
