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
use std::collections::BTreeMap;

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
        best: Shrunk {
            scenario: scenario.clone(),
            failure: failure.clone(),
            from: scenario.size(),
            needs_events: false,
            simulations: 0,
            finished: true,
        },
        connected: scenario.is_connected(),
        steady: false,
        simulations_max,
        known: BTreeMap::new(),
    };
    match shrinker.run() {
        Err(error) if error.kind == Kind::Interrupted => shrinker.best.finished = false,
        other => other?,
    }
    Ok(shrinker.best)
}

/// The plan of a scenario's file.
///
/// # Errors
/// [`Kind::Input`]: what is wrong with it.
pub fn plan_of(scenario: &Scenario) -> Result<Plan> {
    let text = yaml(scenario, "");
    let topology = topology::parse(format!("{}.yaml", scenario.name), &text)?;
    compile(&topology, topology.seed)
}

struct Shrinker<'a> {
    judge: &'a dyn Judge,
    watch: &'a dyn Watch,
    /// What is to fail.
    wanted: Failure,
    /// The smallest so far.
    best: Shrunk,
    /// Whether all must know each other, over others.
    connected: bool,
    /// Whether it must fail when blocks come a little earlier or later as well.
    steady: bool,
    simulations_max: usize,
    /// What files came to: the failure, if it is of the kind.
    known: BTreeMap<String, Option<Failure>>,
}

impl Shrinker<'_> {
    fn run(&mut self) -> Result<()> {
        let whole = self.best.scenario.clone();
        self.best.failure = self.judged(&whole)?.ok_or_else(|| {
            Error::environment(
                "the failure did not come again",
                "the same scenario was judged twice, and the second time it held",
                hint::BUG,
            )
        })?;
        self.best.needs_events = self.holds_when_calm(&whole)?;
        self.steady = self.fails_when_shifted(&whole)?;
        // A panic belongs to none.
        let index = self.best.failure.index;
        if index < whole.expect.len() {
            let only = whole.keep_expectation(index);
            self.take(only)?;
        }
        loop {
            let before = self.best.scenario.size();
            self.fewer_events()?;
            self.fewer(Scenario::node_count, Scenario::keep_nodes)?;
            self.fewer_events()?;
            self.fewer_details()?;
            self.fewer(Scenario::acquaintance_count, Scenario::keep_acquaintances)?;
            self.simpler_network()?;
            self.shorter()?;
            self.rounder()?;
            if self.best.scenario.size() == before || !self.best.finished {
                return Ok(());
            }
        }
    }

    /// Takes a scenario if it is smaller and still fails.
    fn take(&mut self, smaller: Scenario) -> Result<bool> {
        let size = smaller.size();
        if size >= self.best.scenario.size() || !self.still_fails(&smaller)? {
            return Ok(false);
        }
        self.best.scenario = smaller;
        self.watch.shrunk(self.best.simulations, size);
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
        if self.best.needs_events && !self.holds_when_calm(scenario)? {
            return Ok(false);
        }
        if self.steady && !self.fails_when_shifted(scenario)? {
            return Ok(false);
        }
        self.best.failure = failure;
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
        Ok(self.judged(&fault_free_control)?.is_none() && self.best.finished)
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
        if self.best.simulations >= self.simulations_max {
            self.best.finished = false;
            return Ok(None);
        }
        self.best.simulations += 1;
        let size = self.best.scenario.size();
        self.watch.shrunk(self.best.simulations, size);
        let failures = self.judge.failures(&plan)?;
        let failure = failures
            .into_iter()
            .find(|failure| failure.is_like(&self.wanted));
        self.known.insert(text, failure.clone());
        Ok(failure)
    }

    /// Keeps the smallest part of a list of so many: `with` gives the scenario that has only that part.
    fn fewer(
        &mut self,
        count: impl FnOnce(&Scenario) -> usize,
        with: impl Fn(&Scenario, &[usize]) -> Scenario,
    ) -> Result<()> {
        let whole = self.best.scenario.clone();
        ddmin(count(&whole), |part| {
            // A part of the best is smaller than the best, so that each that fails is taken.
            self.take(with(&whole, part))
        })?;
        Ok(())
    }

    fn fewer_events(&mut self) -> Result<()> {
        self.fewer(|it| it.faults.len(), Scenario::keep_faults)?;
        self.fewer(|it| it.outages.len(), Scenario::keep_outages)?;
        self.fewer(|it| it.payments.len(), Scenario::keep_payments)?;
        self.fewer(Scenario::spare_block_count, Scenario::keep_spare_blocks)
    }

    /// Faults that name fewer nodes, have fewer sides, or worsen links in fewer ways.
    fn fewer_details(&mut self) -> Result<()> {
        let mut index = 0;
        // A fault may go with one before it.
        while let Some(fault) = self.best.scenario.faults.get(index) {
            let victims = fault.kind.clone().victims_mut().cloned();
            let victims = victims.unwrap_or_default();
            self.fewer(
                |_| victims.len(),
                |scenario, part| {
                    scenario.with_fault(index, |fault| {
                        if let Some(nodes) = fault.kind.victims_mut() {
                            *nodes = part.iter().map(|place| victims[*place]).collect();
                        }
                    })
                },
            )?;
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
        while let Some(kind) = simpler(&self.best.scenario, tried) {
            let smaller = self
                .best
                .scenario
                .with_fault(index, |fault| fault.kind = kind);
            if !self.take(smaller)? {
                tried += 1;
            }
        }
        Ok(())
    }

    fn simpler_network(&mut self) -> Result<()> {
        for simpler in self.best.scenario.simpler_networks() {
            // All from one: the first that fails is the simplest.
            self.take(simpler)?;
        }
        Ok(())
    }

    /// Leaves stretches of time out, as long as that helps.
    fn shorter(&mut self) -> Result<()> {
        'again: while self.best.finished {
            for (from, until) in self.best.scenario.spare_stretches() {
                if self.take(self.best.scenario.cut(from, until))? {
                    continue 'again;
                }
            }
            break;
        }
        Ok(())
    }

    /// Rounds times: all of them, or else each that can be.
    fn rounder(&mut self) -> Result<()> {
        let odd = self.best.scenario.odd_events();
        if odd.is_empty() || self.take(self.best.scenario.round(&odd))? {
            return Ok(());
        }
        // Rounding may change the order, and with it the numbers; the best changes only when
        // an event was rounded, so that each is looked for anew.
        let mut tried = 0;
        while let Some(event) = self.best.scenario.odd_events().get(tried).copied() {
            if !self.take(self.best.scenario.round(&[event]))? {
                tried += 1;
            }
        }
        Ok(())
    }
}
