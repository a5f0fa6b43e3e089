//! The order of time (SEMANTICS, section 1): due lists, watermarks, answers, clocks, timers, livelock, warm-up.
//! May not live here: fill rules.

mod support;

use replay_core::bars::Bar;
use replay_core::engine::{Call, Halt};
use replay_core::event::EventKind;
use replay_core::record::BarPrice;
use replay_core::series::Ends;
use replay_core::setup::Source;
use support::*;

fn latencies(entry: i64, response: i64) -> replay_core::setup::SetupText {
    let mut text = quotes();
    text.venues[0].latency_ns.entry = entry;
    text.venues[0].latency_ns.response = response;
    text
}

#[test]
fn on_start_runs_when_the_first_record_is_taken_at_its_time_of_receipt() {
    let run = play(&quotes(), &[quote(100, 99, 101).received(130)], |engine, call| {
        if call == Call::Start {
            assert_eq!(engine.exchange.markets[0].ask.size, 0, "nothing is applied yet");
        }
    });
    assert_eq!(run.called(), [(130, Call::Start), (130, Call::Quote)]);
}

#[test]
fn a_venue_without_a_watermark_takes_no_arrivals_before_the_record_that_gives_it_one() {
    let run = play(
        &quotes(),
        &[quote(100, 99, 101).received(130), quote(200, 99, 102)],
        |engine, call| {
            if call == Call::Start {
                send(engine, buy(1));
            }
        },
    );
    // x = 130 lies above the first watermark of 100: it arrives before the next record, at 130.
    assert_eq!(run.story(), ["130 new #0", "130 fill #0 1 @ 101 taker"]);
    let text = with_two_venues(quotes());
    let tape = [quote(100, 99, 101), quote(500, 99, 101).on(1)];
    let run = play(&text, &tape, |engine, call| {
        if call == Call::Start {
            send(engine, buy(1).on(1));
        }
    });
    assert_eq!(
        run.story(),
        ["500 new #0", "500 fill #0 1 @ 101 taker"],
        "it arrives at max(x, its first ts_event)"
    );
}

#[test]
fn an_arrival_at_a_records_time_is_matched_after_it() {
    let run = play_orders(
        &latencies(100, 0),
        &[quote(100, 99, 101), quote(200, 99, 103)],
        &[(100, buy(1))],
    );
    assert_eq!(run.outcome(), ["200 fill #0 1 @ 103 taker"]);
}

#[test]
fn an_arrival_before_a_records_time_is_matched_before_it() {
    let run = play_orders(
        &latencies(99, 0),
        &[quote(100, 99, 101), quote(200, 99, 103)],
        &[(100, buy(1))],
    );
    assert_eq!(run.outcome(), ["199 fill #0 1 @ 101 taker"]);
}

#[test]
fn an_arrival_is_matched_after_the_first_of_several_records_at_its_time() {
    let tape = [quote(100, 99, 101), quote(200, 99, 103), quote(200, 99, 105)];
    let run = play_orders(&latencies(100, 0), &tape, &[(100, buy(1))]);
    assert_eq!(run.outcome(), ["200 fill #0 1 @ 103 taker"]);
    assert_eq!(run.fills()[0].tape_seq, 1);
}

#[test]
fn a_market_order_without_latency_is_matched_and_answered_before_the_next_record() {
    let run = play_orders(&quotes(), &[quote(100, 99, 101), quote(200, 99, 103)], &[(100, buy(1))]);
    let seqs: Vec<_> = run.calls.iter().map(|one| (one.tape_seq, one.now, one.call)).collect();
    assert_eq!(
        seqs,
        [
            (0, 100, Call::Start),
            (0, 100, Call::Quote),
            (0, 100, Call::Order),
            (0, 100, Call::Fill),
            (1, 200, Call::Quote)
        ]
    );
}

#[test]
fn each_arrival_is_matched_completely_before_the_next() {
    let run = play_orders(
        &quotes(),
        &[quote(100, 99, 101)],
        &[(100, buy(12).limit(102)), (100, buy(3).limit(102))],
    );
    assert_eq!(
        run.story(),
        [
            "100 new #0",
            "100 fill #0 10 @ 101 taker",
            "100 fill #0 2 @ 102 taker",
            "100 new #1",
            "100 fill #1 3 @ 102 taker"
        ]
    );
}

#[test]
fn an_answer_is_seen_at_the_latest_of_venue_time_plus_latency_the_deciding_records_receipt_and_now() {
    // Decided by the record received at 230: not seen before, whatever the venue time.
    let tape = [
        quote(100, 99, 105),
        quote(200, 99, 101).received(230),
        quote(400, 99, 101),
    ];
    let run = play_orders(&latencies(0, 10), &tape, &[(100, buy(1).limit(102))]);
    let fill = run.fills()[0];
    assert_eq!((fill.venue_time, fill.answer_time), (200, 230));
    // Decided while the record at 400 is taken, though its venue time is 150.
    let tape = [quote(100, 99, 101), quote(400, 99, 101)];
    let run = play_orders(&latencies(50, 10), &tape, &[(100, buy(1))]);
    let fill = run.fills()[0];
    assert_eq!((fill.venue_time, fill.answer_time), (150, 400));
    // A slow answer: venue time + latency.
    let run = play_orders(&latencies(0, 70), &tape, &[(100, buy(1))]);
    assert_eq!(run.fills()[0].answer_time, 170);
    assert!(run.called().contains(&(170, Call::Fill)));
}

#[test]
fn on_fill_of_what_a_record_filled_comes_before_the_records_own_handler() {
    let run = play_orders(
        &quotes(),
        &[quote(100, 99, 105), quote(200, 99, 101)],
        &[(100, buy(1).limit(102))],
    );
    let last: Vec<_> = run
        .calls
        .iter()
        .filter(|one| one.tape_seq == 1)
        .map(|one| one.call)
        .collect();
    assert_eq!(last, [Call::Fill, Call::Quote]);
}

#[test]
fn a_timer_at_16_00_fires_after_all_records_stamped_16_00() {
    let tape = [
        quote(100, 99, 101),
        quote(1600, 99, 101),
        quote(1600, 99, 101),
        quote(1601, 99, 101),
    ];
    let run = play(&quotes(), &tape, |engine, call| {
        if call == Call::Start {
            engine.at(1600, 4).unwrap();
        }
    });
    let called: Vec<_> = run.calls.iter().map(|one| (one.tape_seq, one.now, one.call)).collect();
    assert_eq!(
        called[2..],
        [
            (1, 1600, Call::Quote),
            (2, 1600, Call::Quote),
            (3, 1600, Call::Timer(4)),
            (3, 1601, Call::Quote)
        ]
    );
}

#[test]
fn a_timer_waits_for_the_next_record_also_where_answers_are_due_at_its_time() {
    let tape = [quote(100, 99, 105), quote(1600, 99, 101), quote(1601, 99, 101)];
    let run = play(&quotes(), &tape, |engine, call| match (call, engine.now()) {
        (Call::Start, _) => engine.at(1600, 4).unwrap(),
        (Call::Quote, 100) => {
            send(engine, buy(1).limit(102));
        }
        (Call::Quote, 1600) => {
            send(engine, buy(1));
        }
        _ => {}
    });
    let fired = run.calls.iter().find(|one| one.call == Call::Timer(4)).unwrap();
    assert_eq!((fired.tape_seq, fired.now, run.fills().len()), (2, 1600, 2));
}

#[test]
fn repeating_timers_fire_for_each_missed_due_time_the_first_at_now_plus_period_with_now_at_the_due_time() {
    let run = play(
        &quotes(),
        &[quote(100, 99, 101), quote(500, 99, 101)],
        |engine, call| {
            if call == Call::Start {
                engine.every(150, 1).unwrap();
            }
        },
    );
    let timers: Vec<_> = run
        .called()
        .into_iter()
        .filter(|one| matches!(one.1, Call::Timer(_)))
        .collect();
    assert_eq!(timers, [(250, Call::Timer(1)), (400, Call::Timer(1))]);
}

#[test]
fn a_timer_before_now_raises() {
    play(&quotes(), &[quote(100, 99, 101)], |engine, call| {
        if call == Call::Quote {
            assert!(engine.at(99, 0).unwrap_err().0.contains("before now"));
            engine.at(100, 0).unwrap();
            assert!(engine.every(0, 0).is_err());
        }
    });
}

#[test]
fn at_one_time_expiry_comes_before_arrival_before_answer_before_timer() {
    let mut text = quotes();
    text.venues[0].latency_ns.entry = 100;
    text.venues[0].latency_ns.response = 0;
    let tape = [quote(100, 99, 101), quote(150, 99, 101), quote(400, 99, 101)];
    let run = play(&text, &tape, |engine, call| match (call, engine.now()) {
        (Call::Start, _) => {
            send(engine, buy(1).limit(90).until(250));
            engine.at(250, 9).unwrap();
        }
        (Call::Quote, 150) => {
            send(engine, buy(1));
        }
        _ => {}
    });
    assert_eq!(
        run.story()[1..],
        ["250 expired #0", "250 new #1", "250 fill #1 1 @ 101 taker"]
    );
    // Answers decided while the record at 400 is taken are seen at 400, after the timer at 250.
    let late: Vec<_> = run
        .calls
        .iter()
        .filter(|one| one.tape_seq == 2)
        .map(|one| (one.now, one.call))
        .collect();
    assert_eq!(
        late,
        [
            (250, Call::Timer(9)),
            (400, Call::Order), // new #0, decided at 200
            (400, Call::Order), // expired #0
            (400, Call::Order), // new #1
            (400, Call::Fill),
            (400, Call::Quote)
        ]
    );
}

#[test]
fn a_command_given_in_a_timer_arrives_before_the_next_record_if_its_time_comes_first() {
    let run = play(
        &latencies(20, 0),
        &[quote(100, 99, 101), quote(400, 99, 109)],
        |engine, call| match call {
            Call::Start => engine.at(200, 0).unwrap(),
            Call::Timer(_) => {
                send(engine, buy(1));
            }
            _ => {}
        },
    );
    assert_eq!(run.outcome(), ["220 fill #0 1 @ 101 taker"]);
}

#[test]
fn now_never_goes_back_when_receipt_times_do() {
    let tape = [
        quote(100, 99, 101).received(300),
        quote(150, 99, 101).received(250),
        quote(310, 99, 101),
    ];
    let run = play(&quotes(), &tape, |_, _| {});
    let nows: Vec<_> = run.calls.iter().map(|one| one.now).collect();
    assert_eq!(nows, [300, 300, 300, 310]);
}

#[test]
fn each_venue_has_a_watermark_of_its_own() {
    let mut text = with_two_venues(quotes());
    text.venues[0].latency_ns.entry = 10;
    text.venues[1].latency_ns.entry = 10;
    let tape = [
        quote(100, 99, 101),
        quote(100, 199, 201).on(1),
        quote(150, 99, 103),
        quote(160, 199, 205).on(1),
    ];
    let run = play_orders(&text, &tape[..], &[(100, buy(1).on(1))]);
    // At 110 for venue 1: its next record is that at 160, though venue 0 went on to 150 before.
    let fill = run.fills()[0];
    assert_eq!((fill.venue_time, fill.last_price, fill.tape_seq), (110, 201, 3));
}

#[test]
fn where_one_clock_holds_all_venues_share_one_watermark() {
    let mut text = with_two_venues(quotes());
    text.one_clock = true;
    text.venues[1].latency_ns.entry = 10;
    let tape = [
        quote(100, 99, 101),
        quote(100, 199, 201).on(1),
        quote(150, 99, 103),
        quote(160, 199, 205).on(1),
    ];
    let run = play_orders(&text, &tape, &[(100, buy(1).on(1))]);
    let fill = run.fills()[0];
    assert_eq!((fill.venue_time, fill.last_price, fill.tape_seq), (110, 201, 2));
}

#[test]
fn a_clock_record_moves_the_watermark_of_its_venue_or_of_all() {
    let mut text = with_two_venues(quotes());
    text.venues[1].latency_ns.entry = 10;
    for (venue, seq) in [(1, 2), (-1, 2), (0, 3)] {
        let tape = [
            quote(100, 99, 101),
            quote(100, 199, 201).on(1),
            clock(150, venue),
            quote(160, 199, 205).on(1),
        ];
        let run = play_orders(&text, &tape, &[(100, buy(1).on(1))]);
        assert_eq!(run.fills()[0].tape_seq, seq, "a clock of {venue}");
    }
}

#[test]
fn a_clock_record_fires_timers_and_brings_answers_without_calling_a_handler_of_its_own() {
    let tape = [quote(100, 99, 101), clock(300, -1)];
    let run = play(&latencies(0, 50), &tape, |engine, call| {
        if call == Call::Quote {
            send(engine, buy(1));
            engine.at(200, 0).unwrap();
        }
    });
    let called: Vec<_> = run
        .calls
        .iter()
        .filter(|one| one.tape_seq == 1)
        .map(|one| (one.now, one.call))
        .collect();
    assert_eq!(called, [(150, Call::Order), (150, Call::Fill), (200, Call::Timer(0))]);
}

#[test]
fn a_watermark_never_goes_back() {
    let tape = [
        quote(300, 99, 101),
        trade(200, 99, 1).received(310),
        quote(350, 99, 103),
    ];
    let run = play_orders(&quotes(), &tape, &[(310, buy(1))]);
    assert_eq!(run.outcome(), ["310 fill #0 1 @ 101 taker"]);
}

#[test]
fn told_positions_are_those_of_the_answers_received_and_the_ledger_books_at_matching() {
    let mut seen = Vec::new();
    let tape = [quote(100, 99, 101), quote(150, 99, 101), quote(300, 99, 101)];
    play(&latencies(0, 70), &tape, |engine, call| {
        if call == Call::Quote && engine.now() == 100 {
            send(engine, buy(3));
        } else if call != Call::Start {
            seen.push((
                engine.now(),
                call,
                engine.told_position(0, 0).quantity,
                engine.exchange.ledger.position(0, 0).quantity,
            ));
        }
    });
    assert_eq!(
        seen,
        [
            (150, Call::Quote, 0, 3),
            (170, Call::Order, 0, 3),
            (170, Call::Fill, 3, 3),
            (300, Call::Quote, 3, 3)
        ]
    );
}

#[test]
fn strategies_are_called_one_after_the_other_in_run_file_order_and_own_their_orders() {
    let text = with_two_strategies(quotes());
    let run = play_all(&text, &[quote(100, 99, 101)], |engine, strategy, call| {
        if call == Call::Quote {
            send(engine, buy(strategy as i64 + 1));
        }
    });
    let called: Vec<_> = run.calls.iter().map(|one| (one.strategy, one.call)).collect();
    assert_eq!(
        called,
        [
            (0, Call::Start),
            (1, Call::Start),
            (0, Call::Quote),
            (1, Call::Quote),
            (0, Call::Order),
            (0, Call::Fill),
            (1, Call::Order),
            (1, Call::Fill)
        ]
    );
    let ledger = &run.engine.exchange.ledger;
    assert_eq!(
        (
            ledger.position(0, 0).quantity,
            ledger.position(1, 0).quantity,
            ledger.net[0]
        ),
        (1, 2, 3)
    );
}

#[test]
fn a_tick_built_bar_closes_at_its_boundary_before_the_record_is_applied_and_its_on_bar_comes_before_the_records_own() {
    let tape = [trade(10, 5, 1), trade(29, 9, 1), trade(31, 3, 1)];
    let mut bars: Vec<Bar> = Vec::new();
    let run = play(&trades(), &tape, |engine, call| match call {
        Call::Start => {
            engine
                .subscribe_bars(0, 0, Ends::Every(10), Some(BarPrice::Trade))
                .unwrap();
        }
        Call::Bar(series) => {
            assert_eq!(engine.exchange.markets[0].last_price, Some(engine.record().a));
            bars.push(*engine.series.last_bar(series).unwrap());
        }
        _ => {}
    });
    assert_eq!(
        run.called()[1..],
        [
            (10, Call::Trade),
            (29, Call::Bar(0)),
            (29, Call::Trade),
            (31, Call::Bar(0)),
            (31, Call::Trade)
        ]
    );
    assert_eq!(
        bars.iter().map(|bar| (bar.start_ns, bar.close)).collect::<Vec<_>>(),
        [(10, 5), (20, 9)]
    );
}

#[test]
fn bar_closes_at_one_time_go_by_order_of_subscription_and_a_bar_record_is_a_bar_of_its_length() {
    let mut text = bars();
    text.bar_lengths = vec![BAR];
    let run = play(&text, &[trade(5, 5, 1), bar(30, [5, 6, 4, 5])], |engine, call| {
        if call == Call::Start {
            engine
                .subscribe_bars(0, 0, Ends::Every(10), Some(BarPrice::Trade))
                .unwrap();
            engine
                .subscribe_bars(0, 0, Ends::Every(5), Some(BarPrice::Trade))
                .unwrap();
            engine.subscribe_bars(0, 0, Ends::Every(BAR), None).unwrap();
            assert!(engine.subscribe_bars(0, 0, Ends::Every(0), None).is_err());
        }
    });
    assert_eq!(
        run.called()[2..],
        [(30, Call::Bar(0)), (30, Call::Bar(1)), (30, Call::Bar(2))],
        "0 and 1 close at 10, by subscription; then the record's own"
    );
}

#[test]
fn too_many_items_of_one_due_list_at_one_time_halt_the_run_naming_the_strategy() {
    let text = with_two_strategies(quotes());
    let run = play_all(&text, &[quote(100, 99, 101)], |engine, strategy, call| {
        if strategy == 1 && matches!(call, Call::Quote | Call::Order) {
            send(engine, buy(1).limit(10));
        }
    });
    assert!(
        matches!(
            run.halt,
            Some(Halt::Livelock {
                strategy: 1,
                time: 100,
                ..
            })
        ),
        "{:?}",
        run.halt
    );
}

#[test]
fn orders_on_thousands_of_records_received_at_once_are_no_livelock() {
    let backlog = (0..6_000).map(|row| quote(100 + row, 99, 101).received(50_000));
    let tape: Vec<_> = backlog.chain([quote(90_000, 99, 101)]).collect();
    let run = play(&latencies(0, 10), &tape, |engine, call| {
        if call == Call::Quote && engine.now() == 50_000 {
            send(engine, buy(1));
        }
    });
    assert!(run.halt.is_none(), "{:?}", run.halt);
    assert_eq!(run.of_kind(EventKind::New).len(), 6_000);
}

#[test]
fn too_many_timers_in_one_gap_halt_the_run() {
    let run = play(
        &quotes(),
        &[quote(100, 99, 101), quote(2_000_000_000, 99, 101)],
        |engine, call| {
            if call == Call::Start {
                engine.every(1_000, 0).unwrap();
            }
        },
    );
    assert!(
        matches!(
            run.halt,
            Some(Halt::Livelock {
                strategy: 0,
                kind: "timer",
                ..
            })
        ),
        "{:?}",
        run.halt
    );
}

#[test]
fn before_trading_starts_everything_runs_and_commands_are_refused_as_warming_up() {
    let mut text = quotes();
    text.trading_start_ns = Some(200);
    let run = play_orders(
        &text,
        &[quote(100, 99, 101), quote(200, 99, 101)],
        &[(100, buy(1)), (200, buy(1))],
    );
    assert_eq!(
        run.outcome(),
        ["100 rejected #0 warming_up", "200 fill #1 1 @ 101 taker"]
    );
    assert_eq!(run.calls.iter().filter(|one| one.call == Call::Quote).count(), 2);
}

#[test]
fn a_rejection_at_admission_is_answered_at_once_without_latency() {
    let mut text = latencies(40, 90);
    text.risk.max_order_size = Some("5".into());
    let run = play_orders(&text, &[quote(100, 99, 101), quote(200, 99, 101)], &[(100, buy(6))]);
    let rejected = run.of_kind(EventKind::Rejected)[0];
    assert_eq!((rejected.venue_time, rejected.answer_time), (100, 100));
    assert!(run
        .calls
        .iter()
        .any(|one| (one.tape_seq, one.now, one.call) == (0, 100, Call::Order)));
}

#[test]
fn the_tape_seq_counts_all_records_taken_late_and_stale_ones_too() {
    let tape = [
        quote(300, 99, 101),
        quote(200, 99, 101).received(310),
        quote(320, 99, 101),
    ];
    let run = play_orders(&quotes(), &tape, &[(320, buy(1))]);
    assert_eq!(run.fills()[0].tape_seq, 2);
    let indices: Vec<_> = run.events.iter().map(|event| event.index).collect();
    assert_eq!(
        indices,
        (0..run.events.len() as u32).collect::<Vec<_>>(),
        "events of one record are numbered"
    );
}

#[test]
fn several_instruments_have_books_of_their_own() {
    let mut text = quotes();
    text.instruments.push(instrument("B", 0, Source::Quote));
    let run = play_orders(
        &text,
        &[quote(100, 99, 101), quote(100, 199, 201).on(1)],
        &[(100, buy(1).on(1)), (100, buy(1))],
    );
    assert_eq!(
        run.outcome(),
        ["100 canceled #0 no_market", "100 fill #1 1 @ 101 taker"]
    );
}
