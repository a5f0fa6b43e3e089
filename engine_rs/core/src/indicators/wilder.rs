//! Wilder's smoothing, which RSI and ATR share.
//! May not live here: what is smoothed.

use serde::{Deserialize, Serialize};

use super::Scale;

/// What Wilder's smoothing starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// The mean of the first n numbers, as Wilder himself.
    #[default]
    Mean,
    /// 0, from which it is smoothed at once, as exponentially weighted means of data frames do.
    Zero,
}

/// s = (s * (n - 1) + x) / n, the first value being the mean of the first n. It has a value after n numbers.
///
/// The mean comes from an exact integer sum; after it, x is f64(raw) / f64(unit) and the formula goes left to right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Wilder {
    period: u32,
    scale: Scale,
    /// Numbers taken; it stops at the period.
    count: u32,
    sum: i128,
    smoothed: Option<f64>,
}

impl Wilder {
    pub(super) fn new(period: u32, start: Start, scale: Scale) -> Wilder {
        assert!(period > 0, "a mean is of at least one number");
        let smoothed = match start {
            Start::Mean => None,
            Start::Zero => Some(0.0),
        };
        Wilder {
            period,
            scale,
            count: 0,
            sum: 0,
            smoothed,
        }
    }

    pub(super) fn update(&mut self, raw: i128) {
        let n = self.period as f64;
        self.count = (self.count + 1).min(self.period);
        if let Some(smoothed) = self.smoothed {
            self.smoothed = Some((smoothed * (n - 1.0) + self.scale.mean(raw, 1)) / n);
            return;
        }
        self.sum += raw;
        if self.count == self.period {
            self.smoothed = Some(self.scale.mean(self.sum, self.period));
        }
    }

    pub(super) fn value(&self) -> Option<f64> {
        self.smoothed.filter(|_| self.count == self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_is_a_mean_and_the_next_ones_are_smoothed() {
        let mut wilder = Wilder::new(3, Start::Mean, Scale::new(1, false).unwrap());
        for raw in [10, 20] {
            wilder.update(raw);
            assert_eq!(wilder.value(), None);
        }
        wilder.update(60);
        assert_eq!(wilder.value(), Some(3.0));
        wilder.update(90);
        assert_eq!(wilder.value(), Some((3.0 * 2.0 + 9.0) / 3.0));
    }

    #[test]
    fn a_period_of_one_is_the_last_number() {
        let mut wilder = Wilder::new(1, Start::Mean, Scale::new(0, false).unwrap());
        for raw in [7, 5, 11] {
            wilder.update(raw);
            assert_eq!(wilder.value(), Some(raw as f64));
        }
    }

    #[test]
    fn it_may_start_from_zero() {
        let mut wilder = Wilder::new(2, Start::Zero, Scale::new(0, false).unwrap());
        wilder.update(8);
        assert_eq!(wilder.value(), None);
        wilder.update(6);
        assert_eq!(wilder.value(), Some(5.0));
    }
}
