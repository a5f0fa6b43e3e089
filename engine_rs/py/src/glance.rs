//! A look at a running engine for whoever watches it: prices, positions, orders and money, as plain Python values.
//! May not live here: what a strategy sees (views), what metrics count, or anything that changes the engine.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use replay_core::arith::pow10;
use replay_core::engine::Engine;
use replay_core::event::EventKind;
use replay_core::lifecycle::State;
use replay_core::market::{Display, Market};
use replay_core::order::Order;

/// The dict of `Engine.glance`, without its rows of positions and orders.
pub fn summary<'py>(py: Python<'py>, engine: &Engine) -> PyResult<Bound<'py, PyDict>> {
    let setup = engine.setup();
    let ledger = &engine.exchange.ledger;
    let account = &setup.currencies[setup.account_currency as usize];
    let scale = pow10(account.ledger_scale) as f64;
    let equity = ledger.doubled_equity(setup, |index| engine.exchange.doubled_mark(index));
    let all = PyDict::new(py);
    all.set_item("seq", engine.tape_seq)?;
    all.set_item("now_ns", (engine.tape_seq > 0).then(|| engine.now()))?;
    all.set_item("currency", &account.name)?;
    all.set_item("equity", equity.map(|doubled| doubled as f64 / 2.0 / scale))?;
    all.set_item("cash", ledger.cash[setup.account_currency as usize] as f64 / scale)?;
    all.set_item("trading", engine.trading.state.name())?;
    all.set_item("in_flight", engine.due_depths().0)?;
    let counters = &engine.exchange.counters;
    all.set_item("rejected", counters.events[EventKind::Rejected as usize])?;
    all.set_item("late", counters.late)?;
    all.set_item("stale", counters.stale)?;
    let prices = PyList::empty(py);
    for (instrument, market) in setup.instruments.iter().zip(&engine.exchange.markets) {
        let unit = instrument.price_unit;
        let side = |display: &Display| display.is_present().then_some(display.price as f64 / unit);
        prices.append((
            &instrument.symbol,
            side(&market.bid),
            side(&market.ask),
            last(market).map(|raw| raw as f64 / unit),
            market.doubled_mark.map(|doubled| doubled as f64 / 2.0 / unit),
            instrument.price_decimals,
        ))?;
    }
    all.set_item("prices", prices)?;
    Ok(all)
}

/// Orders that work at their venues as their strategies know them: how many, and the newest `limit`, ascending.
pub fn working_orders(engine: &Engine, limit: usize) -> (usize, Vec<&Order>) {
    let working: Vec<&Order> = engine
        .exchange
        .orders
        .told_live()
        .filter(|order| !order.is_ended() && order.state != State::PendingNew)
        .collect();
    let first = working.len().saturating_sub(limit);
    (working.len(), working[first..].to_vec())
}

/// The last price that something was done at: the last trade, else the last bar's close.
fn last(market: &Market) -> Option<i64> {
    market.last_price.or(market.bar_close)
}
