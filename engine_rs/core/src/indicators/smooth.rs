//! Averages of floats: what indicators of indicators are made with.
//! May not live here: averages of prices, whose sums are exact.

use serde::{Deserialize, Serialize};

/// How a float is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// e = e + 2 / (n + 1) * (x - e), from the first number.
    ExponentialFromFirst,
    /// The same from the mean of the first n.
    ExponentialFromMean,
    /// s = (s * (n - 1) + x) / n, from the mean of the first n.
    Wilder,
}

/// A recursive average of floats. Sums go in the order of coming.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Smooth {
    kind: Kind,
    period: u32,
    count: u32,
    sum: f64,
    value: Option<f64>,
}

impl Smooth {
    pub(super) fn new(period: u32, kind: Kind) -> Smooth {
        Smooth {
            kind,
            period,
            count: 0,
            sum: 0.0,
            value: None,
        }
    }

    pub(super) fn update(&mut self, x: f64) {
        self.count = (self.count + 1).min(self.period);
        let n = self.period as f64;
        if let Some(value) = self.value {
            self.value = Some(match self.kind {
                Kind::Wilder => (value * (n - 1.0) + x) / n,
                Kind::ExponentialFromFirst | Kind::ExponentialFromMean => value + 2.0 / (n + 1.0) * (x - value),
            });
            return;
        }
        self.sum += x;
        if self.kind == Kind::ExponentialFromFirst {
            self.value = Some(x);
        } else if self.count == self.period {
            self.value = Some(self.sum / n);
        }
    }

    pub(super) fn value(&self) -> Option<f64> {
        self.value
    }

    /// Whether n numbers were taken.
    pub(super) fn ready(&self) -> bool {
        self.count == self.period
    }
}

/// The mean of the last n floats, summed anew in their order at each one: nothing is left of numbers that fell out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mean {
    period: u32,
    numbers: std::collections::VecDeque<f64>,
}

impl Mean {
    pub(super) fn new(period: u32) -> Mean {
        Mean {
            period,
            numbers: std::collections::VecDeque::new(),
        }
    }

    pub(super) fn update(&mut self, x: f64) {
        if self.numbers.len() == self.period as usize {
            self.numbers.pop_front();
        }
        self.numbers.push_back(x);
    }

    pub(super) fn value(&self) -> Option<f64> {
        (self.numbers.len() == self.period as usize).then(|| {
            let mut sum = 0.0;
            for x in &self.numbers {
                sum += x;
            }
            sum / self.period as f64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(kind: Kind, numbers: &[f64]) -> Option<f64> {
        let mut smooth = Smooth::new(2, kind);
        numbers.iter().for_each(|&x| smooth.update(x));
        smooth.value()
    }

    #[test]
    fn each_kind_has_its_start_and_its_weight() {
        assert_eq!(
            last(Kind::ExponentialFromFirst, &[3.0, 6.0]),
            Some(3.0 + 2.0 / 3.0 * 3.0)
        );
        assert_eq!(last(Kind::ExponentialFromMean, &[3.0]), None);
        assert_eq!(
            last(Kind::ExponentialFromMean, &[3.0, 5.0, 7.0]),
            Some(4.0 + 2.0 / 3.0 * 3.0)
        );
        assert_eq!(last(Kind::Wilder, &[3.0, 5.0, 7.0]), Some(5.5));
    }

    #[test]
    fn a_mean_forgets_what_fell_out() {
        let mut mean = Mean::new(2);
        for (x, expected) in [(1e300, None), (1.0, Some(5e299)), (3.0, Some(2.0))] {
            mean.update(x);
            assert_eq!(mean.value(), expected);
        }
    }
}
