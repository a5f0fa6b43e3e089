//! Fill rules on quotes: takers meet the displayed size and the synthetic levels, resting limits what reaches them.
//! May not live here: prints, bars.

use std::sync::Arc;

use crate::exchange::Exchange;
use crate::fees::Liquidity;
use crate::lifecycle::State;
use crate::market::{slipped, Piece, UNSIZED};
use crate::order::{QueueAhead, Side, TimeInForce};
use crate::reason::Reason;
use crate::setup::{BeyondTop, ShownSize, Source};

impl Exchange {
    /// An order that takes from the quote: market, or limit as far as the quote allows.
    pub(crate) fn execute_on_quote(&mut self, id: u64, venue_time: i64) {
        let setup = Arc::clone(&self.setup);
        let order = self.orders.get(id);
        let request = order.request;
        let index = request.instrument as usize;
        let instrument = &setup.instruments[index];
        let venue = &setup.venues[instrument.venue as usize];
        let market = &self.markets[index];
        let limit = request.order_type.has_limit().then_some(order.limit);
        let leaves = order.leaves();
        let bears_slippage = Exchange::bears_slippage(order);
        // All at the top: what is beyond the size shown was never shown.
        let unsized_source = market.opposite(request.side).size == UNSIZED
            || venue.beyond_top == BeyondTop::All
            || venue.shown_size == ShownSize::Anew;
        let has_market = market.opposite(request.side).is_present() && !market.is_crossed();
        let pieces = market.plan(instrument, venue, request.side, leaves, limit);
        let price_of = |piece: &Piece| {
            if bears_slippage {
                slipped(instrument, venue, request.side, piece.price)
            } else {
                piece.price
            }
        };
        if request.time_in_force == TimeInForce::FillOrKill && (has_market || limit.is_some()) {
            let dry_run: Vec<(i64, i64)> = pieces.iter().map(|piece| (price_of(piece), piece.size)).collect();
            let planned: i64 = dry_run.iter().map(|row| row.1).sum();
            if planned < leaves || !self.can_pay(id, &dry_run, Liquidity::Taker) {
                return self.cancel_immediate(id, venue_time);
            }
        }
        for piece in pieces {
            let price = price_of(&piece);
            let is_unshown = unsized_source || (piece.level > 0 && venue.beyond_top == BeyondTop::NextTick);
            let filled = self.fill(id, price, piece.size, Liquidity::Taker, is_unshown, venue_time);
            if venue.shown_size == ShownSize::Once {
                self.markets[index].opposite_mut(request.side).take(piece.level, filled);
            }
            if self.orders.get(id).is_ended() {
                return;
            }
        }
        if limit.is_none() {
            let reason = if has_market {
                Reason::NoLiquidity
            } else {
                Reason::NoMarket
            };
            self.cancel(id, venue_time, reason);
        }
    }

    /// A quote was applied: resting limits that it reaches, then stops that it sets off.
    #[inline]
    pub(crate) fn match_quote(&mut self, index: u32, venue_time: i64) {
        let working = &self.working[index as usize];
        let market = &self.markets[index as usize];
        let (bid, ask) = (&market.bid, &market.ask);
        let touches = (ask.is_present()
            && (ask.price <= working.highest_buy_limit || ask.price >= working.lowest_buy_stop))
            || (bid.is_present() && (bid.price >= working.lowest_sell_limit || bid.price <= working.highest_sell_stop))
            || working.other_triggers > 0;
        if touches && !market.is_crossed() {
            self.match_touched(index, venue_time);
        }
    }

    #[cold]
    #[inline(never)]
    fn match_touched(&mut self, index: u32, venue_time: i64) {
        let market = &self.markets[index as usize];
        let working = &self.working[index as usize];
        let (bid, ask) = (market.bid, market.ask);
        if (ask.is_present() && ask.price <= working.highest_buy_limit)
            || (bid.is_present() && bid.price >= working.lowest_sell_limit)
        {
            let lot = self.setup.instruments[index as usize].lot;
            let (gives_asks, gives_bids) = (ask.free(0, lot) > 0, bid.free(0, lot) > 0);
            let buys = self.in_turn(index, Side::Buy, |order| gives_asks && ask.price <= order.limit);
            let sells = self.in_turn(index, Side::Sell, |order| gives_bids && bid.price >= order.limit);
            for (side, ids) in self.sides_in_turn(buys, sells, |_| true) {
                for id in ids {
                    self.fill_resting_at_quote(id, index, side, venue_time);
                }
            }
        }
        let working = &self.working[index as usize];
        if (ask.is_present() && ask.price >= working.lowest_buy_stop)
            || (bid.is_present() && bid.price <= working.highest_sell_stop)
            || working.other_triggers > 0
        {
            for id in self.reached_stops(index, |_| true) {
                if self.orders.get(id).state == State::New {
                    self.trigger(id, venue_time, None);
                }
            }
        }
    }

    fn fill_resting_at_quote(&mut self, id: u64, index: u32, side: Side, venue_time: i64) {
        let (lot, venue) = (
            self.setup.instruments[index as usize].lot,
            self.setup.instruments[index as usize].venue,
        );
        let is_anew = self.setup.venues[venue as usize].shown_size == ShownSize::Anew;
        let display = self.markets[index as usize].opposite(side);
        let unsized_source = display.size == UNSIZED || is_anew;
        let order = self.orders.get(id);
        let size = order.leaves().min(display.free(0, lot));
        let limit = order.limit;
        if size > 0 {
            let filled = self.fill(id, limit, size, Liquidity::Maker, unsized_source, venue_time);
            if !is_anew {
                self.markets[index as usize].opposite_mut(side).take(0, filled);
            }
        }
    }

    /// Keeps the queue ahead of resting limits after a quote, where prints serve them too.
    pub(crate) fn follow_queues(&mut self, index: u32) {
        if self.setup.instruments[index as usize].source != Source::QuoteTrade {
            return;
        }
        let market = &self.markets[index as usize];
        for position in 0..self.working[index as usize].ids.len() {
            let id = self.working[index as usize].ids[position];
            let order = self.orders.get_mut(id);
            if !order.rests_as_limit() {
                continue;
            }
            let own = market.own(order.request.side);
            if !own.is_present() || order.request.side.better(own.price, order.limit) {
                // The best fell back past the price: nobody stands before it.
                order.queue = QueueAhead::Known(0);
            } else if own.price == order.limit {
                order.queue = match order.queue {
                    // A feed without sizes says nothing of the queue.
                    queue if own.size == UNSIZED => queue,
                    QueueAhead::Unknown => QueueAhead::Known(own.size),
                    QueueAhead::Known(ahead) => QueueAhead::Known(ahead.min(own.size)),
                };
            }
        }
    }
}
