//! The linearly weighted moving average.
//! May not live here: other weights.

use serde::{Deserialize, Serialize};

use super::window::Window;
use super::{check_period, IndicatorError, Scale};

/// The last price n times, the one before n - 1 times, .. the oldest once, over n (n + 1) / 2; from exact integer sums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wma {
    scale: Scale,
    window: Window,
    /// The sum of the window, and that of it times its weights.
    sum: i128,
    weighted: i128,
}

impl Wma {
    /// Errors: a period out of range.
    pub fn new(period: u32, scale: Scale) -> Result<Wma, IndicatorError> {
        Ok(Wma {
            scale,
            window: Window::new(check_period(period, 1)?),
            sum: 0,
            weighted: 0,
        })
    }

    pub fn update(&mut self, price: i64) {
        // Every price that was there weighs one less; while the window fills there are zeros in the places of the oldest.
        self.weighted += self.window.length() as i128 * price as i128 - self.sum;
        let oldest = self.window.push(price).unwrap_or(0);
        self.sum += price as i128 - oldest as i128;
    }

    pub fn value(&self) -> Option<f64> {
        let n = self.window.length() as i128;
        self.window
            .is_full()
            .then(|| self.weighted as f64 / self.scale.scaled(n * (n + 1) / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_price_weighs_most() {
        let mut wma = Wma::new(3, Scale::new(0, false).unwrap()).unwrap();
        let values: Vec<_> = [6, 12, 18, 0, 6]
            .into_iter()
            .map(|price| {
                wma.update(price);
                wma.value()
            })
            .collect();
        // (6 + 24 + 54) / 6, (12 + 36 + 0) / 6, (18 + 0 + 18) / 6.
        assert_eq!(values, [None, None, Some(14.0), Some(8.0), Some(6.0)]);
    }
}
