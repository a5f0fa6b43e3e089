//! The simple moving average.
//! May not live here: other averages.

use serde::{Deserialize, Serialize};

use super::window::Window;
use super::{check_period, IndicatorError, Scale};
use crate::arith::float;

/// The mean of the last n prices: f64(sum) / f64(n * unit), from an exact integer sum, so that it never drifts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sma {
    /// f64(n * unit).
    divisor: f64,
    window: Window,
    sum: i128,
}

impl Sma {
    /// Errors: a period out of range.
    pub fn new(period: u32, scale: Scale) -> Result<Sma, IndicatorError> {
        Ok(Sma {
            divisor: scale.divisor(check_period(period, 1)?),
            window: Window::new(period),
            sum: 0,
        })
    }

    pub fn update(&mut self, price: i64) {
        let oldest = self.window.push(price).unwrap_or(0);
        self.sum += price as i128 - oldest as i128;
    }

    pub fn value(&self) -> Option<f64> {
        self.window.is_full().then(|| float(self.sum) / self.divisor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_mean_of_the_last_prices() {
        let mut sma = Sma::new(3, Scale::new(1, false).unwrap()).unwrap();
        let values: Vec<Option<f64>> = [10, 20, 40, 50, -60]
            .into_iter()
            .map(|price| {
                sma.update(price);
                sma.value()
            })
            .collect();
        assert_eq!(values, [None, None, Some(70.0 / 30.0), Some(110.0 / 30.0), Some(1.0)]);
    }

    #[test]
    fn a_huge_price_leaves_no_trace() {
        let mut sma = Sma::new(2, Scale::new(2, false).unwrap()).unwrap();
        for price in [i64::MAX, i64::MAX, 10, 30] {
            sma.update(price);
        }
        assert_eq!(sma.value(), Some(0.2));
    }
}
