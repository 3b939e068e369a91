//! Addresses of peers as messages carry them: the old 26-byte form, and BIP155.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::codec::{Payload, PayloadError, Reader, Writer, compact_size_bytes, list_bytes};

/// Most addresses in one message (Bitcoin's `MAX_ADDR_TO_SEND`).
pub const ADDRESSES_PER_MESSAGE_MAX: usize = 1_000;
/// Time, services, network, an empty address, port.
const ENTRY_V2_BYTES_MIN: usize = 4 + 1 + 1 + 1 + 2;

/// A peer that somebody announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    /// When it was last seen, seconds since the Unix epoch.
    pub last_seen_secs: u32,
    /// Its service bits, as announced.
    pub services: u64,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// Bytes of an address without its time: services, IPv6-mapped address, port.
pub(super) const ADDRESS_BYTES: usize = 26;

/// BIP155 network ids that this node can dial; others are skipped.
const NETWORK_IPV4: u8 = 1;
const NETWORK_IPV6: u8 = 2;
/// BIP155: longer addresses make the message invalid.
const ADDRESS_V2_BYTES_MAX: u64 = 512;

/// IPv4 in its own form, also when it comes mapped into IPv6.
fn canonical(ip: Ipv6Addr) -> IpAddr {
    IpAddr::V6(ip).to_canonical()
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Services, address and port, as in `version` and (behind a time) in `addr`.
pub(super) fn write_endpoint(writer: &mut Writer, services: u64, addr: SocketAddr) {
    writer.bytes(&services.to_le_bytes());
    writer.bytes(&mapped(addr.ip()).octets());
    writer.bytes(&addr.port().to_be_bytes());
}

/// Reads what [`write_endpoint`] writes.
pub(super) fn read_endpoint(reader: &mut Reader<'_>) -> Result<(u64, SocketAddr), PayloadError> {
    let services = reader.u64()?;
    let ip = canonical(Ipv6Addr::from(reader.array::<16>()?));
    let port = u16::from_be_bytes(reader.array::<2>()?);
    Ok((services, SocketAddr::new(ip, port)))
}

impl PeerAddress {
    fn write_v1(&self, writer: &mut Writer) {
        writer.bytes(&self.last_seen_secs.to_le_bytes());
        write_endpoint(writer, self.services, self.addr);
    }

    fn read_v1(reader: &mut Reader<'_>) -> Result<PeerAddress, PayloadError> {
        let last_seen_secs = reader.u32()?;
        let (services, addr) = read_endpoint(reader)?;
        Ok(PeerAddress {
            last_seen_secs,
            services,
            addr,
        })
    }

    /// Bytes of this entry in `addrv2`.
    fn v2_bytes(&self) -> usize {
        let ip_bytes = if self.addr.is_ipv4() { 4 } else { 16 };
        4 + compact_size_bytes(self.services) + 1 + 1 + ip_bytes + 2
    }

    fn write_v2(&self, writer: &mut Writer) {
        writer.bytes(&self.last_seen_secs.to_le_bytes());
        writer.compact_size(self.services);
        match self.addr.ip() {
            IpAddr::V4(ip) => {
                writer.bytes(&[NETWORK_IPV4, 4]);
                writer.bytes(&ip.octets());
            }
            IpAddr::V6(ip) => {
                writer.bytes(&[NETWORK_IPV6, 16]);
                writer.bytes(&ip.octets());
            }
        }
        writer.bytes(&self.addr.port().to_be_bytes());
    }

    /// Reads one `addrv2` entry; `None` for networks that this node cannot dial.
    fn read_v2(reader: &mut Reader<'_>) -> Result<Option<PeerAddress>, PayloadError> {
        let last_seen_secs = reader.u32()?;
        let services = reader.compact_size()?;
        let network = reader.array::<1>()?[0];
        let length = reader.compact_size()?;
        if length > ADDRESS_V2_BYTES_MAX {
            return Err(PayloadError::Limit("addrv2 address over 512 bytes"));
        }
        let bytes = reader.take(length as usize)?;
        let port = u16::from_be_bytes(reader.array::<2>()?);
        let ip = match (network, bytes.len()) {
            (NETWORK_IPV4, 4) => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
            (NETWORK_IPV6, 16) => {
                let mut octets = [0; 16];
                octets.copy_from_slice(bytes);
                canonical(Ipv6Addr::from(octets))
            }
            (NETWORK_IPV4 | NETWORK_IPV6, _) => {
                return Err(PayloadError::Invalid("addrv2 address of the wrong length"));
            }
            _ => return Ok(None),
        };
        Ok(Some(PeerAddress {
            last_seen_secs,
            services,
            addr: SocketAddr::new(ip, port),
        }))
    }
}

/// In the old form.
impl Payload for Vec<PeerAddress> {
    fn bytes(&self) -> usize {
        list_bytes(self.len(), 4 + ADDRESS_BYTES)
    }

    fn write(&self, writer: &mut Writer) {
        writer.list(self, |writer, address| address.write_v1(writer));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Vec<PeerAddress>, PayloadError> {
        reader.list(
            ADDRESSES_PER_MESSAGE_MAX,
            4 + ADDRESS_BYTES,
            "more than 1000 addresses",
            PeerAddress::read_v1,
        )
    }
}

/// Addresses in the form of BIP155; those of networks that cannot be dialled are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressesV2(pub Vec<PeerAddress>);

impl Payload for AddressesV2 {
    fn bytes(&self) -> usize {
        list_bytes(self.0.len(), 0) + self.0.iter().map(PeerAddress::v2_bytes).sum::<usize>()
    }

    fn write(&self, writer: &mut Writer) {
        writer.list(&self.0, |writer, address| address.write_v2(writer));
    }

    fn read(reader: &mut Reader<'_>) -> Result<AddressesV2, PayloadError> {
        let list = reader.list(
            ADDRESSES_PER_MESSAGE_MAX,
            ENTRY_V2_BYTES_MIN,
            "more than 1000 addresses",
            PeerAddress::read_v2,
        )?;
        Ok(AddressesV2(list.into_iter().flatten().collect()))
    }
}
