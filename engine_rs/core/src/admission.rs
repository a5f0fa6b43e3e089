//! Admission: the checks of a new order before it is sent, on what the account has been told.
//! May not live here: checks that the venue makes on arrival, or that need no state (they raise at the user's line).

use crate::arith::div_ceil;
use crate::exchange::{sellable, Exchange};
use crate::ledger::Ledger;
use crate::order::{Order, OrderRequest, Side};
use crate::reason::Reason;
use crate::setup::{AccountKind, Setup, Source, LEVERAGE_UNIT, RATE_DECIMALS};

/// Checks `request` of a strategy; gives the price that its funds are reserved at, or why it is refused.
///
/// The order itself stands in the table already as `id`; the others' reservations are those of the live orders before it.
pub fn check(
    exchange: &Exchange,
    told: &Ledger,
    strategy: u32,
    id: u64,
    request: &OrderRequest,
) -> Result<i64, Reason> {
    let setup = &exchange.setup;
    let index = request.instrument as usize;
    let instrument = &setup.instruments[index];
    if exchange.now < setup.trading_start {
        return Err(Reason::WarmingUp);
    }
    if setup.max_order_size[index].is_some_and(|limit| request.quantity > limit) {
        return Err(Reason::MaxOrderSize);
    }
    let price = reserve_price(exchange, request);
    let value = (price as i128 * request.quantity as i128 * instrument.factor).abs();
    if setup.max_order_notional.is_some_and(|limit| value > limit) {
        return Err(Reason::MaxOrderNotional);
    }
    if price != 0 && value < instrument.min_notional {
        return Err(Reason::MinNotional);
    }
    if let Some(limit) = setup.max_position[index] {
        let same_side: i64 = exchange
            .orders
            .told_live()
            .filter(|order| {
                order.id != id
                    && order.strategy == strategy
                    && order.request.instrument == request.instrument
                    && order.request.side == request.side
            })
            .map(Order::told_leaves)
            .sum();
        let position = told.position(strategy, request.instrument).quantity;
        let reached = position as i128 + request.side.sign() as i128 * (same_side as i128 + request.quantity as i128);
        if reached.abs() > limit as i128 && reached.abs() > (position as i128).abs() {
            return Err(Reason::MaxPosition);
        }
    }
    let is_payable = match setup.account_kind {
        AccountKind::Cash => cash_suffices(exchange, told, id, request, price),
        AccountKind::Margin => margin_suffices(exchange, told, id, request, price),
    };
    if is_payable {
        Ok(price)
    } else {
        Err(Reason::InsufficientFunds)
    }
}

/// The limit, else the opposite price at admission, else 0.
fn reserve_price(exchange: &Exchange, request: &OrderRequest) -> i64 {
    if request.order_type.has_limit() {
        return request.limit;
    }
    let market = &exchange.markets[request.instrument as usize];
    match exchange.setup.instruments[request.instrument as usize].source {
        Source::Quote | Source::QuoteTrade => {
            let display = market.opposite(request.side);
            if display.is_present() {
                display.price
            } else {
                0
            }
        }
        Source::Trade => market.last_price.unwrap_or(0),
        Source::Bar => market.bar_close.unwrap_or(0),
    }
}

/// The taker fee of a value, rebates as 0, rounded up to the ledger's scale.
fn fee(setup: &Setup, instrument: u32, value: i128) -> i128 {
    let venue = &setup.venues[setup.instruments[instrument as usize].venue as usize];
    div_ceil(
        value.abs() * venue.taker_rate.max(0) as i128,
        10_i128.pow(RATE_DECIMALS),
    )
}

fn cash_suffices(exchange: &Exchange, told: &Ledger, id: u64, request: &OrderRequest, price: i64) -> bool {
    let setup = &exchange.setup;
    let quote = setup.instruments[request.instrument as usize].quote;
    let reserved = |instrument: u32, size: i64, price: i64| {
        let value = size as i128 * price as i128 * setup.instruments[instrument as usize].factor;
        value + fee(setup, instrument, value)
    };
    match request.side {
        Side::Buy => {
            let by_live_orders: i128 = exchange
                .orders
                .told_live()
                .filter(|order| {
                    order.id != id
                        && order.request.side == Side::Buy
                        && setup.instruments[order.request.instrument as usize].quote == quote
                })
                .map(|order| reserved(order.request.instrument, order.told_leaves(), order.reserve_price))
                .sum();
            by_live_orders + reserved(request.instrument, request.quantity, price) <= told.cash[quote as usize]
        }
        Side::Sell => {
            let by_live_orders: i128 = exchange
                .orders
                .told_live()
                .filter(|order| {
                    order.id != id && order.request.side == Side::Sell && order.request.instrument == request.instrument
                })
                .map(|order| order.told_leaves() as i128)
                .sum();
            by_live_orders + request.quantity as i128 <= sellable(setup, told, request.instrument)
        }
    }
}

/// One live order's part in the margin: (instrument, side, leaves, price).
type Part = (u32, Side, i64, i64);

fn margin_suffices(exchange: &Exchange, told: &Ledger, id: u64, request: &OrderRequest, price: i64) -> bool {
    let setup = &exchange.setup;
    let live = exchange.orders.told_live().filter(|order| order.id != id).map(|order| {
        (
            order.request.instrument,
            order.request.side,
            order.told_leaves(),
            order.reserve_price,
        )
    });
    let mine: Part = (request.instrument, request.side, request.quantity, price);
    // Closing quantity that is left per instrument and side: earlier orders use it first.
    let mut closing: Vec<[i64; 2]> = told.net.iter().map(|net| [(-net).max(0), (*net).max(0)]).collect();
    let (mut value, mut fees, mut own_opening) = (0_i128, 0_i128, 0_i64);
    for (index, side, leaves, price) in live.chain(std::iter::once(mine)) {
        let room = &mut closing[index as usize][side as usize - 1];
        let closes = leaves.min(*room);
        *room -= closes;
        own_opening = leaves - closes;
        let opening = (own_opening as i128 * price as i128 * setup.instruments[index as usize].factor).abs();
        value += opening;
        fees += fee(setup, index, opening);
    }
    if own_opening == 0 {
        return true;
    }
    let mark = |index: u32| exchange.doubled_mark(index);
    let Some(doubled_equity) = told.doubled_equity(setup, mark) else {
        return false;
    };
    let doubled_value = told.doubled_exposure(setup, mark) + 2 * value;
    // value / leverage + fees <= equity, without a division.
    doubled_value * LEVERAGE_UNIT + 2 * fees * setup.leverage <= doubled_equity * setup.leverage
}
