//! Views: what handlers are called with. One reused object a kind; it lives as long as the call.
//! May not live here: anything that changes the engine.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicU8, Ordering::Relaxed};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;
use replay_core::event::{Event, EventKind, ABSENT};
use replay_core::order;
use replay_core::reason::Reason;
use replay_core::record::{Record, SIDE_BUY, SIDE_SELL};
use replay_core::series::SeriesBar;
use replay_core::setup::Setup;
use serde::{Deserialize, Serialize};

/// What views need of the run: units and names.
pub struct Names {
    pub setup: Arc<Setup>,
    pub symbols: Vec<Py<PyString>>,
}

impl Names {
    pub fn new(py: Python<'_>, setup: &Arc<Setup>) -> Arc<Names> {
        let symbols = setup
            .instruments
            .iter()
            .map(|instrument| PyString::intern(py, &instrument.symbol).unbind())
            .collect();
        Arc::new(Names {
            setup: Arc::clone(setup),
            symbols,
        })
    }

    fn price(&self, instrument: u32, raw: i64) -> f64 {
        raw as f64 / self.setup.instruments[instrument as usize].price_unit
    }

    fn size(&self, instrument: u32, raw: i64) -> f64 {
        raw as f64 / self.setup.instruments[instrument as usize].size_unit
    }

    fn optional_price(&self, instrument: u32, raw: i64) -> Option<f64> {
        (raw != ABSENT).then(|| self.price(instrument, raw))
    }

    fn amount(&self, currency: u32, amount: i128) -> f64 {
        amount as f64 / 10f64.powi(self.setup.currencies[currency as usize].ledger_scale as i32)
    }
}

fn side_name(side: u8) -> &'static str {
    match side {
        SIDE_BUY => "buy",
        SIDE_SELL => "sell",
        _ => "none",
    }
}

/// Words of a record that change from call to call; read and written only under the interpreter's lock.
#[derive(Default)]
struct Words {
    ts_event: AtomicI64,
    ts_recv: AtomicI64,
    fields: [AtomicI64; 5],
    instrument: AtomicU32,
    side: AtomicU8,
    price_unit: AtomicU64,
    size_unit: AtomicU64,
}

impl Words {
    #[inline]
    fn set(&self, record: &Record, setup: &Setup) {
        if self.instrument.load(Relaxed) != record.instrument || self.price_unit.load(Relaxed) == 0 {
            let instrument = &setup.instruments[record.instrument as usize];
            self.price_unit.store(instrument.price_unit.to_bits(), Relaxed);
            self.size_unit.store(instrument.size_unit.to_bits(), Relaxed);
        }
        self.ts_event.store(record.ts_event, Relaxed);
        self.ts_recv.store(record.ts_recv, Relaxed);
        for (word, value) in self
            .fields
            .iter()
            .zip([record.a, record.b, record.c, record.d, record.e])
        {
            word.store(value, Relaxed);
        }
        self.instrument.store(record.instrument, Relaxed);
        self.side.store(record.side, Relaxed);
    }

    #[inline]
    fn price(&self, field: usize) -> f64 {
        self.fields[field].load(Relaxed) as f64 / f64::from_bits(self.price_unit.load(Relaxed))
    }

    #[inline]
    fn size(&self, field: usize) -> f64 {
        self.fields[field].load(Relaxed) as f64 / f64::from_bits(self.size_unit.load(Relaxed))
    }

    fn record(&self) -> Record {
        let field = |index: usize| self.fields[index].load(Relaxed);
        Record {
            ts_event: self.ts_event.load(Relaxed),
            ts_recv: self.ts_recv.load(Relaxed),
            a: field(0),
            b: field(1),
            c: field(2),
            d: field(3),
            e: field(4),
            instrument: self.instrument.load(Relaxed),
            side: self.side.load(Relaxed),
            ..Record::default()
        }
    }
}

/// Best bid and ask. Prices and sizes are floats; a size of 0 means that the side is absent.
#[pyclass(frozen, module = "replay._engine")]
pub struct Quote {
    words: Words,
    names: Arc<Names>,
}

impl Quote {
    pub fn new(names: &Arc<Names>) -> Quote {
        Quote {
            words: Words::default(),
            names: Arc::clone(names),
        }
    }

    #[inline]
    pub fn set(&self, record: &Record) {
        self.words.set(record, &self.names.setup);
    }

    /// What it shows, as the record that it was set from.
    pub fn record(&self) -> Record {
        self.words.record()
    }
}

#[pymethods]
impl Quote {
    #[getter]
    fn bid(&self) -> f64 {
        self.words.price(0)
    }
    #[getter]
    fn ask(&self) -> f64 {
        self.words.price(1)
    }
    #[getter]
    fn bid_size(&self) -> f64 {
        self.words.size(2)
    }
    #[getter]
    fn ask_size(&self) -> f64 {
        self.words.size(3)
    }
    /// (bid + ask) / 2, as two floats are added and halved.
    #[getter]
    fn mid(&self) -> f64 {
        (self.words.price(0) + self.words.price(1)) * 0.5
    }
    #[getter]
    fn spread(&self) -> f64 {
        let words = &self.words.fields;
        (words[1].load(Relaxed) - words[0].load(Relaxed)) as f64 / f64::from_bits(self.words.price_unit.load(Relaxed))
    }
    #[getter]
    fn symbol(&self, py: Python<'_>) -> Py<PyString> {
        self.names.symbols[self.words.instrument.load(Relaxed) as usize].clone_ref(py)
    }
    #[getter]
    fn ts_event(&self) -> i64 {
        self.words.ts_event.load(Relaxed)
    }
    #[getter]
    fn ts_recv(&self) -> i64 {
        self.words.ts_recv.load(Relaxed)
    }
    /// A copy that outlives the call.
    fn copy(&self) -> Quote {
        let copy = Quote::new(&self.names);
        copy.set(&self.words.record());
        copy
    }
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Quote({} bid {} x {} ask {} x {} at {})",
            self.symbol(py),
            self.bid(),
            self.bid_size(),
            self.ask(),
            self.ask_size(),
            self.ts_event()
        )
    }
}

/// A print. `side` is the aggressor: "buy", "sell" or "none".
#[pyclass(frozen, module = "replay._engine")]
pub struct Trade {
    words: Words,
    names: Arc<Names>,
}

impl Trade {
    pub fn new(names: &Arc<Names>) -> Trade {
        Trade {
            words: Words::default(),
            names: Arc::clone(names),
        }
    }

    #[inline]
    pub fn set(&self, record: &Record) {
        self.words.set(record, &self.names.setup);
    }

    /// What it shows, as the record that it was set from.
    pub fn record(&self) -> Record {
        self.words.record()
    }
}

#[pymethods]
impl Trade {
    #[getter]
    fn price(&self) -> f64 {
        self.words.price(0)
    }
    #[getter]
    fn size(&self) -> f64 {
        self.words.size(1)
    }
    #[getter]
    fn trade_id(&self) -> i64 {
        self.words.fields[2].load(Relaxed)
    }
    #[getter]
    fn side(&self) -> &'static str {
        side_name(self.words.side.load(Relaxed))
    }
    #[getter]
    fn symbol(&self, py: Python<'_>) -> Py<PyString> {
        self.names.symbols[self.words.instrument.load(Relaxed) as usize].clone_ref(py)
    }
    #[getter]
    fn ts_event(&self) -> i64 {
        self.words.ts_event.load(Relaxed)
    }
    #[getter]
    fn ts_recv(&self) -> i64 {
        self.words.ts_recv.load(Relaxed)
    }
    /// A copy that outlives the call.
    fn copy(&self) -> Trade {
        let copy = Trade::new(&self.names);
        copy.set(&self.words.record());
        copy
    }
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Trade({} {} x {} {} at {})",
            self.symbol(py),
            self.price(),
            self.size(),
            self.side(),
            self.ts_event()
        )
    }
}

/// A closed bar. A bar of mids has prices between two ticks.
#[pyclass(frozen, module = "replay._engine")]
pub struct Bar {
    /// open, high, low, close, volume, start, end, ticks
    fields: [AtomicI64; 8],
    /// Doubled prices divide by twice the unit.
    price_unit: AtomicU64,
    size_unit: AtomicU64,
    instrument: AtomicU32,
    names: Arc<Names>,
}

impl Bar {
    pub fn new(names: &Arc<Names>) -> Bar {
        Bar {
            fields: Default::default(),
            price_unit: AtomicU64::new(0),
            size_unit: AtomicU64::new(0),
            instrument: AtomicU32::new(0),
            names: Arc::clone(names),
        }
    }

    #[inline]
    pub fn set(&self, instrument: u32, bar: &SeriesBar) {
        let definition = &self.names.setup.instruments[instrument as usize];
        let values = [
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume,
            bar.start_ns,
            bar.end_ns,
            bar.ticks as i64,
        ];
        for (field, value) in self.fields.iter().zip(values) {
            field.store(value, Relaxed);
        }
        let unit = if bar.doubled {
            2.0 * definition.price_unit
        } else {
            definition.price_unit
        };
        self.price_unit.store(unit.to_bits(), Relaxed);
        self.size_unit.store(definition.size_unit.to_bits(), Relaxed);
        self.instrument.store(instrument, Relaxed);
    }

    #[inline]
    fn price(&self, field: usize) -> f64 {
        self.fields[field].load(Relaxed) as f64 / f64::from_bits(self.price_unit.load(Relaxed))
    }

    /// Everything that it shows, as plain data.
    pub fn content(&self) -> BarContent {
        BarContent {
            fields: std::array::from_fn(|field| self.fields[field].load(Relaxed)),
            price_unit: self.price_unit.load(Relaxed),
            size_unit: self.size_unit.load(Relaxed),
            instrument: self.instrument.load(Relaxed),
        }
    }

    pub fn set_content(&self, content: &BarContent) {
        for (to, from) in self.fields.iter().zip(content.fields) {
            to.store(from, Relaxed);
        }
        self.price_unit.store(content.price_unit, Relaxed);
        self.size_unit.store(content.size_unit, Relaxed);
        self.instrument.store(content.instrument, Relaxed);
    }
}

/// What a bar's view shows, to be kept in a snapshot.
#[derive(Serialize, Deserialize)]
pub struct BarContent {
    fields: [i64; 8],
    price_unit: u64,
    size_unit: u64,
    instrument: u32,
}

#[pymethods]
impl Bar {
    #[getter]
    fn open(&self) -> f64 {
        self.price(0)
    }
    #[getter]
    fn high(&self) -> f64 {
        self.price(1)
    }
    #[getter]
    fn low(&self) -> f64 {
        self.price(2)
    }
    #[getter]
    fn close(&self) -> f64 {
        self.price(3)
    }
    #[getter]
    fn volume(&self) -> f64 {
        self.fields[4].load(Relaxed) as f64 / f64::from_bits(self.size_unit.load(Relaxed))
    }
    /// Ticks that it was built from; 0 for a bar of the feed.
    #[getter]
    fn ticks(&self) -> i64 {
        self.fields[7].load(Relaxed)
    }
    #[getter]
    fn start(&self) -> i64 {
        self.fields[5].load(Relaxed)
    }
    #[getter]
    fn end(&self) -> i64 {
        self.fields[6].load(Relaxed)
    }
    #[getter]
    fn symbol(&self, py: Python<'_>) -> Py<PyString> {
        self.names.symbols[self.instrument.load(Relaxed) as usize].clone_ref(py)
    }
    /// A copy that outlives the call.
    fn copy(&self) -> Bar {
        let copy = Bar::new(&self.names);
        copy.set_content(&self.content());
        copy
    }
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Bar({} open {} high {} low {} close {} volume {} end {})",
            self.symbol(py),
            self.open(),
            self.high(),
            self.low(),
            self.close(),
            self.volume(),
            self.end()
        )
    }
}

/// A change of an order that is not a fill.
#[pyclass(frozen, module = "replay._engine")]
pub struct OrderUpdate {
    pub event: Event,
    pub names: Arc<Names>,
}

#[pymethods]
impl OrderUpdate {
    #[getter]
    fn order_id(&self) -> u64 {
        self.event.order_id
    }
    /// new, rejected, triggered, replaced, canceled, expired, cancel_rejected or amend_rejected.
    #[getter]
    fn kind(&self) -> &'static str {
        event_kind_name(self.event.kind)
    }
    #[getter]
    fn reason(&self) -> &'static str {
        Reason::name(self.event.reason)
    }
    #[getter]
    fn symbol(&self, py: Python<'_>) -> Py<PyString> {
        self.names.symbols[self.event.instrument as usize].clone_ref(py)
    }
    #[getter]
    fn side(&self) -> &'static str {
        side_name(self.event.side)
    }
    #[getter]
    fn quantity(&self) -> f64 {
        self.names.size(self.event.instrument, self.event.quantity)
    }
    #[getter]
    fn filled(&self) -> f64 {
        self.names.size(self.event.instrument, self.event.filled)
    }
    #[getter]
    fn limit(&self) -> Option<f64> {
        self.names.optional_price(self.event.instrument, self.event.limit)
    }
    #[getter]
    fn stop(&self) -> Option<f64> {
        self.names.optional_price(self.event.instrument, self.event.trigger)
    }
    /// When it happened at the venue, ns.
    #[getter]
    fn venue_time(&self) -> i64 {
        self.event.venue_time
    }
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "OrderUpdate(order {} {} {} {} at {})",
            self.event.order_id,
            self.symbol(py),
            self.kind(),
            self.reason(),
            self.event.venue_time
        )
    }
}

pub fn event_kind_name(kind: u8) -> &'static str {
    const NAMES: [&str; 11] = [
        "none",
        "new",
        "rejected",
        "triggered",
        "replaced",
        "canceled",
        "expired",
        "cancel_rejected",
        "amend_rejected",
        "fill",
        "posting",
    ];
    debug_assert_eq!(EventKind::Posting as usize, NAMES.len() - 1);
    NAMES[kind as usize]
}

/// A fill of an own order, at one price.
#[pyclass(frozen, module = "replay._engine")]
pub struct Fill {
    pub event: Event,
    pub names: Arc<Names>,
}

#[pymethods]
impl Fill {
    #[getter]
    fn order_id(&self) -> u64 {
        self.event.order_id
    }
    #[getter]
    fn symbol(&self, py: Python<'_>) -> Py<PyString> {
        self.names.symbols[self.event.instrument as usize].clone_ref(py)
    }
    #[getter]
    fn side(&self) -> &'static str {
        side_name(self.event.side)
    }
    #[getter]
    fn price(&self) -> f64 {
        self.names.price(self.event.instrument, self.event.last_price)
    }
    #[getter]
    fn size(&self) -> f64 {
        self.names.size(self.event.instrument, self.event.last_size)
    }
    /// What of the order is still open.
    #[getter]
    fn leaves(&self) -> f64 {
        self.names
            .size(self.event.instrument, self.event.quantity - self.event.filled)
    }
    /// In `fee_currency`; negative for a rebate.
    #[getter]
    fn fee(&self) -> f64 {
        self.names.amount(self.event.currency, self.event.amount())
    }
    /// The quote currency, or the base coin where the venue takes its fee from what is received.
    #[getter]
    fn fee_currency(&self) -> &str {
        &self.names.setup.currencies[self.event.currency as usize].name
    }
    /// "maker" or "taker".
    #[getter]
    fn liquidity(&self) -> &'static str {
        match self.event.liquidity {
            replay_core::event::LIQUIDITY_MAKER => "maker",
            _ => "taker",
        }
    }
    /// When it happened at the venue, ns.
    #[getter]
    fn venue_time(&self) -> i64 {
        self.event.venue_time
    }
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Fill(order {} {} {} {} @ {} {} at {})",
            self.event.order_id,
            self.symbol(py),
            self.side(),
            self.size(),
            self.price(),
            self.liquidity(),
            self.event.venue_time
        )
    }
}

/// An order as its strategy has been told, at the time of asking.
#[pyclass(frozen, module = "replay._engine")]
pub struct Order {
    pub order: order::Order,
    pub names: Arc<Names>,
}

#[pymethods]
impl Order {
    #[getter]
    fn id(&self) -> u64 {
        self.order.id
    }
    #[getter]
    fn symbol(&self, py: Python<'_>) -> Py<PyString> {
        self.names.symbols[self.order.request.instrument as usize].clone_ref(py)
    }
    #[getter]
    fn side(&self) -> &'static str {
        side_name(self.order.request.side as u8)
    }
    /// market, limit, stop_market or stop_limit.
    #[getter]
    fn order_type(&self) -> &'static str {
        match self.order.request.order_type {
            order::OrderType::Market => "market",
            order::OrderType::Limit => "limit",
            order::OrderType::StopMarket => "stop_market",
            order::OrderType::StopLimit => "stop_limit",
        }
    }
    #[getter]
    fn state(&self) -> &'static str {
        self.order.visible_state().name()
    }
    #[getter]
    fn is_ended(&self) -> bool {
        self.order.told_state.is_ended()
    }
    #[getter]
    fn quantity(&self) -> f64 {
        self.names.size(self.order.request.instrument, self.order.told_quantity)
    }
    #[getter]
    fn filled(&self) -> f64 {
        self.names.size(self.order.request.instrument, self.order.told_filled)
    }
    #[getter]
    fn leaves(&self) -> f64 {
        self.names.size(self.order.request.instrument, self.order.told_leaves())
    }
    #[getter]
    fn limit(&self) -> Option<f64> {
        self.names
            .optional_price(self.order.request.instrument, self.order.told_limit)
    }
    #[getter]
    fn stop(&self) -> Option<f64> {
        self.names
            .optional_price(self.order.request.instrument, self.order.told_trigger)
    }
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Order({} {} {} {} {} filled {} {})",
            self.order.id,
            self.symbol(py),
            self.side(),
            self.order_type(),
            self.quantity(),
            self.filled(),
            self.state()
        )
    }
}
