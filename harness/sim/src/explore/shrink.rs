//! Shrinking: a scenario that fails is made smaller, step by step, as long as the same expectation
//! fails. A step is taken only when
//!
//! - what is left is smaller ([`Size`]), its graph is still in one piece, its closing phase is fair
//!   (`closing_phase`), and its *file* is a right experiment: what is written is what was judged;
//! - the same kind of expectation fails, and not for want of anything to measure;
//! - and, if that was so at first, it holds again once all faults and outages are left out: else
//!   the shrunk experiment would only show one that is impossible, as a graph in two pieces;
//! - and, if that was so at first, it fails as well when blocks come a little earlier or later
//!   (`steady`): else real nodes would not show it.
//!
//! The order of the steps is fixed, and the same plan is judged the same way, so the same failure
//! shrinks to the same file. What comes out is minimal in that no single event, node or
//! acquaintance can be left out of it, unless the simulations allowed ran out.

use peerlab_core::error::hint;
use std::collections::{BTreeMap, BTreeSet};

use super::ddmin::ddmin;
use super::file::yaml;
use super::judge::{Failure, Judge};
use super::reduce::Size;
use super::scenario::Scenario;
use peerlab_core::error::{Error, Kind, Result};
use peerlab_core::plan::{Plan, compile};
use peerlab_core::topology;

/// Nodes that always stay: one cannot disagree.
const NODES_MIN: usize = 2;

/// Something that looks on.
pub trait Watch {
    /// A simulation more; the smallest so far.
    fn shrunk(&self, simulations: usize, size: Size);
}

/// What shrinking came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk {
    /// The smallest that still fails.
    pub scenario: Scenario,
    /// What fails in it.
    pub failure: Failure,
    /// Size at first.
    pub from: Size,
    /// Whether it does not fail without its faults and outages.
    pub needs_events: bool,
    /// Plans judged.
    pub simulations: usize,
    /// Whether there was nothing left to try.
    pub finished: bool,
}

/// Shrinks a scenario in which `failure` was found, with at most so many simulations.
///
/// # Errors
/// When a plan cannot be judged, or the scenario does not fail (any more). An interrupt is no
/// error: it ends shrinking.
pub fn shrink(
    scenario: &Scenario,
    failure: &Failure,
    judge: &dyn Judge,
    simulations_max: usize,
    watch: &dyn Watch,
) -> Result<Shrunk> {
    let mut shrinker = Shrinker {
        judge,
        watch,
        wanted: failure.clone(),
        best: scenario.clone(),
        failure: failure.clone(),
        connected: scenario.is_connected(),
        guarded: false,
        steady: false,
        simulations: 0,
        simulations_max,
        out_of_time: false,
        known: BTreeMap::new(),
    };
    match shrinker.run() {
        Err(error) if error.kind == Kind::Interrupted => shrinker.out_of_time = true,
        other => other?,
    }
    Ok(Shrunk {
        from: scenario.size(),
        needs_events: shrinker.guarded,
        simulations: shrinker.simulations,
        finished: !shrinker.out_of_time,
        scenario: shrinker.best,
        failure: shrinker.failure,
    })
}

/// The plan of a scenario's file.
///
/// # Errors
/// [`Kind::Input`]: what is wrong with it.
pub fn plan_of(scenario: &Scenario) -> Result<Plan> {
    let text = yaml(scenario, "");
    let topology = topology::parse(&format!("{}.yaml", scenario.name), &text)?;
    compile(&topology, topology.seed)
}

struct Shrinker<'a> {
    judge: &'a dyn Judge,
    watch: &'a dyn Watch,
    /// What is to fail.
    wanted: Failure,
    best: Scenario,
    failure: Failure,
    /// Whether all must know each other, over others.
    connected: bool,
    /// Whether it must hold without faults.
    guarded: bool,
    /// Whether it must fail when blocks come a little earlier or later as well.
    steady: bool,
    simulations: usize,
    simulations_max: usize,
    out_of_time: bool,
    /// What files came to: the failure, if it is of the kind.
    known: BTreeMap<String, Option<Failure>>,
}

impl Shrinker<'_> {
    fn run(&mut self) -> Result<()> {
        let whole = self.best.clone();
        self.failure = self.judged(&whole)?.ok_or_else(|| {
            Error::environment(
                "the failure did not come again",
                "the same scenario was judged twice, and the second time it held",
                hint::BUG,
            )
        })?;
        self.guarded = self.holds_when_calm(&whole)?;
        self.steady = self.fails_when_shifted(&whole)?;
        // A panic belongs to none.
        if self.failure.index < self.best.expect.len() {
            let only = self.best.keep_expectation(self.failure.index);
            self.take(only)?;
        }
        loop {
            let before = self.best.size();
            self.fewer_events()?;
            self.fewer_nodes()?;
            self.fewer_events()?;
            self.fewer_details()?;
            self.fewer_acquaintances()?;
            self.simpler_network()?;
            self.shorter()?;
            self.rounder()?;
            if self.best.size() == before || self.out_of_time {
                return Ok(());
            }
        }
    }

    /// Takes a scenario if it is smaller and still fails.
    fn take(&mut self, smaller: Scenario) -> Result<bool> {
        if smaller.size() >= self.best.size() || !self.still_fails(&smaller)? {
            return Ok(false);
        }
        self.best = smaller;
        self.watch.shrunk(self.simulations, self.best.size());
        Ok(true)
    }

    fn still_fails(&mut self, scenario: &Scenario) -> Result<bool> {
        let apart = self.connected && !scenario.is_connected();
        if scenario.node_count() < NODES_MIN || apart || !scenario.is_fair() {
            return Ok(false);
        }
        let Some(failure) = self.judged(scenario)? else {
            return Ok(false);
        };
        if self.guarded && !self.holds_when_calm(scenario)? {
            return Ok(false);
        }
        if self.steady && !self.fails_when_shifted(scenario)? {
            return Ok(false);
        }
        self.failure = failure;
        Ok(true)
    }

    fn fails_when_shifted(&mut self, scenario: &Scenario) -> Result<bool> {
        for shifted in scenario.shifted() {
            if self.judged(&shifted)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holds_when_calm(&mut self, scenario: &Scenario) -> Result<bool> {
        let fault_free_control = scenario.fault_free_control();
        if plan_of(&fault_free_control).is_err() {
            return Ok(false);
        }
        Ok(self.judged(&fault_free_control)?.is_none() && !self.out_of_time)
    }

    /// The failure of the kind that is looked for. A file that is no right experiment has none.
    fn judged(&mut self, scenario: &Scenario) -> Result<Option<Failure>> {
        let text = yaml(scenario, "");
        if let Some(known) = self.known.get(&text) {
            return Ok(known.clone());
        }
        let Ok(plan) = plan_of(scenario) else {
            return Ok(None);
        };
        if self.simulations >= self.simulations_max {
            self.out_of_time = true;
            return Ok(None);
        }
        self.simulations += 1;
        self.watch.shrunk(self.simulations, self.best.size());
        let failures = self.judge.failures(&plan)?;
        let failure = failures
            .into_iter()
            .find(|failure| failure.is_like(&self.wanted));
        self.known.insert(text, failure.clone());
        Ok(failure)
    }

    /// Keeps the smallest part of a list: `with` gives the scenario that has only that part.
    fn fewer(
        &mut self,
        count: usize,
        with: impl Fn(&Scenario, &[usize]) -> Scenario,
    ) -> Result<()> {
        let whole = self.best.clone();
        ddmin(count, |part| {
            // A part of the best is smaller than the best, so that each that fails is taken.
            self.take(with(&whole, part))
        })?;
        Ok(())
    }

    fn fewer_events(&mut self) -> Result<()> {
        self.fewer(self.best.faults.len(), Scenario::keep_faults)?;
        self.fewer(self.best.outages.len(), Scenario::keep_outages)?;
        self.fewer(self.best.payments.len(), Scenario::keep_payments)?;
        let spare = self.best.spare_blocks();
        self.fewer(spare.len(), |scenario, part| {
            let part: BTreeSet<usize> = part.iter().map(|index| spare[*index]).collect();
            let gone = spare
                .iter()
                .copied()
                .filter(|index| !part.contains(index))
                .collect();
            scenario.without_blocks(&gone)
        })
    }

    fn fewer_nodes(&mut self) -> Result<()> {
        self.fewer(self.best.node_count(), |scenario, part| {
            let mut gone: BTreeSet<u32> = scenario.all_nodes().into_iter().collect();
            gone.retain(|node| part.binary_search(&(*node as usize)).is_err());
            scenario.without_nodes(&gone)
        })
    }

    /// Faults that name fewer nodes, have fewer sides, or worsen links in fewer ways.
    fn fewer_details(&mut self) -> Result<()> {
        let mut index = 0;
        // A fault may go with one before it.
        while let Some(fault) = self.best.faults.get(index) {
            let victims = fault.kind.clone().victims_mut().cloned();
            let victims = victims.unwrap_or_default();
            self.fewer(victims.len(), |scenario, part| {
                scenario.with_fault(index, |fault| {
                    if let Some(nodes) = fault.kind.victims_mut() {
                        *nodes = part.iter().map(|place| victims[*place]).collect();
                    }
                })
            })?;
            self.simpler_fault(index)?;
            index += 1;
        }
        Ok(())
    }

    /// Each way in which a fault can say less, as long as one helps.
    fn simpler_fault(&mut self, index: usize) -> Result<()> {
        let mut tried = 0;
        let simpler = |best: &Scenario, tried| {
            let fault = best.faults.get(index)?;
            fault.kind.simpler().into_iter().nth(tried)
        };
        while let Some(kind) = simpler(&self.best, tried) {
            let smaller = self.best.with_fault(index, |fault| fault.kind = kind);
            if !self.take(smaller)? {
                tried += 1;
            }
        }
        Ok(())
    }

    fn fewer_acquaintances(&mut self) -> Result<()> {
        self.fewer(self.best.acquaintance_count(), Scenario::keep_acquaintances)
    }

    fn simpler_network(&mut self) -> Result<()> {
        for simpler in self.best.simpler_networks() {
            // All from one: the first that fails is the simplest.
            self.take(simpler)?;
        }
        Ok(())
    }

    /// Leaves stretches of time out, as long as that helps.
    fn shorter(&mut self) -> Result<()> {
        let mut again = true;
        while again && !self.out_of_time {
            again = false;
            for (from, until) in self.best.spare_stretches() {
                if self.take(self.best.cut(from, until))? {
                    again = true;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Rounds times: all of them, or else each that can be.
    fn rounder(&mut self) -> Result<()> {
        let odd = self.best.odd_events();
        if odd.is_empty() || self.take(self.best.round(&odd))? {
            return Ok(());
        }
        // Rounding may change the order, and with it the numbers; the best changes only when
        // an event was rounded, so that each is looked for anew.
        let mut tried = 0;
        while let Some(event) = self.best.odd_events().get(tried).copied() {
            if !self.take(self.best.round(&[event]))? {
                tried += 1;
            }
        }
        Ok(())
    }
}
