//! Which addresses are to be dialled, and when again. Data only: it opens nothing itself, and does
//! not know who is connected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::context::{Config, ConnectionKind, Randomness};
use crate::io::Time;

/// The wait after the first failure. All nodes of a lab start at one instant, and some listen a
/// moment later than others dial.
const RETRY_MIN: Duration = Duration::from_millis(250);
/// The longest wait after connections that could not be opened, and of a `-connect` target after
/// any: it has no substitute. Short, so that links are back soon after a partition heals; Bitcoin
/// Core waits no longer for a `-connect` target either.
const RETRY_FAILED_MAX: Duration = Duration::from_secs(5);
/// The longest wait after connections that were opened and soon lost: the other side has no place
/// for us, or does not want us. Also the wait after misbehaviour (Core: 60 s for `-addnode`).
const RETRY_DROPPED_MAX: Duration = Duration::from_secs(60);
/// A connection that lasted this long was a good one: after it, waits begin anew.
const STABLE_AFTER: Duration = Duration::from_secs(20);

/// The network counts as unsettled for this long after a connection was lost or could not be
/// opened: while a partition lasts, dials into its other side fail again and again.
const UNSETTLED_FOR: Duration = Duration::from_secs(60);

/// Who asked for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// `-connect`.
    Connect,
    /// `-addnode`, or `addnode ADDR add`.
    AddNode,
    /// `-seednode`: only while addresses are needed.
    Seed,
}

/// When to dial again.
#[derive(Clone, Copy, Debug)]
struct Retry {
    next: Time,
    wait: Duration,
}

impl Retry {
    fn at_once() -> Retry {
        Retry {
            next: Time(0),
            wait: RETRY_MIN,
        }
    }

    fn after(&mut self, now: Time, longest: Duration, randomness: &mut Randomness) {
        self.next = now + randomness.jittered(self.wait.min(longest));
        self.wait = (self.wait * 2).min(longest);
    }
}

#[derive(Clone, Debug)]
struct Target {
    kind: TargetKind,
    retry: Retry,
    /// Its connection is being closed because of what it did.
    misbehaved: bool,
}

impl Target {
    fn new(kind: TargetKind) -> Target {
        Target {
            kind,
            retry: Retry::at_once(),
            misbehaved: false,
        }
    }

    /// A connection that lasted so long is gone. Gives the longest wait until the next.
    fn lost(&mut self, lasted: Duration) -> Duration {
        if std::mem::take(&mut self.misbehaved) {
            self.retry.wait = RETRY_DROPPED_MAX;
            return RETRY_DROPPED_MAX;
        }
        if lasted >= STABLE_AFTER {
            self.retry.wait = RETRY_MIN;
        }
        match self.kind {
            TargetKind::Connect => RETRY_FAILED_MAX,
            TargetKind::AddNode | TargetKind::Seed => RETRY_DROPPED_MAX,
        }
    }
}

/// Targets, and what is being dialled.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    targets: BTreeMap<SocketAddr, Target>,
    pending: BTreeMap<SocketAddr, ConnectionKind>,
    /// When automatic connections are considered next.
    pub(super) next_automatic: Time,
    pub(super) automatic_wait: Duration,
    /// When peers are next asked for addresses, if none is left to dial.
    pub(super) next_ask: Time,
    pub(super) ask_wait: Duration,
    /// When a probe is considered next; `None` until automatic connections are complete.
    pub(super) next_probe: Option<Time>,
    /// Until when the network counts as unsettled.
    unsettled_until: Time,
}

impl Dialer {
    pub(crate) fn new(config: &Config) -> Dialer {
        let listed = [
            (&config.connect, TargetKind::Connect),
            (&config.add_nodes, TargetKind::AddNode),
            (&config.seed_nodes, TargetKind::Seed),
        ];
        let mut targets = BTreeMap::new();
        for (addrs, kind) in listed {
            for addr in addrs {
                targets.entry(*addr).or_insert(Target::new(kind));
            }
        }
        Dialer {
            targets,
            pending: BTreeMap::new(),
            next_automatic: Time(0),
            automatic_wait: Duration::ZERO,
            next_ask: Time(0),
            ask_wait: Duration::ZERO,
            next_probe: None,
            unsettled_until: Time(0),
        }
    }

    /// Whether no connection was lost, or could not be opened, of late.
    pub(super) fn is_settled(&self, now: Time) -> bool {
        self.unsettled_until <= now
    }

    /// A connection was lost: the network may be in parts. A probe that was drawn for calmer times
    /// is drawn anew.
    pub(super) fn unsettle(&mut self, now: Time) {
        if self.is_settled(now) {
            self.next_probe = None;
        }
        self.unsettled_until = now + UNSETTLED_FOR;
    }

    /// Adds a target, dialled at once; false if it is one already.
    pub(crate) fn add(&mut self, addr: SocketAddr, kind: TargetKind) -> bool {
        if self.targets.contains_key(&addr) {
            return false;
        }
        self.targets.insert(addr, Target::new(kind));
        true
    }

    /// Removes a target; false if it is none.
    pub(crate) fn remove(&mut self, addr: &SocketAddr) -> bool {
        self.targets.remove(addr).is_some()
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = (SocketAddr, TargetKind)> + '_ {
        self.targets
            .iter()
            .map(|(addr, target)| (*addr, target.kind))
    }

    pub(super) fn is_pending(&self, addr: &SocketAddr) -> bool {
        self.pending.contains_key(addr)
    }

    pub(super) fn pending_count(&self, kind: ConnectionKind) -> usize {
        self.pending.values().filter(|k| **k == kind).count()
    }

    pub(super) fn dialled(&mut self, addr: SocketAddr, kind: ConnectionKind) {
        self.pending.insert(addr, kind);
    }

    /// Targets whose time has come and that are not being dialled.
    pub(super) fn due(&self, now: Time) -> Vec<(SocketAddr, TargetKind)> {
        self.targets
            .iter()
            .filter(|(addr, target)| target.retry.next <= now && !self.is_pending(addr))
            .map(|(addr, target)| (*addr, target.kind))
            .collect()
    }

    /// When the next of the targets for which `counts` holds is due.
    pub(super) fn next_due(
        &self,
        counts: impl Fn(&SocketAddr, TargetKind) -> bool,
    ) -> Option<Time> {
        self.targets
            .iter()
            .filter(|(addr, target)| !self.is_pending(addr) && counts(addr, target.kind))
            .map(|(_, target)| target.retry.next)
            .min()
    }

    /// Why a connection that is now open was dialled; a connection that nobody here asked for
    /// counts as the operator's.
    pub(super) fn opened(&mut self, addr: &SocketAddr) -> ConnectionKind {
        self.pending.remove(addr).unwrap_or(ConnectionKind::Manual)
    }

    /// A connection could not be opened. Says what it was for.
    pub(super) fn failed(
        &mut self,
        addr: &SocketAddr,
        now: Time,
        randomness: &mut Randomness,
    ) -> Option<ConnectionKind> {
        if let Some(target) = self.targets.get_mut(addr) {
            target.retry.after(now, RETRY_FAILED_MAX, randomness);
        }
        self.pending.remove(addr)
    }

    /// A connection to a target is gone.
    pub(super) fn lost(
        &mut self,
        addr: &SocketAddr,
        lasted: Duration,
        now: Time,
        randomness: &mut Randomness,
    ) {
        if let Some(target) = self.targets.get_mut(addr) {
            let longest = target.lost(lasted);
            target.retry.after(now, longest, randomness);
        }
    }

    /// A target misbehaved: once its connection is gone, it waits as long as any.
    pub(super) fn shun(&mut self, addr: &SocketAddr) {
        if let Some(target) = self.targets.get_mut(addr) {
            target.misbehaved = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 18_444))
    }

    fn dialer() -> Dialer {
        Dialer::new(&Config {
            connect: vec![addr(1)],
            add_nodes: vec![addr(2)],
            ..Config::default()
        })
    }

    /// Seconds until a target is due, after failing or being lost that many times.
    fn wait_after(
        target: SocketAddr,
        times: usize,
        lose: impl Fn(&mut Dialer, Time, &mut Randomness),
    ) -> f64 {
        let mut randomness = Randomness::new(1);
        let mut dialer = dialer();
        let mut now = Time(0);
        let mut wait = 0.0;
        for _ in 0..times {
            lose(&mut dialer, now, &mut randomness);
            let next = dialer.next_due(|addr, _| *addr == target).unwrap();
            wait = next.since(now).as_secs_f64();
            now = next;
        }
        wait
    }

    #[test]
    fn a_target_that_cannot_be_reached_is_tried_every_few_seconds_for_ever() {
        let fail = |d: &mut Dialer, now, r: &mut Randomness| {
            d.failed(&addr(1), now, r);
        };
        assert!(wait_after(addr(1), 1, fail) < 0.5);
        assert!(wait_after(addr(1), 40, fail) <= 7.5);
    }

    #[test]
    fn a_connect_target_that_drops_us_is_tried_every_few_seconds_for_ever() {
        let drop = |d: &mut Dialer, now, r: &mut Randomness| {
            d.lost(&addr(1), Duration::from_secs(1), now, r);
        };
        let wait = wait_after(addr(1), 40, drop);
        assert!((2.5..=7.5).contains(&wait), "{wait} s");
    }

    #[test]
    fn a_target_that_misbehaves_waits_longest_whatever_it_is_and_however_long_it_behaved() {
        let misbehave = |d: &mut Dialer, now, r: &mut Randomness| {
            d.shun(&addr(1));
            d.lost(&addr(1), Duration::from_secs(100), now, r);
        };
        assert!(wait_after(addr(1), 1, misbehave) >= 30.0);
        assert!(wait_after(addr(1), 2, misbehave) >= 30.0);
    }

    #[test]
    fn an_added_node_that_drops_us_is_left_in_peace_longer() {
        let drop = |d: &mut Dialer, now, r: &mut Randomness| {
            d.lost(&addr(2), Duration::from_secs(1), now, r);
        };
        assert!(wait_after(addr(2), 1, drop) < 0.5);
        assert!(wait_after(addr(2), 20, drop) >= 30.0);
        let end_well = |d: &mut Dialer, now, r: &mut Randomness| {
            d.lost(&addr(2), Duration::from_secs(100), now, r);
        };
        assert!(wait_after(addr(2), 20, end_well) < 0.5);
    }

    #[test]
    fn what_is_being_dialled_is_not_due() {
        let mut dialer = dialer();
        let others = [(addr(2), TargetKind::AddNode)];
        assert_eq!(
            dialer.due(Time(0)),
            [(addr(1), TargetKind::Connect), others[0]]
        );
        dialer.dialled(addr(1), ConnectionKind::Manual);
        assert_eq!(dialer.due(Time(0)), others);
        assert_eq!(dialer.opened(&addr(1)), ConnectionKind::Manual);
    }
}
