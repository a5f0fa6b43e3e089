//! The exchange: what the venues know and decide: working orders, their life, their fills and the true ledger.
//! May not live here: the order of time (engine), what a strategy has been told, or the fill rules of one kind of data (matching).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::arith::{div_floor, pow10};
use crate::counters::Counters;
use crate::due::{Arrival, Queue};
use crate::event::{Event, EventKind, ABSENT, FLAG_UNSIZED};
use crate::excursion::Excursions;
use crate::fees::{FeeCurrency, FeeTotal, Liquidity};
use crate::ledger::{FillToBook, Ledger};
use crate::lifecycle::{self, Happening};
use crate::log::EventLog;
use crate::market::{Market, UNSIZED};
use crate::order::{Order, OrderRequest, OrderType, QueueAhead, Side, TimeInForce, TriggerBy};
use crate::order_table::OrderTable;
use crate::reason::Reason;
use crate::setup::{AccountKind, Setup, Source};
use crate::working::Working;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exchange {
    pub setup: Arc<Setup>,
    pub markets: Vec<Market>,
    pub working: Vec<Working>,
    pub orders: OrderTable,
    pub ledger: Ledger,
    pub log: EventLog,
    pub excursions: Excursions,
    /// Answers under way to the strategies.
    pub answers: Queue<Answered>,
    /// A bound from below of the time of the first answer; i64::MAX without one.
    pub next_answer: i64,
    /// One counter for commands, answers and timers.
    next_seq: u64,
    next_place: u64,
    /// The strategy's clock, kept by the engine.
    pub now: i64,
    /// ts_recv of the record that is being taken.
    pub ts_recv: i64,
    /// Expiries that came into being and wait to be put on a clock: (instrument, time, order).
    pub new_expiries: Vec<(u32, i64, u64)>,
    /// Something was filled since the engine last looked.
    pub filled: bool,
    pub counters: Counters,
}

/// An answer: the event it tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub event: Event,
}

impl Exchange {
    pub fn new(setup: Arc<Setup>) -> Exchange {
        Exchange {
            markets: setup
                .instruments
                .iter()
                .map(|instrument| Market::new(setup.venues[instrument.venue as usize].crossed))
                .collect(),
            working: setup.instruments.iter().map(|_| Working::default()).collect(),
            orders: OrderTable::default(),
            ledger: Ledger::new(&setup),
            log: EventLog::default(),
            excursions: Excursions::new(setup.strategies.len(), setup.instruments.len()),
            answers: Queue::default(),
            next_answer: i64::MAX,
            next_seq: 0,
            next_place: 0,
            now: i64::MIN,
            ts_recv: i64::MIN,
            new_expiries: Vec::new(),
            filled: false,
            counters: Counters::new(setup.strategies.len()),
            setup,
        }
    }

    pub fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    fn take_place(&mut self) -> u64 {
        self.next_place += 1;
        self.next_place - 1
    }

    // -------------------------------------------------------------- events

    /// Decides an event of an order: logs it, and sends its answer under way.
    pub(crate) fn decide(&mut self, kind: EventKind, id: u64, venue_time: i64, reason: Reason) {
        let event = self.event_of(kind, id, venue_time, reason);
        self.publish(event);
    }

    fn event_of(&self, kind: EventKind, id: u64, venue_time: i64, reason: Reason) -> Event {
        let order = self.orders.get(id);
        let request = &order.request;
        let venue = &self.setup.venues[self.setup.instruments[request.instrument as usize].venue as usize];
        Event {
            kind: kind as u8,
            side: request.side as u8,
            order_type: request.order_type as u8,
            time_in_force: request.time_in_force as u8,
            order_id: id,
            strategy: order.strategy,
            instrument: request.instrument,
            venue_time,
            // The engine never looks ahead in the tape to answer sooner.
            answer_time: (venue_time + venue.latency.response).max(self.ts_recv).max(self.now),
            reason: reason as u16,
            quantity: order.quantity,
            filled: order.filled,
            limit: order.limit,
            trigger: order.trigger,
            expire: order.expire,
            last_price: ABSENT,
            ..Event::default()
        }
    }

    fn publish(&mut self, event: Event) {
        let event = self.log.push(event);
        self.counters.count_event(&event);
        let seq = self.take_seq();
        self.answers.push(event.answer_time, seq, Answered { event });
        self.next_answer = self.next_answer.min(event.answer_time);
    }

    /// A rejection at admission: answered at once, without latency.
    pub fn reject_at_admission(&mut self, id: u64, reason: Reason) {
        self.transition(id, Happening::Reject);
        self.refuse_at_admission(EventKind::Rejected, id, reason);
    }

    /// An amend that is refused at admission: answered at once; the order is as it was.
    pub fn reject_amend_at_admission(&mut self, id: u64, reason: Reason) {
        self.refuse_at_admission(EventKind::AmendRejected, id, reason);
    }

    fn refuse_at_admission(&mut self, kind: EventKind, id: u64, reason: Reason) {
        let mut event = self.event_of(kind, id, self.now, reason);
        event.answer_time = self.now;
        self.publish(event);
    }

    pub(crate) fn transition(&mut self, id: u64, happening: Happening) {
        let order = self.orders.get_mut(id);
        order.state = lifecycle::next(order.state, happening)
            .unwrap_or_else(|| panic!("order {id}: {happening:?} in state {:?}", order.state));
    }

    // -------------------------------------------------------------- arrivals

    /// A command reaches its venue; it is matched completely before the next.
    pub fn arrive(&mut self, arrival: Arrival, venue_time: i64) {
        match arrival {
            Arrival::Submit(id) => self.arrive_submit(id, venue_time),
            Arrival::Cancel(id) => self.arrive_cancel(id, venue_time),
            Arrival::Amend {
                order,
                quantity,
                limit,
                trigger,
            } => self.arrive_amend(order, quantity, limit, trigger, venue_time),
        }
    }

    fn arrive_submit(&mut self, id: u64, venue_time: i64) {
        // Cancelled on its way: by now it may even be forgotten.
        if self.orders.find(id).is_none_or(Order::is_ended) {
            return;
        }
        let setup = Arc::clone(&self.setup);
        let place = self.take_place();
        let order = self.orders.get_mut(id);
        order.arrival = venue_time;
        order.entry = venue_time;
        order.place = place;
        let instrument = order.request.instrument;
        if order.request.time_in_force == TimeInForce::Day {
            let end = match &setup.instruments[instrument as usize].calendar {
                Some(calendar) => calendar.session_end(venue_time),
                None => None,
            };
            match end {
                Some(end) => order.expire = end,
                None => return self.reject(id, venue_time, Reason::NoSession),
            }
        }
        let expire = order.expire;
        if expire != ABSENT && venue_time >= expire {
            return self.reject(id, venue_time, Reason::ExpiredOnArrival);
        }
        self.transition(id, Happening::Accept);
        self.decide(EventKind::New, id, venue_time, Reason::None);
        if expire != ABSENT {
            self.new_expiries.push((instrument, expire, id));
        }
        self.enter(id, venue_time);
    }

    fn reject(&mut self, id: u64, venue_time: i64, reason: Reason) {
        self.transition(id, Happening::Reject);
        self.decide(EventKind::Rejected, id, venue_time, reason);
    }

    fn arrive_cancel(&mut self, id: u64, venue_time: i64) {
        if self.orders.get(id).is_ended() {
            let reason = Reason::of_ended(self.orders.get(id).state);
            self.decide(EventKind::CancelRejected, id, venue_time, reason);
        } else {
            let reason = self.orders.get(id).canceled_by.unwrap_or(Reason::Requested);
            self.cancel(id, venue_time, reason);
        }
    }

    fn arrive_amend(&mut self, id: u64, quantity: i64, limit: i64, trigger: i64, venue_time: i64) {
        let order = self.orders.get(id);
        let refusal = if order.is_ended() {
            Some(Reason::of_ended(order.state))
        } else if quantity != ABSENT && quantity <= order.filled {
            Some(Reason::BelowFilled)
        } else if trigger != ABSENT && order.triggered {
            Some(Reason::AlreadyTriggered)
        } else {
            None
        };
        if let Some(reason) = refusal {
            return self.decide(EventKind::AmendRejected, id, venue_time, reason);
        }
        let only_decreases = (quantity == ABSENT || quantity <= order.quantity)
            && (limit == ABSENT || limit == order.limit)
            && (trigger == ABSENT || trigger == order.trigger);
        let instrument = order.request.instrument;
        let order = self.orders.get_mut(id);
        if quantity != ABSENT {
            order.quantity = quantity;
        }
        if limit != ABSENT {
            order.limit = limit;
        }
        if trigger != ABSENT {
            order.trigger = trigger;
        }
        self.transition(id, Happening::Replace);
        self.decide(EventKind::Replaced, id, venue_time, Reason::None);
        if only_decreases {
            return;
        }
        let place = self.take_place();
        let order = self.orders.get_mut(id);
        order.place = place;
        order.arrival = venue_time;
        order.entry = venue_time;
        order.fresh = true;
        order.queue = QueueAhead::Unknown;
        self.withdraw(instrument, id);
        self.enter(id, venue_time);
    }

    /// Meets the market as a new arrival.
    fn enter(&mut self, id: u64, venue_time: i64) {
        let order = self.orders.get(id);
        let instrument = order.request.instrument;
        match self.setup.instruments[instrument as usize].source {
            Source::Bar => self.enter_bars(id, venue_time),
            _ if order.awaits_trigger() => {
                self.put_to_work(id);
                if self.is_triggered(id) {
                    self.trigger(id, venue_time, None);
                }
            }
            _ => self.execute(id, venue_time, None),
        }
    }

    /// Meets the market as a market or limit order does; what may rest, rests.
    ///
    /// `print`: the price of a late print that triggered it, which it takes.
    pub(crate) fn execute(&mut self, id: u64, venue_time: i64, print: Option<i64>) {
        let instrument = self.orders.get(id).request.instrument;
        match self.setup.instruments[instrument as usize].source {
            Source::Quote | Source::QuoteTrade if print.is_none() => self.execute_on_quote(id, venue_time),
            Source::Bar => unreachable!("bars have their own path"),
            _ => self.execute_on_print(id, venue_time, print),
        }
        let order = self.orders.get(id);
        if order.is_ended() {
            return;
        }
        if order.request.time_in_force.is_immediate() {
            return self.cancel_immediate(id, venue_time);
        }
        let queue = self.queue_at_joining(id);
        self.orders.get_mut(id).queue = queue;
        self.put_to_work(id);
    }

    /// Sets off a stop: from now on it is a market or limit order that arrived at `venue_time`.
    pub(crate) fn trigger(&mut self, id: u64, venue_time: i64, print: Option<i64>) {
        let place = self.take_place();
        let order = self.orders.get_mut(id);
        let instrument = order.request.instrument;
        order.triggered = true;
        order.arrival = venue_time;
        order.place = place;
        order.queue = QueueAhead::Unknown;
        let happening = Happening::Trigger;
        if order.filled == 0 {
            self.transition(id, happening);
        }
        self.decide(EventKind::Triggered, id, venue_time, Reason::None);
        self.withdraw(instrument, id);
        if self.setup.instruments[instrument as usize].source != Source::Bar {
            self.execute(id, venue_time, print);
        }
    }

    /// Whether the price that a stop watches has reached it.
    pub(crate) fn is_triggered(&self, id: u64) -> bool {
        let order = self.orders.get(id);
        let side = order.request.side;
        let instrument = &self.setup.instruments[order.request.instrument as usize];
        let market = &self.markets[order.request.instrument as usize];
        if self.is_crossed(order.request.instrument) {
            return false;
        }
        // Reached: at or above the stop for a buy.
        let reached = |price: i64| !side.better(price, order.trigger);
        match order.request.trigger_by {
            TriggerBy::Default if instrument.source.has_quotes() => {
                let display = market.opposite(side);
                display.is_present() && reached(display.price)
            }
            TriggerBy::Mid => {
                market.bid.is_present()
                    && market.ask.is_present()
                    && match side {
                        Side::Buy => market.bid.price + market.ask.price >= 2 * order.trigger,
                        Side::Sell => market.bid.price + market.ask.price <= 2 * order.trigger,
                    }
            }
            TriggerBy::Default | TriggerBy::Last => market.last_price.is_some_and(reached),
        }
    }

    /// Whether the quote that decides this instrument's fills is crossed: while it lasts nothing is matched.
    pub(crate) fn is_crossed(&self, instrument: u32) -> bool {
        self.setup.instruments[instrument as usize].source.has_quotes()
            && self.markets[instrument as usize].is_crossed()
    }

    // -------------------------------------------------------------- ends

    pub(crate) fn cancel(&mut self, id: u64, venue_time: i64, reason: Reason) {
        let instrument = self.orders.get(id).request.instrument;
        self.transition(id, Happening::Cancel);
        self.decide(EventKind::Canceled, id, venue_time, reason);
        self.withdraw(instrument, id);
    }

    /// Ends the rest of an IOC or FOK order.
    pub(crate) fn cancel_immediate(&mut self, id: u64, venue_time: i64) {
        let reason = match self.orders.get(id).request.time_in_force {
            TimeInForce::FillOrKill => Reason::FillOrKill,
            _ => Reason::ImmediateOrCancel,
        };
        self.cancel(id, venue_time, reason);
    }

    /// The order's time is over, if it still lives and still expires then.
    pub fn expire(&mut self, id: u64, time: i64) {
        let order = self.orders.get(id);
        if !order.is_working() || order.expire != time {
            return;
        }
        let instrument = order.request.instrument;
        self.transition(id, Happening::Expire);
        self.decide(EventKind::Expired, id, time, Reason::None);
        self.withdraw(instrument, id);
    }

    /// Cancels every order of a strategy at once, outside the latency model.
    pub fn cancel_all_at_once(&mut self, strategy: u32, reason: Reason) {
        for id in self.orders.live() {
            if self.orders.get(id).strategy == strategy {
                self.cancel(id, self.now, reason);
            }
        }
    }

    // -------------------------------------------------------------- working orders

    pub(crate) fn put_to_work(&mut self, id: u64) {
        let order = self.orders.get(id);
        self.working[order.request.instrument as usize].add(order, &self.orders);
    }

    pub(crate) fn withdraw(&mut self, instrument: u32, id: u64) {
        self.working[instrument as usize].remove(id, &self.orders);
    }

    // -------------------------------------------------------------- fills

    /// Fills up to `size` at `price` and books it; gives what was filled.
    ///
    /// In a cash account what cannot be paid with its fee is cut to lots and the rest of the order cancelled.
    pub(crate) fn fill(
        &mut self,
        id: u64,
        price: i64,
        size: i64,
        liquidity: Liquidity,
        unsized_source: bool,
        venue_time: i64,
    ) -> i64 {
        let payable = self.payable(id, price, size, liquidity);
        if payable > 0 {
            self.book_fill(id, price, payable, liquidity, unsized_source, venue_time);
        }
        if payable < size {
            self.cancel(id, venue_time, Reason::Unpayable);
        }
        payable
    }

    fn book_fill(
        &mut self,
        id: u64,
        price: i64,
        size: i64,
        liquidity: Liquidity,
        unsized_source: bool,
        venue_time: i64,
    ) {
        let setup = Arc::clone(&self.setup);
        let (total, fee) = self.fee(id, price, size, liquidity);
        let order = self.orders.get_mut(id);
        order.fee_total = total;
        order.fee_booked += fee;
        order.filled += size;
        let (strategy, request) = (order.strategy, order.request);
        let full = order.filled == order.quantity;
        assert!(
            order.filled <= order.quantity,
            "order {id} is filled above its quantity"
        );
        self.transition(
            id,
            if full {
                Happening::FullFill
            } else {
                Happening::PartialFill
            },
        );
        let booked = FillToBook {
            strategy,
            instrument: request.instrument,
            side: request.side,
            price,
            size,
            fee,
            fee_currency: self.fee_currency(request.instrument, request.side),
        };
        let is_held = self.ledger.position(strategy, request.instrument).quantity != 0;
        let (_, postings) = self.ledger.book(&setup, &booked);
        let market = &mut self.markets[request.instrument as usize];
        let noted = &mut market.extremes;
        self.excursions.end(strategy, request.instrument, noted, is_held);
        if market.doubled_mark.is_none() {
            market.mark(2 * price);
        }
        let mut event = self.event_of(EventKind::Fill, id, venue_time, Reason::None);
        event.last_price = price;
        event.last_size = size;
        event.liquidity = liquidity as u8;
        event.flags = if unsized_source { FLAG_UNSIZED } else { 0 };
        event.currency = booked.fee_currency;
        event.set_amount(fee);
        let answer_time = event.answer_time;
        self.publish(event);
        for posting in postings.into_iter().filter(|posting| posting.amount != 0) {
            let mut event = Event {
                kind: EventKind::Posting as u8,
                order_id: id,
                strategy,
                instrument: request.instrument,
                venue_time,
                answer_time,
                flags: posting.account as u8,
                currency: posting.currency,
                limit: ABSENT,
                trigger: ABSENT,
                expire: ABSENT,
                last_price: ABSENT,
                ..Event::default()
            };
            event.set_amount(posting.amount);
            self.counters.count_event(&event);
            self.log.push(event);
        }
        self.filled = true;
        if full {
            self.withdraw(request.instrument, id);
        }
    }

    /// (total so far, fee now) of a fill of this order.
    fn fee(&self, id: u64, price: i64, size: i64, liquidity: Liquidity) -> (FeeTotal, i128) {
        let order = self.orders.get(id);
        self.fee_after(
            &order.request,
            &order.fee_total,
            order.fee_booked,
            price,
            size,
            liquidity,
        )
    }

    /// The same for an order with these totals so far.
    fn fee_after(
        &self,
        request: &OrderRequest,
        so_far: &FeeTotal,
        booked: i128,
        price: i64,
        size: i64,
        liquidity: Liquidity,
    ) -> (FeeTotal, i128) {
        let instrument = &self.setup.instruments[request.instrument as usize];
        let index = self.fee_currency(request.instrument, request.side);
        let value = if index == instrument.quote {
            (price as i128 * size as i128 * instrument.factor).abs()
        } else {
            size as i128 * self.setup.balance_unit(request.instrument)
        };
        let currency = &self.setup.currencies[index as usize];
        let unit = pow10(currency.ledger_scale - currency.decimals);
        let fill = instrument.fees.fill(value, size, liquidity);
        instrument.fees.charge(so_far, booked, &fill, unit)
    }

    /// What the fee of a fill is paid in.
    fn fee_currency(&self, index: u32, side: Side) -> u32 {
        let instrument = &self.setup.instruments[index as usize];
        match (instrument.fees.currency, side, instrument.base) {
            (FeeCurrency::Received, Side::Buy, Some(base)) => base,
            _ => instrument.quote,
        }
    }

    /// How much of `size` the account can pay for: all of it on margin.
    fn payable(&self, id: u64, price: i64, size: i64, liquidity: Liquidity) -> i64 {
        if self.setup.account_kind == AccountKind::Margin {
            return size;
        }
        let order = self.orders.get(id);
        let index = order.request.instrument;
        let instrument = &self.setup.instruments[index as usize];
        let affordable = |size: i64| {
            let value = price as i128 * size as i128 * instrument.factor;
            let fee = match self.fee_currency(index, order.request.side) == instrument.quote {
                true => self.fee(id, price, size, liquidity).1,
                false => 0,
            };
            match order.request.side {
                Side::Buy => value + fee <= self.ledger.cash[instrument.quote as usize],
                Side::Sell => {
                    size as i128 <= self.sellable(index) && fee - value <= self.ledger.cash[instrument.quote as usize]
                }
            }
        };
        if affordable(size) {
            return size;
        }
        let (mut low, mut high) = (0, size / instrument.lot);
        while low < high {
            let middle = low + (high - low + 1) / 2;
            if affordable(middle * instrument.lot) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low * instrument.lot
    }

    /// Whether the account can pay for all of these (price, size) one after the other: FOK is judged on it.
    pub(crate) fn can_pay(&self, id: u64, pieces: &[(i64, i64)], liquidity: Liquidity) -> bool {
        if self.setup.account_kind == AccountKind::Margin {
            return true;
        }
        let order = self.orders.get(id);
        let index = order.request.instrument;
        let instrument = &self.setup.instruments[index as usize];
        let sign = order.request.side.sign();
        let is_in_quote = self.fee_currency(index, order.request.side) == instrument.quote;
        let (mut so_far, mut booked) = (order.fee_total, order.fee_booked);
        let mut cash = self.ledger.cash[instrument.quote as usize];
        let mut sellable = self.sellable(index);
        for (price, size) in pieces {
            let (total, fee) = self.fee_after(&order.request, &so_far, booked, *price, *size, liquidity);
            (so_far, booked) = (total, booked + fee);
            let paid = if is_in_quote { fee } else { 0 };
            cash -= sign as i128 * *price as i128 * *size as i128 * instrument.factor + paid;
            sellable += sign as i128 * *size as i128;
            if cash < 0 || sellable < 0 {
                return false;
            }
        }
        true
    }

    /// What a cash account has of an instrument to sell, raw: its net position and its opening balance of the base coin.
    fn sellable(&self, instrument: u32) -> i128 {
        sellable(&self.setup, &self.ledger, instrument)
    }

    /// Adds to the order's queue state when it starts to rest.
    fn queue_at_joining(&self, id: u64) -> QueueAhead {
        let order = self.orders.get(id);
        let index = order.request.instrument as usize;
        if self.setup.instruments[index].source != Source::QuoteTrade {
            return QueueAhead::Unknown;
        }
        let own = self.markets[index].own(order.request.side);
        if !own.is_present() || order.request.side.better(own.price, order.limit) {
            QueueAhead::Known(0)
        } else if own.price == order.limit && own.size != UNSIZED {
            QueueAhead::Known(own.size)
        } else {
            QueueAhead::Unknown
        }
    }

    /// Resting limit orders of a side, in their turn: best price first, then arrival, then place.
    pub(crate) fn in_turn(&self, instrument: u32, side: Side, takes_part: impl Fn(&Order) -> bool) -> Vec<u64> {
        let mut turn: Vec<(i64, i64, u64, u64)> = self.working[instrument as usize]
            .ids
            .iter()
            .map(|id| self.orders.get(*id))
            .filter(|order| order.request.side == side && order.rests_as_limit() && takes_part(order))
            .map(|order| (-side.sign() * order.limit, order.arrival, order.place, order.id))
            .collect();
        turn.sort_unstable();
        turn.into_iter().map(|row| row.3).collect()
    }

    /// Both sides' orders, the side first whose oldest order that the record can fill is older.
    pub(crate) fn sides_in_turn(
        &self,
        buys: Vec<u64>,
        sells: Vec<u64>,
        can_fill: impl Fn(&Order) -> bool,
    ) -> [(Side, Vec<u64>); 2] {
        let oldest = |ids: &[u64]| {
            ids.iter()
                .map(|id| self.orders.get(*id))
                .filter(|order| can_fill(order))
                .map(|order| (order.arrival, order.place))
                .min()
                .unwrap_or((i64::MAX, u64::MAX))
        };
        if oldest(&buys) <= oldest(&sells) {
            [(Side::Buy, buys), (Side::Sell, sells)]
        } else {
            [(Side::Sell, sells), (Side::Buy, buys)]
        }
    }

    /// Stops that wait and whose price is reached, by id.
    pub(crate) fn reached_stops(&self, instrument: u32, takes_part: impl Fn(&Order) -> bool) -> Vec<u64> {
        self.working[instrument as usize]
            .ids
            .iter()
            .copied()
            .filter(|id| {
                let order = self.orders.get(*id);
                order.awaits_trigger() && takes_part(order) && self.is_triggered(*id)
            })
            .collect()
    }

    /// Whether an order type bears slippage: what takes at any price.
    pub(crate) fn bears_slippage(order: &Order) -> bool {
        matches!(order.request.order_type, OrderType::Market | OrderType::StopMarket)
    }

    pub fn doubled_mark(&self, instrument: u32) -> Option<i64> {
        self.markets[instrument as usize].doubled_mark
    }
}

/// What a cash account has of an instrument to sell, raw, by the given ledger.
pub fn sellable(setup: &Setup, ledger: &Ledger, instrument: u32) -> i128 {
    div_floor(sold_from(setup, ledger, instrument), setup.balance_unit(instrument))
}

/// The balance that selling an instrument draws on: that of its base coin, or of the instrument itself where it has none.
///
/// A coin is one balance, wherever it was bought: all instruments with the same base share it.
pub fn sold_from(setup: &Setup, ledger: &Ledger, instrument: u32) -> i128 {
    let traded: i128 = (0..setup.instruments.len() as u32)
        .filter(|one| shares_balance(setup, *one, instrument))
        .map(|one| ledger.net[one as usize] as i128 * setup.balance_unit(one))
        .sum();
    let opening = setup.instruments[instrument as usize].base;
    opening.map_or(0, |base| ledger.cash[base as usize]) + traded
}

/// Whether two instruments are sold from one balance.
pub fn shares_balance(setup: &Setup, one: u32, other: u32) -> bool {
    let base = |instrument: u32| setup.instruments[instrument as usize].base;
    one == other || (base(one).is_some() && base(one) == base(other))
}
