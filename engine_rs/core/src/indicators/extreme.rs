//! The highest or lowest of the last n prices.
//! May not live here: what a channel of both is.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Which end of the prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    Highest,
    Lowest,
}

/// The extreme of the last `period` prices, O(1) amortised: it keeps only those that can still become it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extreme {
    end: End,
    period: u32,
    /// Prices taken; it stops at the period.
    count: u32,
    taken: u64,
    /// (number, price): prices in the order of their coming, each more extreme than all after it.
    kept: VecDeque<(u64, i64)>,
}

impl Extreme {
    pub(super) fn new(period: u32, end: End) -> Extreme {
        Extreme {
            end,
            period,
            count: 0,
            taken: 0,
            kept: VecDeque::new(),
        }
    }

    pub(super) fn update(&mut self, price: i64) {
        while self.kept.back().is_some_and(|&(_, other)| match self.end {
            End::Highest => other <= price,
            End::Lowest => other >= price,
        }) {
            self.kept.pop_back();
        }
        self.kept.push_back((self.taken, price));
        self.taken += 1;
        self.count = (self.count + 1).min(self.period);
        if self.kept[0].0 + self.period as u64 == self.taken - 1 {
            self.kept.pop_front();
        }
    }

    /// None before `period` prices were taken.
    pub(super) fn value(&self) -> Option<i64> {
        (self.count == self.period).then(|| self.kept[0].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn it_is_the_extreme_of_the_window_at_every_price() {
        let mut rng = Rng::new(3, 0);
        for period in [1, 2, 3, 7] {
            let (mut highest, mut lowest) = (Extreme::new(period, End::Highest), Extreme::new(period, End::Lowest));
            let mut prices = Vec::new();
            for _ in 0..500 {
                prices.push(rng.below(20) as i64);
                highest.update(*prices.last().unwrap());
                lowest.update(*prices.last().unwrap());
                let window = prices.len().checked_sub(period as usize).map(|first| &prices[first..]);
                assert_eq!(highest.value(), window.map(|prices| *prices.iter().max().unwrap()));
                assert_eq!(lowest.value(), window.map(|prices| *prices.iter().min().unwrap()));
                assert!(highest.kept.len() <= period as usize);
            }
        }
    }
}
