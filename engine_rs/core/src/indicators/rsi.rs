//! The relative strength index, Wilder's.
//! May not live here: variants that smooth otherwise.

use serde::{Deserialize, Serialize};

use super::wilder::{Start, Wilder};
use super::{check_period, IndicatorError, Scale};

/// 100 * g / (g + l), g and l being the smoothed gains and losses from price to price; 50 when both are 0.
///
/// A change is an exact integer difference before it becomes a float. Source: J. W. Wilder, New Concepts in Technical
/// Trading Systems, 1978.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rsi {
    previous: Option<i64>,
    gains: Wilder,
    losses: Wilder,
}

impl Rsi {
    /// Errors: a period out of range.
    pub fn new(period: u32, start: Start, scale: Scale) -> Result<Rsi, IndicatorError> {
        let smoothing = Wilder::new(check_period(period, 1)?, start, scale);
        Ok(Rsi {
            previous: None,
            gains: smoothing,
            losses: smoothing,
        })
    }

    pub fn update(&mut self, price: i64) {
        if let Some(previous) = self.previous {
            let change = price as i128 - previous as i128;
            self.gains.update(change.max(0));
            self.losses.update((-change).max(0));
        }
        self.previous = Some(price);
    }

    pub fn value(&self) -> Option<f64> {
        let (gain, loss) = (self.gains.value()?, self.losses.value()?);
        Some(if gain + loss == 0.0 {
            50.0
        } else {
            100.0 * gain / (gain + loss)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(prices: &[i64]) -> Option<f64> {
        let mut rsi = Rsi::new(2, Start::Mean, Scale::new(2, false).unwrap()).unwrap();
        prices.iter().for_each(|&price| rsi.update(price));
        rsi.value()
    }

    #[test]
    fn it_compares_gains_with_losses() {
        assert_eq!(last(&[100, 400]), None);
        assert_eq!(last(&[100, 400, 300]), Some(75.0));
        // Gains (1.5 * 1 + 0) / 2, losses (0.5 * 1 + 1) / 2.
        assert_eq!(last(&[100, 400, 300, 200]), Some(50.0));
    }

    #[test]
    fn it_ends_at_zero_and_a_hundred_and_is_fifty_when_nothing_moves() {
        assert_eq!(last(&[1, 2, 3, 4]), Some(100.0));
        assert_eq!(last(&[4, 3, 2, 1]), Some(0.0));
        assert_eq!(last(&[5, 5, 5, 5]), Some(50.0));
    }
}
