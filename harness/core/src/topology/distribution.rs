//! Distributions of times, as people write them. `plan::sample` draws from them.

use peerlab_link::Nanos;

use super::phrase::Phrase;
use super::written::{BadValue, Value};

/// Heaviest tail allowed. Below this a Weibull's mean exceeds its scale a million times, and a
/// run sees none of what makes the mean.
const WEIBULL_SHAPE_MIN: f64 = 0.1;
/// Most regular Weibull allowed; beyond it, write `fixed`.
const WEIBULL_SHAPE_MAX: f64 = 100.0;
/// Widest log-normal allowed, for the same reason as [`WEIBULL_SHAPE_MIN`].
const LOGNORMAL_SIGMA_MAX: f64 = 5.0;

/// How long something lasts. All times are positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Always the same.
    Fixed(Nanos),
    /// Memoryless.
    Exponential {
        /// Mean.
        mean: Nanos,
    },
    /// Heavy-tailed where `shape` is below 1; measured sessions have 0.34 to 0.82.
    Weibull {
        /// The exponent, usually called k.
        shape: f64,
        /// Mean. The scale, usually called lambda, is `mean / gamma(1 + 1 / shape)`.
        mean: Nanos,
    },
    /// Its logarithm is normal.
    Lognormal {
        /// Median: the exponential of the normal's mean, usually called mu.
        median: Nanos,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
}

impl Distribution {
    /// The mean, nanoseconds.
    pub fn mean_ns(&self) -> f64 {
        match *self {
            Distribution::Fixed(mean)
            | Distribution::Exponential { mean }
            | Distribution::Weibull { mean, .. } => mean.0 as f64,
            Distribution::Lognormal { median, sigma } => {
                median.0 as f64 * libm::exp(sigma * sigma / 2.0)
            }
        }
    }
}

impl Value for Distribution {
    const WHAT: &'static str = "a distribution of times";
    const FORM: &'static str = "`fixed(60s)`, `exponential(mean 60s)`, `weibull(shape 0.6 mean 60s)` or \
                                `lognormal(median 60s sigma 1.36)`";
    const EXAMPLES: &'static [&'static str] = &[
        "weibull(shape 0.6 mean 60s)",
        "lognormal(median 60s sigma 1.36)",
        "exponential(mean 60s)",
        "fixed(60s)",
    ];

    fn parse(text: &str) -> Result<Distribution, BadValue> {
        let phrase = Phrase::parse(text)?;
        match phrase.name {
            "fixed" => Ok(Distribution::Fixed(positive("time", phrase.only()?)?)),
            "exponential" => {
                let mean = phrase.parameters(&["mean"])?.required("mean")?;
                Ok(Distribution::Exponential {
                    mean: positive("mean", mean)?,
                })
            }
            "weibull" => {
                let parameters = phrase.parameters(&["shape", "mean"])?;
                let shape: f64 = parameters.required("shape")?;
                if !(WEIBULL_SHAPE_MIN..=WEIBULL_SHAPE_MAX).contains(&shape) {
                    return Err(BadValue::with_hint(
                        format!("the shape is {shape}"),
                        "the shape lies between 0.1 and 100; measured sessions have 0.34 to 0.82",
                    ));
                }
                Ok(Distribution::Weibull {
                    shape,
                    mean: positive("mean", parameters.required("mean")?)?,
                })
            }
            "lognormal" => {
                let parameters = phrase.parameters(&["median", "sigma"])?;
                let sigma: f64 = parameters.required("sigma")?;
                if !(sigma > 0.0 && sigma <= LOGNORMAL_SIGMA_MAX) {
                    return Err(BadValue::with_hint(
                        format!("sigma is {sigma}"),
                        "sigma is above 0 and at most 5; one trace of real sessions has 1.36",
                    ));
                }
                Ok(Distribution::Lognormal {
                    median: positive("median", parameters.required("median")?)?,
                    sigma,
                })
            }
            _ => Err(phrase.unknown(&["fixed", "exponential", "weibull", "lognormal"])),
        }
    }
}

fn positive(name: &str, time: Nanos) -> Result<Nanos, BadValue> {
    if time == Nanos::ZERO {
        return Err(BadValue::with_hint(
            format!("its {name} is zero"),
            "a session or pause takes some time; to have nodes that never leave, use `always_on`",
        ));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let mean = Nanos::from_secs(60);
        assert_eq!(
            Distribution::parse("weibull(shape 0.6, mean 60s)"),
            Ok(Distribution::Weibull { shape: 0.6, mean })
        );
        assert_eq!(
            Distribution::parse("exponential(mean 1m)"),
            Ok(Distribution::Exponential { mean })
        );
        for example in Distribution::EXAMPLES {
            Distribution::parse(example).unwrap();
        }
    }

    #[test]
    fn a_mean_of_zero_is_refused() {
        assert_eq!(
            Distribution::parse("exponential(mean 0s)")
                .unwrap_err()
                .cause,
            "its mean is zero"
        );
        assert_eq!(
            Distribution::parse("fixed(0s)").unwrap_err().cause,
            "its time is zero"
        );
        assert!(Distribution::parse("weibull(shape 0 mean 5s)").is_err());
    }
}
