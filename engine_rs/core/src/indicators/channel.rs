//! Highest high and lowest low: one of them, and the Donchian channel of both.
//! May not live here: channels around a mean.

use serde::{Deserialize, Serialize};

use super::extreme::{End, Extreme};
use super::{check_period, IndicatorError, Scale};

/// The highest high, the lowest low and their middle of the last n bars, the present one included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Donchian {
    scale: Scale,
    high: Extreme,
    low: Extreme,
}

impl Donchian {
    /// Errors: a period out of range.
    pub fn new(period: u32, scale: Scale) -> Result<Donchian, IndicatorError> {
        let period = check_period(period, 1)?;
        Ok(Donchian {
            scale,
            high: Extreme::new(period, End::Highest),
            low: Extreme::new(period, End::Lowest),
        })
    }

    pub fn update(&mut self, high: i64, low: i64) {
        self.high.update(high);
        self.low.update(low);
    }

    /// Raw prices.
    pub(super) fn ends(&self) -> Option<(i64, i64)> {
        self.high.value().zip(self.low.value())
    }

    pub fn upper(&self) -> Option<f64> {
        self.high.value().map(|price| self.scale.mean(price as i128, 1))
    }

    pub fn lower(&self) -> Option<f64> {
        self.low.value().map(|price| self.scale.mean(price as i128, 1))
    }

    pub fn middle(&self) -> Option<f64> {
        self.ends()
            .map(|(high, low)| self.scale.mean(high as i128 + low as i128, 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_the_extremes_of_the_last_bars() {
        let mut channel = Donchian::new(2, Scale::new(1, false).unwrap()).unwrap();
        channel.update(30, 10);
        assert_eq!((channel.upper(), channel.middle(), channel.lower()), (None, None, None));
        channel.update(25, 12);
        assert_eq!(
            (channel.upper(), channel.middle(), channel.lower()),
            (Some(3.0), Some(2.0), Some(1.0))
        );
        channel.update(26, 13);
        assert_eq!((channel.upper(), channel.lower()), (Some(2.6), Some(1.2)));
    }
}
