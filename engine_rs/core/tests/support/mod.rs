//! The harness of the core's tests: a setup in few words, records, a scripted strategy, and a run's events as a readable story.
//! May not live here: any rule of the engine; what is expected stands in the tests.

#![allow(dead_code)]

pub mod checker;
pub mod world;

use replay_core::counters::Counters;
use replay_core::engine::{Call, Engine, Halt, Step};
use replay_core::event::{Event, EventKind, ABSENT, FLAG_UNSIZED, LIQUIDITY_MAKER};
use replay_core::order::{OrderRequest, OrderType, Side, TimeInForce, TriggerBy};
use replay_core::reason::Reason;
use replay_core::record::{Kind, OperatorCommand, Record};
use replay_core::setup::{
    AccountKind, AccountText, CurrencyText, FeesText, InstrumentText, Latency, RiskText, Setup, SetupText, Sizes,
    Source, StrategyText, VenueText,
};

pub const BUY: u8 = 1;
pub const SELL: u8 = 2;
pub const ALL_HANDLERS: u32 = u32::MAX;
/// Length of the bars of `bars()`.
pub const BAR: i64 = 30;

// ------------------------------------------------------------------ setup

/// One venue without fees or latency, one instrument "A" of tick 1 and lot 1, a margin account of 1,000,000 USD.
pub fn setup(source: Source) -> SetupText {
    SetupText {
        seed: 7,
        trading_start_ns: None,
        equity_every_ns: 1_000_000_000,
        one_clock: true,
        max_ahead_ns: 10_000_000_000,
        max_gap_ns: 30 * 86_400_000_000_000,
        plausible_from_ns: None,
        late: Default::default(),
        leap: replay_core::setup::Policy::Quarantine,
        gap: replay_core::setup::Policy::Halt,
        bar_lengths: vec![BAR],
        currencies: vec![CurrencyText {
            name: "USD".into(),
            decimals: 2,
        }],
        account: AccountText {
            kind: AccountKind::Margin,
            leverage: "10".into(),
            currency: "USD".into(),
            cash: [("USD".to_string(), "1000000".to_string())].into(),
        },
        risk: RiskText::default(),
        venues: vec![venue("X")],
        instruments: vec![instrument("A", 0, source)],
        strategies: vec![StrategyText { name: "one".into() }],
    }
}

pub fn quotes() -> SetupText {
    setup(Source::Quote)
}

pub fn trades() -> SetupText {
    setup(Source::Trade)
}

pub fn quotes_and_trades() -> SetupText {
    setup(Source::QuoteTrade)
}

pub fn bars() -> SetupText {
    setup(Source::Bar)
}

pub fn venue(name: &str) -> VenueText {
    VenueText {
        name: name.into(),
        fees: FeesText {
            maker: "0".into(),
            taker: "0".into(),
            rounding: Default::default(),
            per_share: None,
            per_order: None,
            minimum: None,
            maximum_rate: None,
            currency: Default::default(),
        },
        latency_ns: Latency::default(),
        beyond_top: Default::default(),
        shown_size: Default::default(),
        crossed: Default::default(),
        slippage_ticks: 0,
        print_at_limit: Default::default(),
        bar_touch: false,
        bar_path: Default::default(),
        bar_market: Default::default(),
        max_share: "1".into(),
        bar_grace_ns: 0,
    }
}

pub fn instrument(symbol: &str, venue: u32, source: Source) -> InstrumentText {
    InstrumentText {
        symbol: symbol.into(),
        venue,
        tick: "1".into(),
        lot: "1".into(),
        price_decimals: 0,
        size_decimals: 0,
        quote: "USD".into(),
        base: None,
        multiplier: "1".into(),
        min_notional: None,
        allow_negative_price: false,
        source,
        sizes: Sizes::Full,
        bar_length: (source == Source::Bar).then_some(0),
        bar_price: replay_core::record::BarPrice::Trade,
        kinds: vec!["quote".into(), "trade".into(), "bar".into()],
        sessions: None,
    }
}

/// The account as a cash account with this much USD.
pub fn with_cash(mut text: SetupText, cash: &str) -> SetupText {
    text.account.kind = AccountKind::Cash;
    text.account.leverage = "1".into();
    text.account.cash = [("USD".to_string(), cash.to_string())].into();
    text
}

/// Two strategies instead of one.
pub fn with_two_strategies(mut text: SetupText) -> SetupText {
    text.strategies.push(StrategyText { name: "two".into() });
    text
}

/// Instruments "A" on venue 0 and "B" on venue 1, each venue with a clock of its own.
pub fn with_two_venues(mut text: SetupText) -> SetupText {
    text.one_clock = false;
    text.venues.push(venue("Y"));
    let source = text.instruments[0].source;
    text.instruments.push(instrument("B", 1, source));
    text
}

// ------------------------------------------------------------------ records

fn record(kind: Kind, time: i64) -> Record {
    Record {
        ts_event: time,
        ts_recv: time,
        kind: kind as u8,
        ..Record::default()
    }
}

/// A quote with 10 on each side.
pub fn quote(time: i64, bid: i64, ask: i64) -> Record {
    sized_quote(time, (bid, 10), (ask, 10))
}

/// (price, size) of bid and ask; size 0: the side is absent.
pub fn sized_quote(time: i64, bid: (i64, i64), ask: (i64, i64)) -> Record {
    Record {
        a: bid.0,
        b: ask.0,
        c: bid.1,
        d: ask.1,
        ..record(Kind::Quote, time)
    }
}

/// A trade without aggressor.
pub fn trade(time: i64, price: i64, size: i64) -> Record {
    Record {
        a: price,
        b: size,
        ..record(Kind::Trade, time)
    }
}

/// A bar that ends at `end`: open, high, low, close; volume 1,000.
pub fn bar(end: i64, prices: [i64; 4]) -> Record {
    let [a, b, c, d] = prices;
    Record {
        a,
        b,
        c,
        d,
        e: 1_000,
        ..record(Kind::Bar, end)
    }
}

/// A Clock record of one venue; -1: of all.
pub fn clock(time: i64, venue: i64) -> Record {
    Record {
        a: venue,
        ..record(Kind::Clock, time)
    }
}

pub fn command(time: i64, what: OperatorCommand) -> Record {
    Record {
        a: what as i64,
        ..record(Kind::Command, time)
    }
}

pub trait Shape {
    fn on(self, instrument: u32) -> Self;
}

impl Shape for Record {
    fn on(self, instrument: u32) -> Record {
        Record { instrument, ..self }
    }
}

pub trait Received {
    fn received(self, time: i64) -> Self;
    /// The aggressor of a trade.
    fn by(self, side: u8) -> Self;
    fn volume(self, volume: i64) -> Self;
}

impl Received for Record {
    fn received(self, time: i64) -> Record {
        Record { ts_recv: time, ..self }
    }
    fn by(self, side: u8) -> Record {
        Record { side, ..self }
    }
    fn volume(self, volume: i64) -> Record {
        Record { e: volume, ..self }
    }
}

// ------------------------------------------------------------------ orders

/// A market order of instrument 0, to be shaped further.
pub fn order(side: Side, quantity: i64) -> OrderRequest {
    OrderRequest {
        instrument: 0,
        side,
        order_type: OrderType::Market,
        time_in_force: TimeInForce::GoodTillCanceled,
        trigger_by: TriggerBy::Default,
        quantity,
        limit: ABSENT,
        trigger: ABSENT,
        expire: ABSENT,
        is_target: false,
    }
}

pub fn buy(quantity: i64) -> OrderRequest {
    order(Side::Buy, quantity)
}

pub fn sell(quantity: i64) -> OrderRequest {
    order(Side::Sell, quantity)
}

impl Shape for OrderRequest {
    fn on(self, instrument: u32) -> OrderRequest {
        OrderRequest { instrument, ..self }
    }
}

pub trait ShapeOrder {
    fn limit(self, price: i64) -> Self;
    fn stop(self, price: i64) -> Self;
    fn ioc(self) -> Self;
    fn fok(self) -> Self;
    fn day(self) -> Self;
    fn until(self, time: i64) -> Self;
    fn watching(self, trigger_by: TriggerBy) -> Self;
}

impl ShapeOrder for OrderRequest {
    fn limit(mut self, price: i64) -> OrderRequest {
        self.limit = price;
        self.order_type = if self.order_type.is_stop() {
            OrderType::StopLimit
        } else {
            OrderType::Limit
        };
        self
    }
    fn stop(mut self, price: i64) -> OrderRequest {
        self.trigger = price;
        self.order_type = if self.order_type.has_limit() {
            OrderType::StopLimit
        } else {
            OrderType::StopMarket
        };
        self
    }
    fn ioc(mut self) -> OrderRequest {
        self.time_in_force = TimeInForce::ImmediateOrCancel;
        self
    }
    fn fok(mut self) -> OrderRequest {
        self.time_in_force = TimeInForce::FillOrKill;
        self
    }
    fn day(mut self) -> OrderRequest {
        self.time_in_force = TimeInForce::Day;
        self
    }
    fn until(mut self, time: i64) -> OrderRequest {
        self.time_in_force = TimeInForce::GoodTillDate;
        self.expire = time;
        self
    }
    fn watching(mut self, trigger_by: TriggerBy) -> OrderRequest {
        self.trigger_by = trigger_by;
        self
    }
}

/// Sends an order that must pass the checks at the user's line.
pub fn send(engine: &mut Engine, request: OrderRequest) -> u64 {
    engine.submit(request).expect("an order without fault")
}

// ------------------------------------------------------------------ runs

/// One call of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    pub tape_seq: u64,
    pub now: i64,
    pub strategy: u32,
    pub call: Call,
}

pub struct Run {
    pub engine: Engine,
    pub events: Vec<Event>,
    pub calls: Vec<Called>,
    pub halt: Option<Halt>,
}

pub fn engine_of(text: &SetupText) -> Engine {
    let setup = Setup::new(text).expect("a setup without fault");
    let handlers = vec![ALL_HANDLERS; setup.strategies.len()];
    Engine::new(setup, &handlers)
}

/// Runs a tape with one script for all strategies; it is called at every handler.
pub fn play_all(text: &SetupText, tape: &[Record], mut script: impl FnMut(&mut Engine, u32, Call)) -> Run {
    let mut engine = engine_of(text);
    let mut calls = Vec::new();
    let mut position = 0;
    let halt = loop {
        match engine.advance(tape, &mut position) {
            Ok(Step::Exhausted) => break None,
            Ok(Step::Call { strategy, call }) => {
                calls.push(Called {
                    tape_seq: engine.tape_seq,
                    now: engine.now(),
                    strategy,
                    call,
                });
                script(&mut engine, strategy, call);
            }
            Err(halt) => break Some(halt),
        }
    };
    let events = engine.exchange.log.take();
    assert!(
        halt.is_some() || engine.exchange.ledger.is_balanced(&engine.exchange.setup),
        "the ledger is balanced"
    );
    Run {
        engine,
        events,
        calls,
        halt,
    }
}

/// The same for one strategy.
pub fn play(text: &SetupText, tape: &[Record], mut script: impl FnMut(&mut Engine, Call)) -> Run {
    play_all(text, tape, |engine, _, call| script(engine, call))
}

/// Sends these orders in the first record's handler (or on_bar) at these times, and does nothing else.
pub fn play_orders(text: &SetupText, tape: &[Record], orders: &[(i64, OrderRequest)]) -> Run {
    let mut left: Vec<(i64, OrderRequest)> = orders.to_vec();
    let run = play(text, tape, |engine, call| {
        if !matches!(call, Call::Quote | Call::Trade | Call::Bar(_)) {
            return;
        }
        let now = engine.now();
        for (_, request) in left.iter().filter(|row| row.0 == now) {
            send(engine, *request);
        }
        left.retain(|row| row.0 != now);
    });
    assert!(left.is_empty(), "no record's handler at {:?}", left[0].0);
    run
}

impl Run {
    /// Events without postings, one line each: time, what, order, details.
    pub fn story(&self) -> Vec<String> {
        self.events
            .iter()
            .filter(|event| event.kind != EventKind::Posting as u8)
            .map(line)
            .collect()
    }

    /// Only the fills and how orders ended.
    pub fn outcome(&self) -> Vec<String> {
        let quiet = [
            EventKind::New as u8,
            EventKind::Triggered as u8,
            EventKind::Posting as u8,
        ];
        self.events
            .iter()
            .filter(|event| !quiet.contains(&event.kind))
            .map(line)
            .collect()
    }

    pub fn fills(&self) -> Vec<&Event> {
        self.of_kind(EventKind::Fill)
    }

    pub fn of_kind(&self, kind: EventKind) -> Vec<&Event> {
        self.events.iter().filter(|event| event.kind == kind as u8).collect()
    }

    pub fn counters(&self) -> &Counters {
        &self.engine.exchange.counters
    }

    /// (now, call) of every handler.
    pub fn called(&self) -> Vec<(i64, Call)> {
        self.calls.iter().map(|one| (one.now, one.call)).collect()
    }
}

fn line(event: &Event) -> String {
    let what = match event.kind {
        1 => "new",
        2 => "rejected",
        3 => "triggered",
        4 => "replaced",
        5 => "canceled",
        6 => "expired",
        7 => "cancel rejected",
        8 => "amend rejected",
        9 => "fill",
        _ => unreachable!("no other kind"),
    };
    let mut text = format!("{} {what} #{}", event.venue_time, event.order_id);
    if event.kind == EventKind::Fill as u8 {
        let liquidity = if event.liquidity == LIQUIDITY_MAKER {
            "maker"
        } else {
            "taker"
        };
        text += &format!(" {} @ {} {liquidity}", event.last_size, event.last_price);
        if event.flags & FLAG_UNSIZED != 0 {
            text += " unsized";
        }
    }
    if event.reason != 0 {
        text += &format!(" {}", Reason::name(event.reason));
    }
    text
}
