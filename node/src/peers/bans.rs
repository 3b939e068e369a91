//! Who may not connect: subnets that an operator banned, and hosts that misbehaved lately.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use thiserror::Error;

use crate::io::Time;

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet(IpNet);

/// What was written is neither an address nor a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("neither an IP address nor a subnet")]
pub struct SubnetError;

impl Subnet {
    /// Whether the address lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip)
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    /// `IP`, `IP/BITS` or `IP/NETMASK`.
    fn from_str(text: &str) -> Result<Subnet, SubnetError> {
        let (ip, mask) = match text.split_once('/') {
            Some((ip, mask)) => (ip, Some(mask)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| SubnetError)?;
        let ip = ip.to_canonical();
        let subnet = match mask.map(|mask| (mask.parse(), mask.parse())) {
            None => Ok(ip.into()),
            Some((Ok(bits), _)) => IpNet::new(ip, bits),
            Some((_, Ok(netmask))) => IpNet::with_netmask(ip, netmask),
            Some(_) => return Err(SubnetError),
        };
        subnet
            .map(|subnet| Subnet(subnet.trunc()))
            .map_err(|_| SubnetError)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
