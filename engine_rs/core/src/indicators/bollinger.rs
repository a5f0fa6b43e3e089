//! Bollinger bands.
//! May not live here: the mean and the deviation that they are made of.

use serde::{Deserialize, Serialize};

use super::deviation::{Deviation, Divisor};
use super::sma::Sma;
use super::{IndicatorError, Scale};

/// The mean of the last n closes, and `width` deviations of them above and below.
///
/// Source: J. Bollinger, Bollinger on Bollinger Bands (2001); he takes the deviation of the population.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bollinger {
    width: f64,
    mean: Sma,
    deviation: Deviation,
}

impl Bollinger {
    /// Errors: a period out of range, a width that is not finite.
    pub fn new(period: u32, width: f64, divisor: Divisor, scale: Scale) -> Result<Bollinger, IndicatorError> {
        if !width.is_finite() {
            return Err(IndicatorError::NotFinite { name: "width" });
        }
        Ok(Bollinger {
            width,
            mean: Sma::new(period, scale)?,
            deviation: Deviation::new(period, divisor, scale)?,
        })
    }

    pub fn update(&mut self, close: i64) {
        self.mean.update(close);
        self.deviation.update(close);
    }

    pub fn middle(&self) -> Option<f64> {
        self.mean.value()
    }

    pub fn upper(&self) -> Option<f64> {
        Some(self.mean.value()? + self.width * self.deviation.value()?)
    }

    pub fn lower(&self) -> Option<f64> {
        Some(self.mean.value()? - self.width * self.deviation.value()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_lie_some_deviations_from_the_mean() {
        let mut bands = Bollinger::new(4, 2.0, Divisor::Population, Scale::new(0, false).unwrap()).unwrap();
        for close in [20, 20, 40, 40] {
            assert_eq!(bands.upper(), None);
            bands.update(close);
        }
        assert_eq!(
            (bands.upper(), bands.middle(), bands.lower()),
            (Some(50.0), Some(30.0), Some(10.0))
        );
    }
}
