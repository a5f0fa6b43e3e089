//! The rolling standard deviation.
//! May not live here: bands around a mean, which a strategy makes of both.

use serde::{Deserialize, Serialize};

use super::window::Window;
use super::{check_period, IndicatorError, Scale};

/// What the squared distances from the mean are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Divisor {
    /// n: the prices are all there are.
    #[default]
    Population,
    /// n - 1: the prices are a sample.
    Sample,
}

/// The deviation of the last n prices, from exact integer sums S and S2 (of squares), with D = n * S2 - S * S:
/// sqrt(f64(D)) / f64(n * unit), as a sample sqrt(f64(D) / f64(n * (n - 1))) / f64(unit).
///
/// Prices so large that n * S2 leaves an i128 (n * |price| near 2^63) overflow, which halts the run like any other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deviation {
    divisor: Divisor,
    scale: Scale,
    window: Window,
    sum: i128,
    sum_of_squares: i128,
}

impl Deviation {
    /// Errors: a period out of range; a sample needs at least two prices.
    pub fn new(period: u32, divisor: Divisor, scale: Scale) -> Result<Deviation, IndicatorError> {
        let least = match divisor {
            Divisor::Population => 1,
            Divisor::Sample => 2,
        };
        let window = Window::new(check_period(period, least)?);
        Ok(Deviation {
            divisor,
            scale,
            window,
            sum: 0,
            sum_of_squares: 0,
        })
    }

    pub fn update(&mut self, price: i64) {
        let price = price as i128;
        let oldest = self.window.push(price as i64).unwrap_or(0) as i128;
        self.sum += price - oldest;
        self.sum_of_squares += price * price - oldest * oldest;
    }

    pub fn value(&self) -> Option<f64> {
        if !self.window.is_full() {
            return None;
        }
        let n = self.window.length() as i128;
        let spread = n * self.sum_of_squares - self.sum * self.sum;
        assert!(spread >= 0, "squares cannot be less than the square of their mean");
        Some(match self.divisor {
            Divisor::Population => (spread as f64).sqrt() / (n as f64 * self.scale.unit()),
            Divisor::Sample => (spread as f64 / (n * (n - 1)) as f64).sqrt() / self.scale.unit(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(divisor: Divisor, prices: &[i64]) -> Option<f64> {
        let mut deviation = Deviation::new(4, divisor, Scale::new(1, false).unwrap()).unwrap();
        prices.iter().for_each(|&price| deviation.update(price));
        deviation.value()
    }

    #[test]
    fn it_is_the_root_of_the_mean_square_distance() {
        assert_eq!(last(Divisor::Population, &[10, 20, 30]), None);
        assert_eq!(last(Divisor::Population, &[99, 20, 20, 40, 40]), Some(1.0));
        assert_eq!(
            last(Divisor::Sample, &[99, 20, 20, 40, 40]),
            Some((400.0_f64 / 3.0).sqrt() / 10.0)
        );
    }

    #[test]
    fn equal_prices_deviate_by_exactly_nothing() {
        let price = 4_312_345_678_901;
        assert_eq!(
            last(Divisor::Population, &[1, 7, price, price, price, price]),
            Some(0.0)
        );
        assert_eq!(last(Divisor::Sample, &[price; 4]), Some(0.0));
    }
}
