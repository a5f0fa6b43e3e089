//! The desk: commands and views of one strategy, for the time its handler runs.
//! May not live here: checks or decisions (core).

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use replay_core::arith::pow10;
use replay_core::counted_bars::Rule;
use replay_core::event::ABSENT;
use replay_core::order::{OrderRequest, OrderType, Side, TimeInForce, TriggerBy};
use replay_core::record::BarPrice;
use replay_core::series::Ends;

use crate::cell::Shared;
use crate::numbers::{optional_raw, to_raw};
use crate::series::Series;
use crate::views::{Bar, Names, Order, Quote, Trade};

/// Commands and views of one strategy. `replay.Strategy` forwards to it.
#[pyclass(frozen, module = "replay._engine")]
pub struct Desk {
    pub cell: Shared,
    pub names: Arc<Names>,
    pub strategy: u32,
}

fn refused(error: replay_core::command::CommandError) -> PyErr {
    PyValueError::new_err(error.0)
}

/// An order's id as the core takes it.
fn order_id(order: i64) -> PyResult<u64> {
    u64::try_from(order).map_err(|_| PyValueError::new_err(format!("order {order} is not known: ids begin with 0")))
}

impl Desk {
    fn instrument(&self, symbol: &str) -> PyResult<u32> {
        self.names.setup.instrument_index(symbol).ok_or_else(|| {
            let known: Vec<&str> = self
                .names
                .setup
                .instruments
                .iter()
                .map(|one| one.symbol.as_str())
                .collect();
            PyValueError::new_err(format!("unknown symbol {symbol:?}: the run has {}", known.join(", ")))
        })
    }

    fn optional_instrument(&self, symbol: Option<&str>) -> PyResult<Option<u32>> {
        symbol.map(|symbol| self.instrument(symbol)).transpose()
    }

    fn symbol(&self, instrument: u32) -> &str {
        &self.names.setup.instruments[instrument as usize].symbol
    }

    fn price_decimals(&self, instrument: u32) -> u32 {
        self.names.setup.instruments[instrument as usize].price_decimals
    }

    fn size_decimals(&self, instrument: u32) -> u32 {
        self.names.setup.instruments[instrument as usize].size_decimals
    }

    /// The quantity that `value` (in the account's currency) buys at the mark, towards zero on the lot.
    fn quantity_of_value(&self, py: Python<'_>, index: u32, value: f64) -> PyResult<i64> {
        let engine = self.cell.borrow_mut(py)?;
        let instrument = &self.names.setup.instruments[index as usize];
        let Some(doubled_mark) = engine.exchange.doubled_mark(index) else {
            return Err(PyValueError::new_err(format!(
                "{} has no price yet: ask for a target by value once it has",
                instrument.symbol
            )));
        };
        if !value.is_finite() {
            return Err(PyValueError::new_err(format!(
                "a target value must be finite, not {value}"
            )));
        }
        let scale = 10f64.powi(self.names.setup.currencies[instrument.quote as usize].ledger_scale as i32);
        let per_unit = doubled_mark as f64 / 2.0 * instrument.factor as f64 / scale;
        let raw = (value / per_unit).trunc();
        if raw.abs() >= 9e18 {
            return Err(PyValueError::new_err(format!("a target value of {value} is too large")));
        }
        let raw = raw as i64;
        Ok(raw - raw % instrument.lot)
    }
}

#[pymethods]
impl Desk {
    /// ns since the Unix epoch.
    #[getter]
    fn now(&self, py: Python<'_>) -> PyResult<i64> {
        Ok(self.cell.borrow_mut(py)?.now())
    }

    /// Sends an order; gives its id. `side`: +1 buys, -1 sells.
    #[pyo3(signature = (symbol, side, quantity, limit=None, stop=None, tif="GTC", expire=None, trigger="default"))]
    #[allow(clippy::too_many_arguments)]
    fn order(
        &self,
        py: Python<'_>,
        symbol: &str,
        side: i64,
        quantity: &Bound<'_, PyAny>,
        limit: Option<&Bound<'_, PyAny>>,
        stop: Option<&Bound<'_, PyAny>>,
        tif: &str,
        expire: Option<i64>,
        trigger: &str,
    ) -> PyResult<u64> {
        let instrument = self.instrument(symbol)?;
        let decimals = self.price_decimals(instrument);
        let order_type = match (limit.is_some(), stop.is_some()) {
            (false, false) => OrderType::Market,
            (true, false) => OrderType::Limit,
            (false, true) => OrderType::StopMarket,
            (true, true) => OrderType::StopLimit,
        };
        let time_in_force = match tif {
            "GTC" => TimeInForce::GoodTillCanceled,
            "IOC" => TimeInForce::ImmediateOrCancel,
            "FOK" => TimeInForce::FillOrKill,
            "GTD" => TimeInForce::GoodTillDate,
            "DAY" => TimeInForce::Day,
            other => {
                return Err(PyValueError::new_err(format!(
                    "tif {other:?} is unknown: choose GTC, IOC, FOK, GTD or DAY"
                )))
            }
        };
        let trigger_by = match trigger {
            "default" => TriggerBy::Default,
            "last" => TriggerBy::Last,
            "mid" => TriggerBy::Mid,
            other => {
                return Err(PyValueError::new_err(format!(
                    "trigger {other:?} is unknown: choose default, last or mid"
                )))
            }
        };
        let request = OrderRequest {
            instrument,
            side: if side > 0 { Side::Buy } else { Side::Sell },
            order_type,
            time_in_force,
            trigger_by,
            quantity: to_raw(
                quantity,
                self.size_decimals(instrument),
                "quantity",
                self.symbol(instrument),
            )?,
            limit: optional_raw(limit, decimals, "limit price", self.symbol(instrument))?,
            trigger: optional_raw(stop, decimals, "stop price", self.symbol(instrument))?,
            expire: expire.unwrap_or(ABSENT),
            is_target: false,
        };
        self.cell.borrow_mut(py)?.submit(request).map_err(refused)
    }

    fn cancel(&self, py: Python<'_>, order: i64) -> PyResult<()> {
        self.cell
            .borrow_mut(py)?
            .cancel(self.strategy, order_id(order)?)
            .map_err(refused)
    }

    #[pyo3(signature = (symbol=None))]
    fn cancel_all(&self, py: Python<'_>, symbol: Option<&str>) -> PyResult<Vec<u64>> {
        let instrument = self.optional_instrument(symbol)?;
        self.cell
            .borrow_mut(py)?
            .cancel_all(self.strategy, instrument)
            .map_err(refused)
    }

    #[pyo3(signature = (order, quantity=None, limit=None, stop=None))]
    fn amend(
        &self,
        py: Python<'_>,
        order: i64,
        quantity: Option<&Bound<'_, PyAny>>,
        limit: Option<&Bound<'_, PyAny>>,
        stop: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let instrument = {
            let engine = self.cell.borrow_mut(py)?;
            match engine.instrument_of(order_id(order)?) {
                Some(instrument) => instrument,
                None => return Err(PyValueError::new_err(format!("order {order} is not known"))),
            }
        };
        let quantity = optional_raw(
            quantity,
            self.size_decimals(instrument),
            "quantity",
            self.symbol(instrument),
        )?;
        let limit = optional_raw(
            limit,
            self.price_decimals(instrument),
            "limit price",
            self.symbol(instrument),
        )?;
        let stop = optional_raw(
            stop,
            self.price_decimals(instrument),
            "stop price",
            self.symbol(instrument),
        )?;
        self.cell
            .borrow_mut(py)?
            .amend(self.strategy, order_id(order)?, quantity, limit, stop)
            .map_err(refused)
    }

    /// A market order to the difference; its id, or None where there is none.
    fn target(&self, py: Python<'_>, symbol: &str, quantity: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
        let instrument = self.instrument(symbol)?;
        let quantity = to_raw(
            quantity,
            self.size_decimals(instrument),
            "quantity",
            self.symbol(instrument),
        )?;
        self.cell
            .borrow_mut(py)?
            .target(self.strategy, instrument, quantity)
            .map_err(refused)
    }

    /// As `target`, for a value in the account's currency at the mark.
    fn target_value(&self, py: Python<'_>, symbol: &str, value: f64) -> PyResult<Option<u64>> {
        let instrument = self.instrument(symbol)?;
        let quantity = self.quantity_of_value(py, instrument, value)?;
        self.cell
            .borrow_mut(py)?
            .target(self.strategy, instrument, quantity)
            .map_err(refused)
    }

    /// As `target`, for a share of the account's equity as told.
    fn target_weight(&self, py: Python<'_>, symbol: &str, weight: f64) -> PyResult<Option<u64>> {
        let instrument = self.instrument(symbol)?;
        let doubled = self.cell.borrow_mut(py)?.told_doubled_equity();
        let Some(doubled) = doubled else {
            return Err(PyValueError::new_err(
                "the equity is not known yet: some instrument held has no price",
            ));
        };
        let account = self.names.setup.account_currency as usize;
        let equity = doubled as f64 / 2.0 / pow10(self.names.setup.currencies[account].ledger_scale) as f64;
        let quantity = self.quantity_of_value(py, instrument, weight * equity)?;
        self.cell
            .borrow_mut(py)?
            .target(self.strategy, instrument, quantity)
            .map_err(refused)
    }

    /// `name` is the strategy's number of the timer.
    fn every(&self, py: Python<'_>, period_ns: i64, name: u32) -> PyResult<()> {
        self.cell.borrow_mut(py)?.every(period_ns, name).map_err(refused)
    }

    fn at(&self, py: Python<'_>, time_ns: i64, name: u32) -> PyResult<()> {
        self.cell.borrow_mut(py)?.at(time_ns, name).map_err(refused)
    }

    // ---------------------------------------------------------- views

    fn position(&self, symbol: &str) -> PyResult<Position> {
        let instrument = self.instrument(symbol)?;
        Ok(Position {
            cell: Arc::clone(&self.cell),
            names: Arc::clone(&self.names),
            strategy: self.strategy,
            instrument,
        })
    }

    #[pyo3(signature = (symbol=None))]
    fn orders(&self, py: Python<'_>, symbol: Option<&str>) -> PyResult<Vec<Order>> {
        let instrument = self.optional_instrument(symbol)?;
        let engine = self.cell.borrow_mut(py)?;
        Ok(engine
            .told_orders(self.strategy, instrument)
            .into_iter()
            .map(|id| Order {
                order: engine.exchange.orders.get(id).clone(),
                names: Arc::clone(&self.names),
            })
            .collect())
    }

    /// One order by its id; None where it ended long ago: `ENDED_KEPT` others have ended since.
    fn find_order(&self, py: Python<'_>, order: i64) -> PyResult<Option<Order>> {
        let engine = self.cell.borrow_mut(py)?;
        Ok(engine.exchange.orders.find(order_id(order)?).map(|order| Order {
            order: order.clone(),
            names: Arc::clone(&self.names),
        }))
    }

    #[getter]
    fn account(&self) -> Account {
        Account {
            cell: Arc::clone(&self.cell),
            names: Arc::clone(&self.names),
        }
    }

    fn last_quote(&self, py: Python<'_>, symbol: &str) -> PyResult<Option<Quote>> {
        let index = self.instrument(symbol)?;
        let engine = self.cell.borrow_mut(py)?;
        Ok(engine.last_quote(index).map(|record| {
            let view = Quote::new(&self.names);
            view.set(&record);
            view
        }))
    }

    fn last_trade(&self, py: Python<'_>, symbol: &str) -> PyResult<Option<Trade>> {
        let index = self.instrument(symbol)?;
        let engine = self.cell.borrow_mut(py)?;
        Ok(engine.last_trade(index).map(|record| {
            let view = Trade::new(&self.names);
            view.set(&record);
            view
        }))
    }

    /// The last bar of a symbol's first series.
    fn last_bar(&self, py: Python<'_>, symbol: &str) -> PyResult<Option<Bar>> {
        let index = self.instrument(symbol)?;
        let engine = self.cell.borrow_mut(py)?;
        Ok(engine.series.first_last_bar(index).map(|bar| {
            let view = Bar::new(&self.names);
            view.set(index, bar);
            view
        }))
    }

    /// A series of bars: of a length, the feed's own where it carries that one; else built from its ticks by a rule.
    #[pyo3(signature = (symbol, length_ns=None, price=None, rule=None, number=None))]
    fn bars(
        &self,
        py: Python<'_>,
        symbol: &str,
        length_ns: Option<i64>,
        price: Option<&str>,
        rule: Option<&str>,
        number: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Series> {
        let instrument = self.instrument(symbol)?;
        let ends = self.ends(instrument, length_ns, rule, number)?;
        let price = match price {
            None => None,
            Some("trade") => Some(BarPrice::Trade),
            Some("bid") => Some(BarPrice::Bid),
            Some("ask") => Some(BarPrice::Ask),
            Some("mid") => Some(BarPrice::Mid),
            Some(other) => {
                return Err(PyValueError::new_err(format!(
                    "price {other:?} is unknown: choose trade, bid, ask or mid"
                )))
            }
        };
        let mut engine = self.cell.borrow_mut(py)?;
        let index = engine
            .subscribe_bars(self.strategy, instrument, ends, price)
            .map_err(refused)?;
        Ok(Series {
            cell: Arc::clone(&self.cell),
            names: Arc::clone(&self.names),
            index,
            instrument,
        })
    }

    #[getter]
    fn rng(&self) -> Random {
        Random {
            cell: Arc::clone(&self.cell),
            strategy: self.strategy,
        }
    }
}

impl Desk {
    /// When bars end: after a length, or by a rule with its number, which is a count, a size, a value or a price.
    fn ends(
        &self,
        instrument: u32,
        length_ns: Option<i64>,
        rule: Option<&str>,
        number: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Ends> {
        let (rule, number) = match (length_ns, rule, number) {
            (Some(length_ns), None, None) => return Ok(Ends::Every(length_ns)),
            (None, Some(rule), Some(number)) => (rule, number),
            _ => return Err(PyValueError::new_err("bars have a length, or a rule and its number")),
        };
        let one = &self.names.setup.instruments[instrument as usize];
        let raw = |decimals: u32| to_raw(number, decimals, rule, &one.symbol);
        Ok(Ends::By(match rule {
            "ticks" => Rule::Ticks(raw(0)?),
            "volume" => Rule::Volume(raw(one.size_decimals)?),
            "value" => Rule::Value(raw(one.price_decimals)? as i128 * pow10(one.size_decimals)),
            "range" => Rule::Range(raw(one.price_decimals)?),
            "renko" => Rule::Renko(raw(one.price_decimals)?),
            other => {
                return Err(PyValueError::new_err(format!(
                    "rule {other:?} is unknown: choose ticks, volume, value, range or renko"
                )))
            }
        }))
    }
}

/// A position as its strategy has been told; always the present one.
#[pyclass(frozen, module = "replay._engine")]
pub struct Position {
    pub cell: Shared,
    pub names: Arc<Names>,
    pub strategy: u32,
    pub instrument: u32,
}

impl Position {
    fn scale(&self) -> f64 {
        let setup = &self.names.setup;
        let quote = setup.instruments[self.instrument as usize].quote as usize;
        10f64.powi(setup.currencies[quote].ledger_scale as i32)
    }
}

#[pymethods]
impl Position {
    /// Signed.
    #[getter]
    fn quantity(&self, py: Python<'_>) -> PyResult<f64> {
        let raw = self
            .cell
            .borrow_mut(py)?
            .told_position(self.strategy, self.instrument)
            .quantity;
        Ok(raw as f64 / self.names.setup.instruments[self.instrument as usize].size_unit)
    }
    /// 0.0 when flat.
    #[getter]
    fn average_price(&self, py: Python<'_>) -> PyResult<f64> {
        let instrument = &self.names.setup.instruments[self.instrument as usize];
        let engine = self.cell.borrow_mut(py)?;
        Ok(engine
            .told_position(self.strategy, self.instrument)
            .average_price(instrument.factor, instrument.price_unit))
    }
    /// Result of closed parts, before fees, in the quote currency.
    #[getter]
    fn realised(&self, py: Python<'_>) -> PyResult<f64> {
        let engine = self.cell.borrow_mut(py)?;
        Ok(engine.told_position(self.strategy, self.instrument).realised as f64 / self.scale())
    }
    #[getter]
    fn fees(&self, py: Python<'_>) -> PyResult<f64> {
        let engine = self.cell.borrow_mut(py)?;
        Ok(engine.told_position(self.strategy, self.instrument).fees as f64 / self.scale())
    }
    /// Value at the mark less cost; 0.0 before any mark.
    #[getter]
    fn unrealised(&self, py: Python<'_>) -> PyResult<f64> {
        let instrument = &self.names.setup.instruments[self.instrument as usize];
        let engine = self.cell.borrow_mut(py)?;
        let position = engine.told_position(self.strategy, self.instrument);
        let Some(doubled_mark) = engine.exchange.doubled_mark(self.instrument) else {
            return Ok(0.0);
        };
        let doubled = position.quantity as i128 * doubled_mark as i128 * instrument.factor - 2 * position.cost;
        Ok(doubled as f64 / 2.0 / self.scale())
    }
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "Position({} {} @ {})",
            self.names.setup.instruments[self.instrument as usize].symbol,
            self.quantity(py)?,
            self.average_price(py)?
        ))
    }
}

/// The account as told: answers delivered to any strategy.
#[pyclass(frozen, module = "replay._engine")]
pub struct Account {
    pub cell: Shared,
    pub names: Arc<Names>,
}

#[pymethods]
impl Account {
    /// Balance of a currency; without one, of the account's.
    #[pyo3(signature = (currency=None))]
    fn balance(&self, py: Python<'_>, currency: Option<&str>) -> PyResult<f64> {
        let setup = &self.names.setup;
        let index = match currency {
            None => setup.account_currency as usize,
            Some(name) => setup
                .currencies
                .iter()
                .position(|one| one.name == name)
                .ok_or_else(|| {
                    let known: Vec<&str> = setup.currencies.iter().map(|one| one.name.as_str()).collect();
                    PyValueError::new_err(format!("unknown currency {name:?}: the run has {}", known.join(", ")))
                })?,
        };
        let scale = 10f64.powi(setup.currencies[index].ledger_scale as i32);
        Ok(self.cell.borrow_mut(py)?.told.cash[index] as f64 / scale)
    }
    /// Balance of the account's currency.
    #[getter]
    fn cash(&self, py: Python<'_>) -> PyResult<f64> {
        self.balance(py, None)
    }
    /// Cash and positions at their marks; None while a mark is unknown.
    #[getter]
    fn equity(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        let account = self.names.setup.account_currency as usize;
        let scale = 10f64.powi(self.names.setup.currencies[account].ledger_scale as i32);
        Ok(self
            .cell
            .borrow_mut(py)?
            .told_doubled_equity()
            .map(|doubled| doubled as f64 / 2.0 / scale))
    }
}

/// The strategy's own random numbers: xoshiro256**, seeded from the run's seed and the strategy's index.
#[pyclass(frozen, module = "replay._engine")]
pub struct Random {
    pub cell: Shared,
    pub strategy: u32,
}

#[pymethods]
impl Random {
    /// A float in [0, 1).
    fn random(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.cell.borrow_mut(py)?.rng(self.strategy).uniform())
    }
    /// An int in [0, limit).
    fn below(&self, py: Python<'_>, limit: u64) -> PyResult<u64> {
        if limit == 0 {
            return Err(PyValueError::new_err("below(0): the limit must be above 0"));
        }
        Ok(self.cell.borrow_mut(py)?.rng(self.strategy).below(limit))
    }
    /// An int of 64 random bits.
    fn bits(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.cell.borrow_mut(py)?.rng(self.strategy).next_u64())
    }
}
