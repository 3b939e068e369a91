//! Draws from distributions, on `libm`, so that the same seed gives the same times on every
//! machine. Times are nanoseconds as `f64`, rounded by the caller.

use std::f64::consts::TAU;

use super::chance::Chance;
use crate::topology::Distribution;

/// One time.
pub fn draw(distribution: &Distribution, chance: &mut Chance) -> f64 {
    match *distribution {
        Distribution::Fixed(time) => time.0 as f64,
        Distribution::Exponential { mean } => exponential(mean.0 as f64, chance),
        Distribution::Weibull { shape, mean } => {
            let scale = weibull_scale(shape, mean.0 as f64);
            scale * libm::pow(-libm::log(chance.open_unit()), 1.0 / shape)
        }
        Distribution::Lognormal { median, sigma } => {
            median.0 as f64 * libm::exp(sigma * normal(chance))
        }
    }
}

/// What is left of the period that somebody who looks at a random moment finds running. (Long
/// periods are found more often. The period's length has the density `x f(x) / mean`, and the
/// moment is evenly distributed in it; Cox, Renewal Theory, 1962.)
pub fn residual(distribution: &Distribution, chance: &mut Chance) -> f64 {
    let found = match *distribution {
        Distribution::Fixed(time) => time.0 as f64,
        // x f(x) / mean is a gamma density of shape 2: the sum of two.
        Distribution::Exponential { mean } => {
            exponential(mean.0 as f64, chance) + exponential(mean.0 as f64, chance)
        }
        // With y = (x / scale)^shape it is a gamma density in y, of shape 1 + 1 / shape.
        Distribution::Weibull { shape, mean } => {
            let y = gamma(1.0 + 1.0 / shape, chance);
            weibull_scale(shape, mean.0 as f64) * libm::pow(y, 1.0 / shape)
        }
        // It is log-normal again, with the median multiplied by exp(sigma squared).
        Distribution::Lognormal { median, sigma } => {
            median.0 as f64 * libm::exp(sigma * sigma + sigma * normal(chance))
        }
    };
    found * chance.unit()
}

/// Exponential with this mean, by inverse transform.
pub fn exponential(mean: f64, chance: &mut Chance) -> f64 {
    -mean * libm::log(chance.open_unit())
}

fn weibull_scale(shape: f64, mean: f64) -> f64 {
    mean / libm::tgamma(1.0 + 1.0 / shape)
}

/// Standard normal, after Box and Muller (1958).
fn normal(chance: &mut Chance) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(chance.open_unit()));
    radius * libm::cos(TAU * chance.unit())
}

/// Gamma of scale 1 and a shape of at least 1, after Marsaglia and Tsang (2000).
fn gamma(shape: f64, chance: &mut Chance) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = normal(chance);
        let v = 1.0 + c * x;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        if libm::log(chance.open_unit()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use peerlab_link::Nanos;

    use super::*;

    const DRAWS: usize = 200_000;

    fn mean(of: impl Fn(&mut Chance) -> f64) -> f64 {
        let mut chance = Chance::new(3, "sample");
        (0..DRAWS).map(|_| of(&mut chance)).sum::<f64>() / DRAWS as f64
    }

    fn distributions() -> [Distribution; 4] {
        let mean = Nanos::from_secs(60);
        [
            Distribution::Fixed(mean),
            Distribution::Exponential { mean },
            Distribution::Weibull { shape: 0.6, mean },
            Distribution::Lognormal {
                median: mean,
                sigma: 0.8,
            },
        ]
    }

    /// E[x squared] / mean squared, which is 1 + the squared coefficient of variation.
    fn second_moment_ratio(distribution: &Distribution) -> f64 {
        match *distribution {
            Distribution::Fixed(_) => 1.0,
            Distribution::Exponential { .. } => 2.0,
            Distribution::Weibull { shape, .. } => {
                let first = libm::tgamma(1.0 + 1.0 / shape);
                libm::tgamma(1.0 + 2.0 / shape) / (first * first)
            }
            Distribution::Lognormal { sigma, .. } => libm::exp(sigma * sigma),
        }
    }

    #[test]
    fn sample_means_agree_with_theory() {
        for distribution in distributions() {
            let ratio = mean(|chance| draw(&distribution, chance)) / distribution.mean_ns();
            // Five standard errors.
            let error = libm::sqrt((second_moment_ratio(&distribution) - 1.0) / DRAWS as f64);
            assert!(
                (ratio - 1.0).abs() <= 5.0 * error + 1e-12,
                "{distribution:?}: {ratio}"
            );
        }
    }

    #[test]
    fn residual_means_agree_with_renewal_theory() {
        for distribution in distributions() {
            let expected = distribution.mean_ns() * second_moment_ratio(&distribution) / 2.0;
            let ratio = mean(|chance| residual(&distribution, chance)) / expected;
            assert!((ratio - 1.0).abs() < 0.04, "{distribution:?}: {ratio}");
        }
    }

    #[test]
    fn a_weibull_has_its_quantiles() {
        let distribution = Distribution::Weibull {
            shape: 0.6,
            mean: Nanos::from_secs(60),
        };
        let scale = 60e9 / libm::tgamma(1.0 + 1.0 / 0.6);
        let below_scale = mean(|chance| f64::from(u8::from(draw(&distribution, chance) < scale)));
        assert!(
            (below_scale - (1.0 - libm::exp(-1.0))).abs() < 0.006,
            "{below_scale}"
        );
    }
}
