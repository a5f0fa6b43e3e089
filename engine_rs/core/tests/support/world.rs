//! Random worlds for the laws: a setup, a tape and a script of actions, with their scaled and mirrored twins.
//! May not live here: what must hold of a run (laws.rs, support/checker.rs).

#![allow(dead_code)]

use proptest::prelude::*;
use proptest::sample::select;
use replay_core::engine::{Call, Engine, Step};
use replay_core::equity::EquityPoint;
use replay_core::event::{Event, ABSENT};
use replay_core::excursion::Excursion;
use replay_core::order::{OrderRequest, OrderType, Side, TimeInForce, TriggerBy};
use replay_core::record::{Kind, OperatorCommand, Record};
use replay_core::setup::{
    AccountKind, Action as SwitchAction, BarMarket, BarPath, BeyondTop, DrawdownText, Latency, OrderRateText,
    PositionText, PrintAtLimit, RiskText, SetupText, Sizes, Source,
};

use super::{
    bar, clock, command, engine_of, instrument, quotes, sized_quote, trade, venue, with_two_strategies, Received, Shape,
};

/// Prices lie around 100: this less a price is its mirror image.
pub const MIRROR: i64 = 200;

/// What a handler may do; prices are absolute.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// `life`: a GTD order expires so long after now.
    Submit {
        request: OrderRequest,
        life: i64,
    },
    /// The order that was sent so many before the last one.
    Cancel(u64),
    Amend {
        back: u64,
        quantity: i64,
        limit: i64,
        trigger: i64,
    },
    CancelAll,
    Target {
        instrument: u32,
        quantity: i64,
    },
    Every(i64),
    At(i64),
}

#[derive(Clone, Debug)]
pub struct World {
    pub text: SetupText,
    pub tape: Vec<Record>,
    /// How many handler calls to let pass, then what to do.
    pub actions: Vec<(u8, Action)>,
}

/// The strategies of a world: performs its actions, one after the other, and notes what was sent when.
#[derive(Clone, Debug)]
pub struct Script {
    actions: Vec<(u8, Action)>,
    next: usize,
    waited: u8,
    /// Time of sending by order id.
    pub sent: Vec<(i64, OrderRequest)>,
}

impl Script {
    pub fn new(world: &World) -> Script {
        Script {
            actions: world.actions.clone(),
            next: 0,
            waited: 0,
            sent: Vec::new(),
        }
    }

    fn called(&mut self, engine: &mut Engine, strategy: u32) {
        let Some((wait, action)) = self.actions.get(self.next).copied() else {
            return;
        };
        if self.waited < wait {
            self.waited += 1;
            return;
        }
        self.waited = 0;
        self.next += 1;
        // What raises at the user's line changes nothing: the laws are about what is sent.
        let now = engine.now();
        match action {
            Action::Submit { mut request, life } => {
                if request.time_in_force == TimeInForce::GoodTillDate {
                    request.expire = now + life;
                }
                let _ = engine.submit(request);
            }
            Action::Cancel(back) => {
                let _ = engine.cancel(strategy, recent(engine, back));
            }
            Action::Amend {
                back,
                quantity,
                mut limit,
                mut trigger,
            } => {
                let order = recent(engine, back);
                if let Some(known) = engine.exchange.orders.find(order) {
                    limit = if known.limit == ABSENT { ABSENT } else { limit };
                    trigger = if known.trigger == ABSENT { ABSENT } else { trigger };
                }
                let _ = engine.amend(strategy, order, quantity, limit, trigger);
            }
            Action::CancelAll => {
                let _ = engine.cancel_all(strategy, None);
            }
            Action::Target { instrument, quantity } => {
                let _ = engine.target(strategy, instrument, quantity);
            }
            Action::Every(period) => engine.every(period, 0).expect("a period above 0"),
            Action::At(wait) => engine.at(now + wait, 1).expect("not before now"),
        }
    }
}

fn recent(engine: &Engine, back: u64) -> u64 {
    engine.exchange.orders.next_id().saturating_sub(1 + back)
}

#[derive(Clone, Debug)]
pub struct Outcome {
    pub events: Vec<Event>,
    pub points: Vec<EquityPoint>,
    pub excursions: Vec<Excursion>,
    pub engine: Engine,
    pub digest: String,
}

/// Takes these records and gives what the engine says.
pub fn take(engine: &mut Engine, script: &mut Script, records: &[Record]) {
    let mut position = 0;
    loop {
        match engine.advance(records, &mut position).expect("no livelock") {
            Step::Exhausted => return,
            Step::Call { strategy, call } => {
                assert!(!matches!(call, Call::Book), "no books here");
                script.called(engine, strategy);
            }
        }
    }
}

pub fn outcome(mut engine: Engine) -> Outcome {
    Outcome {
        digest: engine.exchange.log.digest(),
        events: engine.exchange.log.take(),
        points: engine.equity.take(),
        excursions: engine.exchange.excursions.take(),
        engine,
    }
}

impl World {
    pub fn run(&self) -> Outcome {
        let mut engine = engine_of(&self.text);
        take(&mut engine, &mut Script::new(self), &self.tape);
        outcome(engine)
    }

    pub fn instrument_source(&self, index: u32) -> Source {
        self.text.instruments[index as usize].source
    }

    fn map_prices(&self, price: impl Fn(i64) -> i64, is_mirror: bool) -> World {
        let kept = |value: i64| if value == ABSENT { ABSENT } else { price(value) };
        let turned = |side: Side| match side {
            Side::Buy if is_mirror => Side::Sell,
            Side::Sell if is_mirror => Side::Buy,
            side => side,
        };
        let record = |record: &Record| {
            let mut new = *record;
            match record.kind {
                kind if kind == Kind::Quote as u8 && is_mirror => {
                    (new.a, new.b, new.c, new.d) = (price(record.b), price(record.a), record.d, record.c);
                }
                kind if kind == Kind::Quote as u8 => (new.a, new.b) = (price(record.a), price(record.b)),
                kind if kind == Kind::Trade as u8 => {
                    new.a = price(record.a);
                    if is_mirror {
                        new.side = [0, 2, 1][record.side as usize];
                    }
                }
                kind if kind == Kind::Bar as u8 => {
                    let [high, low] = [price(record.b), price(record.c)];
                    (new.a, new.b, new.c, new.d) = (price(record.a), high.max(low), low.min(high), price(record.d));
                }
                _ => {}
            }
            new
        };
        let action = |action: &Action| match *action {
            Action::Submit { request, life } => Action::Submit {
                request: OrderRequest {
                    side: turned(request.side),
                    limit: kept(request.limit),
                    trigger: kept(request.trigger),
                    ..request
                },
                life,
            },
            Action::Amend {
                back,
                quantity,
                limit,
                trigger,
            } => Action::Amend {
                back,
                quantity,
                limit: kept(limit),
                trigger: kept(trigger),
            },
            Action::Target { instrument, quantity } => Action::Target {
                instrument,
                quantity: if is_mirror { -quantity } else { quantity },
            },
            other => other,
        };
        World {
            text: self.text.clone(),
            tape: self.tape.iter().map(record).collect(),
            actions: self.actions.iter().map(|row| (row.0, action(&row.1))).collect(),
        }
    }

    /// Prices, ticks and cash times `factor`.
    pub fn scaled(&self, factor: i64) -> World {
        let mut world = self.map_prices(|price| price * factor, false);
        for instrument in &mut world.text.instruments {
            instrument.tick = factor.to_string();
        }
        for amount in world.text.account.cash.values_mut() {
            *amount = (amount.parse::<i64>().expect("whole dollars") * factor).to_string();
        }
        world
    }

    /// Prices p as MIRROR - p, sides swapped.
    pub fn mirrored(&self) -> World {
        self.map_prices(|price| MIRROR - price, true)
    }
}

// ------------------------------------------------------------------ strategies of proptest

fn sources() -> impl Strategy<Value = Vec<Source>> {
    prop::collection::vec(
        select(vec![Source::Quote, Source::QuoteTrade, Source::Trade, Source::Bar]),
        3,
    )
}

fn latency() -> impl Strategy<Value = Latency> {
    let one = || select(vec![0_i64, 0, 0, 1, 7, 30]);
    (one(), one(), one(), one()).prop_map(|(entry, cancel, amend, response)| Latency {
        entry,
        cancel,
        amend,
        response,
    })
}

fn venue_rules() -> impl Strategy<Value = replay_core::setup::VenueText> {
    let fills = (
        select(vec![BeyondTop::Walk, BeyondTop::Walk, BeyondTop::All, BeyondTop::Top]),
        select(vec![0_i64, 0, 0, 2]),
        select(vec![PrintAtLimit::None, PrintAtLimit::All]),
    );
    let on_bars = (
        any::<bool>(),
        select(vec![BarPath::Nearer, BarPath::Worst, BarPath::Ohlc]),
        select(vec![BarMarket::NextOpen, BarMarket::NextOpen, BarMarket::ThisClose]),
        select(vec!["1", "0.5", "0.3"]),
        select(vec![0_i64, 0, 5, 40]),
    );
    let fees = select(vec![
        ["0", "0", "", "", "", ""],
        ["0.0002", "0.0005", "", "", "", ""],
        ["-0.0001", "0.001", "", "", "", ""],
        ["0", "0", "0.035", "", "1.25", "0.02"],
        ["-0.0001", "0.001", "0.01", "0.40", "", "0.005"],
        ["0.0002", "0", "", "0.25", "0.75", ""],
    ]);
    (latency(), fills, on_bars, fees).prop_map(|(latency_ns, fills, on_bars, fees)| {
        let mut venue = venue("V");
        venue.latency_ns = latency_ns;
        (venue.beyond_top, venue.slippage_ticks, venue.print_at_limit) = fills;
        (venue.bar_touch, venue.bar_path, venue.bar_market) = (on_bars.0, on_bars.1, on_bars.2);
        venue.max_share = on_bars.3.into();
        venue.bar_grace_ns = on_bars.4;
        let [maker, taker, per_share, per_order, minimum, maximum_rate] = fees;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
        (venue.fees.maker, venue.fees.taker) = (maker.into(), taker.into());
        (venue.fees.per_share, venue.fees.per_order) = (some(per_share), some(per_order));
        (venue.fees.minimum, venue.fees.maximum_rate) = (some(minimum), some(maximum_rate));
        venue
    })
}

/// Most worlds have no risk switches; those of the others trip now and then. Nothing in them depends on a price.
fn switches() -> impl Strategy<Value = RiskText> {
    let action = || select(vec![SwitchAction::Alert, SwitchAction::Pause, SwitchAction::Flatten]);
    let share = select(vec![None, None, None, Some("0.0001"), Some("0.01")]);
    let limit = select(vec![None, None, None, Some("3"), Some("8")]);
    let orders = select(vec![None, None, None, Some(2_u32), Some(5)]);
    (share, limit, orders, action(), action(), action()).prop_map(|(share, limit, orders, first, second, third)| {
        RiskText {
            drawdown: share.map(|share| DrawdownText {
                share: Some(share.into()),
                amount: None,
                action: first,
            }),
            position: limit.map(|limit| PositionText {
                limit: limit.into(),
                action: second,
            }),
            order_rate: orders.map(|orders| OrderRateText {
                orders,
                per_ns: 60,
                action: third,
            }),
            ..RiskText::default()
        }
    })
}

/// Instruments 0 and 1 on the first venue, 2 on the second.
pub fn setups() -> impl Strategy<Value = SetupText> {
    let account = (
        select(vec![AccountKind::Margin, AccountKind::Margin, AccountKind::Cash]),
        select(vec!["3000", "20000", "1000000"]),
        select(vec!["1", "2.5"]),
    );
    let sizes = prop::collection::vec(select(vec![Sizes::Full, Sizes::Full, Sizes::Full, Sizes::None]), 3);
    let lots = select(vec!["1", "1", "2"]);
    (
        sources(),
        venue_rules(),
        venue_rules(),
        account,
        sizes,
        lots,
        (any::<bool>(), any::<bool>()),
        switches(),
    )
        .prop_map(
            |(sources, first, second, account, sizes, lot, (one_clock, has_two), risk)| {
                let mut text = quotes();
                text.risk = risk;
                text.equity_every_ns = 1;
                text.one_clock = one_clock;
                text.venues = vec![first, second];
                text.instruments = (0..3)
                    .map(|index| {
                        let mut one = instrument(["A", "B", "C"][index], [0, 0, 1][index], sources[index]);
                        one.sizes = sizes[index];
                        one.lot = lot.into();
                        one.sessions = Some(vec![(0, 300), (320, 700), (700, 1_200)]);
                        one
                    })
                    .collect();
                text.account.kind = account.0;
                text.account.cash = [("USD".to_string(), account.1.to_string())].into();
                text.account.leverage = account.2.into();
                if has_two {
                    text = with_two_strategies(text);
                }
                text
            },
        )
}

/// Of a record: (kind, instrument, time since the last, delay of receipt, lateness), then its numbers.
type Tick = ((u8, u32, i64, i64, i64), (i64, i64, i64, i64, i64), u8);

fn tick() -> impl Strategy<Value = Tick> {
    let when = (
        0_u8..100,
        0_u32..3,
        prop_oneof![2 => Just(0_i64), 5 => 1_i64..25],
        prop_oneof![3 => Just(0_i64), 1 => 1_i64..30],
        prop_oneof![9 => Just(0_i64), 1 => 1_i64..40],
    );
    let numbers = (
        85_i64..115,
        prop_oneof![1 => Just(-2_i64), 1 => Just(0_i64), 8 => 1_i64..6],
        prop_oneof![1 => Just(0_i64), 9 => 1_i64..15],
        prop_oneof![1 => Just(0_i64), 9 => 1_i64..15],
        0_i64..40,
    );
    (when, numbers, 0_u8..3)
}

fn record_of(tick: &Tick, time: i64, text: &SetupText) -> Record {
    let ((kind, instrument, _, delay, lateness), (price, spread, size, other_size, volume), side) = *tick;
    let event = time - lateness;
    // Mostly what decides the instrument, at times what only passes by.
    let kind = match (text.instruments[instrument as usize].source, kind) {
        (Source::Bar, 0..=65) => 70,
        (Source::Trade, 0..=35) => 45,
        _ => kind,
    };
    let record = match kind {
        0..=44 => sized_quote(event, (price, size), (price + spread, other_size)),
        45..=69 => trade(event, price, size.max(1)).by(side),
        70..=93 => {
            let (mut high, low) = (price + size, price - other_size);
            let close = low + (volume * 7) % (high - low + 1);
            // No double tie: it has no mirror image.
            if high - price == price - low && high - close == close - low {
                high += 1;
            }
            bar(event, [price, high, low, close]).volume(volume)
        }
        94..=95 => clock(event, side as i64 - 1),
        // A pause lasts until the next resume, so that there are more of these.
        96..=97 => command(event, OperatorCommand::Resume),
        98 if volume < 3 => command(event, OperatorCommand::Stop),
        98 if volume < 14 => command(event, OperatorCommand::Pause),
        98 => command(event, OperatorCommand::CancelAll),
        _ => command(event, OperatorCommand::Flatten),
    };
    record.on(if kind < 94 { instrument } else { 0 }).received(time + delay)
}

fn tape_of(ticks: &[Tick], text: &SetupText) -> Vec<Record> {
    let mut time = 100;
    ticks
        .iter()
        .map(|tick| {
            time += tick.0 .2;
            record_of(tick, time, text)
        })
        .collect()
}

fn order_request() -> impl Strategy<Value = OrderRequest> {
    let order_type = select(vec![
        OrderType::Market,
        OrderType::Limit,
        OrderType::Limit,
        OrderType::StopMarket,
        OrderType::StopLimit,
    ]);
    let time_in_force = select(vec![
        TimeInForce::GoodTillCanceled,
        TimeInForce::GoodTillCanceled,
        TimeInForce::GoodTillCanceled,
        TimeInForce::ImmediateOrCancel,
        TimeInForce::FillOrKill,
        TimeInForce::GoodTillDate,
        TimeInForce::Day,
    ]);
    let trigger_by = select(vec![
        TriggerBy::Default,
        TriggerBy::Default,
        TriggerBy::Last,
        TriggerBy::Mid,
    ]);
    (
        0_u32..3,
        any::<bool>(),
        order_type,
        time_in_force,
        trigger_by,
        1_i64..12,
        85_i64..118,
        85_i64..118,
    )
        .prop_map(
            |(instrument, buys, order_type, time_in_force, trigger_by, lots, limit, trigger)| OrderRequest {
                instrument,
                side: if buys { Side::Buy } else { Side::Sell },
                order_type,
                time_in_force,
                trigger_by: if order_type.is_stop() {
                    trigger_by
                } else {
                    TriggerBy::Default
                },
                quantity: 2 * lots,
                limit: if order_type.has_limit() { limit } else { ABSENT },
                trigger: if order_type.is_stop() { trigger } else { ABSENT },
                expire: ABSENT,
                is_target: false,
            },
        )
}

fn action() -> impl Strategy<Value = Action> {
    let maybe = |range: std::ops::Range<i64>| prop_oneof![1 => Just(ABSENT), 1 => range];
    prop_oneof![
        12 => (order_request(), 1_i64..200).prop_map(|(request, life)| Action::Submit { request, life }),
        3 => (0_u64..7).prop_map(Action::Cancel),
        5 => (0_u64..7, maybe(1..14), maybe(85..118), maybe(85..118)).prop_map(|(back, lots, limit, trigger)| {
            Action::Amend { back, quantity: if lots == ABSENT { ABSENT } else { 2 * lots }, limit, trigger }
        }),
        1 => Just(Action::CancelAll),
        2 => (0_u32..3, -8_i64..8).prop_map(|(instrument, quantity)| Action::Target { instrument, quantity: 2 * quantity }),
        1 => (5_i64..60).prop_map(Action::Every),
        1 => (0_i64..60).prop_map(Action::At),
    ]
}

pub fn actions(length: usize) -> impl Strategy<Value = Vec<(u8, Action)>> {
    prop::collection::vec((prop_oneof![2 => Just(0_u8), 1 => 1_u8..4], action()), 0..length)
}

pub fn worlds() -> impl Strategy<Value = World> {
    let ticks = prop::collection::vec(tick(), 1..90);
    (setups(), ticks, actions(45)).prop_map(|(text, ticks, actions)| World {
        tape: tape_of(&ticks, &text),
        text,
        actions,
    })
}
