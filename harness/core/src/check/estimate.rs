//! What several runs say of one figure: its median, and a 95 % interval of it.
//!
//! The interval is distribution-free, from order statistics: of n independent values in ascending
//! order the k-th from either end enclose the median of what they were drawn from with probability
//! 1 - 2 P(B < k), where B is binomial with n tries of one half. Taken is the greatest k that leaves
//! at least 95 %, so that the interval holds more often than that rather than less. No shape is
//! assumed, which few runs could not show, and a value that is infinite (it never came to be) counts
//! as one that is greater than all others. Of five values even the least and the greatest enclose the
//! median in 93.75 % only: fewer than [`RUNS_MIN`] have no interval.
//!
//! H. A. David, H. N. Nagaraja, *Order Statistics*, 3rd ed., 2003, section 7.1; recommended for
//! measurements of computer systems by J.-Y. Le Boudec, *Performance Evaluation of Computer and
//! Communication Systems*, 2010, section 2.2 and appendix A, and by T. Hoefler and R. Belli,
//! *Scientific Benchmarking of Parallel Computing Systems*, SC 2015, rule 6 and section 3.1.3.

use serde::Serialize;

/// Fewest values that have an interval: with so many it is from the least to the greatest.
pub const RUNS_MIN: usize = 6;

/// How often an interval may miss the median.
const MISSED_MAX: f64 = 0.05;

/// What some runs say of a figure. What is infinite is `null` in JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Runs that have the figure.
    pub runs: usize,
    /// Of these, those in which it never came to be: greater than every number.
    pub never: usize,
    pub median: f64,
    /// The median lies in here with at least 95 %; `None` of fewer than [`RUNS_MIN`] runs.
    pub interval: Option<[f64; 2]>,
    pub least: f64,
    pub greatest: f64,
}

impl Estimate {
    /// Of a value a run; `None` when there is none.
    pub fn of(mut values: Vec<f64>) -> Option<Estimate> {
        values.sort_by(f64::total_cmp);
        let [least, greatest] = [*values.first()?, *values.last()?];
        let runs = values.len();
        let [low, high] = [(runs - 1) / 2, runs / 2].map(|i| values[i]);
        Some(Estimate {
            runs,
            never: values.iter().filter(|v| v.is_infinite()).count(),
            median: f64::midpoint(low, high),
            interval: rank(runs).map(|k| [values[k - 1], values[runs - k]]),
            least,
            greatest,
        })
    }

    /// Whether both have an interval and these do not overlap: then they differ by more than chance.
    pub fn is_apart_from(&self, other: &Estimate) -> bool {
        match (self.interval, other.interval) {
            (Some([low, high]), Some([other_low, other_high])) => {
                high < other_low || other_high < low
            }
            _ => false,
        }
    }
}

/// The k of the head of this file, from 1, of so many values.
fn rank(values: usize) -> Option<usize> {
    // The binomial's weights as parts of the one in the middle: from there outward none grows, so
    // that any number of values may come.
    let middle = values / 2;
    let mut weights = vec![1.0; middle + 1];
    for i in (0..middle).rev() {
        weights[i] = weights[i + 1] * (i + 1) as f64 / (values - i) as f64;
    }
    let lower: f64 = weights.iter().sum();
    let all = if values.is_multiple_of(2) {
        2.0 * lower - 1.0
    } else {
        2.0 * lower
    };
    let mut beyond = 0.0;
    let few = |weight: &&f64| {
        beyond += 2.0 * **weight / all;
        beyond <= MISSED_MAX
    };
    Some(weights.iter().take_while(few).count()).filter(|k| *k > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u32>) -> Estimate {
        Estimate::of(values.into_iter().map(f64::from).collect()).unwrap()
    }

    #[test]
    fn the_ranks_are_those_of_the_published_table() {
        // Le Boudec, table A.1, where its interval is symmetric; 1000 by the binomial's quantile.
        for (values, k) in [
            (6, 1),
            (7, 1),
            (9, 2),
            (10, 2),
            (12, 3),
            (15, 4),
            (20, 6),
            (30, 10),
            (50, 18),
            (70, 27),
            (1_000, 469),
        ] {
            assert_eq!(rank(values), Some(k), "{values}");
        }
    }

    #[test]
    fn too_few_runs_have_a_median_and_no_interval() {
        for runs in 0..RUNS_MIN {
            assert_eq!(rank(runs), None, "{runs}");
        }
        assert!(rank(RUNS_MIN).is_some());
        let five = of([5, 1, 4, 2, 3]);
        assert_eq!((five.median, five.interval), (3.0, None));
        assert_eq!((five.least, five.greatest), (1.0, 5.0));
        assert_eq!(Estimate::of(Vec::new()), None);
    }

    #[test]
    fn the_interval_is_from_value_to_value() {
        assert_eq!(of([6, 5, 4, 3, 2, 1]).interval, Some([1.0, 6.0]));
        let ten = of(1..=10);
        assert_eq!((ten.median, ten.interval), (5.5, Some([2.0, 9.0])));
    }

    /// The share of all equally likely sides of the median (each value above it or below) for which
    /// the interval holds it, counted one by one.
    #[test]
    fn it_holds_the_median_in_at_least_95_of_a_hundred_cases_and_no_narrower_one_does() {
        for values in RUNS_MIN..=16 {
            let k = rank(values).unwrap();
            let held = |k: usize| {
                let cases = 0..1_u32 << values;
                let inside =
                    |below: &u32| (k..=values - k).contains(&(below.count_ones() as usize));
                cases.filter(inside).count() as f64 / f64::from(1_u32 << values)
            };
            assert!(held(k) >= 0.95, "{values}: {}", held(k));
            assert!(held(k + 1) < 0.95, "{values}: {}", held(k + 1));
        }
    }

    #[test]
    fn what_never_came_to_be_is_greater_than_all_numbers() {
        let mut values = vec![1.0; 7];
        values.extend([f64::INFINITY; 3]);
        let ten = Estimate::of(values).unwrap();
        assert_eq!((ten.runs, ten.never, ten.median), (10, 3, 1.0));
        assert_eq!(ten.interval, Some([1.0, f64::INFINITY]));
    }

    #[test]
    fn intervals_that_overlap_are_not_apart() {
        let [low, overlapping, high, few] = [of(1..=6), of(6..=11), of(7..=12), of(20..=22)];
        assert!(!low.is_apart_from(&overlapping));
        assert!(low.is_apart_from(&high) && high.is_apart_from(&low));
        assert!(!low.is_apart_from(&few));
    }
}
