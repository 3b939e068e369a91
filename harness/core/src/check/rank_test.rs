//! Whether values of one side are greater than those of another by more than chance: the one-sided
//! rank-sum test of Mann, Whitney and Wilcoxon, and Holm's correction where several are asked at once.
//!
//! Under the hypothesis that all values were drawn from one distribution, every choice of so many of
//! them for the second side is equally likely. The chance of a difference is the share of choices
//! whose sum of ranks is as great as the one seen, or greater. It is counted exactly, also where
//! values are equal (these share the mean of their ranks): the usual tables and crates are exact for
//! distinct values only, and ours are often equal (nodes up, blocks not mined, what never came to be).
//! Only where there are too many choices to count, the normal approximation with corrections for ties
//! and continuity takes its place; both sides then have dozens of values. No shape is assumed, and what
//! is infinite (it never came to be) is greater than every number.
//!
//! H. B. Mann, D. R. Whitney, *On a test of whether one of two random variables is stochastically
//! larger than the other*, Ann. Math. Statist. 18 (1947); M. Hollander, D. A. Wolfe, E. Chicken,
//! *Nonparametric Statistical Methods*, 3rd ed., 2014, section 4.1 (ties: comment 7); S. Holm, *A simple
//! sequentially rejective multiple test procedure*, Scand. J. Statist. 6 (1979).

/// Most steps of counting all choices: a fraction of a second. Two sides of forty take less.
const STEPS_MAX: usize = 25_000_000;

/// How likely it is by chance that the values of `after` are greater than those of `before` by as much
/// as they are, or more. 1 where a side has none.
pub fn chance_of_greater(before: &[f64], after: &[f64]) -> f64 {
    if before.is_empty() || after.is_empty() {
        return 1.0;
    }
    let ranks = Ranks::of(before, after);
    let steps = before.len().min(after.len()) * ranks.twice.len() * ranks.total();
    if steps <= STEPS_MAX {
        ranks.counted()
    } else {
        ranks.approximated()
    }
}

/// The least chance that so many values can have: all of `after` are greater.
pub fn least_chance(before: usize, after: usize) -> f64 {
    // One of all choices: the binomial coefficient, factor by factor.
    let smaller = before.min(after);
    let factor = |i: usize| (i + 1) as f64 / (before + after - i) as f64;
    (0..smaller).map(factor).product()
}

/// Chances of several questions, corrected for their number by Holm's procedure: that any of them is
/// at most p without reason happens with probability p at most, however they depend on each other.
pub fn corrected(chances: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..chances.len()).collect();
    order.sort_by(|a, b| chances[*a].total_cmp(&chances[*b]));
    let mut corrected = vec![1.0; chances.len()];
    let mut least = 0.0_f64;
    for (place, index) in order.into_iter().enumerate() {
        let left = (chances.len() - place) as f64;
        least = least.max((left * chances[index]).min(1.0));
        corrected[index] = least;
    }
    corrected
}

/// The ranks of all values, twice each so that the mean of two is a whole number.
struct Ranks {
    /// In ascending order.
    twice: Vec<usize>,
    /// How many values are equal, of each that occurs.
    ties: Vec<usize>,
    before: usize,
    after: usize,
    /// The sum of those of `after`.
    sum: usize,
}

impl Ranks {
    fn of(before: &[f64], after: &[f64]) -> Ranks {
        let side = |values: &[f64], is_after| {
            let of = |value: &f64| (*value, is_after);
            values.iter().map(of).collect::<Vec<(f64, bool)>>()
        };
        let mut all = side(before, false);
        all.extend(side(after, true));
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut ranks = Ranks {
            twice: Vec::with_capacity(all.len()),
            ties: Vec::new(),
            before: before.len(),
            after: after.len(),
            sum: 0,
        };
        for equal in all.chunk_by(|a, b| a.0 == b.0) {
            // From the first rank to the last: twice their mean is the sum of the two.
            let first = ranks.twice.len() + 1;
            let rank = first + first + equal.len() - 1;
            ranks.twice.extend(vec![rank; equal.len()]);
            ranks.ties.push(equal.len());
            ranks.sum += rank * equal.iter().filter(|(_, is_after)| *is_after).count();
        }
        ranks
    }

    fn total(&self) -> usize {
        self.twice.iter().sum()
    }

    /// The share of all choices whose sum is as great, each counted.
    fn counted(&self) -> f64 {
        // Of the smaller side, whose sum is the complement: as small, then, as it is great.
        let (size, as_small) = if self.after <= self.before {
            (self.after, false)
        } else {
            (self.before, true)
        };
        let sum = if as_small {
            self.total() - self.sum
        } else {
            self.sum
        };
        // `choices[k][s]`: how many choices of k values have the sum s.
        let mut choices = vec![vec![0.0_f64; self.total() + 1]; size + 1];
        choices[0][0] = 1.0;
        for (seen, rank) in self.twice.iter().enumerate() {
            for k in (0..size.min(seen + 1)).rev() {
                let (fewer, more) = choices.split_at_mut(k + 1);
                let (from, to) = (&fewer[k], &mut more[0]);
                for (s, count) in from.iter().enumerate().filter(|(_, count)| **count > 0.0) {
                    to[s + rank] += count;
                }
            }
        }
        let all: f64 = choices[size].iter().sum();
        let far: f64 = if as_small {
            choices[size][..=sum].iter().sum()
        } else {
            choices[size][sum..].iter().sum()
        };
        (far / all).min(1.0)
    }

    /// The same by the normal distribution.
    fn approximated(&self) -> f64 {
        let (n, m) = (self.before as f64, self.after as f64);
        let all = n + m;
        let greater = self.sum as f64 / 2.0 - m * (m + 1.0) / 2.0;
        let tied = |t: &usize| {
            let t = *t as f64;
            t * t * t - t
        };
        let ties: f64 = self.ties.iter().map(tied).sum();
        let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
        if variance <= 0.0 {
            return 1.0;
        }
        // Half a step, since sums are whole.
        let z = (greater - n * m / 2.0 - 0.5) / variance.sqrt();
        libm::erfc(z / std::f64::consts::SQRT_2) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chance by trying every choice.
    fn tried(before: &[f64], after: &[f64]) -> f64 {
        let all: Vec<f64> = before.iter().chain(after).copied().collect();
        let rank = |value: f64| {
            let below = all.iter().filter(|other| **other < value).count();
            let equal = all.iter().filter(|other| **other == value).count();
            2 * below + equal + 1
        };
        let sum = |chosen: u32| -> usize {
            let is_chosen = |i: &usize| chosen >> i & 1 == 1;
            (0..all.len()).filter(is_chosen).map(|i| rank(all[i])).sum()
        };
        let of_after = (1_u32 << all.len()) - (1 << before.len());
        let choices = (0..1_u32 << all.len()).filter(|c| c.count_ones() as usize == after.len());
        let (mut far, mut count) = (0, 0);
        for choice in choices {
            count += 1;
            far += u32::from(sum(choice) >= sum(of_after));
        }
        f64::from(far) / f64::from(count)
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
    }

    #[test]
    fn the_chances_are_those_of_the_published_tables() {
        // Hollander, Wolfe, Chicken, example 4.1: W = 30 of 10 and 5 values, P = 0.1272.
        let before = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let after = [1.15, 0.88, 0.90, 0.74, 1.21];
        let chance = chance_of_greater(&after, &before);
        assert!((chance - 0.1272).abs() < 5e-5, "{chance}");
        // All of five above all of five: one choice of 252.
        let (low, high) = ([1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!(close(chance_of_greater(&low, &high), 1.0 / 252.0));
        assert_eq!(chance_of_greater(&high, &low), 1.0);
        assert!(close(least_chance(5, 5), 1.0 / 252.0));
        assert!(close(least_chance(20, 10), 1.0 / 30_045_015.0));
    }

    #[test]
    fn values_that_are_all_equal_differ_by_chance_alone() {
        assert_eq!(chance_of_greater(&[7.0; 9], &[7.0; 5]), 1.0);
        assert_eq!(chance_of_greater(&[7.0; 900], &[7.0; 500]), 1.0);
        assert_eq!(chance_of_greater(&[], &[1.0]), 1.0);
        assert_eq!(chance_of_greater(&[1.0], &[]), 1.0);
    }

    #[test]
    fn what_never_came_to_be_is_greater_than_every_number() {
        let (before, after) = ([1.0, 2.0, 3.0, 4.0], [f64::INFINITY; 4]);
        assert!(close(chance_of_greater(&before, &after), 1.0 / 70.0));
        assert_eq!(chance_of_greater(&after, &after), 1.0);
    }

    #[test]
    fn the_approximation_takes_over_without_a_step() {
        // Spread evenly, and the second side further up by more and more.
        let before: Vec<f64> = (0..45).map(|i| f64::from(i * 7 % 45)).collect();
        for by in [0.5, 4.5, 9.5, 14.5] {
            let after: Vec<f64> = before.iter().map(|value| value + by).collect();
            let ranks = Ranks::of(&before, &after);
            let (counted, approximated) = (ranks.counted(), ranks.approximated());
            let ratio = approximated / counted;
            // Far out, beyond one in a hundred thousand, it is the more careful of the two.
            let most = if counted < 1e-5 { 2.0 } else { 1.15 };
            assert!(
                (0.85..most).contains(&ratio),
                "{by}: {counted} {approximated}"
            );
        }
        let many = vec![1.0; 400];
        let more: Vec<f64> = (0..400).map(|i| 1.0 + f64::from(i % 4 / 3)).collect();
        assert!(chance_of_greater(&many, &more) < 1e-9);
    }

    #[test]
    fn several_questions_are_answered_as_holm_does() {
        // Holm's procedure by hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, then no less than before.
        let told = corrected(&[0.01, 0.04, 0.03, 0.005]);
        for (told, by_hand) in told.into_iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!(close(told, by_hand), "{told} {by_hand}");
        }
        assert_eq!(corrected(&[0.6, 0.7]), [1.0, 1.0]);
        assert!(corrected(&[]).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn counting_is_trying_every_choice(
            before in proptest::collection::vec(0..6_u8, 1..6),
            after in proptest::collection::vec(0..6_u8, 1..6),
        ) {
            let value = |v: &u8| match v { 5 => f64::INFINITY, v => f64::from(*v) };
            let before: Vec<f64> = before.iter().map(value).collect();
            let after: Vec<f64> = after.iter().map(value).collect();
            let (counted, tried) = (chance_of_greater(&before, &after), tried(&before, &after));
            proptest::prop_assert!(close(counted, tried), "{counted} {tried}");
        }
    }
}
