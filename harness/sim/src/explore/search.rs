//! Many seeds on many threads, one seed a thread at a time. Seeds are handed out in order, and
//! those handed out are finished, so that the same seeds are judged whatever the number of
//! threads. Which of them fail depends on the seed alone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::draw::Base;
use super::judge::{Failure, Judge};
use super::shrink::plan_of;
use peerlab_core::conduct::Stop;
use peerlab_core::error::{Error, Kind, Result};

/// When a search ends, whichever comes first.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// After so many seeds.
    pub seeds: Option<u64>,
    /// No further seed is begun once this says so.
    pub out_of_time: &'a (dyn Fn() -> bool + Sync),
}

/// A seed that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingSeed {
    /// The seed.
    pub seed: u64,
    /// What fails; at least one.
    pub failures: Vec<Failure>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Seeds judged.
    pub judged: u64,
    /// Those that fail, in their order.
    pub failing: Vec<FailingSeed>,
    /// Whether it was cut short.
    pub interrupted: bool,
}

/// Looks on. Called from several threads.
pub trait Audience: Sync {
    /// A seed was judged; so many were before it, and so many of them failed.
    fn judged(&self, judged: u64, failing: usize);

    /// A seed fails.
    fn fails(&self, seed: &FailingSeed);
}

/// Judges the seeds from `first` on.
///
/// # Errors
/// When a plan cannot be drawn or judged; an interrupt is no error.
pub fn search(
    base: &Base,
    judge: &dyn Judge,
    first: u64,
    limits: Limits<'_>,
    jobs: usize,
    stop: &Stop,
    audience: &dyn Audience,
) -> Result<Found> {
    let search = Search {
        base,
        judge,
        audience,
        stop,
        failed: AtomicBool::new(false),
        begun: AtomicUsize::new(0),
        results: Mutex::default(),
    };
    let next = || {
        if search.ended() || (limits.out_of_time)() {
            return None;
        }
        let number = search.begun.fetch_add(1, Ordering::SeqCst) as u64;
        let seed = first.checked_add(number)?;
        (limits.seeds.is_none_or(|most| number < most)).then_some(seed)
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "which thread is faster changes nothing: what a seed gives depends on it alone"
    )]
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(seed) = next() {
                    search.judge(seed);
                }
            });
        }
    });
    search.found()
}

struct Search<'a> {
    base: &'a Base,
    judge: &'a dyn Judge,
    audience: &'a dyn Audience,
    /// Set from outside: an interrupt.
    stop: &'a Stop,
    /// Set when a seed could not be judged.
    failed: AtomicBool,
    begun: AtomicUsize,
    results: Mutex<Results>,
}

#[derive(Default)]
struct Results {
    found: Found,
    errors: Vec<(u64, Error)>,
}

impl Search<'_> {
    fn ended(&self) -> bool {
        self.stop.is_asked() || self.failed.load(Ordering::SeqCst)
    }

    fn judge(&self, seed: u64) {
        let scenario = self.base.draw(seed);
        let plan = scenario.and_then(|scenario| plan_of(&scenario));
        let failures = plan.and_then(|plan| self.judge.failures(&plan));
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        match failures {
            Ok(failures) => {
                let found = &mut results.found;
                found.judged += 1;
                if !failures.is_empty() {
                    let failing = FailingSeed { seed, failures };
                    self.audience.fails(&failing);
                    found.failing.push(failing);
                }
                self.audience.judged(found.judged, found.failing.len());
            }
            // Cut short, not judged.
            Err(error) if error.kind == Kind::Interrupted => {}
            Err(error) => {
                self.failed.store(true, Ordering::SeqCst);
                results.errors.push((seed, error));
            }
        }
    }

    fn found(self) -> Result<Found> {
        let results = self.results.into_inner();
        let Results { mut found, errors } = results.unwrap_or_else(PoisonError::into_inner);
        if let Some((seed, error)) = errors.into_iter().min_by_key(|(seed, _)| *seed) {
            return Err(error.because(format!("this came of seed {seed}")));
        }
        found.failing.sort_by_key(|failing| failing.seed);
        found.interrupted = self.stop.is_asked();
        Ok(found)
    }
}
