//! Fill rules on bars: the open, then a path over the extremes to the close.
//! May not live here: quotes, prints, or how bars are built from ticks.

use std::sync::Arc;

use crate::arith::div_floor;
use crate::exchange::Exchange;
use crate::fees::Liquidity;
use crate::market::UNSIZED;
use crate::order::{Order, OrderType, Side, TimeInForce};
use crate::record::Record;
use crate::setup::{BarMarket, BarPath, Sizes, SHARE_UNIT};

/// One bar while it is matched.
struct Path {
    instrument: u32,
    low: i64,
    high: i64,
    /// Open, extreme, other extreme, close.
    prices: [i64; 4],
    times: [i64; 4],
    /// What own orders may still take of its volume.
    budget: i64,
    unsized_source: bool,
}

impl Exchange {
    /// An order arrives where bars decide: it waits for a bar, or takes the close of the bar at whose end it arrives.
    pub(crate) fn enter_bars(&mut self, id: u64, venue_time: i64) {
        let setup = Arc::clone(&self.setup);
        let order = self.orders.get_mut(id);
        let request = order.request;
        if request.order_type == OrderType::Market {
            order.waiting = true;
        }
        let instrument = &setup.instruments[request.instrument as usize];
        let venue = &setup.venues[instrument.venue as usize];
        let market = &self.markets[request.instrument as usize];
        let is_at_close = venue.bar_market == BarMarket::ThisClose
            && request.order_type == OrderType::Market
            && market.bar_end == venue_time;
        if let (true, Some(close)) = (is_at_close, market.bar_close) {
            let mut path = Path {
                instrument: request.instrument,
                low: market.bar_range.0,
                high: market.bar_range.1,
                prices: [close; 4],
                times: [venue_time; 4],
                budget: match market.bar_budget {
                    Some(left) => left,
                    None => self.bar_budget(request.instrument, market.bar_volume),
                },
                unsized_source: instrument.sizes == Sizes::None,
            };
            self.take_on_bar(id, close, venue_time, &mut path);
            self.markets[request.instrument as usize].bar_budget = Some(path.budget);
        }
        if !self.orders.get(id).is_ended() {
            self.put_to_work(id);
        }
    }

    /// What own orders may take of a bar in all: its share of the volume, in whole lots.
    pub(crate) fn bar_budget(&self, index: u32, volume: i64) -> i64 {
        let instrument = &self.setup.instruments[index as usize];
        let venue = &self.setup.venues[instrument.venue as usize];
        match instrument.sizes {
            Sizes::None => UNSIZED,
            Sizes::Full => {
                let share = if venue.max_share as i128 == SHARE_UNIT {
                    volume
                } else {
                    div_floor(volume as i128 * venue.max_share as i128, SHARE_UNIT) as i64
                };
                share - share % instrument.lot
            }
        }
    }

    /// A bar of the deciding kind: matches the orders that had arrived when it began.
    ///
    /// Gives what is left of the bar for orders that take its close.
    #[inline(never)]
    pub(crate) fn match_bar(&mut self, index: u32, record: &Record, start: i64) -> i64 {
        let setup = Arc::clone(&self.setup);
        let instrument = &setup.instruments[index as usize];
        let venue = &setup.venues[instrument.venue as usize];
        let [open, high, low, close] = [record.a, record.b, record.c, record.d];
        let end = record.ts_event;
        let length = end - start;
        let mut path = Path {
            instrument: index,
            low,
            high,
            prices: [open, open, open, close],
            times: [
                start,
                start + length / 3,
                start + ((length as i128 * 2) / 3) as i64,
                end,
            ],
            budget: self.bar_budget(index, record.e),
            unsized_source: instrument.sizes == Sizes::None,
        };
        let takes_part = |order: &Order| {
            order.entry <= start.saturating_add(venue.bar_grace_ns).min(end)
                && (order.expire == crate::event::ABSENT || order.expire >= end)
        };
        let ids: Vec<u64> = self.working[index as usize]
            .ids
            .iter()
            .copied()
            .filter(|id| takes_part(self.orders.get(*id)))
            .collect();
        self.pass(index, open);
        for id in &ids {
            self.meet_open(*id, &mut path);
        }
        // The position that the open leaves is what `worst` turns the path against.
        let net = self.ledger.net[index as usize];
        let is_high_first = match venue.bar_path {
            BarPath::Ohlc => true,
            BarPath::Worst if net != 0 => net < 0,
            // Nearer to the open first; equidistant: first the one farther from the close; still equal: the high.
            BarPath::Nearer | BarPath::Worst => (high - open, close - high) <= (open - low, low - close),
        };
        (path.prices[1], path.prices[2]) = if is_high_first { (high, low) } else { (low, high) };
        for segment in 0..3 {
            self.walk_segment(&ids, segment, &mut path);
            self.pass(index, path.prices[segment + 1]);
        }
        path.budget
    }

    /// The path comes to a vertex, after what it met on its way there.
    fn pass(&mut self, index: u32, price: i64) {
        self.markets[index as usize].extremes.add(2 * price);
    }

    /// Venue time of what happens to an order at a vertex: an order let in by grace was not there before its entry.
    fn bar_time(&self, id: u64, path: &Path, vertex: usize) -> i64 {
        path.times[vertex].max(self.orders.get(id).entry)
    }

    /// Fills within the bar's budget; the price is moved by slippage for what takes at any price, never out of the bar.
    fn fill_on_bar(&mut self, id: u64, price: i64, liquidity: Liquidity, time: i64, path: &mut Path) {
        let order = self.orders.get(id);
        let size = order.leaves().min(path.budget);
        if size <= 0 {
            return;
        }
        let price = self.bar_price(order, price, path);
        let filled = self.fill(id, price, size, liquidity, path.unsized_source, time);
        if !path.unsized_source {
            path.budget -= filled;
        }
    }

    /// The price that an order pays where the path stands at `price`.
    fn bar_price(&self, order: &Order, price: i64, path: &Path) -> i64 {
        if !Exchange::bears_slippage(order) {
            return price;
        }
        let instrument = &self.setup.instruments[path.instrument as usize];
        let venue = &self.setup.venues[instrument.venue as usize];
        let moved = price + order.request.side.sign() * venue.slippage_ticks * instrument.tick;
        moved.clamp(path.low, path.high)
    }

    fn meet_open(&mut self, id: u64, path: &mut Path) {
        let order = self.orders.get(id);
        if order.is_ended() {
            return;
        }
        let (open, time) = (path.prices[0], self.bar_time(id, path, 0));
        let side = order.request.side;
        let is_fresh = order.fresh;
        self.orders.get_mut(id).fresh = false;
        let order = self.orders.get(id);
        if order.awaits_trigger() {
            if !side.better(open, order.trigger) {
                self.trigger_on_bar(id, open, time, path);
            }
        } else if !order.rests_as_limit() {
            self.take_on_bar(id, open, time, path);
        } else if is_fresh {
            let touch = self.touches(path.instrument);
            let limit = order.limit;
            if side.better(open, limit) || (touch && open == limit) {
                self.take_on_bar(id, open, time, path);
            } else if order.request.time_in_force.is_immediate() {
                self.cancel_immediate(id, time);
            }
        } else if side.better(open, order.limit) || (open == order.limit && self.touches(path.instrument)) {
            self.fill_on_bar(id, open, Liquidity::Maker, time, path);
        }
    }

    /// Takes at `price` what the budget gives; judges IOC and FOK.
    fn take_on_bar(&mut self, id: u64, price: i64, time: i64, path: &mut Path) {
        let order = self.orders.get(id);
        let time_in_force = order.request.time_in_force;
        if time_in_force == TimeInForce::FillOrKill {
            let take = [(self.bar_price(order, price, path), order.leaves())];
            if order.leaves() > path.budget || !self.can_pay(id, &take, Liquidity::Taker) {
                return self.cancel_immediate(id, time);
            }
        }
        self.fill_on_bar(id, price, Liquidity::Taker, time, path);
        let order = self.orders.get(id);
        if order.is_ended() {
            return;
        }
        if time_in_force.is_immediate() {
            self.cancel_immediate(id, time);
        } else if !order.request.order_type.has_limit() {
            // What is left goes on at the next open.
            self.orders.get_mut(id).waiting = true;
        }
    }

    fn trigger_on_bar(&mut self, id: u64, price: i64, time: i64, path: &mut Path) {
        self.trigger(id, time, None);
        let order = self.orders.get_mut(id);
        order.fresh = false;
        if order.request.order_type == OrderType::StopMarket {
            order.waiting = true;
        }
        let allows = !order.request.order_type.has_limit() || order.request.side.within(price, order.limit);
        let is_immediate = order.request.time_in_force.is_immediate();
        if allows {
            self.take_on_bar(id, price, time, path);
        } else if is_immediate {
            self.cancel_immediate(id, time);
        }
        if !self.orders.get(id).is_ended() {
            self.put_to_work(id);
        }
    }

    fn touches(&self, instrument: u32) -> bool {
        self.setup.venues[self.setup.instruments[instrument as usize].venue as usize].bar_touch
    }

    /// One stretch of the path: what the price meets on its way, in path order, then by id.
    fn walk_segment(&mut self, ids: &[u64], segment: usize, path: &mut Path) {
        let (from, to) = (path.prices[segment], path.prices[segment + 1]);
        if from == to {
            return;
        }
        let touch = self.touches(path.instrument);
        let rises = to > from;
        // Distance along the stretch at which an order is met.
        let mut met: Vec<(i64, u64)> = Vec::new();
        for id in ids {
            let order = self.orders.get(*id);
            if order.is_ended() {
                continue;
            }
            let side = order.request.side;
            if order.awaits_trigger() {
                let reached = order.trigger.min(from.max(to)).max(from.min(to)) == order.trigger;
                if reached && rises == (side == Side::Buy) {
                    met.push(((order.trigger - from).abs(), *id));
                }
            } else if order.rests_as_limit() && rises == (side == Side::Sell) {
                let distance = if rises { order.limit - from } else { from - order.limit };
                let whole = (to - from).abs();
                if distance < whole && distance >= 0 || (touch && distance == whole) {
                    met.push((distance, *id));
                }
            }
        }
        met.sort_unstable();
        for (_, id) in met {
            let time = self.bar_time(id, path, segment + 1);
            let order = self.orders.get(id);
            if order.is_ended() {
                continue;
            }
            if order.awaits_trigger() {
                let price = order.trigger;
                self.trigger_on_bar(id, price, time, path);
            } else {
                let price = order.limit;
                self.fill_on_bar(id, price, Liquidity::Maker, time, path);
            }
        }
    }
}
