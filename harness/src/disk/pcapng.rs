//! The packets of one network interface as Wireshark reads them: pcapng
//! (draft-ietf-opsawg-pcapng), little endian, raw IP packets, instants in nanoseconds. Written only, in one
//! go and to any writer; no crate that does so is both whole and kept.

use std::io::{self, Write};
use std::net::Ipv4Addr;

/// Section header block.
const SECTION: u32 = 0x0a0d_0d0a;
/// By it readers know the byte order.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// The format's version, major and minor.
const VERSION: [u16; 2] = [1, 0];
/// The section goes on to the end of the file.
const LENGTH_UNKNOWN: u64 = u64::MAX;
/// Interface description block.
const INTERFACE: u32 = 1;
/// Interface statistics block.
const STATISTICS: u32 = 5;
/// Enhanced packet block.
const PACKET: u32 = 6;
/// LINKTYPE_RAW: a packet begins with its IP header.
const LINK_RAW: u16 = 101;
/// The one interface's number.
const INTERFACE_ID: u32 = 0;
/// Instants are in units of ten to the minus this.
const NANOSECONDS: u8 = 9;

/// The end of a block's options.
const OPTION_END: u16 = 0;
/// Section: the program that wrote it.
const OPTION_PROGRAM: u16 = 4;
/// Interface: its name, its address with its mask, its unit of time.
const OPTION_NAME: u16 = 2;
const OPTION_ADDRESS: u16 = 4;
const OPTION_UNIT: u16 = 9;
/// Packet: which way it went.
const OPTION_FLAGS: u16 = 2;
const FLAG_INBOUND: u32 = 1;
const FLAG_OUTBOUND: u32 = 2;
/// Statistics: packets that came by, and those of them that are not in the file.
const OPTION_SEEN: u16 = 4;
const OPTION_LEFT_OUT: u16 = 5;

/// An interface.
#[derive(Clone, Debug)]
pub struct Interface<'a> {
    pub name: &'a str,
    pub ip: Ipv4Addr,
    /// Length of its network's prefix.
    pub prefix: u8,
}

/// A file under way.
#[derive(Debug)]
pub struct Pcapng<W> {
    file: W,
    /// The block under way.
    block: Vec<u8>,
    packets: u64,
    last: u64,
}

impl<W: Write> Pcapng<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(file: W, interface: &Interface<'_>) -> io::Result<Pcapng<W>> {
        let mut pcapng = Pcapng {
            file,
            block: Vec::new(),
            packets: 0,
            last: 0,
        };
        pcapng.section()?;
        pcapng.interface(interface)?;
        Ok(pcapng)
    }

    fn section(&mut self) -> io::Result<()> {
        self.open(SECTION);
        self.put(&BYTE_ORDER.to_le_bytes());
        for part in VERSION {
            self.put(&part.to_le_bytes());
        }
        self.put(&LENGTH_UNKNOWN.to_le_bytes());
        let program = concat!("peerlab ", env!("CARGO_PKG_VERSION"));
        self.option(OPTION_PROGRAM, program.as_bytes());
        self.close()
    }

    fn interface(&mut self, interface: &Interface<'_>) -> io::Result<()> {
        self.open(INTERFACE);
        self.put(&LINK_RAW.to_le_bytes());
        self.put(&[0; 2]);
        // No packet is cut.
        self.put(&0u32.to_le_bytes());
        self.option(OPTION_NAME, interface.name.as_bytes());
        let host_bits = 32 - u32::from(interface.prefix.min(32));
        let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
        let address = [interface.ip.octets(), mask.to_be_bytes()].concat();
        self.option(OPTION_ADDRESS, &address);
        self.option(OPTION_UNIT, &[NANOSECONDS]);
        self.close()
    }

    /// A packet, at so many nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn packet(&mut self, unix_nanos: u64, is_outbound: bool, bytes: &[u8]) -> io::Result<()> {
        self.packets += 1;
        self.last = unix_nanos;
        self.open(PACKET);
        self.put(&INTERFACE_ID.to_le_bytes());
        self.instant(unix_nanos);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // As it is in the file, and as it was.
        self.put(&length.to_le_bytes());
        self.put(&length.to_le_bytes());
        self.put(bytes);
        self.pad();
        let flags = if is_outbound {
            FLAG_OUTBOUND
        } else {
            FLAG_INBOUND
        };
        self.option(OPTION_FLAGS, &flags.to_le_bytes());
        self.close()
    }

    /// Ends the file, in which so many packets are not.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self, left_out: u64) -> io::Result<()> {
        self.open(STATISTICS);
        self.put(&INTERFACE_ID.to_le_bytes());
        self.instant(self.last);
        let seen = self.packets.saturating_add(left_out);
        self.option(OPTION_SEEN, &seen.to_le_bytes());
        self.option(OPTION_LEFT_OUT, &left_out.to_le_bytes());
        self.close()?;
        self.file.flush()
    }

    fn open(&mut self, kind: u32) {
        self.block.clear();
        self.put(&kind.to_le_bytes());
        // Its length, once that is known.
        self.put(&[0; 4]);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
    }

    /// The upper half of an instant goes before the lower.
    fn instant(&mut self, unix_nanos: u64) {
        self.put(&((unix_nanos >> 32) as u32).to_le_bytes());
        self.put(&(unix_nanos as u32).to_le_bytes());
    }

    /// An option, cut where it is longer than one can be.
    fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.put(&code.to_le_bytes());
        self.put(&(value.len() as u16).to_le_bytes());
        self.put(value);
        self.pad();
    }

    fn pad(&mut self) {
        let length = self.block.len().next_multiple_of(4);
        self.block.resize(length, 0);
    }

    /// Ends the options of a block, and writes it.
    fn close(&mut self) -> io::Result<()> {
        self.put(&OPTION_END.to_le_bytes());
        self.put(&[0; 2]);
        let length = (self.block.len() + 4) as u32;
        self.block[4..8].copy_from_slice(&length.to_le_bytes());
        self.put(&length.to_le_bytes());
        self.file.write_all(&self.block)
    }
}

#[cfg(test)]
mod tests {
    use pcap_parser::{Block, PcapNGOption, parse_pcapng};
    use proptest::prelude::*;

    use super::*;

    const INTERFACE: Interface<'_> = Interface {
        name: "peers-0",
        ip: Ipv4Addr::new(10, 0, 0, 1),
        prefix: 8,
    };

    fn value<'a>(options: &'a [PcapNGOption<'_>], code: u16) -> &'a [u8] {
        let mut meant = options.iter().filter(|option| option.code.0 == code);
        let option = meant.next().unwrap();
        assert!(meant.next().is_none());
        // With its padding.
        &option.value()[..usize::from(option.len)]
    }

    proptest! {
        #[test]
        fn another_reader_finds_what_was_written(
            packets in prop::collection::vec(
                (any::<u64>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)),
                0..20,
            ),
            left_out in 0u64..1_000,
        ) {
            let mut file = Vec::new();
            let mut pcapng = Pcapng::begin(&mut file, &INTERFACE).unwrap();
            for (t, is_outbound, bytes) in &packets {
                pcapng.packet(*t, *is_outbound, bytes).unwrap();
            }
            pcapng.finish(left_out).unwrap();
            let (rest, read) = parse_pcapng(&file).unwrap();
            prop_assert!(rest.is_empty());
            let section = &read.sections[0];
            let mut found = Vec::new();
            for block in &section.blocks {
                match block {
                    Block::SectionHeader(header) => prop_assert!(!header.big_endian()),
                    Block::InterfaceDescription(described) => {
                        prop_assert_eq!(described.linktype.0, 101);
                        prop_assert_eq!(described.if_tsresol, 9);
                        prop_assert_eq!(value(&described.options, OPTION_NAME), b"peers-0");
                        let address = value(&described.options, OPTION_ADDRESS);
                        prop_assert_eq!(address, [10, 0, 0, 1, 255, 0, 0, 0]);
                    }
                    Block::EnhancedPacket(packet) => {
                        let t = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                        prop_assert_eq!(packet.caplen, packet.origlen);
                        let bytes = packet.data[..packet.caplen as usize].to_vec();
                        let flags = value(&packet.options, OPTION_FLAGS);
                        let is_outbound = flags == FLAG_OUTBOUND.to_le_bytes();
                        prop_assert!(is_outbound || flags == FLAG_INBOUND.to_le_bytes());
                        found.push((t, is_outbound, bytes));
                    }
                    Block::InterfaceStatistics(statistics) => {
                        let all = packets.len() as u64 + left_out;
                        let seen = value(&statistics.options, OPTION_SEEN);
                        prop_assert_eq!(seen, all.to_le_bytes());
                        let dropped = value(&statistics.options, OPTION_LEFT_OUT);
                        prop_assert_eq!(dropped, left_out.to_le_bytes());
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            prop_assert_eq!(found, packets);
        }
    }
}
