//! Series: the bars that strategies subscribed to, from the feed or built from its ticks, and the indicators on them.
//! May not live here: how one bar is built (bars), how one indicator is reckoned (indicators), or fills.

use serde::{Deserialize, Serialize};

use crate::bars::{Bar, Taken, TimeBars};
use crate::command::CommandError;
use crate::counted_bars::{CountedBars, Rule};
use crate::counters::Counters;
use crate::due::VenueClock;
use crate::duration;
use crate::handles;
use crate::indicators::{Indicator, IndicatorError, Scale, Spec};
use crate::record::{BarPrice, Record};
use crate::setup::Setup;

/// A bar of a series.
pub type SeriesBar = Bar;

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Origin {
    /// Bar records of this length index and price.
    Records {
        length_index: u8,
    },
    Built(TimeBars),
    Counted(CountedBars),
}

/// When the bars of a series end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ends {
    /// At multiples of a length.
    Every(i64),
    /// By what happened.
    By(Rule),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Series {
    instrument: u32,
    ends: Ends,
    price: BarPrice,
    origin: Origin,
    last: Option<Bar>,
    indicators: Vec<u32>,
    /// Strategies that are told of its closes.
    subscribers: Vec<u32>,
}

/// What an indicator says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub value: Option<f64>,
    pub ready: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeriesTable {
    series: Vec<Series>,
    indicators: Vec<Indicator>,
    /// What each line of each indicator says since its last bar: handlers read it more often than bars close.
    readings: Vec<Reading>,
    /// Where the readings of each indicator begin.
    first_readings: Vec<u32>,
    /// Per instrument: series built from its quotes, from its trades, and taken from its bars.
    from_quotes: Vec<Vec<u32>>,
    from_trades: Vec<Vec<u32>>,
    from_bars: Vec<Vec<u32>>,
    /// Bars that closed in the record that is being taken, each with its series.
    closed: Vec<(u32, Bar)>,
    /// The one of them that a handler is being called with.
    called: usize,
}

impl SeriesTable {
    pub fn new(instruments: usize) -> SeriesTable {
        SeriesTable {
            series: Vec::new(),
            indicators: Vec::new(),
            readings: Vec::new(),
            first_readings: Vec::new(),
            from_quotes: vec![Vec::new(); instruments],
            from_trades: vec![Vec::new(); instruments],
            from_bars: vec![Vec::new(); instruments],
            closed: Vec::new(),
            called: 0,
        }
    }

    // -------------------------------------------------------------- subscription

    /// The series of these bars, made if need be, with `strategy` among those that are told of its closes.
    pub fn subscribe(
        &mut self,
        setup: &Setup,
        strategy: u32,
        instrument: u32,
        ends: Ends,
        price: Option<BarPrice>,
    ) -> Result<u32, CommandError> {
        let (price, is_record) = match ends {
            Ends::Every(length) => resolve(setup, instrument, length, price)?,
            Ends::By(rule) => (resolve_counted(setup, instrument, rule, price)?, false),
        };
        let found = self
            .series
            .iter()
            .position(|one| (one.instrument, one.ends, one.price) == (instrument, ends, price));
        let index = match found {
            Some(index) => index as u32,
            None => {
                let index = self.series.len() as u32;
                let refused = |error: &dyn std::fmt::Display| CommandError(error.to_string());
                let origin = match ends {
                    Ends::Every(length) if is_record => {
                        let position = setup.bar_lengths.iter().position(|one| *one == length);
                        Origin::Records {
                            length_index: position.expect("resolved") as u8,
                        }
                    }
                    Ends::Every(length) => {
                        Origin::Built(TimeBars::new(length, price).map_err(|error| refused(&error))?)
                    }
                    Ends::By(rule) => Origin::Counted(
                        CountedBars::new(rule, price == BarPrice::Mid).map_err(|error| refused(&error))?,
                    ),
                };
                let lists = match (&origin, price) {
                    (Origin::Records { .. }, _) => &mut self.from_bars,
                    (_, BarPrice::Trade) => &mut self.from_trades,
                    _ => &mut self.from_quotes,
                };
                lists[instrument as usize].push(index);
                self.series.push(Series {
                    instrument,
                    ends,
                    price,
                    origin,
                    last: None,
                    indicators: Vec::new(),
                    subscribers: Vec::new(),
                });
                index
            }
        };
        let subscribers = &mut self.series[index as usize].subscribers;
        if !subscribers.contains(&strategy) {
            subscribers.push(strategy);
        }
        Ok(index)
    }

    /// A strategy with `on_bar` that subscribed to nothing gets the deciding bars of every instrument that has some.
    pub fn subscribe_unsubscribed(&mut self, setup: &Setup, handlers: &[u32]) {
        for (strategy, bits) in handlers.iter().enumerate() {
            let strategy = strategy as u32;
            if bits & handles::BAR == 0 || self.series.iter().any(|one| one.subscribers.contains(&strategy)) {
                continue;
            }
            for (index, instrument) in setup.instruments.iter().enumerate() {
                if instrument.has_bars && instrument.bar_length != u32::MAX {
                    let length = setup.bar_lengths[instrument.bar_length as usize];
                    self.subscribe(
                        setup,
                        strategy,
                        index as u32,
                        Ends::Every(length),
                        Some(instrument.bar_price),
                    )
                    .expect("the bars that the feed carries");
                }
            }
        }
    }

    /// Adds an indicator to a series; gives the index of its first line's reading, after which those of its others stand.
    pub fn add_indicator(&mut self, setup: &Setup, series: u32, spec: Spec) -> Result<u32, CommandError> {
        let one = &self.series[series as usize];
        let decimals = setup.instruments[one.instrument as usize].price_decimals;
        let is_doubled = one.price == BarPrice::Mid && !matches!(one.origin, Origin::Records { .. });
        let wrong = |error: IndicatorError| CommandError(error.to_string());
        let indicator = Indicator::new(spec, Scale::new(decimals, is_doubled).map_err(wrong)?).map_err(wrong)?;
        let first = self.readings.len() as u32;
        self.series[series as usize]
            .indicators
            .push(self.indicators.len() as u32);
        self.readings
            .resize(self.readings.len() + indicator.lines(), Reading::default());
        self.first_readings.push(first);
        self.indicators.push(indicator);
        Ok(first)
    }

    // -------------------------------------------------------------- reading

    /// What a line of an indicator says now.
    #[inline]
    pub fn reading(&self, index: u32) -> Reading {
        self.readings[index as usize]
    }

    pub fn last_bar(&self, series: u32) -> Option<&Bar> {
        self.series[series as usize].last.as_ref()
    }

    pub fn instrument(&self, series: u32) -> u32 {
        self.series[series as usize].instrument
    }

    /// Last bar of an instrument's first series.
    pub fn first_last_bar(&self, instrument: u32) -> Option<&Bar> {
        self.series
            .iter()
            .find(|one| one.instrument == instrument)?
            .last
            .as_ref()
    }

    #[inline]
    pub fn builds_from_quotes(&self, instrument: u32) -> bool {
        !self.from_quotes[instrument as usize].is_empty()
    }

    #[inline]
    pub fn builds_from_trades(&self, instrument: u32) -> bool {
        !self.from_trades[instrument as usize].is_empty()
    }

    /// The series of the `nth` bar that closed in this record and that the strategy is told of; see `called_bar`.
    #[inline]
    pub fn closed_for(&mut self, strategy: u32, nth: u32) -> Option<u32> {
        let series = &self.series;
        let told = |(_, (one, _)): &(usize, &(u32, Bar))| series[*one as usize].subscribers.contains(&strategy);
        let (position, (index, _)) = self.closed.iter().enumerate().filter(told).nth(nth as usize)?;
        self.called = position;
        Some(*index)
    }

    /// The bar that `closed_for` found last.
    #[inline]
    pub fn called_bar(&self) -> &Bar {
        &self.closed[self.called].1
    }

    /// How many bars closed in this record, whoever is told of them.
    #[inline]
    pub fn closed_count(&self) -> u32 {
        self.closed.len() as u32
    }

    #[inline]
    pub fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    #[inline]
    pub fn forget_closed(&mut self) {
        self.closed.clear();
    }

    // -------------------------------------------------------------- records

    pub fn add_quote(&mut self, record: &Record, clocks: &mut [VenueClock], setup: &Setup, counters: &mut Counters) {
        let shows_sizes = setup.instruments[record.instrument as usize].sizes == crate::setup::Sizes::Full;
        let side = |price: i64, size: i64| (!shows_sizes || size != 0).then_some(price);
        let (bid, ask) = (side(record.a, record.c), side(record.b, record.d));
        for position in 0..self.from_quotes[record.instrument as usize].len() {
            let index = self.from_quotes[record.instrument as usize][position];
            if self.is_counted(index) {
                let price = match self.series[index as usize].price {
                    BarPrice::Bid => bid,
                    BarPrice::Ask => ask,
                    _ => bid.zip(ask).map(|(bid, ask)| bid + ask),
                };
                if let Some(price) = price {
                    self.count(index, record.ts_event, price, 0);
                }
                continue;
            }
            self.build(index, clocks, setup, counters, |bars, watermark| {
                bars.add_quote(record.ts_event, watermark, bid, ask)
            });
        }
    }

    pub fn add_trade(&mut self, record: &Record, clocks: &mut [VenueClock], setup: &Setup, counters: &mut Counters) {
        for position in 0..self.from_trades[record.instrument as usize].len() {
            let index = self.from_trades[record.instrument as usize][position];
            if self.is_counted(index) {
                self.count(index, record.ts_event, record.a, record.b);
                continue;
            }
            self.build(index, clocks, setup, counters, |bars, watermark| {
                bars.add_trade(record.ts_event, watermark, record.a, record.b)
            });
        }
    }

    #[inline]
    fn is_counted(&self, index: u32) -> bool {
        matches!(self.series[index as usize].origin, Origin::Counted(_))
    }

    /// Adds a tick to a series whose bars end by what happened; they close with it.
    fn count(&mut self, index: u32, ts_event: i64, price: i64, size: i64) {
        let Origin::Counted(bars) = &mut self.series[index as usize].origin else {
            unreachable!("asked before")
        };
        let mut ended = Vec::new();
        bars.add(ts_event, price, size, |bar| ended.push(bar));
        for bar in ended {
            self.close(index, bar);
        }
    }

    fn build(
        &mut self,
        index: u32,
        clocks: &mut [VenueClock],
        setup: &Setup,
        counters: &mut Counters,
        add: impl FnOnce(&mut TimeBars, i64) -> Taken,
    ) {
        let one = &mut self.series[index as usize];
        let clock = &mut clocks[setup.instruments[one.instrument as usize].clock as usize];
        let watermark = clock.watermark.expect("the record that is taken has set it");
        let Origin::Built(bars) = &mut one.origin else {
            unreachable!("a series of records is not built")
        };
        match add(bars, watermark) {
            Taken::Opened => {
                let boundary = bars.next_boundary().expect("a bar was opened");
                // Bar closes at one time go by order of subscription.
                clock.bar_closes.push(boundary, index as u64, index);
            }
            Taken::Late => counters.late_bar_ticks += 1,
            Taken::Extended | Taken::Absent => {}
        }
    }

    /// The boundary of a tick-built bar is reached.
    pub fn close_built(&mut self, index: u32) {
        let Origin::Built(bars) = &mut self.series[index as usize].origin else {
            unreachable!("a series of records has no boundary")
        };
        if let Some(bar) = bars.close() {
            self.close(index, bar);
        }
    }

    /// A Bar record was taken.
    #[inline]
    pub fn add_bar(&mut self, record: &Record, length_index: u8, length: i64) {
        for position in 0..self.from_bars[record.instrument as usize].len() {
            let index = self.from_bars[record.instrument as usize][position];
            let one = &self.series[index as usize];
            let Origin::Records { length_index: wanted } = one.origin else {
                continue;
            };
            if wanted != length_index || one.price as u8 != record.side {
                continue;
            }
            let bar = Bar {
                start_ns: record.ts_event - length,
                end_ns: record.ts_event,
                open: record.a,
                high: record.b,
                low: record.c,
                close: record.d,
                volume: record.e,
                doubled: false,
                ticks: 0,
            };
            self.close(index, bar);
        }
    }

    #[inline]
    fn close(&mut self, index: u32, bar: Bar) {
        let one = &mut self.series[index as usize];
        for indicator in &one.indicators {
            let first = self.first_readings[*indicator as usize] as usize;
            let indicator = &mut self.indicators[*indicator as usize];
            indicator.update(&bar);
            for line in 0..indicator.lines() {
                let (value, ready) = indicator.reading(line);
                self.readings[first + line] = Reading { value, ready };
            }
        }
        one.last = Some(bar);
        self.closed.push((index, bar));
    }
}

/// Which price bars are of, and whether the feed carries them as records.
fn resolve(
    setup: &Setup,
    instrument: u32,
    length: i64,
    price: Option<BarPrice>,
) -> Result<(BarPrice, bool), CommandError> {
    let one = &setup.instruments[instrument as usize];
    let carries_length = one.has_bars && setup.bar_lengths.contains(&length);
    let carried_price = price.unwrap_or(one.bar_price);
    let has_ticks_of = |price: BarPrice| match price {
        BarPrice::Trade => one.has_trades,
        BarPrice::Bid | BarPrice::Ask | BarPrice::Mid => one.has_quotes,
    };
    if carries_length && (carried_price == one.bar_price || !has_ticks_of(carried_price)) {
        return Ok((carried_price, true));
    }
    let built = match price {
        Some(price) => price,
        None if one.has_trades => BarPrice::Trade,
        None => BarPrice::Mid,
    };
    if has_ticks_of(built) {
        return Ok((built, false));
    }
    Err(CommandError(format!(
        "{} has no bars of {}: its feed carries {}; ask for a length that it carries, or add a feed",
        one.symbol,
        duration::format(length),
        if one.has_bars {
            let lengths: Vec<String> = setup
                .bar_lengths
                .iter()
                .map(|&length| duration::format(length))
                .collect();
            format!("bars of {}", lengths.join(", "))
        } else {
            "no data to build them from".into()
        }
    )))
}

/// Which price bars are of that end by what happened.
fn resolve_counted(
    setup: &Setup,
    instrument: u32,
    rule: Rule,
    price: Option<BarPrice>,
) -> Result<BarPrice, CommandError> {
    let one = &setup.instruments[instrument as usize];
    let needs_sizes = matches!(rule, Rule::Volume(_) | Rule::Value(_));
    let price = match price {
        Some(price) => price,
        None if one.has_trades || needs_sizes => BarPrice::Trade,
        None => BarPrice::Mid,
    };
    if needs_sizes && (price != BarPrice::Trade || one.sizes != crate::setup::Sizes::Full) {
        return Err(CommandError(format!(
            "{}: bars of volume or value are of trades with their sizes",
            one.symbol
        )));
    }
    let (has_ticks, wanted) = match price {
        BarPrice::Trade => (one.has_trades, "trades"),
        BarPrice::Bid | BarPrice::Ask | BarPrice::Mid => (one.has_quotes, "quotes"),
    };
    if has_ticks {
        return Ok(price);
    }
    Err(CommandError(format!(
        "{} has no bars of {wanted}: its feed carries none; add a feed that does",
        one.symbol
    )))
}
