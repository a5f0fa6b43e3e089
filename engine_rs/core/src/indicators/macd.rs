//! Moving average convergence and divergence.
//! May not live here: the exponential averages that it is made of.

use serde::{Deserialize, Serialize};

use super::ema::{Ema, Seed};
use super::smooth::{Kind, Smooth};
use super::{check_period, IndicatorError, Scale};

/// What the averages of a MACD start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MacdSeed {
    /// The first price, and the first difference.
    #[default]
    First,
    /// Each the mean of its own first n, as backtrader and StockCharts do.
    Mean,
    /// As `Mean`, the fast one over the last prices that the slow one starts from, as TA-Lib does.
    Aligned,
}

/// The fast EMA less the slow one, the EMA of that difference (the signal), and how far it is above its signal.
///
/// Source: G. Appel, The Moving Average Convergence-Divergence Trading Method (1979).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Macd {
    fast: Ema,
    slow: Ema,
    signal: Smooth,
    /// Prices that the fast average does not take yet.
    left_out: u32,
}

impl Macd {
    /// Errors: a period out of range; the fast one must be shorter than the slow one.
    pub fn new(fast: u32, slow: u32, signal: u32, seed: MacdSeed, scale: Scale) -> Result<Macd, IndicatorError> {
        if check_period(fast, 1)? >= check_period(slow, 2)? {
            return Err(IndicatorError::NotShorter { fast, slow });
        }
        let (of_prices, of_signal) = match seed {
            MacdSeed::First => (Seed::FirstPrice, Kind::ExponentialFromFirst),
            MacdSeed::Mean | MacdSeed::Aligned => (Seed::Mean, Kind::ExponentialFromMean),
        };
        Ok(Macd {
            fast: Ema::new(fast, of_prices, scale)?,
            slow: Ema::new(slow, of_prices, scale)?,
            signal: Smooth::new(check_period(signal, 1)?, of_signal),
            left_out: if seed == MacdSeed::Aligned { slow - fast } else { 0 },
        })
    }

    pub fn update(&mut self, close: i64) {
        if self.left_out > 0 {
            self.left_out -= 1;
        } else {
            self.fast.update(close);
        }
        self.slow.update(close);
        if let Some(difference) = self.macd() {
            self.signal.update(difference);
        }
    }

    pub fn macd(&self) -> Option<f64> {
        Some(self.fast.value()? - self.slow.value()?)
    }

    pub fn signal(&self) -> Option<f64> {
        self.signal.value()
    }

    pub fn histogram(&self) -> Option<f64> {
        Some(self.macd()? - self.signal()?)
    }

    /// Whether every average has taken as many numbers as its period asks for.
    pub fn ready(&self) -> bool {
        self.slow.ready() && self.signal.ready()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn macd(seed: MacdSeed, prices: &[i64]) -> Macd {
        let mut macd = Macd::new(1, 3, 2, seed, Scale::new(0, false).unwrap()).unwrap();
        prices.iter().for_each(|&price| macd.update(price));
        macd
    }

    #[test]
    fn it_is_the_difference_of_two_averages_and_its_average() {
        // Slow: 8, 12, 8; difference: 0, 4, -4; signal: 0, 8/3, 8/3 + 2/3 (-4 - 8/3).
        let first = macd(MacdSeed::First, &[8, 16, 4]);
        let before = 2.0 / 3.0 * 4.0;
        assert_eq!(first.macd(), Some(-4.0));
        assert_eq!(first.signal(), Some(before + 2.0 / 3.0 * (-4.0 - before)));
        assert!(first.ready());
    }

    #[test]
    fn seeded_by_means_it_begins_with_the_slow_average() {
        let mean = macd(MacdSeed::Mean, &[8, 16, 3]);
        assert_eq!((mean.macd(), mean.signal()), (Some(3.0 - 9.0), None));
        // Slow: 9, then 10.5; differences -6 and 1.5.
        let mean = macd(MacdSeed::Mean, &[8, 16, 3, 12]);
        assert_eq!(
            (mean.macd(), mean.signal(), mean.histogram()),
            (Some(1.5), Some(-2.25), Some(3.75))
        );
    }
}
