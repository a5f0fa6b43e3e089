//! Bars that end by what happened and not by the clock: so many ticks, so much traded, a range of prices, Renko bricks.
//! May not live here: bars of intervals of time (bars), or who sees a bar.

use serde::{Deserialize, Serialize};

use crate::bars::Bar;

/// When a bar ends. Prices and sizes are raw integers on the instrument's scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// After so many ticks.
    Ticks(i64),
    /// With the trade that brings its volume to so much; a trade is never split.
    Volume(i64),
    /// With the trade that brings the sum of its prices times sizes to so much (of price scale times size scale).
    Value(i128),
    /// With the tick that brings high - low to so much.
    Range(i64),
    /// Bricks of one height: one ends where the price is a brick beyond the last one's end, or two against its direction.
    Renko(i64),
}

/// A number that no bar can end by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleError(pub Rule);

impl std::fmt::Display for RuleError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "a bar that ends by {:?} is impossible: it must be above 0",
            self.0
        )
    }
}

impl std::error::Error for RuleError {}

/// Most bricks that one tick may end; a price that is further away makes the rest at the ticks that follow.
pub const BRICKS_PER_TICK_MAX: u32 = 1_000;

/// Builds such bars. A bar starts with the time of its first tick and ends with that of its last; ticks count in the order in
/// which they come, also late ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedBars {
    rule: Rule,
    doubled: bool,
    open: Option<Bar>,
    value: i128,
    /// Of Renko: the end of the last brick and its direction, 0 before the first.
    brick: Option<(i64, i8)>,
}

impl CountedBars {
    /// `doubled`: prices are bid + ask. Errors: a number of the rule that is not above 0.
    pub fn new(rule: Rule, doubled: bool) -> Result<CountedBars, RuleError> {
        let is_possible = match rule {
            Rule::Ticks(number) | Rule::Volume(number) | Rule::Range(number) | Rule::Renko(number) => number > 0,
            Rule::Value(number) => number > 0,
        };
        if !is_possible {
            return Err(RuleError(rule));
        }
        // A height is given in prices; those of mids are kept twice.
        let rule = match rule {
            Rule::Range(height) if doubled => Rule::Range(height.saturating_mul(2)),
            Rule::Renko(height) if doubled => Rule::Renko(height.saturating_mul(2)),
            other => other,
        };
        Ok(CountedBars {
            rule,
            doubled,
            open: None,
            value: 0,
            brick: None,
        })
    }

    /// Adds a tick; hands every bar that it ends to `ended`, in order.
    pub fn add(&mut self, ts_event: i64, price: i64, size: i64, mut ended: impl FnMut(Bar)) {
        let bar = self.open.get_or_insert(Bar {
            start_ns: ts_event,
            end_ns: ts_event,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 0,
            doubled: self.doubled,
            ticks: 0,
        });
        bar.end_ns = bar.end_ns.max(ts_event);
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.close = price;
        bar.volume = bar.volume.saturating_add(size);
        bar.ticks = bar.ticks.saturating_add(1);
        self.value = self.value.saturating_add((price as i128).saturating_mul(size as i128));
        let is_over = match self.rule {
            Rule::Ticks(number) => bar.ticks as i64 >= number,
            Rule::Volume(volume) => bar.volume >= volume,
            Rule::Value(value) => self.value >= value,
            Rule::Range(range) => bar.high as i128 - bar.low as i128 >= range as i128,
            Rule::Renko(height) => {
                self.lay(height, price, &mut ended);
                return;
            }
        };
        if is_over {
            self.value = 0;
            ended(self.open.take().expect("a tick was added"));
        }
    }

    /// Lays the bricks that a price reaches. The first one carries what was traded since the last.
    fn lay(&mut self, height: i64, price: i64, ended: &mut impl FnMut(Bar)) {
        let open = self.open.as_mut().expect("a tick was added");
        let (mut end, mut direction) = self.brick.unwrap_or((open.open, 0));
        for _ in 0..BRICKS_PER_TICK_MAX {
            let distance = price as i128 - end as i128;
            // Against its direction the next brick lies beyond the last one.
            let up = if direction < 0 { 2 } else { 1 } * height as i128;
            let down = if direction > 0 { 2 } else { 1 } * height as i128;
            let (from, to, next) = if distance >= up {
                let from = if direction < 0 { end + height } else { end };
                (from, from + height, 1)
            } else if -distance >= down {
                let from = if direction > 0 { end - height } else { end };
                (from, from - height, -1)
            } else {
                break;
            };
            ended(Bar {
                open: from,
                close: to,
                high: from.max(to),
                low: from.min(to),
                ..*open
            });
            (end, direction) = (to, next);
            (open.start_ns, open.volume, open.ticks) = (open.end_ns, 0, 0);
        }
        self.brick = Some((end, direction));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(rule: Rule, ticks: &[(i64, i64, i64)]) -> Vec<Bar> {
        let mut bars = CountedBars::new(rule, false).unwrap();
        let mut ended = Vec::new();
        for &(time, price, size) in ticks {
            bars.add(time, price, size, |bar| ended.push(bar));
        }
        ended
    }

    fn shown(bars: &[Bar]) -> Vec<(i64, i64, i64, i64, i64, i64, i64)> {
        bars.iter()
            .map(|bar| {
                (
                    bar.start_ns,
                    bar.end_ns,
                    bar.open,
                    bar.high,
                    bar.low,
                    bar.close,
                    bar.volume,
                )
            })
            .collect()
    }

    const TICKS: [(i64, i64, i64); 6] = [(1, 10, 4), (2, 12, 1), (3, 11, 6), (4, 15, 2), (5, 14, 2), (9, 11, 1)];

    #[test]
    fn bars_of_ticks_end_with_the_tick_that_fills_them() {
        assert_eq!(
            shown(&built(Rule::Ticks(3), &TICKS)),
            [(1, 3, 10, 12, 10, 11, 11), (4, 9, 15, 15, 11, 11, 5)]
        );
    }

    #[test]
    fn bars_of_volume_take_the_whole_trade_that_fills_them() {
        assert_eq!(
            shown(&built(Rule::Volume(5), &TICKS)),
            [
                (1, 2, 10, 12, 10, 12, 5),
                (3, 3, 11, 11, 11, 11, 6),
                (4, 9, 15, 15, 11, 11, 5)
            ]
        );
    }

    #[test]
    fn bars_of_value_sum_prices_times_sizes() {
        // 40 + 12, then 66, then 30 + 28.
        let bars = built(Rule::Value(52), &TICKS);
        assert_eq!(bars.iter().map(|bar| bar.end_ns).collect::<Vec<_>>(), [2, 3, 5]);
    }

    #[test]
    fn bars_of_a_range_end_where_it_is_reached() {
        let bars = built(Rule::Range(4), &TICKS);
        assert_eq!(shown(&bars), [(1, 4, 10, 15, 10, 15, 13)]);
    }

    #[test]
    fn bricks_turn_only_two_heights_against_their_direction() {
        let prices = [100, 109, 110, 135, 121, 110, 109, 95, 125];
        let ticks: Vec<_> = (0..).zip(prices).map(|(time, price)| (time, price, 1)).collect();
        let bricks: Vec<_> = built(Rule::Renko(10), &ticks)
            .iter()
            .map(|bar| (bar.end_ns, bar.open, bar.close, bar.volume))
            .collect();
        assert_eq!(
            bricks,
            [
                (2, 100, 110, 3),
                (3, 110, 120, 1),
                (3, 120, 130, 0),
                (5, 120, 110, 2),
                (7, 110, 100, 2),
                (8, 110, 120, 1)
            ]
        );
    }

    #[test]
    fn a_leap_lays_so_many_bricks_at_most() {
        let bricks = built(Rule::Renko(1), &[(0, 0, 0), (1, 5_000, 0), (2, 5_000, 0)]);
        assert_eq!(bricks.len(), 2 * BRICKS_PER_TICK_MAX as usize);
        assert_eq!(bricks.last().unwrap().close, 2_000);
    }

    #[test]
    fn a_number_of_nothing_is_refused() {
        for rule in [
            Rule::Ticks(0),
            Rule::Volume(-1),
            Rule::Value(0),
            Rule::Range(0),
            Rule::Renko(-3),
        ] {
            assert_eq!(CountedBars::new(rule, false), Err(RuleError(rule)));
        }
    }

    #[test]
    fn a_height_of_mids_is_doubled_as_they_are() {
        let mut bars = CountedBars::new(Rule::Range(3), true).unwrap();
        let mut count = 0;
        for price in [200, 205, 206] {
            bars.add(0, price, 0, |bar| {
                assert!(bar.doubled);
                count += 1;
            });
        }
        assert_eq!(count, 1);
    }
}
