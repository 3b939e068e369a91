//! The whole network in virtual time: what happens next, in one order.

use std::collections::BTreeMap;
use std::time::Duration;

use peerlab_node::chain::{CachedChain, SharedChainCache};
use peerlab_node::io::Input;
use peerlab_node::time::Time;

use super::state::{End, Host, Link, START, WorldEvent};
use crate::ledger::import_past;

/// Inputs that one story may take, so that a loop without end is a failure and not a hang.
const INPUTS_MAX: u64 = 20_000_000;

/// The whole network.
pub struct World {
    pub now: Time,
    pub hosts: Vec<Host>,
    pub(super) links: BTreeMap<End, Link>,
    pub(super) queue: BTreeMap<(Time, u64), WorldEvent>,
    pub(super) sequence: u64,
    pub(super) inputs: u64,
    pub(super) seed: u64,
    /// One-way delay of everything; a spread of as much again depends on the pair.
    pub delay: Duration,
    pub(super) extra_nonce: u64,
    /// The common past, where all nodes share what they have in common.
    pub(super) shared_past: Option<CachedChain>,
    /// Everything that machines put out, where a story asks for it.
    pub(super) trace: Option<Vec<String>>,
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            now: START,
            hosts: Vec::new(),
            links: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            inputs: 0,
            seed,
            delay: Duration::from_millis(20),
            extra_nonce: 1 << 32,
            shared_past: None,
            trace: None,
        }
    }

    /// From now on, nodes share their chains' states.
    pub fn share_chains(&mut self) {
        let mut past = CachedChain::new(&SharedChainCache::new());
        import_past(&mut past);
        self.shared_past = Some(past);
    }

    /// From now on, what machines put out is noted.
    pub fn trace(&mut self) {
        self.trace = Some(Vec::new());
    }

    pub fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    /// Lets time pass.
    pub fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some((&(at, sequence), _)) = self.queue.first_key_value()
            && at <= end
        {
            let event = self.queue.remove(&(at, sequence)).unwrap();
            self.now = at;
            self.happen(event);
        }
        self.now = end;
    }

    /// Lets time pass until something holds. Panics if it does not in time.
    pub fn run_until(&mut self, at_most: Duration, what: &str, holds: impl Fn(&World) -> bool) {
        let end = self.now + at_most;
        while !holds(self) {
            assert!(self.now < end, "within {at_most:?}: {what}");
            self.run(Duration::from_millis(50));
        }
    }

    pub(super) fn schedule(&mut self, at: Time, event: WorldEvent) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    fn happen(&mut self, event: WorldEvent) {
        self.inputs += 1;
        assert!(self.inputs < INPUTS_MAX, "this story does not end");
        match event {
            WorldEvent::Wake(node) => {
                if self.hosts[node.0].timer <= self.now {
                    self.hosts[node.0].timer = Time::NEVER;
                    self.input(node, Input::Timer);
                }
            }
            WorldEvent::DialFailed { from, addr } => {
                self.input(from, Input::ConnectFailed { addr })
            }
            WorldEvent::Break(end) => self.lose(end),
            WorldEvent::KeepAlive(end) => self.keep_alive(end),
            WorldEvent::Dialled {
                from,
                addr,
                gives_up,
            } => self.dialled(from, addr, gives_up),
            WorldEvent::Arrive {
                at,
                from,
                what,
                sent,
            } => self.arrive(at, from, what, sent),
        }
    }
}
