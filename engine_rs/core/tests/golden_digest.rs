//! The golden run in the development profile: the same digest as tests/digest gives through Python in the release build.
//! May not live here: anything that the Python twin (tests/digest/golden_run.py) does not do.

use replay_core::engine::{Call, Engine, Step};
use replay_core::event::ABSENT;
use replay_core::handles;
use replay_core::indicators::Spec;
use replay_core::order::{OrderRequest, OrderType, Side, TimeInForce, TriggerBy};
use replay_core::record::{Kind, Record};
use replay_core::rng::Rng;
use replay_core::sequencer::Sequencer;
use replay_core::series::Ends;
use replay_core::setup::{Setup, SetupText};

const GOLDEN: &str = include_str!("../../../tests/digest/golden.txt");
const RECORDS: usize = 20_000;
const T0_NS: i64 = 1_700_000_000_000_000_000;

const SETUP: &str = r#"{
    "seed": 7, "equity_every_ns": 1000000000, "one_clock": false, "bar_lengths": [],
    "currencies": [{"name": "USD", "decimals": 2}],
    "account": {"kind": "margin", "leverage": "4", "currency": "USD", "cash": {"USD": "100000"}},
    "venues": [
        {"name": "one", "fees": {"maker": "-0.0001", "taker": "0.00035"}, "slippage_ticks": 1,
         "latency_ns": {"entry": 2000000, "cancel": 1000000, "amend": 3000000, "response": 1500000}},
        {"name": "two", "fees": {"maker": "-0.0001", "taker": "0.00035"}, "slippage_ticks": 1,
         "latency_ns": {"entry": 2000000, "cancel": 1000000, "amend": 3000000, "response": 1500000}}],
    "instruments": [
        {"symbol": "A", "venue": 0, "source": "quote+trade", "kinds": ["quote", "trade"], "tick": "0.01", "lot": "1",
         "price_decimals": 2, "size_decimals": 0, "quote": "USD"},
        {"symbol": "B", "venue": 1, "source": "quote", "kinds": ["quote", "trade"], "tick": "0.01", "lot": "1",
         "price_decimals": 2, "size_decimals": 0, "quote": "USD"}],
    "strategies": [{"name": "golden"}]
}"#;

fn tape() -> Vec<Record> {
    let mut rng = Rng::new(7, 0);
    let mut mids = [10_000_i64, 5_000];
    (0..RECORDS)
        .map(|index| {
            let word = rng.next_u64();
            let which = ((word >> 48) % 2) as usize;
            mids[which] = (mids[which] + ((word >> 8) % 5) as i64 - 2).clamp(3_000, 20_000);
            let base = T0_NS + index as i64 * 1_000_000;
            let ts_event = base - ((word >> 32) % 3) as i64 * 700_000;
            let mut record = Record {
                ts_event,
                ts_recv: ts_event.max(base) + ((word >> 40) % 3_000_000) as i64,
                instrument: which as u32,
                ..Record::default()
            };
            if word % 4 == 0 {
                record.kind = Kind::Trade as u8;
                record.a = mids[which] + ((word >> 16) % 3) as i64;
                record.b = 1 + ((word >> 24) % 20) as i64;
                record.side = ((word >> 50) % 3) as u8;
            } else {
                record.kind = Kind::Quote as u8;
                record.a = mids[which];
                record.b = mids[which] + 1 + ((word >> 16) % 3) as i64;
                record.c = ((word >> 24) % 30) as i64;
                record.d = 1 + ((word >> 29) % 30) as i64;
            }
            record
        })
        .collect()
}

fn order(instrument: u32, side: Side, quantity: i64, limit: i64, trigger: i64, tif: TimeInForce) -> OrderRequest {
    OrderRequest {
        instrument,
        side,
        order_type: match (limit != ABSENT, trigger != ABSENT) {
            (false, false) => OrderType::Market,
            (true, false) => OrderType::Limit,
            (false, true) => OrderType::StopMarket,
            (true, true) => OrderType::StopLimit,
        },
        time_in_force: tif,
        trigger_by: TriggerBy::Default,
        quantity,
        limit,
        trigger,
        expire: ABSENT,
        is_target: false,
    }
}

#[derive(Default)]
struct Golden {
    quotes: i64,
    average: u32,
    series: u32,
}

impl Golden {
    fn handle(&mut self, engine: &mut Engine, call: Call) {
        let gtc = TimeInForce::GoodTillCanceled;
        match call {
            Call::Start => {
                self.series = engine.subscribe_bars(0, 0, Ends::Every(1_000_000_000), None).unwrap();
                self.average = engine.add_indicator(self.series, Spec::Sma { period: 3 }).unwrap();
                engine.every(3_000_000_000, 0).unwrap();
            }
            Call::Quote => {
                self.quotes += 1;
                let count = self.quotes;
                let (on, bid, ask) = (engine.record().instrument, engine.record().a, engine.record().b);
                if count % 50 == 0 {
                    let side = if count % 100 == 0 { Side::Buy } else { Side::Sell };
                    engine.submit(order(on, side, 3, ABSENT, ABSENT, gtc)).unwrap();
                }
                if count % 70 == 0 {
                    engine.submit(order(on, Side::Buy, 5, bid - 2, ABSENT, gtc)).unwrap();
                }
                if count % 90 == 0 {
                    engine.submit(order(on, Side::Sell, 2, ABSENT, bid - 5, gtc)).unwrap();
                }
                if count % 110 == 0 {
                    let tif = if count % 220 == 0 {
                        TimeInForce::ImmediateOrCancel
                    } else {
                        gtc
                    };
                    engine.submit(order(on, Side::Buy, 4, ask + 6, ask + 4, tif)).unwrap();
                }
                if count % 130 == 0 {
                    if let Some(id) = engine.told_orders(0, Some(on)).first() {
                        engine.amend(0, *id, 9, ABSENT, ABSENT).unwrap();
                    }
                }
                if count % 300 == 0 {
                    engine.cancel_all(0, None).unwrap();
                }
            }
            Call::Bar(series) => {
                let close = engine.series.last_bar(series).unwrap().close as f64 / 100.0;
                if let Some(average) = engine.series.reading(self.average).value {
                    engine.target(0, 0, if close > average { 2 } else { -2 }).unwrap();
                }
            }
            Call::Timer(_) => {
                engine.target(0, 1, 0).unwrap();
            }
            Call::Fill => {
                let event = *engine.event();
                if event.last_size == 4 {
                    let limit = event.last_price + 20;
                    engine
                        .submit(order(event.instrument, Side::Sell, 1, limit, ABSENT, gtc))
                        .unwrap();
                }
            }
            _ => {}
        }
    }
}

fn run(batch: usize) -> String {
    let text: SetupText = serde_json::from_str(SETUP).unwrap();
    let setup = Setup::new(&text).unwrap();
    let mut sequencer = Sequencer::new(std::sync::Arc::new(setup.clone()));
    let bits = handles::START | handles::QUOTE | handles::BAR | handles::TIMER | handles::FILL;
    let mut engine = Engine::new(setup, &[bits]);
    let mut strategy = Golden::default();
    for chunk in tape().chunks(batch) {
        let verdict = sequencer.admit(chunk);
        let records = verdict.changed.as_deref().unwrap_or(chunk);
        let mut position = 0;
        while let Step::Call { call, .. } = engine.advance(records, &mut position).unwrap() {
            strategy.handle(&mut engine, call);
        }
    }
    engine.exchange.log.digest()
}

#[test]
fn the_golden_run_has_its_digest_in_every_build_and_batch_size() {
    for batch in [RECORDS, 1, 17, 4_096] {
        assert_eq!(run(batch), GOLDEN.trim(), "batches of {batch}");
    }
}
