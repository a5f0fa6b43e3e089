//! The volume-weighted average price.
//! May not live here: how volume is counted (bars).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{check_period, IndicatorError, Scale};
use crate::arith::div_floor;
use crate::bars::Bar;

/// Over which bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// The last n bars.
    Bars(u32),
    /// Those since the last multiple of so many ns since the epoch: a day's is 86,400 s, from midnight UTC.
    Since(i64),
}

/// Which price of a bar is weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighed {
    /// The typical price, (high + low + close) / 3.
    #[default]
    Typical,
    /// (open + high + low + close) / 4.
    OpenHighLowClose,
}

/// The sum of each bar's price times its volume, over the sum of the volumes; from exact integer sums.
///
/// It has no value while nothing was traded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vwap {
    span: Span,
    weighed: Weighed,
    scale: Scale,
    /// (three or four prices times volume, volume) of each bar in the window; empty where the span is a time.
    window: VecDeque<(i128, i64)>,
    count: u32,
    turnover: i128,
    volume: i128,
    /// The multiple that the present sums began at.
    began: Option<i64>,
}

impl Vwap {
    /// Errors: a period or a length out of range.
    pub fn new(span: Span, weighed: Weighed, scale: Scale) -> Result<Vwap, IndicatorError> {
        match span {
            Span::Bars(period) => {
                check_period(period, 1)?;
            }
            Span::Since(length_ns) if length_ns <= 0 => return Err(IndicatorError::NoLength { length_ns }),
            Span::Since(_) => {}
        }
        Ok(Vwap {
            span,
            weighed,
            scale,
            window: VecDeque::new(),
            count: 0,
            turnover: 0,
            volume: 0,
            began: None,
        })
    }

    pub fn update(&mut self, bar: &Bar) {
        let Bar { volume, start_ns, .. } = *bar;
        let prices = bar.high as i128 + bar.low as i128 + bar.close as i128;
        let turnover = volume as i128
            * match self.weighed {
                Weighed::Typical => prices,
                Weighed::OpenHighLowClose => prices + bar.open as i128,
            };
        match self.span {
            Span::Bars(period) => {
                if self.window.len() == period as usize {
                    let (turnover, volume) = self.window.pop_front().expect("a period is above 0");
                    self.turnover -= turnover;
                    self.volume -= volume as i128;
                }
                self.window.push_back((turnover, volume));
                self.count = (self.count + 1).min(period);
            }
            Span::Since(length_ns) => {
                let began = div_floor(start_ns as i128, length_ns as i128) as i64;
                if self.began != Some(began) {
                    (self.began, self.turnover, self.volume) = (Some(began), 0, 0);
                }
            }
        }
        self.turnover += turnover;
        self.volume += volume as i128;
    }

    pub fn value(&self) -> Option<f64> {
        let is_full = match self.span {
            Span::Bars(period) => self.count == period,
            Span::Since(_) => true,
        };
        let prices = match self.weighed {
            Weighed::Typical => 3,
            Weighed::OpenHighLowClose => 4,
        };
        (is_full && self.volume > 0).then(|| self.turnover as f64 / self.scale.scaled(prices * self.volume))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(high: i64, low: i64, close: i64, volume: i64, start_ns: i64) -> Bar {
        Bar {
            start_ns,
            end_ns: start_ns + 1,
            open: low,
            high,
            low,
            close,
            volume,
            doubled: false,
            ticks: 1,
        }
    }

    #[test]
    fn four_prices_may_be_weighed() {
        let mut vwap = Vwap::new(Span::Bars(1), Weighed::OpenHighLowClose, Scale::new(0, false).unwrap()).unwrap();
        vwap.update(&bar(9, 2, 7, 3, 0));
        assert_eq!(vwap.value(), Some(5.0));
    }

    #[test]
    fn prices_weigh_by_what_was_traded_at_them() {
        let mut vwap = Vwap::new(Span::Bars(2), Weighed::Typical, Scale::new(0, false).unwrap()).unwrap();
        let values: Vec<_> = [(9, 3, 6, 1), (12, 12, 12, 2), (6, 6, 6, 0), (5, 5, 5, 0)]
            .into_iter()
            .map(|(high, low, close, volume)| {
                vwap.update(&bar(high, low, close, volume, 0));
                vwap.value()
            })
            .collect();
        assert_eq!(values, [None, Some(10.0), Some(12.0), None]);
    }

    #[test]
    fn it_may_begin_anew_at_each_multiple_of_a_length() {
        let mut vwap = Vwap::new(Span::Since(100), Weighed::Typical, Scale::new(0, false).unwrap()).unwrap();
        for (start_ns, price, expected) in [
            (-30, 2, 2.0),
            (-1, 4, 3.0),
            (0, 10, 10.0),
            (99, 20, 15.0),
            (300, 1, 1.0),
        ] {
            vwap.update(&bar(price, price, price, 7, start_ns));
            assert_eq!(vwap.value(), Some(expected));
        }
    }
}
