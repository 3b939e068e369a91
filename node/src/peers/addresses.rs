//! The addresses that this node knows: bounded, drawn from by chance, and no single source may
//! fill the book. Nothing is dialled here.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::context::Randomness;
use crate::io::Time;
use crate::wire::PeerAddress;

/// The share of the book that one source may have reported, so that a liar cannot crowd out what
/// the others report.
const SOURCE_SHARE: usize = 4;
/// After a failed attempt an address rests this long, doubled with every further failure.
const REST_MIN: Duration = Duration::from_secs(1);
/// The longest rest. Short enough that the far side of a partition is tried again soon after it
/// heals.
const REST_MAX: Duration = Duration::from_secs(10);
/// An address that misbehaved is left alone for this long.
const SHUNNED_FOR: Duration = Duration::from_secs(3_600);
/// Chance draws before the book is searched in order.
const DRAWS: usize = 16;
/// A sighting is only noted when it is this much newer, seconds: gossip would else never end.
const RENEWAL_SECS_MIN: u32 = 600;
/// Bitcoin Core: an address from the future is taken to be five days old, seconds.
const PENALTY_SECS: u32 = 5 * 24 * 3_600;

/// What is known of an address.
#[derive(Clone, Debug)]
struct Entry {
    last_seen_secs: u32,
    services: u64,
    /// Who reported it first.
    source: IpAddr,
    failures: u8,
    /// Not tried again before this, after a failure.
    rests_until: Time,
    /// Not tried again before this, after misbehaviour.
    shunned_until: Time,
    /// Whether a handshake was ever completed with it.
    worked: bool,
    /// Its index in [`AddressBook::order`].
    at: usize,
}

/// The book.
#[derive(Clone, Debug)]
pub(crate) struct AddressBook {
    entries: BTreeMap<SocketAddr, Entry>,
    /// All addresses, in no particular order, to draw from.
    order: Vec<SocketAddr>,
    by_source: BTreeMap<IpAddr, usize>,
    capacity: usize,
}

impl AddressBook {
    pub(crate) fn new(capacity: usize) -> AddressBook {
        AddressBook {
            entries: BTreeMap::new(),
            order: Vec::new(),
            by_source: BTreeMap::new(),
            capacity: capacity.max(1),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Takes what a source reports. True if it is news: a new address, or a much later sighting.
    pub(crate) fn add(
        &mut self,
        reported: PeerAddress,
        source: IpAddr,
        now: Time,
        randomness: &mut Randomness,
    ) -> bool {
        if !is_dialable(&reported.addr) {
            return false;
        }
        let seen = plausible_secs(reported.last_seen_secs, now);
        if let Some(entry) = self.entries.get_mut(&reported.addr) {
            let renewed = seen >= entry.last_seen_secs.saturating_add(RENEWAL_SECS_MIN);
            if renewed {
                entry.last_seen_secs = seen;
                entry.services |= reported.services;
            }
            return renewed;
        }
        let of_source = self.by_source.get(&source).copied().unwrap_or(0);
        if of_source >= (self.capacity / SOURCE_SHARE).max(1) {
            return false;
        }
        if self.order.len() >= self.capacity {
            self.make_room(randomness);
        }
        let entry = Entry {
            last_seen_secs: seen,
            services: reported.services,
            source,
            failures: 0,
            rests_until: Time(0),
            shunned_until: Time(0),
            worked: false,
            at: self.order.len(),
        };
        self.order.push(reported.addr);
        self.entries.insert(reported.addr, entry);
        *self.by_source.entry(source).or_default() += 1;
        true
    }

    /// Removes the worst of a few drawn addresses: never worked, then most failures, then oldest.
    fn make_room(&mut self, randomness: &mut Randomness) {
        let drawn = (0..DRAWS).map(|_| self.order[randomness.below(self.order.len())]);
        let worst = drawn
            .filter_map(|addr| self.entries.get(&addr).map(|e| (addr, e)))
            .max_by_key(|(addr, e)| {
                (
                    !e.worked,
                    e.failures,
                    std::cmp::Reverse(e.last_seen_secs),
                    *addr,
                )
            })
            .map(|(addr, _)| addr);
        if let Some(addr) = worst {
            self.remove(&addr);
        }
    }

    pub(crate) fn remove(&mut self, addr: &SocketAddr) {
        let Some(entry) = self.entries.remove(addr) else {
            return;
        };
        self.order.swap_remove(entry.at);
        if let Some(moved) = self.order.get(entry.at)
            && let Some(moved) = self.entries.get_mut(moved)
        {
            moved.at = entry.at;
        }
        if let Some(count) = self.by_source.get_mut(&entry.source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&entry.source);
            }
        }
    }

    /// An address to dial, not resting and not excluded; those that never failed come first.
    pub(crate) fn draw(
        &self,
        now: Time,
        randomness: &mut Randomness,
        excluded: impl Fn(&SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        if self.order.is_empty() {
            return None;
        }
        let usable = |addr: &SocketAddr, failures_max: u8| {
            self.entries.get(addr).is_some_and(|e| {
                e.rests_until.max(e.shunned_until) <= now && e.failures <= failures_max
            }) && !excluded(addr)
        };
        for _ in 0..DRAWS {
            let addr = self.order[randomness.below(self.order.len())];
            if usable(&addr, 0) {
                return Some(addr);
            }
        }
        let start = randomness.below(self.order.len());
        let in_order = || {
            self.order[start..]
                .iter()
                .chain(&self.order[..start])
                .copied()
        };
        in_order()
            .find(|a| usable(a, 0))
            .or_else(|| in_order().find(|a| usable(a, u8::MAX)))
    }

    /// A connection could not be opened, or ended before its handshake did.
    pub(crate) fn attempt_failed(&mut self, addr: &SocketAddr, now: Time) {
        if let Some(entry) = self.entries.get_mut(addr) {
            let rest = REST_MIN * 2u32.pow(u32::from(entry.failures.min(5)));
            entry.rests_until = now + rest.min(REST_MAX);
            entry.failures = entry.failures.saturating_add(1);
        }
    }

    /// A handshake was completed. True if it had failed before: then the network, or the peer, has
    /// come back.
    pub(crate) fn worked(&mut self, addr: &SocketAddr, services: u64, now: Time) -> bool {
        let Some(entry) = self.entries.get_mut(addr) else {
            return false;
        };
        let came_back = entry.failures > 0;
        entry.failures = 0;
        entry.rests_until = Time(0);
        entry.worked = true;
        entry.services = services;
        entry.last_seen_secs = entry.last_seen_secs.max(now.unix_secs());
        came_back
    }

    /// Ends all rests after failures: what was unreachable may be reachable again.
    pub(crate) fn wake_all(&mut self) {
        for entry in self.entries.values_mut() {
            entry.rests_until = Time(0);
        }
    }

    /// It misbehaved.
    pub(crate) fn shun(&mut self, addr: &SocketAddr, now: Time) {
        if let Some(entry) = self.entries.get_mut(addr) {
            entry.shunned_until = now + SHUNNED_FOR;
            entry.failures = entry.failures.saturating_add(1);
        }
    }

    /// Up to `max` addresses, drawn without repetition.
    pub(crate) fn sample(&self, max: usize, randomness: &mut Randomness) -> Vec<PeerAddress> {
        let mut order = self.order.clone();
        let count = max.min(order.len());
        for at in 0..count {
            let other = at + randomness.below(order.len() - at);
            order.swap(at, other);
        }
        order.truncate(count);
        order
            .iter()
            .filter_map(|addr| self.describe(addr))
            .collect()
    }

    /// All addresses, sorted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = PeerAddress> + '_ {
        self.entries.keys().filter_map(|addr| self.describe(addr))
    }

    fn describe(&self, addr: &SocketAddr) -> Option<PeerAddress> {
        self.entries.get(addr).map(|e| PeerAddress {
            last_seen_secs: e.last_seen_secs,
            services: e.services,
            addr: *addr,
        })
    }
}

/// Whether a connection to it makes sense at all. Private addresses do: this node is made for
/// private networks.
pub(super) fn is_dialable(addr: &SocketAddr) -> bool {
    let ip_is_usable = match addr.ip() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    ip_is_usable && addr.port() != 0
}

/// As Bitcoin Core: a time before 1973 or more than ten minutes ahead counts as five days ago.
fn plausible_secs(reported_secs: u32, now: Time) -> u32 {
    let now_secs = now.unix_secs();
    if reported_secs <= 100_000_000 || reported_secs > now_secs.saturating_add(600) {
        now_secs.saturating_sub(PENALTY_SECS)
    } else {
        reported_secs
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const NOW: Time = Time(1_700_000_000_000_000_000);

    fn reported(n: u16) -> PeerAddress {
        let addr = SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 18_444));
        PeerAddress {
            last_seen_secs: NOW.unix_secs(),
            services: 9,
            addr,
        }
    }

    fn source(n: u8) -> IpAddr {
        IpAddr::from([10, 9, 9, n])
    }

    #[test]
    fn one_source_fills_a_quarter_at_most() {
        let mut randomness = Randomness::new(1);
        let mut book = AddressBook::new(100);
        for n in 1..=200 {
            book.add(reported(n), source(1), NOW, &mut randomness);
        }
        assert_eq!(book.len(), 25);
        assert!(book.add(reported(201), source(2), NOW, &mut randomness));
    }

    #[test]
    fn the_book_stays_bounded_and_keeps_what_worked() {
        let mut randomness = Randomness::new(1);
        let mut book = AddressBook::new(40);
        book.add(reported(1), source(0), NOW, &mut randomness);
        book.worked(&reported(1).addr, 9, NOW);
        for n in 2..=1_000 {
            book.add(
                reported(n),
                source((n % 100) as u8 + 1),
                NOW,
                &mut randomness,
            );
        }
        assert_eq!(book.len(), 40);
        assert!(book.iter().any(|a| a.addr == reported(1).addr));
        let listed: BTreeSet<_> = book.iter().map(|a| a.addr).collect();
        assert_eq!(listed, book.order.iter().copied().collect());
        assert_eq!(book.by_source.values().sum::<usize>(), 40);
    }

    #[test]
    fn a_failed_address_rests_longer_each_time_and_is_drawn_last() {
        let mut randomness = Randomness::new(1);
        let mut book = AddressBook::new(40);
        book.add(reported(1), source(1), NOW, &mut randomness);
        book.add(reported(2), source(1), NOW, &mut randomness);
        book.attempt_failed(&reported(1).addr, NOW);
        for _ in 0..50 {
            assert_eq!(
                book.draw(NOW, &mut randomness, |_| false),
                Some(reported(2).addr)
            );
        }
        let only_first = |a: &SocketAddr| *a == reported(2).addr;
        assert_eq!(book.draw(NOW, &mut randomness, only_first), None);
        let later = NOW + Duration::from_secs(1);
        assert_eq!(
            book.draw(later, &mut randomness, only_first),
            Some(reported(1).addr)
        );
        book.attempt_failed(&reported(1).addr, later);
        assert_eq!(
            book.draw(later + Duration::from_secs(1), &mut randomness, only_first),
            None
        );
    }

    #[test]
    fn every_address_is_drawn_sooner_or_later() {
        let mut randomness = Randomness::new(3);
        let mut book = AddressBook::new(100);
        for n in 1..=20 {
            book.add(reported(n), source(n as u8), NOW, &mut randomness);
        }
        let drawn: BTreeSet<_> = (0..500)
            .filter_map(|_| book.draw(NOW, &mut randomness, |_| false))
            .collect();
        assert_eq!(drawn.len(), 20);
    }

    #[test]
    fn a_sample_has_no_repetitions() {
        let mut randomness = Randomness::new(3);
        let mut book = AddressBook::new(100);
        for n in 1..=20 {
            book.add(reported(n), source(n as u8), NOW, &mut randomness);
        }
        let sampled: BTreeSet<_> = book
            .sample(15, &mut randomness)
            .into_iter()
            .map(|a| a.addr)
            .collect();
        assert_eq!(sampled.len(), 15);
        assert_eq!(book.sample(1_000, &mut randomness).len(), 20);
    }

    #[test]
    fn only_news_is_news() {
        let mut randomness = Randomness::new(3);
        let mut book = AddressBook::new(100);
        assert!(book.add(reported(1), source(1), NOW, &mut randomness));
        assert!(!book.add(reported(1), source(2), NOW, &mut randomness));
        let later = NOW + Duration::from_secs(700);
        let mut again = reported(1);
        again.last_seen_secs = later.unix_secs();
        assert!(book.add(again, source(2), later, &mut randomness));
        let unusable = PeerAddress {
            addr: "0.0.0.0:1".parse().unwrap(),
            ..reported(1)
        };
        assert!(!book.add(unusable, source(2), later, &mut randomness));
    }
}
