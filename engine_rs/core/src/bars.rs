//! Time bars built from ticks: open, high, low, close and volume of intervals of venue time.
//! May not live here: when a bar's close is due (the engine asks [`TimeBars::next_boundary`]), or who sees it.

use serde::{Deserialize, Serialize};

use crate::arith::div_floor;
use crate::record::BarPrice;

/// What happened to one price in the interval start_ns <= ts_event < end_ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    pub start_ns: i64,
    pub end_ns: i64,
    /// Prices on the instrument's scale; twice that where `doubled`.
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    /// Sum of the trades' sizes, at most `i64::MAX`; 0 for bars of quotes, which say nothing of what was traded.
    pub volume: i64,
    /// The prices are bid + ask: a mid is kept so, since its half may not be on the scale.
    pub doubled: bool,
    /// Number of ticks that the bar is made of.
    pub ticks: u32,
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is the first of its bar: [`TimeBars::next_boundary`] has changed.
    Opened,
    Extended,
    /// The watermark has passed its interval: counted, not added.
    Late,
    /// The quote does not have the price that the bars are of.
    Absent,
}

/// A length that bars cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthError {
    pub length_ns: i64,
}

impl std::fmt::Display for LengthError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "a bar of {} ns is impossible: its length must be above 0",
            self.length_ns
        )
    }
}

impl std::error::Error for LengthError {}

/// A bar that is still open, and the times of the ticks that its open and close are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OpenBar {
    bar: Bar,
    first_ns: i64,
    last_ns: i64,
}

/// Builds the bars of one instrument, price and length; intervals are [origin + k * length, origin + (k + 1) * length).
///
/// The engine closes the open bar at [`TimeBars::next_boundary`], before the tick that carries the watermark there is added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBars {
    length_ns: i64,
    origin_ns: i64,
    price: BarPrice,
    current: Option<OpenBar>,
    late: u64,
}

impl TimeBars {
    /// Bars aligned to the Unix epoch.
    pub fn new(length_ns: i64, price: BarPrice) -> Result<TimeBars, LengthError> {
        TimeBars::aligned(length_ns, price, 0)
    }

    /// Bars aligned to another time, such as the open of a session.
    pub fn aligned(length_ns: i64, price: BarPrice, origin_ns: i64) -> Result<TimeBars, LengthError> {
        if length_ns <= 0 {
            return Err(LengthError { length_ns });
        }
        Ok(TimeBars {
            length_ns,
            origin_ns,
            price,
            current: None,
            late: 0,
        })
    }

    pub fn length_ns(&self) -> i64 {
        self.length_ns
    }

    pub fn price(&self) -> BarPrice {
        self.price
    }

    /// Number of ticks that came after their bar had closed.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// The end of the open bar: it is due to close when the watermark reaches it. None: no bar is open.
    pub fn next_boundary(&self) -> Option<i64> {
        self.current.map(|current| current.bar.end_ns)
    }

    /// Adds a trade; for bars of trades only.
    ///
    /// `watermark_ns` is the venue's watermark with this record. The engine must have closed what was due by then.
    pub fn add_trade(&mut self, ts_event: i64, watermark_ns: i64, price: i64, size: i64) -> Taken {
        assert_eq!(self.price, BarPrice::Trade, "bars of quotes take no trades");
        self.add(ts_event, watermark_ns, price, size)
    }

    /// Adds a quote, None standing for a side that is absent; for bars of bid, ask or mid. Otherwise as [`Self::add_trade`].
    pub fn add_quote(&mut self, ts_event: i64, watermark_ns: i64, bid: Option<i64>, ask: Option<i64>) -> Taken {
        let price = match self.price {
            BarPrice::Bid => bid,
            BarPrice::Ask => ask,
            BarPrice::Mid => bid.zip(ask).map(|(bid, ask)| bid + ask),
            BarPrice::Trade => panic!("bars of trades take no quotes"),
        };
        match price {
            Some(price) => self.add(ts_event, watermark_ns, price, 0),
            None => Taken::Absent,
        }
    }

    /// Ends the open bar and returns it; None if no bar is open.
    pub fn close(&mut self) -> Option<Bar> {
        self.current.take().map(|current| current.bar)
    }

    fn add(&mut self, ts_event: i64, watermark_ns: i64, price: i64, size: i64) -> Taken {
        assert!(ts_event <= watermark_ns, "the watermark has not seen the tick");
        if let Some(current) = &mut self.current {
            assert!(
                watermark_ns < current.bar.end_ns,
                "a bar that was due has not been closed"
            );
            if ts_event < current.bar.start_ns {
                self.late += 1;
                return Taken::Late;
            }
            current.extend(ts_event, price, size);
            return Taken::Extended;
        }
        let (start_ns, end_ns) = self.interval(ts_event);
        if end_ns <= watermark_ns {
            self.late += 1;
            return Taken::Late;
        }
        let bar = Bar {
            start_ns,
            end_ns,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: size,
            doubled: self.price == BarPrice::Mid,
            ticks: 1,
        };
        self.current = Some(OpenBar {
            bar,
            first_ns: ts_event,
            last_ns: ts_event,
        });
        Taken::Opened
    }

    /// The interval that holds t, cut off at the ends of what an i64 can tell.
    fn interval(&self, t: i64) -> (i64, i64) {
        let length = self.length_ns as i128;
        let origin = self.origin_ns as i128;
        let start = div_floor(t as i128 - origin, length) * length + origin;
        let clamp = |time: i128| time.clamp(i64::MIN as i128, i64::MAX as i128) as i64;
        (clamp(start), clamp(start + length))
    }
}

impl OpenBar {
    /// A late tick of a bar that is still open counts at its own time: the close stays that of the latest tick, and the
    /// open becomes that of the earliest. Ticks of one time count in order of arrival.
    fn extend(&mut self, ts_event: i64, price: i64, size: i64) {
        let bar = &mut self.bar;
        if ts_event >= self.last_ns {
            bar.close = price;
            self.last_ns = ts_event;
        } else if ts_event < self.first_ns {
            bar.open = price;
            self.first_ns = ts_event;
        }
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.volume = bar.volume.saturating_add(size);
        bar.ticks = bar.ticks.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trades(length_ns: i64) -> TimeBars {
        TimeBars::new(length_ns, BarPrice::Trade).unwrap()
    }

    /// Feeds (ts_event, price, size) as an engine would, and closes what is open at the end.
    fn build(bars: &mut TimeBars, ticks: &[(i64, i64, i64)]) -> Vec<Bar> {
        let mut built = Vec::new();
        let mut watermark = i64::MIN;
        for &(ts_event, price, size) in ticks {
            watermark = watermark.max(ts_event);
            if bars.next_boundary().is_some_and(|boundary| boundary <= watermark) {
                built.extend(bars.close());
            }
            bars.add_trade(ts_event, watermark, price, size);
        }
        built.extend(bars.close());
        built
    }

    #[test]
    fn a_bar_holds_its_start_and_not_its_end() {
        let built = build(
            &mut trades(10),
            &[(10, 5, 1), (13, 7, 2), (17, 3, 4), (19, 4, 8), (20, 9, 16)],
        );
        assert_eq!(
            built,
            [
                Bar {
                    start_ns: 10,
                    end_ns: 20,
                    open: 5,
                    high: 7,
                    low: 3,
                    close: 4,
                    volume: 15,
                    doubled: false,
                    ticks: 4
                },
                Bar {
                    start_ns: 20,
                    end_ns: 30,
                    open: 9,
                    high: 9,
                    low: 9,
                    close: 9,
                    volume: 16,
                    doubled: false,
                    ticks: 1
                },
            ]
        );
    }

    #[test]
    fn an_empty_interval_makes_no_bar() {
        let starts: Vec<i64> = build(&mut trades(10), &[(1, 1, 1), (35, 1, 1), (99, 1, 1)])
            .iter()
            .map(|bar| bar.start_ns)
            .collect();
        assert_eq!(starts, [0, 30, 90]);
    }

    #[test]
    fn intervals_are_aligned_before_the_epoch_too() {
        let built = build(&mut trades(10), &[(-11, 1, 1), (-10, 2, 1), (-1, 3, 1)]);
        assert_eq!(
            built.iter().map(|bar| (bar.start_ns, bar.end_ns)).collect::<Vec<_>>(),
            [(-20, -10), (-10, 0)]
        );
    }

    #[test]
    fn intervals_may_be_aligned_to_a_session() {
        let mut bars = TimeBars::aligned(10, BarPrice::Trade, 7).unwrap();
        let built = build(&mut bars, &[(6, 1, 1), (7, 1, 1), (16, 1, 1), (17, 1, 1)]);
        assert_eq!(built.iter().map(|bar| bar.start_ns).collect::<Vec<_>>(), [-3, 7, 17]);
    }

    #[test]
    fn the_ends_of_time_cut_an_interval_off() {
        let mut bars = trades(1_000);
        assert_eq!(bars.add_trade(i64::MAX - 1, i64::MAX - 1, 1, 1), Taken::Opened);
        assert_eq!(bars.next_boundary(), Some(i64::MAX));
        let mut bars = trades(1_000);
        assert_eq!(bars.add_trade(i64::MIN, i64::MIN, 1, 1), Taken::Opened);
        assert_eq!(bars.close().unwrap().start_ns, i64::MIN);
    }

    #[test]
    fn a_late_tick_of_a_closed_bar_is_counted_and_not_added() {
        let mut bars = trades(10);
        assert_eq!(bars.add_trade(5, 5, 100, 1), Taken::Opened);
        assert_eq!(bars.next_boundary(), Some(10));
        assert_eq!(bars.close().unwrap().end_ns, 10);
        assert_eq!(bars.next_boundary(), None);
        assert_eq!(bars.add_trade(9, 12, 999, 1), Taken::Late);
        assert_eq!(bars.add_trade(12, 12, 101, 1), Taken::Opened);
        assert_eq!(bars.add_trade(9, 12, 999, 1), Taken::Late);
        assert_eq!(bars.late(), 2);
        assert_eq!(bars.close().unwrap().high, 101);
    }

    #[test]
    fn a_tick_of_an_interval_that_closed_empty_is_late() {
        let mut bars = trades(10);
        assert_eq!(bars.add_trade(9, 10, 1, 1), Taken::Late);
        assert_eq!((bars.late(), bars.next_boundary()), (1, None));
    }

    #[test]
    fn a_late_tick_of_an_open_bar_counts_at_its_own_time() {
        let mut bars = trades(10);
        for (ts_event, price) in [(15, 50), (17, 60), (16, 70), (12, 40), (13, 45), (17, 65)] {
            bars.add_trade(ts_event, 17, price, 1);
        }
        let bar = bars.close().unwrap();
        assert_eq!((bar.open, bar.high, bar.low, bar.close, bar.ticks), (40, 70, 40, 65, 6));
    }

    #[test]
    fn bars_of_quotes_take_their_side_and_keep_the_mid_doubled() {
        let quotes = [
            (1, Some(100), Some(103)),
            (2, None, Some(105)),
            (3, Some(102), None),
            (4, Some(99), Some(102)),
        ];
        let bar_of = |price| {
            let mut bars = TimeBars::new(10, price).unwrap();
            let taken: Vec<Taken> = quotes
                .iter()
                .map(|&(time, bid, ask)| bars.add_quote(time, time, bid, ask))
                .collect();
            (
                bars.close().unwrap(),
                taken.iter().filter(|&&taken| taken == Taken::Absent).count(),
            )
        };
        let (bid, absent) = bar_of(BarPrice::Bid);
        assert_eq!(
            (bid.open, bid.high, bid.low, bid.close, bid.doubled, bid.ticks, absent),
            (100, 102, 99, 99, false, 3, 1)
        );
        let (ask, absent) = bar_of(BarPrice::Ask);
        assert_eq!(
            (ask.open, ask.high, ask.low, ask.close, ask.doubled, ask.ticks, absent),
            (103, 105, 102, 102, false, 3, 1)
        );
        let (mid, absent) = bar_of(BarPrice::Mid);
        assert_eq!(
            (mid.open, mid.high, mid.low, mid.close, mid.doubled, mid.ticks, absent),
            (203, 203, 201, 201, true, 2, 2)
        );
        assert_eq!([bid.volume, ask.volume, mid.volume], [0, 0, 0]);
    }

    #[test]
    fn volume_stays_at_its_largest_number() {
        let mut bars = trades(10);
        bars.add_trade(1, 1, 5, i64::MAX - 1);
        bars.add_trade(2, 2, 5, 7);
        assert_eq!(bars.close().unwrap().volume, i64::MAX);
    }

    #[test]
    fn a_length_of_nothing_is_refused() {
        assert_eq!(TimeBars::new(0, BarPrice::Trade), Err(LengthError { length_ns: 0 }));
        assert_eq!(
            TimeBars::new(-5, BarPrice::Mid).unwrap_err().to_string(),
            "a bar of -5 ns is impossible: its length must be above 0"
        );
    }

    #[test]
    #[should_panic(expected = "a bar that was due has not been closed")]
    fn a_bar_that_is_due_must_be_closed_first() {
        let mut bars = trades(10);
        bars.add_trade(5, 5, 1, 1);
        bars.add_trade(10, 10, 1, 1);
    }

    #[test]
    #[should_panic(expected = "bars of trades take no quotes")]
    fn bars_of_trades_take_no_quotes() {
        trades(10).add_quote(1, 1, Some(1), Some(2));
    }
}
