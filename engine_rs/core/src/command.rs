//! Commands: what a handler may ask for, and the checks that need no state of the venue.
//! May not live here: admission (it needs the account), or what happens at the venue.

use serde::{Deserialize, Serialize};

use crate::decimal;
use crate::event::ABSENT;
use crate::order::{OrderRequest, TimeInForce, TriggerBy};
use crate::setup::{Instrument, Source};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    Submit(OrderRequest),
    Cancel(u64),
    /// New total quantity, limit and trigger; [`ABSENT`] keeps what stands.
    Amend {
        order: u64,
        quantity: i64,
        limit: i64,
        trigger: i64,
    },
    /// A timer: first at `time`, then every `period` (0: once).
    Timer {
        time: i64,
        period: i64,
        name: u32,
    },
}

/// Why a command raises at the user's line: the fact, the value and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError(pub String);

impl std::fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for CommandError {}

/// Refuses a price that is off the tick grid or not positive where it must be.
pub fn check_price(instrument: &Instrument, what: &str, price: i64) -> Result<(), CommandError> {
    let text = |raw: i64| decimal::format(raw as i128, instrument.price_decimals);
    if price % instrument.tick != 0 {
        return Err(CommandError(format!(
            "{what} {} is not a multiple of tick {} ({}): round it to the grid",
            text(price),
            text(instrument.tick),
            instrument.symbol
        )));
    }
    if price <= 0 && !instrument.allow_negative_price {
        return Err(CommandError(format!(
            "{what} {} is not above 0 ({}): set allow_negative_price where that is meant",
            text(price),
            instrument.symbol
        )));
    }
    Ok(())
}

/// Refuses a quantity that is not positive or off the lot grid.
pub fn check_quantity(instrument: &Instrument, quantity: i64) -> Result<(), CommandError> {
    let text = |raw: i64| decimal::format(raw as i128, instrument.size_decimals);
    if quantity <= 0 {
        return Err(CommandError(format!(
            "quantity {} is not above 0 ({}): the side says whether it buys or sells",
            text(quantity),
            instrument.symbol
        )));
    }
    if quantity % instrument.lot != 0 {
        return Err(CommandError(format!(
            "quantity {} is not a multiple of lot {} ({}): round it down to the grid",
            text(quantity),
            text(instrument.lot),
            instrument.symbol
        )));
    }
    Ok(())
}

/// Every check of an order that needs no state.
pub fn check_order(instrument: &Instrument, request: &OrderRequest, now: i64) -> Result<(), CommandError> {
    check_quantity(instrument, request.quantity)?;
    let symbol = &instrument.symbol;
    match (request.order_type.has_limit(), request.limit != ABSENT) {
        (true, true) => check_price(instrument, "limit price", request.limit)?,
        (true, false) => return Err(CommandError(format!("a limit order needs a limit price ({symbol})"))),
        (false, true) => return Err(CommandError(format!("this order type takes no limit price ({symbol})"))),
        (false, false) => {}
    }
    match (request.order_type.is_stop(), request.trigger != ABSENT) {
        (true, true) => check_price(instrument, "stop price", request.trigger)?,
        (true, false) => return Err(CommandError(format!("a stop order needs a stop price ({symbol})"))),
        (false, true) => return Err(CommandError(format!("this order type takes no stop price ({symbol})"))),
        (false, false) => {}
    }
    match (request.time_in_force, request.expire != ABSENT) {
        (TimeInForce::GoodTillDate, false) => {
            return Err(CommandError(format!("a GTD order needs `expire` ({symbol})")));
        }
        (TimeInForce::GoodTillDate, true) if request.expire <= now => {
            return Err(CommandError(format!(
                "expire {} is not after now {now} ({symbol})",
                request.expire
            )));
        }
        (TimeInForce::GoodTillDate, true) | (_, false) => {}
        (_, true) => return Err(CommandError(format!("only a GTD order takes `expire` ({symbol})"))),
    }
    if request.time_in_force == TimeInForce::Day && instrument.calendar.is_none() {
        return Err(CommandError(format!(
            "a DAY order needs the session table of {symbol}: add `sessions` to it"
        )));
    }
    let carried = match request.trigger_by {
        TriggerBy::Default => true,
        TriggerBy::Last => instrument.has_trades && instrument.source != Source::Bar,
        TriggerBy::Mid => instrument.source.has_quotes(),
    };
    if !carried {
        return Err(CommandError(format!(
            "the feed of {symbol} carries no data for trigger {:?}: leave `trigger` to its default",
            request.trigger_by
        )));
    }
    Ok(())
}
