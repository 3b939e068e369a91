//! Who may not connect: subnets that an operator banned, and hosts that misbehaved lately.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::io::Time;

/// An address with the number of its bits that matter. The other bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    ip: IpAddr,
    prefix_bits: u8,
}

/// What was written is neither an address nor a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("neither an IP address nor a subnet")]
pub struct SubnetError;

impl Subnet {
    /// The subnet of an address; `None` if it has fewer bits than that.
    pub fn new(ip: IpAddr, prefix_bits: u8) -> Option<Subnet> {
        let width_bits = if ip.is_ipv4() { 32 } else { 128 };
        (prefix_bits <= width_bits).then(|| Subnet {
            ip: masked(ip, prefix_bits),
            prefix_bits,
        })
    }

    /// One address alone.
    pub fn host(ip: IpAddr) -> Subnet {
        Subnet {
            ip,
            prefix_bits: if ip.is_ipv4() { 32 } else { 128 },
        }
    }

    /// Whether the address lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.ip.is_ipv4() && masked(ip, self.prefix_bits) == self.ip
    }
}

fn masked(ip: IpAddr, prefix_bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX
                .checked_shl(32 - u32::from(prefix_bits))
                .unwrap_or(0);
            IpAddr::V4((u32::from(ip) & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(prefix_bits))
                .unwrap_or(0);
            IpAddr::V6((u128::from(ip) & mask).into())
        }
    }
}

/// Bits of a netmask; `None` if it has holes.
fn netmask_bits(mask: IpAddr) -> Option<u8> {
    let (ones, whole) = match mask {
        IpAddr::V4(mask) => {
            let mask = u32::from(mask);
            (mask.leading_ones(), mask.count_ones())
        }
        IpAddr::V6(mask) => {
            let mask = u128::from(mask);
            (mask.leading_ones(), mask.count_ones())
        }
    };
    (ones == whole).then_some(ones as u8)
}

impl FromStr for Subnet {
    type Err = SubnetError;

    /// `IP`, `IP/BITS` or `IP/NETMASK`.
    fn from_str(text: &str) -> Result<Subnet, SubnetError> {
        let (ip, mask) = match text.split_once('/') {
            Some((ip, mask)) => (ip, Some(mask)),
            None => (text, None),
        };
        let ip = ip.parse::<IpAddr>().map_err(|_| SubnetError)?;
        let ip = match ip {
            IpAddr::V6(v6) => Ipv6Addr::to_ipv4_mapped(&v6).map_or(ip, IpAddr::V4),
            IpAddr::V4(_) => ip,
        };
        let Some(mask) = mask else {
            return Ok(Subnet::host(ip));
        };
        let bits = match mask.parse::<u8>() {
            Ok(bits) => Some(bits),
            Err(_) => mask
                .parse::<IpAddr>()
                .ok()
                .filter(|m| m.is_ipv4() == ip.is_ipv4())
                .and_then(netmask_bits),
        };
        bits.and_then(|bits| Subnet::new(ip, bits))
            .ok_or(SubnetError)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix_bits)
    }
}

/// One entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Since when.
    pub created: Time,
    /// Until when.
    pub until: Time,
}

/// The list.
#[derive(Clone, Debug, Default)]
pub struct BanList {
    bans: BTreeMap<Subnet, Ban>,
}

impl BanList {
    /// Adds or replaces a ban.
    pub fn set(&mut self, subnet: Subnet, ban: Ban) {
        self.bans.insert(subnet, ban);
    }

    /// Lifts a ban; false if there was none.
    pub fn clear(&mut self, subnet: &Subnet) -> bool {
        self.bans.remove(subnet).is_some()
    }

    /// Lifts all.
    pub fn clear_all(&mut self) {
        self.bans.clear();
    }

    /// Whether an address is banned now.
    pub fn is_banned(&self, ip: IpAddr, now: Time) -> bool {
        self.bans
            .iter()
            .any(|(subnet, ban)| ban.until > now && subnet.contains(ip))
    }

    /// Bans in force, by subnet.
    pub fn iter(&self, now: Time) -> impl Iterator<Item = (&Subnet, &Ban)> + '_ {
        self.bans.iter().filter(move |(_, ban)| ban.until > now)
    }

    /// Whether this very subnet is banned now.
    pub fn has(&self, subnet: &Subnet, now: Time) -> bool {
        self.bans.get(subnet).is_some_and(|ban| ban.until > now)
    }
}

/// A host that misbehaved is not let in again for this long, so that it does not come back at once
/// to do the same. Bitcoin Core remembers until it ends; in an experiment of minutes, a node that is
/// mended gets another chance.
const UNWELCOME_FOR: Duration = Duration::from_secs(60);
/// Hosts remembered; beyond it the one that is soonest welcome again is forgotten.
const UNWELCOME_MAX: usize = 256;

/// Hosts that misbehaved lately.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unwelcome {
    until: BTreeMap<IpAddr, Time>,
}

impl Unwelcome {
    /// Notes a misbehaviour. Many nodes may share a loopback address: these are not noted.
    pub(super) fn add(&mut self, ip: IpAddr, now: Time) {
        if ip.is_loopback() {
            return;
        }
        if self.until.len() >= UNWELCOME_MAX
            && let Some((first, _)) = self.until.iter().min_by_key(|(_, until)| **until)
        {
            self.until.remove(&first.clone());
        }
        self.until.insert(ip, now + UNWELCOME_FOR);
    }

    pub(super) fn contains(&self, ip: IpAddr, now: Time) -> bool {
        self.until.get(&ip).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_are_read_in_all_three_forms() {
        assert_eq!(subnet("10.1.2.3").to_string(), "10.1.2.3/32");
        assert_eq!(subnet("10.1.2.3/8").to_string(), "10.0.0.0/8");
        assert_eq!(subnet("10.1.2.3/255.255.0.0").to_string(), "10.1.0.0/16");
        assert_eq!(subnet("::1").to_string(), "::1/128");
        assert_eq!(subnet("0.0.0.0/0").to_string(), "0.0.0.0/0");
        for wrong in [
            "",
            "10.1.2",
            "10.1.2.3/33",
            "10.0.0.0/255.0.255.0",
            "::1/129",
            "a/8",
        ] {
            assert_eq!(wrong.parse::<Subnet>(), Err(SubnetError), "{wrong}");
        }
    }

    #[test]
    fn who_misbehaved_is_unwelcome_for_a_while() {
        let mut unwelcome = Unwelcome::default();
        let hosts = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..1_000 {
            unwelcome.add(hosts(0x0a00_0000 + n), Time(u64::from(n)));
        }
        assert_eq!(unwelcome.until.len(), UNWELCOME_MAX);
        assert!(unwelcome.contains(hosts(0x0a00_0000 + 999), Time(1_000)));
        assert!(!unwelcome.contains(hosts(0x0a00_0000 + 999), Time(1_000) + UNWELCOME_FOR));
        unwelcome.add("127.0.0.1".parse().unwrap(), Time(0));
        assert!(!unwelcome.contains("127.0.0.1".parse().unwrap(), Time(1)));
    }

    #[test]
    fn a_ban_holds_for_its_subnet_and_its_time() {
        let mut bans = BanList::default();
        bans.set(
            subnet("10.1.0.0/16"),
            Ban {
                created: Time(0),
                until: Time(100),
            },
        );
        let inside = "10.1.9.9".parse().unwrap();
        assert!(bans.is_banned(inside, Time(99)));
        assert!(!bans.is_banned(inside, Time(100)));
        assert!(!bans.is_banned("10.2.0.1".parse().unwrap(), Time(5)));
        assert!(bans.clear(&subnet("10.1.0.0/16")));
        assert!(!bans.is_banned(inside, Time(5)));
    }
}
