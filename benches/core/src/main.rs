//! The core alone: records through the engine without Python, beside a bare loop over the same records.
//! May not live here: anything that the engine could do for the bench.
//!
//!     cargo run --release --manifest-path benches/Cargo.toml -p bench-core -- [--rounds 7] [--records 2000000] [--only NAME]
//!
//! One JSON line a case: nanoseconds of CPU a record (best and median over interleaved rounds) and millions of records
//! a CPU second at the median.

use std::hint::black_box;

use cpu_time::ProcessTime;
use replay_core::engine::{Call, Engine, Step};
use replay_core::event::ABSENT;
use replay_core::handles;
use replay_core::order::{OrderRequest, OrderType, Side, TimeInForce, TriggerBy};
use replay_core::record::{Kind, Record};
use replay_core::setup::{Setup, SetupText};
use serde_json::json;

const START_NS: i64 = 1_700_000_000_000_000_000;
/// As many as a batch of the pipeline.
const BATCH: usize = 8_192;

struct Options {
    rounds: usize,
    records: usize,
    only: String,
}

impl Options {
    fn parse() -> Options {
        let mut options = Options {
            rounds: 7,
            records: 2_000_000,
            only: String::new(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
                "--records" => options.records = value().parse().expect("a number of records"),
                "--only" => options.only = value(),
                // What `cargo bench` adds.
                "--bench" => {}
                other => panic!("{other} is unknown: choose --rounds, --records or --only"),
            }
        }
        options
    }
}

fn setup(source: &str, equity_every_ns: i64) -> Setup {
    let text: SetupText = serde_json::from_value(json!({
        "seed": 7,
        "equity_every_ns": equity_every_ns,
        "one_clock": true,
        "bar_lengths": [],
        "currencies": [{"name": "USDT", "decimals": 8}],
        "account": {"kind": "margin", "leverage": "1000", "currency": "USDT", "cash": {"USDT": "1000000000"}},
        "venues": [{"name": "venue", "fees": {"maker": "0.0001", "taker": "0.0001"}}],
        "instruments": [{
            "symbol": "BTCUSDT", "venue": 0, "tick": "0.01", "lot": "1", "price_decimals": 2, "size_decimals": 0,
            "quote": "USDT", "source": source, "kinds": ["quote", "trade"]
        }],
        "strategies": [{"name": "one"}]
    }))
    .expect("the setup's shape");
    Setup::new(&text).expect("the setup's values")
}

/// A small multiplicative generator: the bench needs variety, not quality.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Quotes around 100.00, `step_ns` apart: prices of 1 to 3 ticks apart, sizes 5 to 50.
fn quotes(count: usize, step_ns: i64) -> Vec<Record> {
    let mut dice = Dice(22);
    let mut bid: i64 = 10_000;
    (0..count)
        .map(|index| {
            bid = (bid + dice.below(3) as i64 - 1).clamp(9_000, 11_000);
            let time = START_NS + index as i64 * step_ns;
            Record {
                ts_event: time,
                ts_recv: time,
                a: bid,
                b: bid + 1 + dice.below(3) as i64,
                c: 5 + dice.below(46) as i64,
                d: 5 + dice.below(46) as i64,
                kind: Kind::Quote as u8,
                ..Record::default()
            }
        })
        .collect()
}

fn order(side: Side, order_type: OrderType, limit: i64) -> OrderRequest {
    OrderRequest {
        instrument: 0,
        side,
        order_type,
        time_in_force: TimeInForce::GoodTillCanceled,
        trigger_by: TriggerBy::Default,
        quantity: 1,
        limit,
        trigger: ABSENT,
        expire: ABSENT,
        is_target: false,
    }
}

/// Runs the records in batches, gives each call to `on_call`, and takes what it decided after each batch, as the shell does.
fn drive(engine: &mut Engine, records: &[Record], mut on_call: impl FnMut(&mut Engine, Call)) {
    for batch in records.chunks(BATCH) {
        let mut position = 0;
        while let Step::Call { call, .. } = engine.advance(batch, &mut position).expect("no halt") {
            on_call(engine, call);
        }
        let exchange = &mut engine.exchange;
        black_box((exchange.log.take(), exchange.excursions.take(), engine.equity.take()));
    }
}

/// What reading the records costs, with the comparisons that no engine can do without.
fn bare_loop(records: &[Record]) -> i64 {
    let (mut now, mut watermark, mut sum, mut touched) = (i64::MIN, i64::MIN, 0i64, 0u64);
    for record in records {
        now = now.max(record.ts_recv);
        watermark = watermark.max(record.ts_event);
        if record.kind == Kind::Quote as u8 {
            if record.b <= 8_000 || record.a >= 12_000 {
                touched += 1;
            }
            sum = sum.wrapping_add(record.a + record.b).wrapping_add(record.c ^ record.d);
        }
    }
    black_box(now ^ watermark ^ sum ^ touched as i64)
}

/// CPU nanoseconds a record of an engine with `resting` limit orders a side that no quote reaches.
fn resting(source: &str, equity_every_ns: i64, resting: usize, records: &[Record]) -> f64 {
    let mut engine = Engine::new(setup(source, equity_every_ns), &[handles::START]);
    let place = |engine: &mut Engine, _: Call| {
        for index in 0..resting as i64 {
            engine
                .submit(order(Side::Buy, OrderType::Limit, 8_000 - index))
                .expect("a buy");
            engine
                .submit(order(Side::Sell, OrderType::Limit, 12_000 + index))
                .expect("a sell");
        }
    };
    let (first, rest) = records.split_at(BATCH);
    drive(&mut engine, first, place);
    let begun = ProcessTime::now();
    drive(&mut engine, rest, |_, _| {});
    let nanos = begun.elapsed().as_nanos() as f64;
    assert_eq!(engine.exchange.working[0].ids.len(), 2 * resting, "none of them fills");
    nanos / rest.len() as f64
}

/// CPU nanoseconds a record, and an order, once `past` market orders have come and gone.
fn after_orders(past: usize, records: &[Record]) -> (f64, f64) {
    let mut engine = Engine::new(setup("quote", 60_000_000_000), &[handles::QUOTE]);
    let mut sent = 0;
    let trade = |engine: &mut Engine, sent: &mut usize| {
        let side = if *sent & 1 == 0 { Side::Buy } else { Side::Sell };
        engine.submit(order(side, OrderType::Market, ABSENT)).expect("an order");
        *sent += 1;
    };
    let before = &records[..past + 1];
    drive(&mut engine, before, |engine, _| {
        if sent < past {
            trade(engine, &mut sent);
        }
    });
    let measured = &records[past + 1..past + 1 + 200_000];
    let begun = ProcessTime::now();
    drive(&mut engine, measured, |_, _| {});
    let a_record = begun.elapsed().as_nanos() as f64 / measured.len() as f64;
    let ordering = &records[past + 200_001..past + 220_001];
    let begun = ProcessTime::now();
    drive(&mut engine, ordering, |engine, _| trade(engine, &mut sent));
    let an_order = begun.elapsed().as_nanos() as f64 / ordering.len() as f64;
    assert_eq!(
        engine.exchange.counters.fills[2] as usize,
        past + ordering.len(),
        "each of them filled"
    );
    (a_record, an_order)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    }
}

fn main() {
    let options = Options::parse();
    // W2's spacing makes a point of the equity curve every 30 records; 1 ms one every 60,000.
    let sparse = quotes(options.records, 2_000_000_000);
    let dense = quotes(options.records, 1_000_000);
    type Case<'a> = (&'static str, Box<dyn Fn() -> f64 + 'a>);
    let minute = 60_000_000_000;
    let mut cases: Vec<Case> = vec![
        (
            "bare loop over the records",
            Box::new(|| {
                let begun = ProcessTime::now();
                bare_loop(&dense);
                begun.elapsed().as_nanos() as f64 / dense.len() as f64
            }),
        ),
        (
            "quotes 1 ms apart, no order",
            Box::new(|| resting("quote", minute, 0, &dense)),
        ),
        (
            "quotes 1 ms apart, 2 resting orders",
            Box::new(|| resting("quote", minute, 1, &dense)),
        ),
        (
            "quotes 1 ms apart, 200 resting orders",
            Box::new(|| resting("quote", minute, 100, &dense)),
        ),
        (
            "quotes 2 s apart, 2 resting orders",
            Box::new(|| resting("quote", minute, 1, &sparse)),
        ),
        (
            "quotes 1 ms apart, prints too, 2 resting orders",
            Box::new(|| resting("quote+trade", minute, 1, &dense)),
        ),
    ];
    for (past, name) in [
        (0, "a call a record after 0 orders"),
        (1_000, "a call a record after 1000 orders"),
        (10_000, "a call a record after 10000 orders"),
        (100_000, "a call a record after 100000 orders"),
    ] {
        let records = &sparse;
        cases.push((name, Box::new(move || after_orders(past, records).0)));
    }
    for (past, name) in [
        (0, "a market order a record after 0 orders"),
        (100_000, "a market order a record after 100000 orders"),
    ] {
        let records = &sparse;
        cases.push((name, Box::new(move || after_orders(past, records).1)));
    }
    cases.retain(|case| case.0.contains(&options.only));
    let mut rounds = vec![Vec::new(); cases.len()];
    for _ in 0..options.rounds {
        for (case, times) in cases.iter().zip(&mut rounds) {
            times.push(case.1());
        }
    }
    for (case, times) in cases.iter().zip(&mut rounds) {
        let middle = median(times);
        println!(
            "{}",
            json!({
                "bench": "core", "case": case.0, "rounds": options.rounds,
                "best_ns": (times[0] * 100.0).round() / 100.0, "median_ns": (middle * 100.0).round() / 100.0,
                "million_per_cpu_s": (100_000.0 / middle).round() / 100.0,
            })
        );
    }
}
