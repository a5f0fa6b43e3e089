//! The exponential moving average.
//! May not live here: Wilder's smoothing, which weighs otherwise.

use serde::{Deserialize, Serialize};

use super::{check_period, IndicatorError, Scale};

/// What an EMA starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seed {
    /// The first price.
    #[default]
    FirstPrice,
    /// The mean of the first n prices, as TA-Lib, backtrader and most charts do.
    Mean,
}

/// e = e + a * (x - e) with a = 2 / (n + 1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ema {
    period: u32,
    seed: Seed,
    scale: Scale,
    /// Prices taken; it stops at the period.
    count: u32,
    sum: i128,
    value: Option<f64>,
}

impl Ema {
    /// Errors: a period out of range.
    pub fn new(period: u32, seed: Seed, scale: Scale) -> Result<Ema, IndicatorError> {
        Ok(Ema {
            period: check_period(period, 1)?,
            seed,
            scale,
            count: 0,
            sum: 0,
            value: None,
        })
    }

    pub fn update(&mut self, price: i64) {
        self.count = (self.count + 1).min(self.period);
        if let Some(value) = self.value {
            let weight = 2.0 / (self.period as f64 + 1.0);
            self.value = Some(value + weight * (self.scale.mean(price as i128, 1) - value));
            return;
        }
        self.sum += price as i128;
        if self.seed == Seed::FirstPrice || self.count == self.period {
            self.value = Some(self.scale.mean(self.sum, self.count));
        }
    }

    pub fn value(&self) -> Option<f64> {
        self.value
    }

    /// Whether n prices were taken, however it was seeded.
    pub fn ready(&self) -> bool {
        self.count == self.period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(seed: Seed, prices: &[i64]) -> Vec<Option<f64>> {
        let mut ema = Ema::new(3, seed, Scale::new(0, false).unwrap()).unwrap();
        prices
            .iter()
            .map(|&price| {
                ema.update(price);
                ema.value()
            })
            .collect()
    }

    #[test]
    fn it_starts_from_the_first_price() {
        assert_eq!(
            values(Seed::FirstPrice, &[8, 16, 4, 12]),
            [Some(8.0), Some(12.0), Some(8.0), Some(10.0)]
        );
    }

    #[test]
    fn it_may_start_from_the_mean_of_the_first_prices() {
        assert_eq!(values(Seed::Mean, &[8, 16, 3, 12]), [None, None, Some(9.0), Some(10.5)]);
    }
}
