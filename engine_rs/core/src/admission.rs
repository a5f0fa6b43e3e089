//! Admission: the checks of a new order before it is sent, on what the account has been told.
//! May not live here: checks that the venue makes on arrival, or that need no state (they raise at the user's line).

use crate::arith::{div_ceil, div_floor, pow10};
use crate::exchange::{shares_balance, sold_from, Exchange};
use crate::ledger::Ledger;
use crate::order::{Order, OrderRequest, Side};
use crate::reason::Reason;
use crate::setup::{AccountKind, FeeCurrency, Setup, Source, LEVERAGE_UNIT, RATE_DECIMALS};

/// Checks `request` of a strategy; gives the price that its funds are reserved at, or why it is refused.
///
/// The reservations of the others are those of the orders that passed admission and live as told.
/// `closes`: it closes a position on behalf of the strategy, so that neither limits of risk nor reserved funds bind it.
pub fn check(
    exchange: &Exchange,
    told: &Ledger,
    strategy: u32,
    request: &OrderRequest,
    closes: bool,
) -> Result<i64, Reason> {
    let setup = &exchange.setup;
    let index = request.instrument as usize;
    let instrument = &setup.instruments[index];
    if exchange.now < setup.trading_start {
        return Err(Reason::WarmingUp);
    }
    if !closes && setup.max_order_size[index].is_some_and(|limit| request.quantity > limit) {
        return Err(Reason::MaxOrderSize);
    }
    let price = reserve_price(exchange, request);
    let value = (price as i128 * request.quantity as i128 * instrument.factor).abs();
    if !closes && setup.max_order_notional.is_some_and(|limit| value > limit) {
        return Err(Reason::MaxOrderNotional);
    }
    if price != 0 && value < instrument.min_notional {
        return Err(Reason::MinNotional);
    }
    if let Some(limit) = setup.max_position[index].filter(|_| !closes) {
        let same_side: i64 = reserving(exchange)
            .filter(|order| {
                order.strategy == strategy
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
    if closes {
        // The orders that it would share funds with are being cancelled; at the fill the ledger still decides.
        return Ok(price);
    }
    let is_payable = match setup.account_kind {
        AccountKind::Cash => cash_suffices(exchange, told, request, price),
        AccountKind::Margin => margin_suffices(exchange, told, request, price),
    };
    if is_payable {
        Ok(price)
    } else {
        Err(Reason::InsufficientFunds)
    }
}

/// Live orders as told that passed admission.
fn reserving(exchange: &Exchange) -> impl Iterator<Item = &Order> {
    exchange.orders.told_live().filter(|order| order.is_reserved)
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

/// A sum of values and of their taker fees, exact: the fees are kept in parts of 10^-RATE_DECIMALS.
#[derive(Default)]
struct Sum {
    value: i128,
    fee_parts: i128,
}

impl Sum {
    /// Adds a value without its sign, with the taker fee on it; a rebate counts as 0.
    fn add(&mut self, setup: &Setup, instrument: u32, size: i64, price: i64) {
        let definition = &setup.instruments[instrument as usize];
        let value = (size as i128 * price as i128 * definition.factor).abs();
        self.value += value;
        if definition.fees.currency == FeeCurrency::Quote {
            self.fee_parts += definition.fees.reserve(value, size);
        }
    }
}

fn cash_suffices(exchange: &Exchange, told: &Ledger, request: &OrderRequest, price: i64) -> bool {
    let setup = &exchange.setup;
    match request.side {
        Side::Buy => {
            let quote = setup.instruments[request.instrument as usize].quote;
            let mut sum = Sum::default();
            for order in reserving(exchange).filter(|order| order.request.side == Side::Buy) {
                let index = order.request.instrument;
                if setup.instruments[index as usize].quote == quote {
                    sum.add(setup, index, order.told_leaves(), order.reserve_price);
                }
            }
            sum.add(setup, request.instrument, request.quantity, price);
            // A whole balance covers a broken sum if it covers the sum rounded up.
            sum.value + div_ceil(sum.fee_parts, pow10(RATE_DECIMALS)) <= told.cash[quote as usize]
        }
        Side::Sell => {
            let in_balance = |index: u32, size: i64| size as i128 * setup.balance_unit(index);
            let by_live_orders: i128 = reserving(exchange)
                .filter(|order| {
                    order.request.side == Side::Sell
                        && shares_balance(setup, order.request.instrument, request.instrument)
                })
                .map(|order| in_balance(order.request.instrument, order.told_leaves()))
                .sum();
            let asked = in_balance(request.instrument, request.quantity);
            by_live_orders + asked <= sold_from(setup, told, request.instrument)
        }
    }
}

/// One live order's part in the margin: (instrument, side, leaves, price).
type Part = (u32, Side, i64, i64);

fn margin_suffices(exchange: &Exchange, told: &Ledger, request: &OrderRequest, price: i64) -> bool {
    let setup = &exchange.setup;
    let live = reserving(exchange).map(|order| {
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
    let (mut sum, mut own_opening) = (Sum::default(), 0_i64);
    for (index, side, leaves, price) in live.chain(std::iter::once(mine)) {
        let room = &mut closing[index as usize][side as usize - 1];
        let closes = leaves.min(*room);
        *room -= closes;
        own_opening = leaves - closes;
        sum.add(setup, index, own_opening, price);
    }
    if own_opening == 0 {
        return true;
    }
    let mark = |index: u32| exchange.doubled_mark(index);
    let Some(doubled_equity) = told.doubled_equity(setup, mark) else {
        return false;
    };
    let doubled_value = told.doubled_exposure(setup, mark) + 2 * sum.value;
    // value / leverage + fees <= equity, without a division; the fees' whole units and the rest one by one, lest they overflow.
    let (whole, unit) = (div_floor(sum.fee_parts, pow10(RATE_DECIMALS)), pow10(RATE_DECIMALS));
    let rest = div_ceil(2 * (sum.fee_parts - whole * unit) * setup.leverage, unit);
    doubled_value * LEVERAGE_UNIT + 2 * whole * setup.leverage + rest <= doubled_equity * setup.leverage
}
