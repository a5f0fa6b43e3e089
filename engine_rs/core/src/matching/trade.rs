//! Fill rules on trades: a print serves resting limits by its size, and sets off stops; takers on trade data get its price.
//! May not live here: quotes, bars.

use std::sync::Arc;

use crate::exchange::Exchange;
use crate::fees::Liquidity;
use crate::lifecycle::State;
use crate::market::{slipped, UNSIZED};
use crate::order::{Order, QueueAhead, Side, TimeInForce};
use crate::reason::Reason;
use crate::record::{Record, SIDE_BUY, SIDE_SELL};
use crate::setup::{PrintAtLimit, Sizes, Source};

impl Exchange {
    /// An order that takes on trade data alone (or at a late print): whole, at the last price. A print is a price, not an offer.
    pub(crate) fn execute_on_print(&mut self, id: u64, venue_time: i64, print: Option<i64>) {
        let setup = Arc::clone(&self.setup);
        let order = self.orders.get(id);
        let request = order.request;
        let instrument = &setup.instruments[request.instrument as usize];
        let venue = &setup.venues[instrument.venue as usize];
        let limit = request.order_type.has_limit().then_some(order.limit);
        let leaves = order.leaves();
        let Some(last) = print.or(self.markets[request.instrument as usize].last_price) else {
            if limit.is_none() {
                self.cancel(id, venue_time, Reason::NoMarket);
            }
            return;
        };
        if limit.is_some_and(|limit| !request.side.within(last, limit)) {
            return;
        }
        let price = if Exchange::bears_slippage(order) {
            slipped(instrument, venue, request.side, last)
        } else {
            last
        };
        let is_whole = request.time_in_force == TimeInForce::FillOrKill;
        if is_whole && !self.can_pay(id, &[(price, leaves)], Liquidity::Taker) {
            return self.cancel_immediate(id, venue_time);
        }
        self.fill(id, price, leaves, Liquidity::Taker, true, venue_time);
    }

    /// A print: resting limits of the other side of its aggressor, then stops. A late one binds to orders that had arrived then.
    #[inline(never)]
    pub(crate) fn match_trade(&mut self, index: u32, record: &Record, is_late: bool, venue_time: i64) {
        let instrument = &self.setup.instruments[index as usize];
        if !instrument.source.has_trades() || self.is_crossed(index) {
            return;
        }
        let is_trade_source = instrument.source == Source::Trade;
        let price = record.a;
        let had_arrived = |order: &Order| !is_late || order.arrival <= record.ts_event;
        let working = &self.working[index as usize];
        if price <= working.highest_buy_limit || price >= working.lowest_sell_limit {
            let serves_buys = record.side != SIDE_BUY;
            let serves_sells = record.side != SIDE_SELL;
            let buys = self.in_turn(index, Side::Buy, |order| {
                serves_buys && price <= order.limit && had_arrived(order)
            });
            let sells = self.in_turn(index, Side::Sell, |order| {
                serves_sells && price >= order.limit && had_arrived(order)
            });
            let size = if instrument.sizes == Sizes::None {
                UNSIZED
            } else {
                record.b
            };
            let mut own_fills = 0;
            for (_, ids) in self.sides_in_turn(buys, sells, |order| self.print_reaches(order, price, size) > 0) {
                for id in ids {
                    own_fills += self.fill_resting_at_print(id, index, price, size, own_fills, venue_time);
                }
            }
        }
        let working = &self.working[index as usize];
        if (is_trade_source && (price >= working.lowest_buy_stop || price <= working.highest_sell_stop))
            || working.other_triggers > 0
        {
            let reached = if is_late {
                self.stops_reached_by_print(index, price, |order| had_arrived(order))
            } else {
                self.reached_stops(index, |_| true)
            };
            for id in reached {
                if self.orders.get(id).state == State::New {
                    self.trigger(id, venue_time, is_late.then_some(price));
                }
            }
        }
    }

    /// Stops on the last price that this print, which is not the last price any more, reaches.
    fn stops_reached_by_print(&self, index: u32, price: i64, takes_part: impl Fn(&Order) -> bool) -> Vec<u64> {
        let is_trade_source = self.setup.instruments[index as usize].source == Source::Trade;
        self.working[index as usize]
            .ids
            .iter()
            .copied()
            .filter(|id| {
                let order = self.orders.get(*id);
                let watches_prints = match order.request.trigger_by {
                    crate::order::TriggerBy::Default => is_trade_source,
                    crate::order::TriggerBy::Last => true,
                    crate::order::TriggerBy::Mid => false,
                };
                order.awaits_trigger()
                    && watches_prints
                    && takes_part(order)
                    && !order.request.side.better(price, order.trigger)
            })
            .collect()
    }

    /// How much of a print of this size gets past the queue ahead of a resting order that it serves.
    fn print_reaches(&self, order: &Order, price: i64, size: i64) -> i64 {
        let instrument = &self.setup.instruments[order.request.instrument as usize];
        let at_limit = self.setup.venues[instrument.venue as usize].print_at_limit;
        match order.queue {
            _ if price != order.limit => size,
            QueueAhead::Known(ahead) => (size - ahead).max(0),
            QueueAhead::Unknown if instrument.source == Source::Trade && at_limit == PrintAtLimit::All => size,
            QueueAhead::Unknown => 0,
        }
    }

    /// Gives what was filled of one resting order by one print: `own_fills` is what own orders before it got of the same print.
    fn fill_resting_at_print(
        &mut self,
        id: u64,
        index: u32,
        price: i64,
        size: i64,
        own_fills: i64,
        venue_time: i64,
    ) -> i64 {
        let instrument = &self.setup.instruments[index as usize];
        let lot = instrument.lot;
        let unsized_source = size == UNSIZED;
        let reaches = self.print_reaches(self.orders.get(id), price, size);
        let order = self.orders.get_mut(id);
        let limit = order.limit;
        if price != limit {
            // Through the limit: the queue there is gone.
            order.queue = QueueAhead::Known(0);
        }
        let reaches = (reaches - own_fills).max(0);
        let reaches = if unsized_source {
            reaches
        } else {
            reaches - reaches % lot
        };
        let fillable = order.leaves().min(reaches);
        if price == limit {
            if let QueueAhead::Known(ahead) = order.queue {
                order.queue = QueueAhead::Known((ahead - size).max(0));
            }
        }
        if fillable > 0 {
            self.fill(id, limit, fillable, Liquidity::Maker, unsized_source, venue_time)
        } else {
            0
        }
    }
}
