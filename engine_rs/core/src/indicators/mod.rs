//! Indicators: small incremental ones, O(1) an update, whose state can be saved. Their arithmetic is SEMANTICS, "Arithmetic".
//! May not live here: which records an indicator is fed, or how a strategy sees it.

mod atr;
mod deviation;
mod ema;
mod rsi;
mod sma;
mod wilder;
mod window;

use serde::{Deserialize, Serialize};

use crate::arith::{float, pow10};

pub use atr::{Atr, FirstRange};
pub use deviation::{Deviation, Divisor};
pub use ema::{Ema, Seed};
pub use rsi::Rsi;
pub use sma::Sma;
pub use wilder::Start;

/// Longest period of an indicator; a window of that length takes 8 MB.
pub const PERIOD_MAX: u32 = 1_000_000;
/// Most decimals of a price.
pub const DECIMALS_MAX: u32 = 18;

/// Which indicator, of what period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Spec {
    Sma {
        period: u32,
    },
    Ema {
        period: u32,
        #[serde(default)]
        seed: Seed,
    },
    Rsi {
        period: u32,
        #[serde(default)]
        start: Start,
    },
    Atr {
        period: u32,
        #[serde(default)]
        first_range: FirstRange,
    },
    Deviation {
        period: u32,
        #[serde(default)]
        divisor: Divisor,
    },
}

/// An indicator that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndicatorError {
    PeriodTooSmall { period: u32, least: u32 },
    PeriodTooLarge { period: u32 },
    TooManyDecimals { decimals: u32 },
}

impl std::fmt::Display for IndicatorError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            IndicatorError::PeriodTooSmall { period, least } => {
                write!(formatter, "period {period} is too small: it must be at least {least}")
            }
            IndicatorError::PeriodTooLarge { period } => {
                write!(
                    formatter,
                    "period {period} is too large: it must be at most {PERIOD_MAX}"
                )
            }
            IndicatorError::TooManyDecimals { decimals } => {
                write!(
                    formatter,
                    "prices of {decimals} decimals are too fine: {DECIMALS_MAX} are the most"
                )
            }
        }
    }
}

impl std::error::Error for IndicatorError {}

/// How many units of an integer price make 1: 10^decimals, or twice that for a mid that is kept as bid + ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    unit: i128,
}

impl Scale {
    pub fn new(decimals: u32, doubled: bool) -> Result<Scale, IndicatorError> {
        if decimals > DECIMALS_MAX {
            return Err(IndicatorError::TooManyDecimals { decimals });
        }
        Ok(Scale {
            unit: pow10(decimals) * if doubled { 2 } else { 1 },
        })
    }

    /// f64(sum) / f64(count * unit): a price for count 1, the mean of exactly summed prices above.
    fn mean(self, sum: i128, count: u32) -> f64 {
        float(sum) / self.divisor(count)
    }

    /// f64(count * unit).
    fn divisor(self, count: u32) -> f64 {
        float(count as i128 * self.unit)
    }

    fn unit(self) -> f64 {
        self.unit as f64
    }
}

fn check_period(period: u32, least: u32) -> Result<u32, IndicatorError> {
    match period {
        _ if period < least => Err(IndicatorError::PeriodTooSmall { period, least }),
        _ if period > PERIOD_MAX => Err(IndicatorError::PeriodTooLarge { period }),
        _ => Ok(period),
    }
}

/// One indicator with its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Indicator {
    Sma(Sma),
    Ema(Ema),
    Rsi(Rsi),
    Atr(Atr),
    Deviation(Deviation),
}

impl Indicator {
    /// An indicator over prices of one scale. Errors: a period out of range, too many decimals.
    pub fn new(spec: Spec, scale: Scale) -> Result<Indicator, IndicatorError> {
        Ok(match spec {
            Spec::Sma { period } => Indicator::Sma(Sma::new(period, scale)?),
            Spec::Ema { period, seed } => Indicator::Ema(Ema::new(period, seed, scale)?),
            Spec::Rsi { period, start } => Indicator::Rsi(Rsi::new(period, start, scale)?),
            Spec::Atr { period, first_range } => Indicator::Atr(Atr::new(period, first_range, scale)?),
            Spec::Deviation { period, divisor } => Indicator::Deviation(Deviation::new(period, divisor, scale)?),
        })
    }

    /// Takes a bar: its close, and for ATR its range; integers on the scale that the indicator was made for.
    pub fn update_bar(&mut self, high: i64, low: i64, close: i64) {
        match self {
            Indicator::Sma(sma) => sma.update(close),
            Indicator::Ema(ema) => ema.update(close),
            Indicator::Rsi(rsi) => rsi.update(close),
            Indicator::Atr(atr) => atr.update(high, low, close),
            Indicator::Deviation(deviation) => deviation.update(close),
        }
    }

    /// Takes one price: a bar of nothing else.
    pub fn update_price(&mut self, price: i64) {
        self.update_bar(price, price, price);
    }

    /// The value of the prices taken so far; None while there is none. Never NaN.
    pub fn value(&self) -> Option<f64> {
        match self {
            Indicator::Sma(sma) => sma.value(),
            Indicator::Ema(ema) => ema.value(),
            Indicator::Rsi(rsi) => rsi.value(),
            Indicator::Atr(atr) => atr.value(),
            Indicator::Deviation(deviation) => deviation.value(),
        }
    }

    /// The value and whether it is ready, reckoned once.
    #[inline]
    pub fn reading(&self) -> (Option<f64>, bool) {
        let value = self.value();
        match self {
            Indicator::Ema(ema) => (value, ema.ready()),
            _ => (value, value.is_some()),
        }
    }

    /// Whether it has seen as many prices as its period asks for. An EMA seeded by its first price has a value before.
    pub fn ready(&self) -> bool {
        match self {
            Indicator::Ema(ema) => ema.ready(),
            Indicator::Sma(_) | Indicator::Rsi(_) | Indicator::Atr(_) | Indicator::Deviation(_) => {
                self.value().is_some()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    const EVERY_SPEC: [Spec; 9] = [
        Spec::Sma { period: 3 },
        Spec::Ema {
            period: 3,
            seed: Seed::FirstPrice,
        },
        Spec::Ema {
            period: 3,
            seed: Seed::Mean,
        },
        Spec::Rsi {
            period: 3,
            start: Start::Mean,
        },
        Spec::Rsi {
            period: 3,
            start: Start::Zero,
        },
        Spec::Atr {
            period: 3,
            first_range: FirstRange::HighLow,
        },
        Spec::Atr {
            period: 3,
            first_range: FirstRange::Skip,
        },
        Spec::Deviation {
            period: 3,
            divisor: Divisor::Population,
        },
        Spec::Deviation {
            period: 3,
            divisor: Divisor::Sample,
        },
    ];

    fn scale(decimals: u32) -> Scale {
        Scale::new(decimals, false).unwrap()
    }

    fn bars(seed: u64, count: usize) -> Vec<(i64, i64, i64)> {
        let mut rng = Rng::new(seed, 0);
        (0..count)
            .map(|_| {
                let low = 10_000 + rng.below(500) as i64;
                let height = rng.below(100);
                (low + height as i64, low, low + rng.below(height + 1) as i64)
            })
            .collect()
    }

    #[test]
    fn indicators_are_ready_after_their_period() {
        let prices_until_ready = EVERY_SPEC.map(|spec| {
            let mut indicator = Indicator::new(spec, scale(2)).unwrap();
            assert_eq!((indicator.ready(), indicator.value()), (false, None));
            let mut count = 0;
            while !indicator.ready() {
                indicator.update_price(10_000);
                count += 1;
            }
            assert!(indicator.value().is_some());
            count
        });
        assert_eq!(prices_until_ready, [3, 3, 3, 4, 4, 3, 4, 3, 3]);
    }

    #[test]
    fn a_period_out_of_range_is_refused() {
        for spec in [
            Spec::Sma { period: 0 },
            Spec::Ema {
                period: 0,
                seed: Seed::FirstPrice,
            },
            Spec::Rsi {
                period: 0,
                start: Start::Mean,
            },
            Spec::Atr {
                period: 0,
                first_range: FirstRange::HighLow,
            },
            Spec::Deviation {
                period: 0,
                divisor: Divisor::Population,
            },
        ] {
            let error = Indicator::new(spec, scale(2)).unwrap_err();
            assert_eq!(error, IndicatorError::PeriodTooSmall { period: 0, least: 1 });
        }
        let sample = Spec::Deviation {
            period: 1,
            divisor: Divisor::Sample,
        };
        assert_eq!(
            Indicator::new(sample, scale(2)).unwrap_err().to_string(),
            "period 1 is too small: it must be at least 2"
        );
        assert_eq!(
            Indicator::new(Spec::Sma { period: PERIOD_MAX + 1 }, scale(2))
                .unwrap_err()
                .to_string(),
            "period 1000001 is too large: it must be at most 1000000"
        );
        assert!(Indicator::new(Spec::Sma { period: PERIOD_MAX }, scale(2)).is_ok());
        assert_eq!(
            Scale::new(19, false),
            Err(IndicatorError::TooManyDecimals { decimals: 19 })
        );
    }

    #[test]
    fn a_doubled_price_means_half_of_it() {
        for spec in EVERY_SPEC {
            let mut single = Indicator::new(spec, Scale::new(2, false).unwrap()).unwrap();
            let mut doubled = Indicator::new(spec, Scale::new(2, true).unwrap()).unwrap();
            for (high, low, close) in bars(1, 50) {
                single.update_bar(high, low, close);
                doubled.update_bar(2 * high, 2 * low, 2 * close);
                assert_eq!(single.value(), doubled.value(), "{spec:?}");
            }
        }
    }

    #[test]
    fn a_copy_of_the_state_goes_on_alike() {
        for spec in EVERY_SPEC {
            let bars = bars(2, 60);
            for cut in [0, 1, 2, 3, 30] {
                let mut whole = Indicator::new(spec, scale(2)).unwrap();
                for &(high, low, close) in &bars[..cut] {
                    whole.update_bar(high, low, close);
                }
                let mut resumed = whole.clone();
                for &(high, low, close) in &bars[cut..] {
                    whole.update_bar(high, low, close);
                    resumed.update_bar(high, low, close);
                }
                assert_eq!(whole, resumed);
            }
        }
    }

    #[test]
    fn values_stay_finite_on_extreme_prices() {
        for spec in EVERY_SPEC {
            let mut indicator = Indicator::new(spec, scale(0)).unwrap();
            for price in [i64::MAX / 4, -(i64::MAX / 4), 0, 0, 0, 0, 1, i64::MAX / 4, i64::MAX / 4] {
                indicator.update_price(price);
                assert!(indicator.value().is_none_or(f64::is_finite), "{spec:?}");
            }
        }
    }
}
