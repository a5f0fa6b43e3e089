//! The checker: reads a tape and the events of its run, and holds laws 1 to 6 against them with arithmetic of its own.
//! May not live here: any call of the engine's own rules.

#![allow(dead_code)]

use replay_core::event::{Event, EventKind, ABSENT, FLAG_UNSIZED, LIQUIDITY_MAKER};
use replay_core::order::{OrderType, TimeInForce};
use replay_core::reason::Reason;
use replay_core::record::{Kind, OperatorCommand, Record};
use replay_core::setup::{AccountKind, BarMarket, BeyondTop, Sizes, Source, VenueText};

use super::world::{Outcome, World};
use super::BAR;

/// Amounts are in cents, prices and sizes whole.
const FACTOR: i128 = 100;
const RATE_UNIT: i128 = 10_000_000_000;

/// One side of a quote while its best price stays.
#[derive(Clone, Copy, Default)]
struct Stint {
    price: i64,
    size: i64,
    /// Size at its beginning and all increases since.
    supply: i64,
    /// Taken from the top and from each synthetic level.
    used: [i64; 11],
}

impl Stint {
    fn show(&mut self, price: i64, size: i64) {
        if price == self.price && size != 0 && self.size != 0 {
            self.supply += (size - self.size).max(0);
        } else {
            *self = Stint {
                price,
                supply: size,
                ..Stint::default()
            };
        }
        self.size = size;
    }
}

#[derive(Clone)]
struct Book {
    /// What buys take from, and what sells take from.
    ask: Stint,
    bid: Stint,
    quote_time: i64,
    trade_time: i64,
    bar_end: i64,
    bar: Option<Record>,
    previous_bar: Option<Record>,
    bar_start: i64,
    bar_used: i64,
    doubled_mark: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    Live,
    Ended,
}

struct Follow {
    life: Life,
    quantity: i64,
    filled: i64,
    limit: i64,
    trigger: i64,
    entry: i64,
    /// Earliest venue time that a fill may have.
    arrival: i64,
    triggered_seq: Option<u64>,
    fee_parts: i128,
    fee_value: i128,
    fee_booked: i128,
}

pub struct Checker<'a> {
    world: &'a World,
    books: Vec<Book>,
    watermarks: Vec<Option<i64>>,
    orders: Vec<Option<Follow>>,
    cash: i128,
    net: Vec<i64>,
    posted: i128,
    /// A stop is on the tape, and neither pause nor resume since.
    is_stopped: bool,
}

fn number(text: &str, decimals: u32) -> i128 {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let padded = format!("{whole}{part:0<width$}", width = decimals as usize);
    let value: i128 = padded.parse().expect("a number");
    if negative {
        -value
    } else {
        value
    }
}

/// Checks a whole run; panics with the law that is broken.
pub fn check(world: &World, outcome: &Outcome) {
    let mut checker = Checker {
        world,
        books: vec![
            Book {
                ask: Stint::default(),
                bid: Stint::default(),
                quote_time: i64::MIN,
                trade_time: i64::MIN,
                bar_end: i64::MIN,
                bar: None,
                previous_bar: None,
                bar_start: 0,
                bar_used: 0,
                doubled_mark: None,
            };
            world.text.instruments.len()
        ],
        watermarks: vec![
            None;
            if world.text.one_clock {
                1
            } else {
                world.text.venues.len()
            }
        ],
        orders: Vec::new(),
        cash: number(&world.text.account.cash["USD"], 2),
        net: vec![0; world.text.instruments.len()],
        posted: 0,
        is_stopped: false,
    };
    let mut events = outcome.events.iter().peekable();
    let mut points = outcome.points.iter().peekable();
    for (seq, record) in world.tape.iter().enumerate() {
        let seq = seq as u64;
        let mut own = Vec::new();
        while let Some(event) = events.next_if(|event| event.tape_seq == seq) {
            own.push(*event);
        }
        assert!(
            own.iter()
                .enumerate()
                .all(|(index, event)| event.index as usize == index),
            "events are numbered"
        );
        checker.take(record, &own);
        if let Some(point) = points.next_if(|point| point.tape_seq == seq) {
            assert_eq!(
                Some(point.doubled_equity),
                checker.doubled_equity(),
                "law 6: equity after record {seq}"
            );
            assert_eq!(point.cash, checker.cash, "law 6: cash after record {seq}");
        }
    }
    assert!(
        events.next().is_none() && points.next().is_none(),
        "events and points of no record"
    );
    checker.compare_end(outcome);
}

impl Checker<'_> {
    fn clock_of(&self, instrument: u32) -> usize {
        if self.world.text.one_clock {
            0
        } else {
            self.world.text.instruments[instrument as usize].venue as usize
        }
    }

    fn venue(&self, instrument: u32) -> &VenueText {
        &self.world.text.venues[self.world.text.instruments[instrument as usize].venue as usize]
    }

    fn lot(&self, instrument: u32) -> i64 {
        self.world.text.instruments[instrument as usize]
            .lot
            .parse()
            .expect("a lot")
    }

    fn has_sizes(&self, instrument: u32) -> bool {
        self.world.text.instruments[instrument as usize].sizes == Sizes::Full
    }

    fn doubled_equity(&self) -> Option<i128> {
        let mut equity = 2 * self.cash;
        for (net, book) in self.net.iter().zip(&self.books) {
            if *net != 0 {
                equity += *net as i128 * book.doubled_mark? as i128 * FACTOR;
            }
        }
        Some(equity)
    }

    fn take(&mut self, record: &Record, events: &[Event]) {
        let was_stopped = self.is_stopped;
        if record.kind == Kind::Command as u8 {
            let is = |command: OperatorCommand| record.a == command as i64;
            self.is_stopped = is(OperatorCommand::Stop)
                || (self.is_stopped && !is(OperatorCommand::Pause) && !is(OperatorCommand::Resume));
        }
        if was_stopped && self.is_stopped {
            assert!(events.is_empty(), "nothing is decided after a stop");
            return;
        }
        let is_data = record.kind <= Kind::Bar as u8;
        let clock = is_data.then(|| self.clock_of(record.instrument));
        let event_time = clock.map(|clock| self.watermarks[clock].unwrap_or(i64::MIN).max(record.ts_event));
        let is_late = clock.is_some_and(|clock| self.watermarks[clock].is_some_and(|mark| record.ts_event < mark));
        // Before the record: what is stamped before its time. A late one finds nothing due.
        let is_before = |event: &Event| {
            is_data
                && !is_late
                && event.instrument == record.instrument
                && event.venue_time < event_time.expect("data has a time")
                && record.kind != Kind::Bar as u8
        };
        // Events are in the order of decision: all of the instrument's that come before stand first.
        let split = events.iter().rposition(is_before).map_or(0, |last| last + 1);
        // On bars the fills are stamped within the bar, so that only those before its start are earlier for sure.
        for event in &events[..split] {
            self.follow(record, event, true);
        }
        if is_data {
            let clock = clock.expect("data has a clock");
            self.watermarks[clock] = event_time;
            self.apply(record, is_late);
        } else if record.kind == Kind::Clock as u8 {
            for (index, mark) in self.watermarks.iter_mut().enumerate() {
                if self.world.text.one_clock || record.a < 0 || record.a == index as i64 {
                    *mark = Some(mark.unwrap_or(i64::MIN).max(record.ts_event));
                }
            }
        }
        for event in events {
            let venue = self.venue(event.instrument);
            let is_refusal = [EventKind::Rejected, EventKind::AmendRejected].map(|kind| kind as u8);
            let is_refused_here = is_refusal.contains(&event.kind) && event.answer_time == event.venue_time;
            let earliest = record.ts_recv.max(event.venue_time + venue.latency_ns.response);
            assert!(
                is_refused_here || event.answer_time >= earliest,
                "law 8: no answer before the record that decides it, nor before its latency"
            );
        }
        let mut print_used = 0;
        for event in &events[split..] {
            print_used += self.follow(record, event, false);
        }
        if record.kind == Kind::Trade as u8 && self.has_sizes(record.instrument) {
            let lot = self.lot(record.instrument);
            assert!(
                print_used <= record.b - record.b % lot,
                "law 2: a print gives its size once"
            );
        }
        assert_eq!(self.posted, 0, "law 6: postings sum to zero");
        if self.world.text.account.kind == AccountKind::Cash {
            assert!(self.cash >= 0, "a cash account never borrows");
            assert!(self.net.iter().all(|net| *net >= 0), "a cash account is never short");
        }
    }

    fn apply(&mut self, record: &Record, is_late: bool) {
        let source = self.world.instrument_source(record.instrument);
        let has_sizes = self.has_sizes(record.instrument);
        let book = &mut self.books[record.instrument as usize];
        if record.kind == Kind::Quote as u8 {
            if record.ts_event < book.quote_time {
                return;
            }
            book.quote_time = record.ts_event;
            let (bid_size, ask_size) = if has_sizes { (record.c, record.d) } else { (1, 1) };
            book.bid.show(record.a, bid_size);
            book.ask.show(record.b, ask_size);
            let decides = matches!(source, Source::Quote | Source::QuoteTrade);
            if decides && bid_size != 0 && ask_size != 0 {
                book.doubled_mark = Some(record.a + record.b);
            }
        } else if record.kind == Kind::Trade as u8 {
            let is_newest = !is_late || record.ts_event >= book.trade_time;
            book.trade_time = book.trade_time.max(record.ts_event);
            if is_newest && source == Source::Trade {
                book.doubled_mark = Some(2 * record.a);
            }
        } else if record.ts_event > book.bar_end {
            book.bar_start = (record.ts_event - BAR).max(book.bar_end);
            book.bar_end = record.ts_event;
            book.previous_bar = book.bar.replace(*record);
            book.bar_used = 0;
            if source == Source::Bar {
                book.doubled_mark = Some(2 * record.d);
            }
        }
    }

    /// Follows one event; gives what a print gave of itself.
    fn follow(&mut self, record: &Record, event: &Event, is_before: bool) -> i64 {
        let id = event.order_id as usize;
        let kind = event.kind;
        let is = |wanted: EventKind| kind == wanted as u8;
        if is(EventKind::Posting) {
            self.posted += event.amount();
            return 0;
        }
        assert_eq!(self.posted, 0, "law 6: postings of a fill sum to zero");
        if is(EventKind::New) || is(EventKind::Rejected) {
            while self.orders.len() <= id {
                self.orders.push(None);
            }
            assert!(self.orders[id].is_none(), "law 5: ids never repeat");
            self.orders[id] = Some(Follow {
                life: if is(EventKind::New) { Life::Live } else { Life::Ended },
                quantity: event.quantity,
                filled: 0,
                limit: event.limit,
                trigger: event.trigger,
                entry: event.venue_time,
                arrival: event.venue_time,
                triggered_seq: None,
                fee_parts: 0,
                fee_value: 0,
                fee_booked: 0,
            });
            return 0;
        }
        if is(EventKind::AmendRejected) && event.reason == Reason::Paused as u16 {
            // Refused before it left, perhaps before its order had arrived.
            return 0;
        }
        let order = self.orders[id]
            .as_mut()
            .expect("law 5: an order is new before anything else");
        if is(EventKind::CancelRejected) || is(EventKind::AmendRejected) {
            assert!(
                is(EventKind::AmendRejected) || order.life == Life::Ended,
                "law 5: only an ended order's cancel fails"
            );
            return 0;
        }
        assert_eq!(order.life, Life::Live, "law 5: an ended order never moves");
        if is(EventKind::Replaced) {
            assert!(
                event.quantity > order.filled,
                "law 5: the total stays above what is filled"
            );
            let only_decreases =
                event.quantity <= order.quantity && event.limit == order.limit && event.trigger == order.trigger;
            (order.quantity, order.limit, order.trigger) = (event.quantity, event.limit, event.trigger);
            if !only_decreases {
                order.arrival = event.venue_time;
                order.entry = event.venue_time;
            }
        } else if is(EventKind::Triggered) {
            assert!(order.triggered_seq.is_none(), "law 5: an order triggers once");
            assert!(
                event.venue_time >= order.arrival,
                "law 3: no trigger before the arrival"
            );
            order.triggered_seq = Some(event.tape_seq);
            order.arrival = event.venue_time;
        } else if is(EventKind::Canceled) || is(EventKind::Expired) {
            assert!(event.venue_time >= order.arrival.min(event.venue_time), "law 3");
            order.life = Life::Ended;
            assert_eq!(event.filled, order.filled, "law 5");
        } else {
            return self.follow_fill(record, event, is_before);
        }
        0
    }

    fn follow_fill(&mut self, record: &Record, event: &Event, is_before: bool) -> i64 {
        let index = event.instrument as usize;
        let source = self.world.instrument_source(event.instrument);
        let venue = self.venue(event.instrument).clone();
        let has_sizes = self.has_sizes(event.instrument);
        let lot = self.lot(event.instrument);
        let is_buy = event.side == 1;
        let is_maker = event.liquidity == LIQUIDITY_MAKER;
        let order = self.orders[event.order_id as usize].as_mut().expect("followed");

        // Law 5: amounts add up.
        order.filled += event.last_size;
        assert!(
            event.last_size > 0 && event.last_size % lot == 0,
            "a fill is of whole lots"
        );
        assert_eq!((event.filled, event.quantity), (order.filled, order.quantity), "law 5");
        assert!(order.filled <= order.quantity, "law 5: no more than asked for");
        if order.filled == order.quantity {
            order.life = Life::Ended;
        }
        // Law 1: never worse than the limit; a stop's first take never better than its stop.
        let has_limit = event.order_type == OrderType::Limit as u8 || event.order_type == OrderType::StopLimit as u8;
        if has_limit {
            let is_within = if is_buy {
                event.last_price <= order.limit
            } else {
                event.last_price >= order.limit
            };
            assert!(is_within, "law 1: {event:?}");
        }
        // Law 3: venue time.
        assert!(
            event.venue_time >= order.arrival,
            "law 3: {} before the arrival {}",
            event.venue_time,
            order.arrival
        );
        if event.expire != ABSENT {
            let in_time =
                event.venue_time < event.expire || (source == Source::Bar && event.venue_time == event.expire);
            assert!(
                in_time,
                "law 3: filled at {} after its expiry {}",
                event.venue_time, event.expire
            );
        }
        // Fees, on the order's running total, half up.
        let rate = number(if is_maker { &venue.fees.maker } else { &venue.fees.taker }, 10);
        let value = event.last_price as i128 * event.last_size as i128 * FACTOR;
        order.fee_parts += value * rate;
        order.fee_value += value;
        let given = |text: &Option<String>| text.as_ref().map(|text| number(text, 2) * RATE_UNIT);
        let mut parts = order.fee_parts + given(&venue.fees.per_order).unwrap_or(0);
        if let Some(per_share) = &venue.fees.per_share {
            parts += number(per_share, 12) * order.filled as i128;
        }
        parts = parts.max(given(&venue.fees.minimum).unwrap_or(i128::MIN));
        if let Some(rate) = &venue.fees.maximum_rate {
            parts = parts.min(order.fee_value * number(rate, 10));
        }
        let fee = (parts + RATE_UNIT / 2).div_euclid(RATE_UNIT) - order.fee_booked;
        order.fee_booked += fee;
        // Whatever its fills, an order has paid no less than the minimum and no more than the cap, to half a cent.
        let paid = order.fee_booked * RATE_UNIT;
        let cap = venue
            .fees
            .maximum_rate
            .as_ref()
            .map_or(i128::MAX, |rate| order.fee_value * number(rate, 10));
        assert!(
            paid - RATE_UNIT / 2 <= cap,
            "an order paid more than its cap: {event:?}"
        );
        if let Some(minimum) = given(&venue.fees.minimum) {
            assert!(
                paid + RATE_UNIT / 2 >= minimum.min(cap),
                "an order paid less than the minimum: {event:?}"
            );
        }
        assert_eq!(event.amount(), fee, "the fee of {event:?}");
        // Law 6: cash.
        let sign = if is_buy { 1 } else { -1 };
        self.cash -= sign as i128 * value + fee;
        self.net[index] += sign * event.last_size;
        let (entry, triggered_seq) = (order.entry, order.triggered_seq);
        let stop = order.trigger;
        let book = &mut self.books[index];
        if book.doubled_mark.is_none() {
            book.doubled_mark = Some(2 * event.last_price);
        }
        let is_unsized = event.flags & FLAG_UNSIZED != 0;
        let slips = venue.slippage_ticks > 0;
        match source {
            Source::Bar => {
                let bar = book.bar.expect("law 4: a bar fills");
                // A timer at a bar's end may still send for its close, while the next bar is being taken.
                let takes_previous = book.previous_bar.is_some_and(|previous| {
                    venue.bar_market == BarMarket::ThisClose
                        && event.order_type == OrderType::Market as u8
                        && event.venue_time == previous.ts_event
                        && entry == previous.ts_event
                        && (previous.c..=previous.b).contains(&event.last_price)
                });
                if takes_previous {
                    return 0;
                }
                assert!(
                    (bar.c..=bar.b).contains(&event.last_price),
                    "law 4: {} outside of [{}, {}]",
                    event.last_price,
                    bar.c,
                    bar.b
                );
                let takes_close = venue.bar_market == BarMarket::ThisClose
                    && event.order_type == OrderType::Market as u8
                    && event.venue_time == book.bar_end
                    && entry == book.bar_end;
                assert!(
                    takes_close || entry <= book.bar_start + venue.bar_grace_ns,
                    "law 4: the bar began at {}, the order entered at {entry}",
                    book.bar_start
                );
                assert!(event.venue_time <= book.bar_end, "law 4: after the bar");
                if event.order_type == OrderType::StopMarket as u8 && triggered_seq == Some(event.tape_seq) {
                    let is_no_better = if is_buy {
                        event.last_price >= stop
                    } else {
                        event.last_price <= stop
                    };
                    assert!(is_no_better, "law 1: a stop is no gift");
                }
                assert_eq!(is_unsized, !has_sizes, "unsized sources are marked");
                book.bar_used += event.last_size;
                if has_sizes {
                    let share = number(&venue.max_share, 6) * bar.e as i128 / 1_000_000;
                    assert!(book.bar_used as i128 <= share, "law 2: a bar gives its share once");
                }
                0
            }
            Source::Trade if !is_maker => {
                assert!(is_unsized, "takers on trade data are marked");
                0
            }
            Source::Trade => {
                assert!(!is_before && record.kind == Kind::Trade as u8 && record.instrument as usize == index);
                assert_eq!(is_unsized, !has_sizes, "unsized sources are marked");
                event.last_size
            }
            Source::Quote | Source::QuoteTrade => {
                let is_own = record.instrument as usize == index;
                if is_maker && record.kind == Kind::Trade as u8 && is_own {
                    assert_eq!(source, Source::QuoteTrade, "prints fill nothing on quotes alone");
                    return event.last_size;
                }
                let crossed = book.bid.size != 0 && book.ask.size != 0 && book.bid.price > book.ask.price;
                // A late print that triggers a stop on the last price is taken at its price (worse by the slippage).
                let slippage = if has_limit { 0 } else { sign * venue.slippage_ticks };
                let is_late_print = record.kind == Kind::Trade as u8
                    && is_own
                    && triggered_seq == Some(event.tape_seq)
                    && event.last_price == record.a + slippage
                    && is_unsized;
                if is_late_print {
                    return 0;
                }
                assert!(!crossed, "nothing is matched while the quote is crossed");
                let stint = if is_buy { &mut book.ask } else { &mut book.bid };
                assert!(stint.size > 0, "no fill from an absent side");
                if is_maker {
                    assert!(
                        record.kind == Kind::Quote as u8 && is_own && !is_before,
                        "a quote serves resting limits"
                    );
                    assert_eq!(event.last_price, event.limit, "a maker fills at its limit");
                }
                assert_eq!(
                    is_unsized,
                    !has_sizes || (!is_maker && venue.beyond_top == BeyondTop::All),
                    "what has no size is marked"
                );
                let level = if is_maker {
                    0
                } else {
                    (event.last_price - stint.price) * sign
                };
                assert!(level >= 0, "law 1: never better than the best");
                if !is_unsized && (is_maker || !slips) {
                    assert!(level <= 10, "ten further levels at most");
                    assert!(level == 0 || venue.beyond_top == BeyondTop::Walk, "top only");
                    stint.used[level as usize] += event.last_size;
                    assert!(
                        stint.used[level as usize] <= stint.supply,
                        "law 2: level {level} gives its size once"
                    );
                }
                0
            }
        }
    }

    fn compare_end(&self, outcome: &Outcome) {
        let exchange = &outcome.engine.exchange;
        assert!(exchange.ledger.is_balanced(&exchange.setup), "law 6: the books balance");
        assert_eq!(exchange.ledger.cash[0], self.cash, "law 6: cash");
        assert_eq!(exchange.ledger.net, self.net, "law 6: positions");
        for (id, order) in self.orders.iter().enumerate() {
            let Some(order) = order else { continue };
            let leaves = if order.life == Life::Live {
                order.quantity - order.filled
            } else {
                0
            };
            let engines = exchange.orders.get(id as u64);
            assert_eq!(
                (engines.leaves(), engines.filled),
                (leaves, order.filled),
                "law 5: order {id}"
            );
            let is_immediate =
                [TimeInForce::ImmediateOrCancel, TimeInForce::FillOrKill].contains(&engines.request.time_in_force);
            let waits =
                engines.awaits_trigger() || self.world.instrument_source(engines.request.instrument) == Source::Bar;
            assert!(!is_immediate || waits || leaves == 0, "IOC and FOK never rest");
            let is_whole = engines.request.time_in_force == TimeInForce::FillOrKill && engines.is_ended();
            assert!(
                !is_whole || order.filled == 0 || order.filled == order.quantity,
                "FOK is filled whole or not at all"
            );
        }
    }
}
