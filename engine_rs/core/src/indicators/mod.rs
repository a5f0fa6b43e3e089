//! Indicators: small incremental ones, O(1) an update, whose state can be saved. Their arithmetic is SEMANTICS, "Arithmetic".
//! May not live here: which records an indicator is fed, or how a strategy sees it.

mod adx;
mod atr;
mod bollinger;
mod channel;
mod deviation;
mod ema;
mod extreme;
mod macd;
mod momentum;
mod rsi;
mod sar;
mod sma;
mod smooth;
mod stochastic;
mod vwap;
mod wilder;
mod window;
mod wma;

use serde::{Deserialize, Serialize};

use crate::arith::{float, pow10};
use crate::bars::Bar;

pub use adx::Adx;
pub use atr::{Atr, FirstRange};
pub use bollinger::Bollinger;
pub use channel::Donchian;
pub use deviation::{Deviation, Divisor};
pub use ema::{Ema, Seed};
pub use macd::{Macd, MacdSeed};
pub use momentum::Momentum;
pub use rsi::Rsi;
pub use sar::Sar;
pub use sma::Sma;
pub use stochastic::Stochastic;
pub use vwap::{Span, Vwap, Weighed};
pub use wilder::Start;
pub use wma::Wma;

/// Longest period of an indicator; a window of that length takes 8 MB.
pub const PERIOD_MAX: u32 = 1_000_000;
/// Longest smoothing of the stochastic, whose means are summed anew at each bar.
pub const SMOOTHING_MAX: u32 = 1_000;
/// Most lines that one indicator has.
pub const LINES_MAX: usize = 3;
/// Most decimals of a price.
pub const DECIMALS_MAX: u32 = 18;

/// Which indicator, of what period.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
    Wma {
        period: u32,
    },
    /// Lines: the difference, its signal, the histogram.
    Macd {
        fast: u32,
        slow: u32,
        signal: u32,
        #[serde(default)]
        seed: MacdSeed,
    },
    /// Lines: middle, upper, lower.
    Bollinger {
        period: u32,
        width: f64,
        #[serde(default)]
        divisor: Divisor,
    },
    /// Lines: middle, upper (highest high), lower (lowest low).
    Donchian {
        period: u32,
    },
    Vwap {
        span: Span,
        #[serde(default)]
        weighed: Weighed,
    },
    /// Lines: the average index, +DI, -DI.
    Adx {
        period: u32,
    },
    /// Lines: %K, %D.
    Stochastic {
        period: u32,
        smooth: u32,
        signal: u32,
    },
    Momentum {
        period: u32,
    },
    Sar {
        step: f64,
        most: f64,
    },
}

/// An indicator that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndicatorError {
    PeriodTooSmall { period: u32, least: u32 },
    PeriodTooLarge { period: u32 },
    TooManyDecimals { decimals: u32 },
    NotShorter { fast: u32, slow: u32 },
    NotFinite { name: &'static str },
    NoLength { length_ns: i64 },
    SmoothingTooLong { length: u32 },
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
            IndicatorError::NotShorter { fast, slow } => {
                write!(
                    formatter,
                    "the fast period {fast} must be shorter than the slow one, {slow}"
                )
            }
            IndicatorError::NotFinite { name } => {
                write!(
                    formatter,
                    "the {name} is out of range: it must be a finite number above 0"
                )
            }
            IndicatorError::NoLength { length_ns } => {
                write!(
                    formatter,
                    "a length of {length_ns} ns is impossible: it must be above 0"
                )
            }
            IndicatorError::SmoothingTooLong { length } => {
                write!(
                    formatter,
                    "a smoothing over {length} values is too long: it must be at most {SMOOTHING_MAX}"
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

    /// f64(n * unit).
    fn scaled(self, n: i128) -> f64 {
        float(n * self.unit)
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
    Wma(Wma),
    Macd(Macd),
    Bollinger(Bollinger),
    Donchian(Donchian),
    Vwap(Vwap),
    Adx(Adx),
    Stochastic(Stochastic),
    Momentum(Momentum),
    Sar(Sar),
}

impl Indicator {
    /// An indicator over prices of one scale. Errors: a period or another number out of range, too many decimals.
    pub fn new(spec: Spec, scale: Scale) -> Result<Indicator, IndicatorError> {
        Ok(match spec {
            Spec::Sma { period } => Indicator::Sma(Sma::new(period, scale)?),
            Spec::Ema { period, seed } => Indicator::Ema(Ema::new(period, seed, scale)?),
            Spec::Rsi { period, start } => Indicator::Rsi(Rsi::new(period, start, scale)?),
            Spec::Atr { period, first_range } => Indicator::Atr(Atr::new(period, first_range, scale)?),
            Spec::Deviation { period, divisor } => Indicator::Deviation(Deviation::new(period, divisor, scale)?),
            Spec::Wma { period } => Indicator::Wma(Wma::new(period, scale)?),
            Spec::Macd {
                fast,
                slow,
                signal,
                seed,
            } => Indicator::Macd(Macd::new(fast, slow, signal, seed, scale)?),
            Spec::Bollinger { period, width, divisor } => {
                Indicator::Bollinger(Bollinger::new(period, width, divisor, scale)?)
            }
            Spec::Donchian { period } => Indicator::Donchian(Donchian::new(period, scale)?),
            Spec::Vwap { span, weighed } => Indicator::Vwap(Vwap::new(span, weighed, scale)?),
            Spec::Adx { period } => Indicator::Adx(Adx::new(period, scale)?),
            Spec::Stochastic { period, smooth, signal } => {
                Indicator::Stochastic(Stochastic::new(period, smooth, signal, scale)?)
            }
            Spec::Momentum { period } => Indicator::Momentum(Momentum::new(period, scale)?),
            Spec::Sar { step, most } => Indicator::Sar(Sar::new(step, most, scale)?),
        })
    }

    /// Takes a bar, its prices being integers on the scale that the indicator was made for.
    #[inline]
    pub fn update(&mut self, bar: &Bar) {
        match self {
            Indicator::Sma(sma) => sma.update(bar.close),
            Indicator::Ema(ema) => ema.update(bar.close),
            Indicator::Rsi(rsi) => rsi.update(bar.close),
            Indicator::Atr(atr) => atr.update(bar.high, bar.low, bar.close),
            Indicator::Deviation(deviation) => deviation.update(bar.close),
            Indicator::Wma(wma) => wma.update(bar.close),
            Indicator::Macd(macd) => macd.update(bar.close),
            Indicator::Bollinger(bands) => bands.update(bar.close),
            Indicator::Donchian(channel) => channel.update(bar.high, bar.low),
            Indicator::Vwap(vwap) => vwap.update(bar),
            Indicator::Adx(adx) => adx.update(bar.high, bar.low, bar.close),
            Indicator::Stochastic(stochastic) => stochastic.update(bar.high, bar.low, bar.close),
            Indicator::Momentum(momentum) => momentum.update(bar.close),
            Indicator::Sar(sar) => sar.update(bar.high, bar.low),
        }
    }

    /// Takes a bar of these prices and nothing else.
    pub fn update_bar(&mut self, high: i64, low: i64, close: i64) {
        self.update(&Bar {
            start_ns: 0,
            end_ns: 0,
            open: close,
            high,
            low,
            close,
            volume: 0,
            doubled: false,
            ticks: 0,
        });
    }

    /// Takes one price: a bar of nothing else.
    pub fn update_price(&mut self, price: i64) {
        self.update_bar(price, price, price);
    }

    /// How many lines it has; the first is its value.
    pub fn lines(&self) -> usize {
        match self {
            Indicator::Macd(_) | Indicator::Bollinger(_) | Indicator::Donchian(_) | Indicator::Adx(_) => 3,
            Indicator::Stochastic(_) => 2,
            _ => 1,
        }
    }

    /// A line's value of the bars taken so far; None while there is none. Never NaN.
    pub fn line(&self, line: usize) -> Option<f64> {
        match (self, line) {
            (Indicator::Sma(sma), 0) => sma.value(),
            (Indicator::Ema(ema), 0) => ema.value(),
            (Indicator::Rsi(rsi), 0) => rsi.value(),
            (Indicator::Atr(atr), 0) => atr.value(),
            (Indicator::Deviation(deviation), 0) => deviation.value(),
            (Indicator::Wma(wma), 0) => wma.value(),
            (Indicator::Macd(macd), 0) => macd.macd(),
            (Indicator::Macd(macd), 1) => macd.signal(),
            (Indicator::Macd(macd), 2) => macd.histogram(),
            (Indicator::Bollinger(bands), 0) => bands.middle(),
            (Indicator::Bollinger(bands), 1) => bands.upper(),
            (Indicator::Bollinger(bands), 2) => bands.lower(),
            (Indicator::Donchian(channel), 0) => channel.middle(),
            (Indicator::Donchian(channel), 1) => channel.upper(),
            (Indicator::Donchian(channel), 2) => channel.lower(),
            (Indicator::Vwap(vwap), 0) => vwap.value(),
            (Indicator::Adx(adx), 0) => adx.adx(),
            (Indicator::Adx(adx), 1) => adx.plus_di(),
            (Indicator::Adx(adx), 2) => adx.minus_di(),
            (Indicator::Stochastic(stochastic), 0) => stochastic.k(),
            (Indicator::Stochastic(stochastic), 1) => stochastic.d(),
            (Indicator::Momentum(momentum), 0) => momentum.value(),
            (Indicator::Sar(sar), 0) => sar.value(),
            _ => panic!("the indicator has {} lines, not a line {line}", self.lines()),
        }
    }

    /// The first line's value.
    pub fn value(&self) -> Option<f64> {
        self.line(0)
    }

    /// A line's value and whether it is ready, reckoned once.
    ///
    /// Ready: it has seen as many bars as its period asks for. What is seeded by a first price has a value before.
    #[inline]
    pub fn reading(&self, line: usize) -> (Option<f64>, bool) {
        let value = self.line(line);
        let ready = match self {
            Indicator::Ema(ema) => ema.ready(),
            Indicator::Macd(macd) => macd.ready(),
            _ => value.is_some(),
        };
        (value, ready)
    }

    /// Whether every line is ready.
    pub fn ready(&self) -> bool {
        (0..self.lines()).all(|line| self.reading(line).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    const EVERY_SPEC: [Spec; 21] = [
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
        Spec::Wma { period: 3 },
        Spec::Macd {
            fast: 2,
            slow: 3,
            signal: 2,
            seed: MacdSeed::First,
        },
        Spec::Macd {
            fast: 2,
            slow: 3,
            signal: 2,
            seed: MacdSeed::Mean,
        },
        Spec::Macd {
            fast: 2,
            slow: 3,
            signal: 2,
            seed: MacdSeed::Aligned,
        },
        Spec::Bollinger {
            period: 3,
            width: 2.0,
            divisor: Divisor::Population,
        },
        Spec::Donchian { period: 3 },
        Spec::Vwap {
            span: Span::Bars(3),
            weighed: Weighed::Typical,
        },
        Spec::Vwap {
            span: Span::Since(86_400),
            weighed: Weighed::OpenHighLowClose,
        },
        Spec::Adx { period: 3 },
        Spec::Stochastic {
            period: 3,
            smooth: 2,
            signal: 2,
        },
        Spec::Momentum { period: 3 },
        Spec::Sar { step: 0.02, most: 0.2 },
    ];

    fn bar_of(high: i64, low: i64, close: i64) -> Bar {
        Bar {
            start_ns: 0,
            end_ns: 0,
            open: close,
            high,
            low,
            close,
            volume: close,
            doubled: false,
            ticks: 1,
        }
    }

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
                indicator.update(&bar_of(10_000, 10_000, 10_000));
                count += 1;
            }
            assert!(indicator.value().is_some());
            count
        });
        assert_eq!(
            prices_until_ready,
            [3, 3, 3, 4, 4, 3, 4, 3, 3, 3, 3, 4, 4, 3, 3, 3, 1, 6, 5, 4, 2]
        );
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
