//! The engine as Python sees it: runs batches of records and calls the strategies' handlers.
//! May not live here: what a record does (core), or where records come from.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use replay_core::arith::{float, pow10};
use replay_core::decimal;
use replay_core::due::Arrival;
use replay_core::engine::{Call, Halt, Step};
use replay_core::event::ABSENT;
use replay_core::handles;
use replay_core::lifecycle::State;
use replay_core::reason::REASONS;
use replay_core::record::Record;
use replay_core::setup::{Setup, SetupText};

use crate::cell::{Cell, Shared};
use crate::desk::Desk;
use crate::errors;
use crate::glance;
use crate::snapshot::{self, CallViews};
use crate::views::{event_kind_name, Bar, Fill, Names, OrderUpdate, Quote, Trade};

/// Handlers by name, in the order of their slots.
const HANDLERS: [(&str, u32); 9] = [
    ("on_start", handles::START),
    ("on_quote", handles::QUOTE),
    ("on_trade", handles::TRADE),
    ("on_bar", handles::BAR),
    ("on_book", handles::BOOK),
    ("on_order", handles::ORDER),
    ("on_fill", handles::FILL),
    ("on_timer", handles::TIMER),
    ("on_stop", handles::STOP),
];
const ON_START: usize = 0;
const ON_QUOTE: usize = 1;
const ON_TRADE: usize = 2;
const ON_BAR: usize = 3;
const ON_BOOK: usize = 4;
const ON_ORDER: usize = 5;
const ON_FILL: usize = 6;
const ON_TIMER: usize = 7;
const ON_STOP: usize = 8;

pub fn parse_setup(py: Python<'_>, setup: &[u8]) -> PyResult<Setup> {
    let text: SetupText =
        serde_json::from_slice(setup).map_err(|error| errors::config(py, error.to_string(), "setup"))?;
    Setup::new(&text).map_err(|error| errors::config(py, error.message, &error.place))
}

/// The records in a buffer of bytes, without a copy.
pub fn records_of<'a>(py: Python<'_>, buffer: &'a PyBuffer<u8>) -> PyResult<&'a [Record]> {
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err("records must be contiguous bytes"));
    }
    let _ = py;
    let bytes: &[u8] = match buffer.len_bytes() {
        0 => return Ok(&[]),
        // SAFETY: the buffer is contiguous and the callers hold it; the package writes to no array that it has handed over.
        length => unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), length) },
    };
    bytemuck::try_cast_slice(bytes).map_err(|error| {
        PyValueError::new_err(format!(
            "{} bytes are no records of 64 aligned bytes: {error}",
            bytes.len()
        ))
    })
}

struct StrategyHandlers {
    name: String,
    methods: [Option<Py<PyAny>>; HANDLERS.len()],
}

/// One run's engine, with its strategies.
#[pyclass(frozen, module = "replay._engine")]
pub struct Engine {
    cell: Shared,
    names: Arc<Names>,
    strategies: Vec<StrategyHandlers>,
    /// By strategy: its names of timers by number, a `replay.strategy.TimerNames`.
    timer_names: Vec<Py<PyAny>>,
    quote: Py<Quote>,
    trade: Py<Trade>,
    bar: Py<Bar>,
    has_stopped: std::sync::atomic::AtomicBool,
}

#[pymethods]
impl Engine {
    /// `setup`: the JSON that replay.setup writes. `strategies`: instances of `replay.Strategy`, in run-file order.
    #[new]
    fn new(py: Python<'_>, setup: &[u8], strategies: &Bound<'_, PyList>) -> PyResult<Engine> {
        let setup = parse_setup(py, setup)?;
        if strategies.len() != setup.strategies.len() {
            return Err(PyValueError::new_err(format!(
                "{} strategies given, {} in the setup",
                strategies.len(),
                setup.strategies.len()
            )));
        }
        let mut bits = Vec::new();
        let mut handlers = Vec::new();
        for (strategy, name) in strategies.iter().zip(&setup.strategies) {
            let own = strategy.call_method0("_handlers")?;
            let own = own.cast_into::<PyDict>().map_err(PyErr::from)?;
            let mut methods: [Option<Py<PyAny>>; HANDLERS.len()] = Default::default();
            let mut mask = 0;
            for (slot, (handler, bit)) in HANDLERS.iter().enumerate() {
                if let Some(method) = own.get_item(handler)? {
                    methods[slot] = Some(method.unbind());
                    mask |= bit;
                }
            }
            bits.push(mask);
            handlers.push(StrategyHandlers {
                name: name.clone(),
                methods,
            });
        }
        let core = replay_core::engine::Engine::new(setup, &bits);
        let names = Names::new(py, core.setup());
        let cell = Cell::new(core);
        let mut timer_names = Vec::new();
        for (index, strategy) in strategies.iter().enumerate() {
            let desk = Desk {
                cell: Arc::clone(&cell),
                names: Arc::clone(&names),
                strategy: index as u32,
            };
            timer_names.push(strategy.call_method1("_attach", (desk,))?.unbind());
        }
        Ok(Engine {
            quote: Py::new(py, Quote::new(&names))?,
            trade: Py::new(py, Trade::new(&names))?,
            bar: Py::new(py, Bar::new(&names))?,
            timer_names,
            cell,
            names,
            strategies: handlers,
            has_stopped: std::sync::atomic::AtomicBool::new(false),
        })
    }

    /// Takes admitted records, as bytes, and calls the handlers; returns when all are taken.
    ///
    /// Raises StrategyError where a handler raised (its commands are dropped, its orders cancelled), HaltError where a rule
    /// stopped the run.
    fn run(&self, py: Python<'_>, batch: &Bound<'_, PyAny>) -> PyResult<()> {
        let buffer = PyBuffer::<u8>::get(batch)?;
        let records = records_of(py, &buffer)?;
        self.run_records(py, records, &mut 0)
    }

    /// As `run`, over several frames of a journal: before the frame that ends at record `limits[i]` the digest must be
    /// `digests[i]`, or it is not run.
    ///
    /// Returns how many frames were run, and the number of events decided when a digest was last found right.
    fn run_proved(
        &self,
        py: Python<'_>,
        batch: &Bound<'_, PyAny>,
        limits: Vec<usize>,
        digests: Vec<String>,
    ) -> PyResult<(usize, u64)> {
        let buffer = PyBuffer::<u8>::get(batch)?;
        let records = records_of(py, &buffer)?;
        let is_ascending = limits.windows(2).all(|pair| pair[0] <= pair[1]);
        if limits.len() != digests.len() || !is_ascending || limits.last() != Some(&records.len()) {
            return Err(PyValueError::new_err(format!(
                "{} ends of frames and {} digests do not fit {} records",
                limits.len(),
                digests.len(),
                records.len()
            )));
        }
        let (mut position, mut proved) = (0, 0);
        for (frame, (limit, expected)) in limits.iter().zip(&digests).enumerate() {
            {
                let mut engine = self.cell.borrow_mut(py)?;
                let log = &mut engine.exchange.log;
                if log.digest() != *expected {
                    return Ok((frame, proved));
                }
                proved = log.count;
            }
            self.run_records(py, &records[..*limit], &mut position)?;
        }
        Ok((limits.len(), proved))
    }

    /// The tape is over or the run is stopped: calls on_stop of every strategy, once. Decides nothing.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        if self.has_stopped.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Ok(());
        }
        self.cell.borrow_mut(py)?.stop();
        for strategy in &self.strategies {
            if let Some(method) = &strategy.methods[ON_STOP] {
                if let Err(error) = method.bind(py).call0() {
                    if is_interrupt(py, &error) {
                        return Err(error);
                    }
                    let seq = self.cell.borrow_mut(py)?.tape_seq;
                    return Err(errors::strategy(
                        py,
                        error,
                        &strategy.name,
                        "on_stop",
                        seq,
                        "after the last".into(),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Events decided since the last call: n * 128 bytes.
    fn take_events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut engine = self.cell.borrow_mut(py)?;
        let log = &mut engine.exchange.log;
        Ok(log.take_with(|events| PyBytes::new(py, bytemuck::cast_slice(events))))
    }

    /// The excursion that each fill since the last call ends, in their order: n * 16 bytes (lowest and highest mark, doubled).
    fn take_excursions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut engine = self.cell.borrow_mut(py)?;
        let excursions = &mut engine.exchange.excursions;
        Ok(excursions.take_with(|rows| PyBytes::new(py, bytemuck::cast_slice(rows))))
    }

    /// Equity points since the last call: n * 40 bytes (ts i64, tape_seq u64, equity, cash and exposure f64).
    fn take_equity<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut engine = self.cell.borrow_mut(py)?;
        let account = engine.setup().account_currency as usize;
        let scale = pow10(engine.setup().currencies[account].ledger_scale) as f64;
        engine.equity.take_with(|points| {
            PyBytes::new_with(py, points.len() * 40, |bytes| {
                for (row, point) in bytes.chunks_exact_mut(40).zip(points) {
                    row[..8].copy_from_slice(&point.ts.to_le_bytes());
                    row[8..16].copy_from_slice(&point.tape_seq.to_le_bytes());
                    row[16..24].copy_from_slice(&(float(point.doubled_equity) / 2.0 / scale).to_le_bytes());
                    row[24..32].copy_from_slice(&(float(point.cash) / scale).to_le_bytes());
                    row[32..].copy_from_slice(&(float(point.doubled_exposure) / 2.0 / scale).to_le_bytes());
                }
                Ok(())
            })
        })
    }

    /// Hex SHA-256 over all events so far.
    fn digest(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.cell.borrow_mut(py)?.exchange.log.digest())
    }

    /// When the next timer is due, ns; None without one.
    fn next_timer_ns(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        Ok(self.cell.borrow_mut(py)?.next_timer())
    }

    /// Records taken.
    #[getter]
    fn seq(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.cell.borrow_mut(py)?.tape_seq)
    }

    /// The strategies' clock, ns; the smallest i64 before the first record.
    #[getter]
    fn now_ns(&self, py: Python<'_>) -> PyResult<i64> {
        Ok(self.cell.borrow_mut(py)?.now())
    }

    /// Decimals of each currency's amounts in events.
    fn ledger_scales(&self) -> Vec<u32> {
        self.names
            .setup
            .currencies
            .iter()
            .map(|currency| currency.ledger_scale)
            .collect()
    }

    /// Counts for metrics.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let engine = self.cell.borrow_mut(py)?;
        let counters = &engine.exchange.counters;
        let table = |names: &[&str], values: &[u64]| -> PyResult<Bound<'py, PyDict>> {
            let dict = PyDict::new(py);
            for (name, value) in names.iter().zip(values) {
                dict.set_item(name, value)?;
            }
            Ok(dict)
        };
        let all = PyDict::new(py);
        let kinds = [
            "quote", "trade", "bar", "book", "order", "funding", "status", "clock", "command",
        ];
        all.set_item("records", table(&kinds, &counters.records[1..])?)?;
        let events: Vec<&str> = (1..=10).map(event_kind_name).collect();
        all.set_item("events", table(&events, &counters.events[1..])?)?;
        all.set_item("fills", table(&["maker", "taker"], &counters.fills[1..])?)?;
        all.set_item(
            "orders",
            table(&["market", "limit", "stop_market", "stop_limit"], &counters.orders[1..])?,
        )?;
        let reasons: Vec<&str> = REASONS.iter().map(|row| row.1).collect();
        all.set_item("rejections", table(&reasons[1..], &counters.reasons[1..])?)?;
        let strategies: Vec<&str> = self.strategies.iter().map(|one| one.name.as_str()).collect();
        all.set_item("handlers", table(&strategies, &counters.calls)?)?;
        let (arrivals, answers, timers) = engine.due_depths();
        all.set_item(
            "due",
            table(
                &["arrivals", "answers", "timers"],
                &[arrivals as u64, answers as u64, timers as u64],
            )?,
        )?;
        let (names, sizes): (Vec<&str>, Vec<u64>) =
            engine.kept().iter().map(|(name, size)| (*name, *size as u64)).unzip();
        all.set_item("kept", table(&names, &sizes)?)?;
        all.set_item("late", counters.late)?;
        all.set_item("stale", counters.stale)?;
        all.set_item("late_bar_ticks", counters.late_bar_ticks)?;
        all.set_item("timers_fired", counters.timers_fired)?;
        let account = engine.setup().account_currency as usize;
        let scale = pow10(engine.setup().currencies[account].ledger_scale) as f64;
        let amount = |doubled: i128| doubled as f64 / 2.0 / scale;
        let last = engine.equity.last;
        all.set_item("equity", last.map(|point| amount(point.doubled_equity)))?;
        all.set_item("exposure", last.map(|point| amount(point.doubled_exposure)))?;
        all.set_item("peak_equity", last.map(|_| amount(engine.equity.peak)))?;
        let share = if engine.equity.drawdown_peak > 0 {
            engine.equity.drawdown as f64 / engine.equity.drawdown_peak as f64
        } else {
            0.0
        };
        all.set_item("drawdown", share)?;
        all.set_item("positions", self.positions(py, &engine)?)?;
        Ok(all)
    }

    /// Whether strategies may trade: `active`, `paused` or `stopped`.
    #[getter]
    fn trading_state(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.cell.borrow_mut(py)?.trading.state.name())
    }

    /// How often risk switches that act on the tape alone have tripped.
    #[getter]
    fn trips(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.cell.borrow_mut(py)?.trading.trips())
    }

    /// The state of trading, its cause and time, and the risk switches that are set, by name.
    fn trading<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let engine = self.cell.borrow_mut(py)?;
        let trading = &engine.trading;
        let all = PyDict::new(py);
        all.set_item("state", trading.state.name())?;
        all.set_item("cause", trading.cause.name())?;
        all.set_item("since_ns", (trading.since != i64::MIN).then_some(trading.since))?;
        all.set_item("since_seq", (trading.since != i64::MIN).then_some(trading.since_seq))?;
        all.set_item("flattening", trading.is_flattening)?;
        let limits = trading.limits();
        let switches = PyDict::new(py);
        for (name, is_set, latch) in [
            ("drawdown", limits.drawdown.is_some(), &trading.drawdown),
            ("position", limits.position.is_some(), &trading.position),
            ("order_rate", limits.order_rate.is_some(), &trading.order_rate),
        ] {
            if is_set {
                let row = PyDict::new(py);
                row.set_item("tripped", latch.is_tripped)?;
                row.set_item("trips", latch.trips)?;
                row.set_item("time_ns", latch.time)?;
                row.set_item("tape_seq", latch.tape_seq)?;
                switches.set_item(name, row)?;
            }
        }
        all.set_item("switches", switches)?;
        Ok(all)
    }

    /// What stands at the end: open orders, commands in flight, positions, balances; exact numbers as text.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let engine = self.cell.borrow_mut(py)?;
        let setup = &self.names.setup;
        let all = PyDict::new(py);
        let open = PyList::empty(py);
        for order in engine.exchange.orders.told_live() {
            if order.is_ended() || order.state == State::PendingNew {
                continue;
            }
            open.append(self.order_row(py, order)?)?;
        }
        all.set_item("open_orders", open)?;
        let flying = PyList::empty(py);
        for (time, arrival) in engine.in_flight() {
            let row = PyDict::new(py);
            let (what, id) = match arrival {
                Arrival::Submit(id) => ("submit", id),
                Arrival::Cancel(id) => ("cancel", id),
                Arrival::Amend { order, .. } => ("amend", order),
            };
            row.set_item("command", what)?;
            row.set_item("order_id", id)?;
            row.set_item("arrival_ns", time)?;
            if let Some(order) = engine.exchange.orders.find(id) {
                row.set_item("order", self.order_row(py, order)?)?;
            }
            flying.append(row)?;
        }
        all.set_item("in_flight", flying)?;
        all.set_item("positions", self.positions(py, &engine)?)?;
        let balances = PyDict::new(py);
        for (currency, cash) in setup.currencies.iter().zip(&engine.exchange.ledger.cash) {
            balances.set_item(&currency.name, decimal::format(*cash, currency.ledger_scale))?;
        }
        all.set_item("balances", balances)?;
        let mark = |index: u32| engine.exchange.doubled_mark(index);
        let equity = engine.exchange.ledger.doubled_equity(setup, mark);
        let scale = setup.currencies[setup.account_currency as usize].ledger_scale;
        // Half of a doubled amount has one decimal more.
        all.set_item("equity", equity.map(|doubled| decimal::format(doubled * 5, scale + 1)))?;
        let marks = PyDict::new(py);
        for (index, instrument) in setup.instruments.iter().enumerate() {
            let market = &engine.exchange.markets[index];
            let text = |doubled: Option<i64>| {
                doubled.map(|doubled| decimal::format(doubled as i128 * 5, instrument.price_decimals + 1))
            };
            marks.set_item(
                &instrument.symbol,
                (text(market.first_doubled_mark), text(market.doubled_mark)),
            )?;
        }
        all.set_item("marks", marks)?;
        let turnover = engine.exchange.ledger.turnover;
        all.set_item("turnover", decimal::format(turnover, scale))?;
        all.set_item("balanced", engine.exchange.ledger.is_balanced(setup))?;
        all.set_item("now_ns", engine.now())?;
        all.set_item("seq", engine.tape_seq)?;
        Ok(all)
    }

    /// What a watcher is shown of the run, with the newest `orders` of the working orders; its cost has that bound.
    fn glance<'py>(&self, py: Python<'py>, orders: usize) -> PyResult<Bound<'py, PyDict>> {
        let engine = self.cell.borrow_mut(py)?;
        let all = glance::summary(py, &engine)?;
        let (count, newest) = glance::working_orders(&engine, orders);
        let rows = PyList::empty(py);
        for order in newest {
            rows.append(self.order_row(py, order)?)?;
        }
        all.set_item("working", count)?;
        all.set_item("orders", rows)?;
        all.set_item("positions", self.positions(py, &engine)?)?;
        Ok(all)
    }

    /// Whether law 6 holds: what was opened equals cash, inventory, results and fees together.
    fn is_balanced(&self, py: Python<'_>) -> PyResult<bool> {
        let engine = self.cell.borrow_mut(py)?;
        Ok(engine.exchange.ledger.is_balanced(&self.names.setup))
    }

    /// The whole state between two batches, as bytes that an engine of the same build, setup and strategies restores.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &snapshot::take(py, &self.cell, &self.call_views())?))
    }

    /// Puts a snapshot in the place of this engine, which has taken nothing yet; on_start is not called again.
    ///
    /// Raises ValueError where the bytes are none of this build's, or the strategies define other handlers.
    fn restore(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        snapshot::put(py, &self.cell, &self.call_views(), state)
    }

    /// A handle (series, indicator, position, ...) or view of this engine, as bytes; a TypeError for anything else.
    fn freeze<'py>(&self, py: Python<'py>, handle: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(
            py,
            &snapshot::freeze(&self.cell, &self.call_views(), handle)?,
        ))
    }

    /// The handle or view that `freeze` gave these bytes for, in this engine.
    fn thaw(&self, py: Python<'_>, frozen: &[u8]) -> PyResult<Py<PyAny>> {
        snapshot::thaw(py, &self.cell, &self.names, &self.call_views(), frozen)
    }

    /// Cancels every order of every strategy at once, as a strategy that raised is.
    fn cancel_all_at_once(&self, py: Python<'_>) -> PyResult<()> {
        let mut engine = self.cell.borrow_mut(py)?;
        for index in 0..self.strategies.len() as u32 {
            engine.abandon(index);
        }
        Ok(())
    }
}

fn is_interrupt(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyKeyboardInterrupt>(py)
}

impl Engine {
    fn call_views(&self) -> CallViews<'_> {
        CallViews {
            quote: &self.quote,
            trade: &self.trade,
            bar: &self.bar,
        }
    }

    /// Takes the records from `position` on and calls the handlers.
    #[inline]
    fn run_records(&self, py: Python<'_>, records: &[Record], position: &mut usize) -> PyResult<()> {
        loop {
            match self.step(py, records, position)? {
                Step::Exhausted => return Ok(()),
                Step::Call { strategy, call } => {
                    if let Err(error) = self.call(py, strategy, call) {
                        return Err(self.raised(py, strategy, call, error));
                    }
                }
            }
        }
    }

    /// Lets the engine take records up to the next handler call, and shows the view of it what it is called with.
    #[inline]
    fn step(&self, py: Python<'_>, records: &[Record], position: &mut usize) -> PyResult<Step> {
        let mut engine = self.cell.borrow_mut(py)?;
        let core: &mut replay_core::engine::Engine = &mut engine;
        let outcome = if core.calls_per_record() {
            catch_unwind(AssertUnwindSafe(|| core.advance(records, position)))
        } else {
            py.detach(|| catch_unwind(AssertUnwindSafe(|| core.advance(records, position))))
        };
        let step = match outcome {
            Ok(Ok(step)) => step,
            Ok(Err(halt)) => return Err(self.halted(py, core, halt)),
            Err(panic) => return Err(self.broken(py, core.tape_seq, panic)),
        };
        match step {
            Step::Call { call: Call::Quote, .. } => self.quote.get().set(core.record()),
            Step::Call {
                call: Call::Trade | Call::Book,
                ..
            } => self.trade.get().set(core.record()),
            Step::Call {
                call: Call::Bar(series),
                ..
            } => {
                let bar = core.series.called_bar();
                self.bar.get().set(core.series.instrument(series), bar);
            }
            _ => {}
        }
        Ok(step)
    }

    #[inline]
    fn call(&self, py: Python<'_>, strategy: u32, call: Call) -> PyResult<()> {
        let methods = &self.strategies[strategy as usize].methods;
        let method = |slot: usize| {
            methods[slot]
                .as_ref()
                .expect("only handlers that are defined are called")
                .bind(py)
        };
        match call {
            Call::Quote => {
                method(ON_QUOTE).call1((&self.quote,))?;
            }
            Call::Trade => {
                method(ON_TRADE).call1((&self.trade,))?;
            }
            Call::Bar(_) => {
                method(ON_BAR).call1((&self.bar,))?;
            }
            Call::Book => {
                method(ON_BOOK).call1((&self.trade,))?;
            }
            Call::Order => {
                let event = *self.cell.borrow_mut(py)?.event();
                method(ON_ORDER).call1((OrderUpdate {
                    event,
                    names: Arc::clone(&self.names),
                },))?;
            }
            Call::Fill => {
                let event = *self.cell.borrow_mut(py)?.event();
                method(ON_FILL).call1((Fill {
                    event,
                    names: Arc::clone(&self.names),
                },))?;
            }
            Call::Timer(name) => {
                let fires_again = self.cell.borrow_mut(py)?.fires_again();
                let names = self.timer_names[strategy as usize].bind(py);
                let name = names.call_method1(intern!(py, "fired"), (name, fires_again))?;
                method(ON_TIMER).call1((name,))?;
            }
            Call::Start => {
                method(ON_START).call0()?;
            }
        }
        Ok(())
    }

    fn raised(&self, py: Python<'_>, strategy: u32, call: Call, error: PyErr) -> PyErr {
        let mut engine = match self.cell.borrow_mut(py) {
            Ok(engine) => engine,
            Err(busy) => return busy,
        };
        if is_interrupt(py, &error) {
            return error;
        }
        let handler = match call {
            Call::Start => "on_start",
            Call::Quote => "on_quote",
            Call::Trade => "on_trade",
            Call::Book => "on_book",
            Call::Bar(_) => "on_bar",
            Call::Order => "on_order",
            Call::Fill => "on_fill",
            Call::Timer(_) => "on_timer",
        };
        let tick = self.describe(engine.record());
        let seq = engine.tape_seq;
        engine.abandon(strategy);
        drop(engine);
        errors::strategy(py, error, &self.strategies[strategy as usize].name, handler, seq, tick)
    }

    /// A record as text, for messages.
    fn describe(&self, record: &Record) -> String {
        let kinds = [
            "?", "quote", "trade", "bar", "book", "order", "funding", "status", "clock", "command",
        ];
        let kind = kinds.get(record.kind as usize).unwrap_or(&"?");
        let Some(instrument) = self.names.setup.instruments.get(record.instrument as usize) else {
            return format!("{kind} at {}", record.ts_event);
        };
        let price = |raw: i64| decimal::format(raw as i128, instrument.price_decimals);
        let size = |raw: i64| decimal::format(raw as i128, instrument.size_decimals);
        let values = match *kind {
            "quote" => {
                format!(
                    "bid {} x {} ask {} x {}",
                    price(record.a),
                    size(record.c),
                    price(record.b),
                    size(record.d)
                )
            }
            "trade" => format!("{} x {}", price(record.a), size(record.b)),
            "bar" => format!(
                "open {} high {} low {} close {} volume {}",
                price(record.a),
                price(record.b),
                price(record.c),
                price(record.d),
                size(record.e)
            ),
            _ => String::new(),
        };
        format!(
            "{} {kind} {values} at ts_event {} ts_recv {}",
            instrument.symbol, record.ts_event, record.ts_recv
        )
    }

    fn halted(&self, py: Python<'_>, core: &replay_core::engine::Engine, halt: Halt) -> PyErr {
        match halt {
            Halt::Livelock { strategy, kind, time } => errors::halt(
                py,
                "livelock",
                format!(
                    "strategy {:?} keeps making {kind} items due at {time} ns (record {}): too many at one time",
                    self.strategies[strategy as usize].name, core.tape_seq
                ),
                "look for a handler that answers its own fill or timer with a new command each time",
            ),
        }
    }

    fn broken(&self, py: Python<'_>, seq: u64, panic: Box<dyn std::any::Any + Send>) -> PyErr {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()))
            .unwrap_or_else(|| "unknown".into());
        if text.contains("overflow") {
            return errors::halt(
                py,
                "overflow",
                format!("a number left the range of the ledger at record {seq}: {text}"),
                "check price_decimals, size_decimals and the data for absurd values",
            );
        }
        PyRuntimeError::new_err(format!(
            "the engine broke an invariant at record {seq}: {text}; please report it"
        ))
    }

    fn order_row<'py>(&self, py: Python<'py>, order: &replay_core::order::Order) -> PyResult<Bound<'py, PyDict>> {
        let instrument = &self.names.setup.instruments[order.request.instrument as usize];
        let price = |raw: i64| (raw != ABSENT).then(|| decimal::format(raw as i128, instrument.price_decimals));
        let row = PyDict::new(py);
        row.set_item("order_id", order.id)?;
        row.set_item("strategy", &self.strategies[order.strategy as usize].name)?;
        row.set_item("symbol", &instrument.symbol)?;
        row.set_item("side", if order.request.side.sign() > 0 { "buy" } else { "sell" })?;
        let kinds = ["", "market", "limit", "stop_market", "stop_limit"];
        row.set_item("type", kinds[order.request.order_type as usize])?;
        row.set_item(
            "quantity",
            decimal::format(order.quantity as i128, instrument.size_decimals),
        )?;
        row.set_item(
            "filled",
            decimal::format(order.filled as i128, instrument.size_decimals),
        )?;
        row.set_item("limit", price(order.limit))?;
        row.set_item("stop", price(order.trigger))?;
        row.set_item("state", order.state.name())?;
        Ok(row)
    }

    fn positions<'py>(&self, py: Python<'py>, engine: &replay_core::engine::Engine) -> PyResult<Bound<'py, PyList>> {
        let setup = &self.names.setup;
        let rows = PyList::empty(py);
        for (strategy, one) in self.strategies.iter().enumerate() {
            for (index, instrument) in setup.instruments.iter().enumerate() {
                let position = engine.exchange.ledger.position(strategy as u32, index as u32);
                if position.quantity == 0 && position.realised == 0 && position.fees == 0 {
                    continue;
                }
                let scale = setup.currencies[instrument.quote as usize].ledger_scale;
                let row = PyDict::new(py);
                row.set_item("strategy", &one.name)?;
                row.set_item("symbol", &instrument.symbol)?;
                row.set_item("quantity", position.quantity as f64 / instrument.size_unit)?;
                row.set_item(
                    "average_price",
                    position.average_price(instrument.factor, instrument.price_unit),
                )?;
                row.set_item("realised", decimal::format(position.realised, scale))?;
                row.set_item("fees", decimal::format(position.fees, scale))?;
                rows.append(row)?;
            }
        }
        Ok(rows)
    }
}

/// Every reason code with its name and meaning.
#[pyfunction]
pub fn reasons() -> Vec<(u16, &'static str, &'static str)> {
    REASONS.to_vec()
}
