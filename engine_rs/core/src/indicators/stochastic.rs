//! The stochastic oscillator.
//! May not live here: the channel of highs and lows that it stands in.

use serde::{Deserialize, Serialize};

use super::channel::Donchian;
use super::smooth::Mean;
use super::{check_period, IndicatorError, Scale, SMOOTHING_MAX};

/// Where the close stands between the lowest low and the highest high of n bars, 0 to 100: %K, the mean of the last `smooth` of
/// these (1: the fast stochastic), and %D, the mean of the last `signal` %K. 50 where high and low are the same.
///
/// Source: G. Lane, Lane's Stochastics, Technical Analysis of Stocks & Commodities 2 (1984).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stochastic {
    channel: Donchian,
    k: Mean,
    d: Mean,
}

impl Stochastic {
    /// Errors: a period out of range; `smooth` and `signal` have a smaller one.
    pub fn new(period: u32, smooth: u32, signal: u32, scale: Scale) -> Result<Stochastic, IndicatorError> {
        for length in [smooth, signal] {
            if check_period(length, 1)? > SMOOTHING_MAX {
                return Err(IndicatorError::SmoothingTooLong { length });
            }
        }
        Ok(Stochastic {
            channel: Donchian::new(period, scale)?,
            k: Mean::new(smooth),
            d: Mean::new(signal),
        })
    }

    pub fn update(&mut self, high: i64, low: i64, close: i64) {
        self.channel.update(high, low);
        let Some((highest, lowest)) = self.channel.ends() else {
            return;
        };
        let span = highest as i128 - lowest as i128;
        self.k.update(if span == 0 {
            50.0
        } else {
            100.0 * (close as i128 - lowest as i128) as f64 / span as f64
        });
        if let Some(k) = self.k.value() {
            self.d.update(k);
        }
    }

    pub fn k(&self) -> Option<f64> {
        self.k.value()
    }

    pub fn d(&self) -> Option<f64> {
        self.d.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_place_of_the_close_in_the_channel() {
        let mut stochastic = Stochastic::new(2, 1, 2, Scale::new(2, false).unwrap()).unwrap();
        let values: Vec<_> = [(20, 10, 15), (30, 15, 25), (30, 10, 10), (10, 10, 10), (10, 10, 10)]
            .into_iter()
            .map(|(high, low, close)| {
                stochastic.update(high, low, close);
                (stochastic.k(), stochastic.d())
            })
            .collect();
        assert_eq!(
            values,
            [
                (None, None),
                (Some(75.0), None),
                (Some(0.0), Some(37.5)),
                (Some(0.0), Some(0.0)),
                (Some(50.0), Some(25.0))
            ]
        );
    }
}
