//! The average true range, Wilder's.
//! May not live here: averages of it other than Wilder's.

use serde::{Deserialize, Serialize};

use super::wilder::{Start, Wilder};
use super::{check_period, IndicatorError, Scale};

/// The true range of the first bar, which no close precedes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstRange {
    /// Its high - low.
    #[default]
    HighLow,
    /// It has none: the average begins with the second bar, as TA-Lib's does.
    Skip,
}

/// The smoothed true range: the span of high, low and the close before.
///
/// A range is an exact integer difference before it becomes a float. Source: as for the RSI.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Atr {
    first_range: FirstRange,
    previous_close: Option<i64>,
    ranges: Wilder,
}

impl Atr {
    /// Errors: a period out of range.
    pub fn new(period: u32, first_range: FirstRange, scale: Scale) -> Result<Atr, IndicatorError> {
        let ranges = Wilder::new(check_period(period, 1)?, Start::Mean, scale);
        Ok(Atr {
            first_range,
            previous_close: None,
            ranges,
        })
    }

    pub fn update(&mut self, high: i64, low: i64, close: i64) {
        let span = |high: i64, low: i64| high as i128 - low as i128;
        match (self.previous_close, self.first_range) {
            (Some(previous), _) => self.ranges.update(span(high.max(previous), low.min(previous))),
            (None, FirstRange::HighLow) => self.ranges.update(span(high, low)),
            (None, FirstRange::Skip) => {}
        }
        self.previous_close = Some(close);
    }

    pub fn value(&self) -> Option<f64> {
        self.ranges.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(first_range: FirstRange, bars: &[(i64, i64, i64)]) -> Option<f64> {
        let mut atr = Atr::new(2, first_range, Scale::new(1, false).unwrap()).unwrap();
        bars.iter().for_each(|&(high, low, close)| atr.update(high, low, close));
        atr.value()
    }

    #[test]
    fn a_gap_belongs_to_the_range() {
        assert_eq!(last(FirstRange::HighLow, &[(120, 100, 110)]), None);
        // 2.0 and, up from the close of 11.0 to 15.0, 4.0.
        assert_eq!(
            last(FirstRange::HighLow, &[(120, 100, 110), (150, 140, 145)]),
            Some(3.0)
        );
        // Down from 14.5 to 10.5: 4.0.
        assert_eq!(
            last(
                FirstRange::HighLow,
                &[(120, 100, 110), (150, 140, 145), (110, 105, 108)]
            ),
            Some(3.5)
        );
    }

    #[test]
    fn the_first_bar_may_be_left_out() {
        assert_eq!(last(FirstRange::Skip, &[(120, 100, 110), (150, 140, 145)]), None);
        assert_eq!(
            last(FirstRange::Skip, &[(120, 100, 110), (150, 140, 145), (110, 105, 108)]),
            Some(4.0)
        );
    }
}
