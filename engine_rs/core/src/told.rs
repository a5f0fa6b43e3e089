//! The told view: what the answers delivered so far make of orders and account.
//! May not live here: what is true at the venue.

use crate::event::{Event, EventKind};
use crate::ledger::{FillToBook, Ledger};
use crate::lifecycle::State;
use crate::order::Side;
use crate::order_table::OrderTable;
use crate::reason::Reason;
use crate::setup::Setup;

/// Books an answer into the told view, just before its handler.
pub fn apply(setup: &Setup, orders: &mut OrderTable, ledger: &mut Ledger, event: &Event) {
    let id = event.order_id;
    let order = orders.get_mut(id);
    match event.kind {
        kind if kind == EventKind::New as u8 => order.told_state = State::New,
        kind if kind == EventKind::Rejected as u8 => order.told_state = State::Rejected,
        kind if kind == EventKind::Triggered as u8 => {
            order.told_state = State::Triggered;
            order.told_triggered = true;
        }
        kind if kind == EventKind::Replaced as u8 => {
            order.amends_under_way = order.amends_under_way.saturating_sub(1);
            order.told_quantity = event.quantity;
            order.told_limit = event.limit;
            order.told_trigger = event.trigger;
        }
        kind if kind == EventKind::Canceled as u8 => {
            let asked = [Reason::Requested, Reason::Operator, Reason::RiskSwitch];
            if asked.iter().any(|reason| *reason as u16 == event.reason) {
                order.cancels_under_way = order.cancels_under_way.saturating_sub(1);
            }
            order.told_state = State::Canceled;
        }
        kind if kind == EventKind::Expired as u8 => order.told_state = State::Expired,
        kind if kind == EventKind::CancelRejected as u8 => {
            order.cancels_under_way = order.cancels_under_way.saturating_sub(1);
        }
        kind if kind == EventKind::AmendRejected as u8 => {
            order.amends_under_way = order.amends_under_way.saturating_sub(1);
        }
        kind if kind == EventKind::Fill as u8 => {
            order.told_filled += event.last_size;
            order.told_state = if event.filled == event.quantity {
                State::Filled
            } else {
                State::PartiallyFilled
            };
            let side = if event.side == Side::Buy as u8 {
                Side::Buy
            } else {
                Side::Sell
            };
            let fill = FillToBook {
                strategy: event.strategy,
                instrument: event.instrument,
                side,
                price: event.last_price,
                size: event.last_size,
                fee: event.amount(),
                fee_currency: event.currency,
            };
            ledger.book(setup, &fill);
        }
        kind => unreachable!("event kind {kind} is no answer"),
    }
    orders.told(id);
}
