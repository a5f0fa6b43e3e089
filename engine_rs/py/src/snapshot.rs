//! Snapshots: the engine's whole state as bytes, and the handles into it that a strategy may keep.
//! May not live here: files, checksums, or a strategy's own state (the shell).

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use replay_core::event::Event;
use replay_core::order;
use replay_core::record::Record;
use serde::{Deserialize, Serialize};

use crate::cell::Shared;
use crate::desk::{Account, Desk, Position, Random};
use crate::series::{Adx, Bollinger, Donchian, Indicator, Macd, Series, Stochastic};
use crate::views::{Bar, BarContent, Fill, Names, Order, OrderUpdate, Quote, Trade};

/// A hash of the sources whose types a snapshot holds: bytes of another build are not read.
pub const BUILD: &str = env!("REPLAY_ENGINE_BUILD");

/// The views that handlers are called with; a strategy may have kept one of them, which then shows the latest.
pub struct CallViews<'a> {
    pub quote: &'a Py<Quote>,
    pub trade: &'a Py<Trade>,
    pub bar: &'a Py<Bar>,
}

#[derive(Serialize, Deserialize)]
struct EngineState {
    engine: replay_core::engine::Engine,
    quote: Vec<u8>,
    trade: Vec<u8>,
    bar: BarContent,
}

/// A handle as plain data.
#[derive(Serialize, Deserialize)]
enum Frozen {
    Series { index: u32, instrument: u32 },
    Indicator(u32),
    Macd(u32),
    Bollinger(u32),
    Donchian(u32),
    Adx(u32),
    Stochastic(u32),
    Position { strategy: u32, instrument: u32 },
    Account,
    Random(u32),
    Desk(u32),
    CallQuote,
    CallTrade,
    CallBar,
    Quote(Vec<u8>),
    Trade(Vec<u8>),
    Bar(BarContent),
    Order(order::Order),
    OrderUpdate(Vec<u8>),
    Fill(Vec<u8>),
}

fn unreadable(error: postcard::Error) -> PyErr {
    PyValueError::new_err(format!("these bytes are no snapshot of this engine: {error}"))
}

fn record_of(bytes: &[u8]) -> PyResult<Record> {
    bytemuck::try_pod_read_unaligned(bytes).map_err(|error| PyValueError::new_err(format!("no record: {error}")))
}

fn event_of(bytes: &[u8]) -> PyResult<Event> {
    bytemuck::try_pod_read_unaligned(bytes).map_err(|error| PyValueError::new_err(format!("no event: {error}")))
}

fn written<T: Serialize>(value: &T) -> PyResult<Vec<u8>> {
    postcard::to_allocvec(value).map_err(unreadable)
}

/// The engine between two batches, with what its views show.
pub fn take(py: Python<'_>, cell: &Shared, views: &CallViews<'_>) -> PyResult<Vec<u8>> {
    let engine = cell.borrow_mut(py)?;
    if !engine.is_between_records() {
        return Err(PyValueError::new_err(
            "a snapshot is taken between two batches, never while a handler runs",
        ));
    }
    #[derive(Serialize)]
    struct State<'a> {
        engine: &'a replay_core::engine::Engine,
        quote: Vec<u8>,
        trade: Vec<u8>,
        bar: BarContent,
    }
    written(&State {
        engine: &engine,
        quote: bytemuck::bytes_of(&views.quote.get().record()).to_vec(),
        trade: bytemuck::bytes_of(&views.trade.get().record()).to_vec(),
        bar: views.bar.get().content(),
    })
}

/// Puts a snapshot in the place of an engine that has taken nothing yet.
pub fn put(py: Python<'_>, cell: &Shared, views: &CallViews<'_>, bytes: &[u8]) -> PyResult<()> {
    let mut engine = cell.borrow_mut(py)?;
    if engine.tape_seq != 0 {
        return Err(PyValueError::new_err(format!(
            "the engine has taken {} records: restore a new one",
            engine.tape_seq
        )));
    }
    let state: EngineState = postcard::from_bytes(bytes).map_err(unreadable)?;
    if state.engine.handlers() != engine.handlers() {
        return Err(PyValueError::new_err(
            "the strategies define other handlers than they did",
        ));
    }
    views.quote.get().set(&record_of(&state.quote)?);
    views.trade.get().set(&record_of(&state.trade)?);
    views.bar.get().set_content(&state.bar);
    *engine = state.engine;
    Ok(())
}

/// A handle of this engine as bytes; a TypeError for anything else.
pub fn freeze(cell: &Shared, views: &CallViews<'_>, handle: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let same = |other: &Shared| {
        if Arc::ptr_eq(cell, other) {
            Ok(())
        } else {
            Err(PyTypeError::new_err("it belongs to another engine"))
        }
    };
    let frozen = if let Ok(series) = handle.cast::<Series>() {
        let series = series.get();
        same(&series.cell)?;
        Frozen::Series {
            index: series.index,
            instrument: series.instrument,
        }
    } else if let Ok(indicator) = handle.cast::<Indicator>() {
        same(&indicator.get().cell)?;
        Frozen::Indicator(indicator.get().index)
    } else if let Ok(lines) = handle.cast::<Macd>() {
        same(&lines.get().0.cell)?;
        Frozen::Macd(lines.get().0.index)
    } else if let Ok(lines) = handle.cast::<Bollinger>() {
        same(&lines.get().0.cell)?;
        Frozen::Bollinger(lines.get().0.index)
    } else if let Ok(lines) = handle.cast::<Donchian>() {
        same(&lines.get().0.cell)?;
        Frozen::Donchian(lines.get().0.index)
    } else if let Ok(lines) = handle.cast::<Adx>() {
        same(&lines.get().0.cell)?;
        Frozen::Adx(lines.get().0.index)
    } else if let Ok(lines) = handle.cast::<Stochastic>() {
        same(&lines.get().0.cell)?;
        Frozen::Stochastic(lines.get().0.index)
    } else if let Ok(position) = handle.cast::<Position>() {
        let position = position.get();
        same(&position.cell)?;
        Frozen::Position {
            strategy: position.strategy,
            instrument: position.instrument,
        }
    } else if let Ok(account) = handle.cast::<Account>() {
        same(&account.get().cell)?;
        Frozen::Account
    } else if let Ok(random) = handle.cast::<Random>() {
        same(&random.get().cell)?;
        Frozen::Random(random.get().strategy)
    } else if let Ok(desk) = handle.cast::<Desk>() {
        same(&desk.get().cell)?;
        Frozen::Desk(desk.get().strategy)
    } else if let Ok(quote) = handle.cast::<Quote>() {
        if quote.is(views.quote) {
            Frozen::CallQuote
        } else {
            Frozen::Quote(bytemuck::bytes_of(&quote.get().record()).to_vec())
        }
    } else if let Ok(trade) = handle.cast::<Trade>() {
        if trade.is(views.trade) {
            Frozen::CallTrade
        } else {
            Frozen::Trade(bytemuck::bytes_of(&trade.get().record()).to_vec())
        }
    } else if let Ok(bar) = handle.cast::<Bar>() {
        if bar.is(views.bar) {
            Frozen::CallBar
        } else {
            Frozen::Bar(bar.get().content())
        }
    } else if let Ok(order) = handle.cast::<Order>() {
        Frozen::Order(order.get().order.clone())
    } else if let Ok(update) = handle.cast::<OrderUpdate>() {
        Frozen::OrderUpdate(bytemuck::bytes_of(&update.get().event).to_vec())
    } else if let Ok(fill) = handle.cast::<Fill>() {
        Frozen::Fill(bytemuck::bytes_of(&fill.get().event).to_vec())
    } else {
        return Err(PyTypeError::new_err("it is no handle of an engine"));
    };
    written(&frozen)
}

/// The handle that `freeze` gave the bytes of, in this engine.
pub fn thaw(
    py: Python<'_>,
    cell: &Shared,
    names: &Arc<Names>,
    views: &CallViews<'_>,
    bytes: &[u8],
) -> PyResult<Py<PyAny>> {
    let (cell, names) = (Arc::clone(cell), Arc::clone(names));
    Ok(match postcard::from_bytes(bytes).map_err(unreadable)? {
        Frozen::Series { index, instrument } => Py::new(
            py,
            Series {
                cell,
                names,
                index,
                instrument,
            },
        )?
        .into_any(),
        Frozen::Indicator(index) => Py::new(py, Indicator { cell, index })?.into_any(),
        Frozen::Macd(index) => Py::new(py, Macd(Indicator { cell, index }))?.into_any(),
        Frozen::Bollinger(index) => Py::new(py, Bollinger(Indicator { cell, index }))?.into_any(),
        Frozen::Donchian(index) => Py::new(py, Donchian(Indicator { cell, index }))?.into_any(),
        Frozen::Adx(index) => Py::new(py, Adx(Indicator { cell, index }))?.into_any(),
        Frozen::Stochastic(index) => Py::new(py, Stochastic(Indicator { cell, index }))?.into_any(),
        Frozen::Position { strategy, instrument } => Py::new(
            py,
            Position {
                cell,
                names,
                strategy,
                instrument,
            },
        )?
        .into_any(),
        Frozen::Account => Py::new(py, Account { cell, names })?.into_any(),
        Frozen::Random(strategy) => Py::new(py, Random { cell, strategy })?.into_any(),
        Frozen::Desk(strategy) => Py::new(py, Desk { cell, names, strategy })?.into_any(),
        Frozen::CallQuote => views.quote.clone_ref(py).into_any(),
        Frozen::CallTrade => views.trade.clone_ref(py).into_any(),
        Frozen::CallBar => views.bar.clone_ref(py).into_any(),
        Frozen::Quote(record) => {
            let quote = Quote::new(&names);
            quote.set(&record_of(&record)?);
            Py::new(py, quote)?.into_any()
        }
        Frozen::Trade(record) => {
            let trade = Trade::new(&names);
            trade.set(&record_of(&record)?);
            Py::new(py, trade)?.into_any()
        }
        Frozen::Bar(content) => {
            let bar = Bar::new(&names);
            bar.set_content(&content);
            Py::new(py, bar)?.into_any()
        }
        Frozen::Order(order) => Py::new(py, Order { order, names })?.into_any(),
        Frozen::OrderUpdate(event) => Py::new(
            py,
            OrderUpdate {
                event: event_of(&event)?,
                names,
            },
        )?
        .into_any(),
        Frozen::Fill(event) => Py::new(
            py,
            Fill {
                event: event_of(&event)?,
                names,
            },
        )?
        .into_any(),
    })
}
