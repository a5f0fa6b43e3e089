//! The laws (SEMANTICS, section 6) as properties of random worlds: tapes, scripts and rules that a search breaks if it can.
//! May not live here: single rules; they have tests of their own beside this file.

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use replay_core::engine::Engine;
use replay_core::event::{Event, EventKind};
use replay_core::reason::Reason;
use replay_core::record::Record;
use replay_core::sequencer::Sequencer;
use replay_core::setup::{AccountKind, BarPath, Setup};
use support::checker;
use support::engine_of;
use support::world::{outcome, take, worlds, Outcome, Script, World};

/// 200 cases of each law; PROPTEST_CASES asks for another number.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(200),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Fills as the metamorphic laws compare them: order, time, size, price.
fn fills(outcome: &Outcome, price: impl Fn(i64) -> i64) -> Vec<(u64, i64, i64, i64)> {
    outcome
        .events
        .iter()
        .filter(|event| event.kind == EventKind::Fill as u8)
        .map(|event| {
            (
                event.order_id,
                event.venue_time,
                event.last_size,
                price(event.last_price),
            )
        })
        .collect()
}

/// Runs a world in batches of this many records, with a snapshot and restart before the record `cut`.
fn run_in_batches(world: &World, batch: usize, cut: Option<usize>) -> Outcome {
    let mut engine = engine_of(&world.text);
    let mut script = Script::new(world);
    let cut = cut.unwrap_or(world.tape.len()).min(world.tape.len());
    for chunk in world.tape[..cut].chunks(batch) {
        take(&mut engine, &mut script, chunk);
    }
    if cut < world.tape.len() {
        let bytes = postcard::to_allocvec(&engine).expect("a snapshot");
        drop(engine);
        engine = postcard::from_bytes::<Engine>(&bytes).expect("a restart");
        for chunk in world.tape[cut..].chunks(batch) {
            take(&mut engine, &mut script, chunk);
        }
    }
    outcome(engine)
}

fn without_fees(mut world: World) -> World {
    for venue in &mut world.text.venues {
        venue.fees = support::venue("").fees;
    }
    world
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn laws_1_to_6_hold_of_every_run(world in worlds()) {
        checker::check(&world, &world.run());
    }

    #[test]
    fn law_7_the_same_tape_gives_the_same_digest_whatever_the_batches(world in worlds(), batch in 1_usize..40) {
        let first = world.run();
        let second = world.run();
        prop_assert_eq!(&first.events, &second.events);
        prop_assert_eq!(&first.digest, &second.digest);
        let third = run_in_batches(&world, batch, None);
        prop_assert_eq!(&first.digest, &third.digest);
        prop_assert_eq!(first.points, third.points);
        prop_assert_eq!(first.excursions, third.excursions);
    }

    #[test]
    fn law_7_what_the_sequencer_admits_does_not_depend_on_the_batches(
        world in worlds(),
        batch in 1_usize..20,
        early in prop::collection::vec(0_i64..60, 90),
    ) {
        // Receipts before their events, which the sequencer raises.
        let mut source = world.clone();
        for (record, early) in source.tape.iter_mut().zip(&early) {
            record.ts_recv -= early / 3 * (early % 3);
        }
        let setup = Arc::new(Setup::new(&world.text).unwrap());
        let admitted = |size: usize| {
            let mut sequencer = Sequencer::new(Arc::clone(&setup));
            let mut all: Vec<Record> = Vec::new();
            for chunk in source.tape.chunks(size) {
                let verdict = sequencer.admit(chunk);
                assert!(verdict.halted.is_none());
                all.extend_from_slice(verdict.changed.as_deref().unwrap_or(chunk));
            }
            assert_eq!(all.len() as u64, sequencer.admitted);
            assert!(all.iter().all(|record| record.ts_recv >= record.ts_event));
            (World { tape: all, ..source.clone() }, (sequencer.raised, sequencer.late, sequencer.crossed))
        };
        let (one, counts) = admitted(source.tape.len());
        let (other, other_counts) = admitted(batch);
        prop_assert_eq!(&one.tape, &other.tape);
        prop_assert_eq!(counts, other_counts);
        let run = one.run();
        prop_assert_eq!(counts.1 >= run.engine.exchange.counters.late, true);
        checker::check(&one, &run);
        prop_assert_eq!(run.digest, run_in_batches(&other, batch, None).digest);
    }

    #[test]
    fn law_8_what_happens_depends_on_no_later_record(world in worlds(), cut in 0_usize..90) {
        let cut = cut.min(world.tape.len());
        let whole = world.run();
        let prefix = World { tape: world.tape[..cut].to_vec(), ..world.clone() }.run();
        let early: Vec<Event> = whole.events.iter().filter(|event| event.tape_seq < cut as u64).copied().collect();
        prop_assert_eq!(early, prefix.events);
    }

    #[test]
    fn law_9_scaled_prices_give_the_same_fills(world in worlds(), factor in 2_i64..50) {
        let world = without_fees(world);
        let (one, scaled) = (world.run(), world.scaled(factor).run());
        prop_assert_eq!(fills(&one, |price| price * factor), fills(&scaled, |price| price));
        prop_assert_eq!(one.events.len(), scaled.events.len());
    }

    #[test]
    fn law_9_the_mirrored_tape_gives_the_mirrored_fills(world in worlds()) {
        let mut world = world;
        world.text.account.kind = AccountKind::Margin;
        world.text.account.cash = [("USD".to_string(), "1000000000".to_string())].into();
        for venue in &mut world.text.venues {
            if venue.bar_path == BarPath::Ohlc {
                venue.bar_path = BarPath::Nearer;
            }
        }
        let (one, mirrored) = (world.run(), world.mirrored().run());
        prop_assert_eq!(fills(&one, |price| support::world::MIRROR - price), fills(&mirrored, |price| price));
    }

    #[test]
    fn law_9_records_of_instruments_that_the_run_does_not_name_change_nothing(
        world in worlds(),
        places in prop::collection::vec((0_usize..90, 3_u32..9), 1..20),
    ) {
        let mut source = world.tape.clone();
        for (place, instrument) in places {
            let place = place.min(source.len());
            let mut foreign = source[place.saturating_sub(1).min(source.len() - 1)];
            if foreign.kind <= 3 {
                foreign.instrument = instrument;
                source.insert(place, foreign);
            }
        }
        let mut sequencer = Sequencer::new(Arc::new(Setup::new(&world.text).unwrap()));
        let verdict = sequencer.admit(&source);
        let tape = verdict.changed.unwrap_or(source);
        prop_assert_eq!(&tape, &world.tape);
        prop_assert_eq!(World { tape, ..world.clone() }.run().digest, world.run().digest);
    }

    #[test]
    fn law_10_cut_between_any_two_records_a_snapshot_goes_on_to_the_same_digest(world in worlds(), cut in 0_usize..90) {
        let whole = world.run();
        let restarted = run_in_batches(&world, 7, Some(cut));
        prop_assert_eq!(&whole.digest, &restarted.digest);
        prop_assert_eq!(&whole.events, &restarted.events);
        prop_assert_eq!(whole.points, restarted.points);
        prop_assert_eq!(whole.excursions, restarted.excursions);
        prop_assert_eq!(&whole.engine.exchange.counters, &restarted.engine.exchange.counters);
        prop_assert_eq!(whole.engine.exchange.ledger, restarted.engine.exchange.ledger);
        prop_assert_eq!(whole.engine.told, restarted.engine.told);
    }
}

#[test]
fn the_random_worlds_reach_what_the_laws_are_about() {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut kinds = [0_u32; 11];
    let (mut makers, mut takers, mut late, mut stale) = (0, 0, 0, 0);
    let (mut trips, mut refused, mut stops) = ([0_u64; 3], 0, 0);
    for _ in 0..300 {
        let run = worlds().new_tree(&mut runner).unwrap().current().run();
        for event in &run.events {
            kinds[event.kind as usize] += 1;
            makers += u32::from(event.liquidity == 1);
            takers += u32::from(event.liquidity == 2);
        }
        let trading = &run.engine.trading;
        let latches = [&trading.drawdown, &trading.position, &trading.order_rate];
        for (count, latch) in trips.iter_mut().zip(latches) {
            *count += latch.trips;
        }
        refused += run.engine.exchange.counters.reasons[Reason::Paused as usize];
        stops += u32::from(trading.is_stopped());
        late += run.engine.exchange.counters.late;
        stale += run.engine.exchange.counters.stale;
    }
    assert!(kinds[1..].iter().all(|count| *count > 50), "kinds of events: {kinds:?}");
    assert!(makers > 100 && takers > 500, "{makers} makers, {takers} takers");
    assert!(trips.iter().all(|count| *count > 5), "trips of the switches: {trips:?}");
    assert!(
        refused > 50 && stops > 3,
        "{refused} orders refused while paused, {stops} runs stopped"
    );
    assert!(late > 100 && stale > 50, "{late} late, {stale} stale");
}
