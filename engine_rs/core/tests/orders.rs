//! The life of orders (SEMANTICS, section 3): amend, cancel, target, expiry, sessions, operators' commands.
//! May not live here: prices of fills, or the account's checks.

mod support;

use replay_core::engine::Call;
use replay_core::event::{EventKind, ABSENT};
use replay_core::lifecycle::State;
use replay_core::reason::Reason;
use replay_core::record::OperatorCommand;
use support::*;

const KEEP: i64 = ABSENT;

#[test]
fn cancel_of_a_live_order_ends_it_as_requested() {
    let run = play(
        &quotes(),
        &[quote(100, 99, 101), quote(200, 99, 101)],
        |engine, call| match (call, engine.now()) {
            (Call::Quote, 100) => {
                send(engine, buy(1).limit(90));
            }
            (Call::Quote, 200) => engine.cancel(0, 0).unwrap(),
            _ => {}
        },
    );
    assert_eq!(run.story(), ["100 new #0", "200 canceled #0 requested"]);
}

#[test]
fn cancel_of_an_ended_order_is_rejected_with_its_state() {
    let mut text = quotes();
    text.instruments[0].sessions = Some(vec![(0, 150)]);
    let tape = [quote(100, 99, 101), quote(200, 99, 101), quote(300, 99, 101)];
    let run = play(&text, &tape, |engine, call| match (call, engine.now()) {
        (Call::Quote, 100) => {
            send(engine, buy(1));
            send(engine, buy(1).limit(90).until(150));
            send(engine, buy(1).limit(90).ioc());
        }
        (Call::Quote, 200) => {
            send(engine, buy(1).limit(90).day());
        }
        (Call::Quote, 300) => (0..4).for_each(|id| engine.cancel(0, id).unwrap()),
        _ => {}
    });
    let reasons: Vec<_> = run
        .of_kind(EventKind::CancelRejected)
        .iter()
        .map(|one| Reason::name(one.reason))
        .collect();
    assert_eq!(
        reasons,
        ["order_filled", "order_expired", "order_canceled", "order_rejected"]
    );
}

#[test]
fn cancel_of_an_unknown_order_or_of_another_strategys_raises_at_the_users_line() {
    let text = with_two_strategies(quotes());
    let run = play_all(
        &text,
        &[quote(100, 99, 101), quote(200, 99, 101)],
        |engine, strategy, call| match (strategy, call, engine.now()) {
            (0, Call::Quote, 100) => {
                send(engine, buy(1).limit(90));
            }
            (1, Call::Quote, 200) => {
                assert!(engine.cancel(1, 7).unwrap_err().0.contains("order 7 is not known"));
                assert!(engine.cancel(1, 0).unwrap_err().0.contains("another strategy"));
                assert!(engine.amend(1, 0, 5, KEEP, KEEP).is_err());
            }
            _ => {}
        },
    );
    assert_eq!(run.story(), ["100 new #0"]);
}

#[test]
fn an_amend_names_the_new_total_quantity() {
    let tape = [quote(100, 99, 101), quote(200, 99, 101), quote(300, 89, 90)];
    let run = play(&quotes(), &tape, |engine, call| match (call, engine.now()) {
        (Call::Quote, 100) => {
            send(engine, buy(12).limit(101));
        }
        (Call::Quote, 200) => engine.amend(0, 0, 15, KEEP, KEEP).unwrap(),
        _ => {}
    });
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 10 @ 101 taker",
            "200 replaced #0",
            "300 fill #0 5 @ 101 maker"
        ]
    );
}

#[test]
fn an_amend_to_a_total_not_above_what_is_filled_is_rejected_and_the_order_unchanged() {
    let tape = [quote(100, 99, 101), quote(200, 99, 101), quote(300, 89, 90)];
    let run = play(&quotes(), &tape, |engine, call| match (call, engine.now()) {
        (Call::Quote, 100) => {
            send(engine, buy(12).limit(101));
        }
        (Call::Quote, 200) => engine.amend(0, 0, 10, 50, KEEP).unwrap(),
        _ => {}
    });
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 10 @ 101 taker",
            "200 amend rejected #0 below_filled",
            "300 fill #0 2 @ 101 maker"
        ]
    );
}

#[test]
fn an_amended_price_is_matched_as_a_new_arrival() {
    let run = play(
        &quotes(),
        &[quote(100, 99, 101), quote(200, 99, 101)],
        |engine, call| match (call, engine.now()) {
            (Call::Quote, 100) => {
                send(engine, buy(2).limit(95));
                send(engine, sell(2).stop(90));
            }
            (Call::Quote, 200) => {
                engine.amend(0, 0, KEEP, 101, KEEP).unwrap();
                engine.amend(0, 1, KEEP, KEEP, 99).unwrap();
            }
            _ => {}
        },
    );
    assert_eq!(
        run.story(),
        [
            "100 new #0",
            "100 new #1",
            "200 replaced #0",
            "200 fill #0 2 @ 101 taker",
            "200 replaced #1",
            "200 triggered #1",
            "200 fill #1 2 @ 99 taker"
        ]
    );
}

#[test]
fn only_a_pure_decrease_keeps_the_place_among_own_orders() {
    for (quantity, first) in [(4, 0), (6, 1)] {
        let tape = [
            quote(100, 90, 105),
            quote(200, 90, 105),
            sized_quote(300, (90, 10), (100, 3)),
        ];
        let run = play(&quotes(), &tape, |engine, call| match (call, engine.now()) {
            (Call::Quote, 100) => {
                send(engine, buy(5).limit(101));
                send(engine, buy(5).limit(101));
            }
            (Call::Quote, 200) => engine.amend(0, 0, quantity, KEEP, KEEP).unwrap(),
            _ => {}
        });
        assert_eq!(run.fills()[0].order_id, first);
    }
}

#[test]
fn an_amend_of_an_ended_order_is_rejected_with_its_state() {
    let run = play(
        &quotes(),
        &[quote(100, 99, 101), quote(200, 99, 101)],
        |engine, call| match (call, engine.now()) {
            (Call::Quote, 100) => {
                send(engine, buy(2));
            }
            (Call::Quote, 200) => engine.amend(0, 0, 9, KEEP, KEEP).unwrap(),
            _ => {}
        },
    );
    assert_eq!(run.outcome()[1..], ["200 amend rejected #0 order_filled"]);
}

#[test]
fn the_trigger_of_a_triggered_order_cannot_change() {
    let run = play(
        &quotes(),
        &[quote(100, 99, 101), quote(200, 99, 101)],
        |engine, call| match (call, engine.now()) {
            (Call::Quote, 100) => {
                send(engine, buy(2).stop(101).limit(95));
            }
            (Call::Quote, 200) => engine.amend(0, 0, KEEP, KEEP, 120).unwrap(),
            _ => {}
        },
    );
    assert_eq!(run.story()[2..], ["200 amend rejected #0 already_triggered"]);
}

#[test]
fn commands_of_one_order_arrive_in_the_order_given_whatever_their_latencies() {
    let mut text = quotes();
    text.venues[0].latency_ns.entry = 50;
    text.venues[0].latency_ns.cancel = 5;
    text.venues[0].latency_ns.amend = 70;
    let run = play(&text, &[quote(100, 99, 101), quote(400, 99, 101)], |engine, call| {
        if (call, engine.now()) == (Call::Quote, 100) {
            let id = send(engine, buy(2).limit(90));
            engine.amend(0, id, 3, KEEP, KEEP).unwrap();
            engine.cancel(0, id).unwrap();
        }
    });
    assert_eq!(
        run.story(),
        ["150 new #0", "170 replaced #0", "170 canceled #0 requested"]
    );
}

#[test]
fn cancel_all_names_live_orders_and_those_sent_in_this_handler_without_those_whose_cancel_is_under_way() {
    let mut text = quotes();
    text.venues[0].latency_ns.cancel = 150;
    let tape = [quote(100, 99, 101), quote(200, 99, 101), quote(400, 99, 101)];
    let run = play(&text, &tape, |engine, call| match (call, engine.now()) {
        (Call::Quote, 100) => {
            send(engine, buy(1).limit(90));
            let id = send(engine, buy(1).limit(91));
            engine.cancel(0, id).unwrap();
        }
        (Call::Quote, 200) => {
            let id = send(engine, buy(1).limit(92));
            assert_eq!(engine.cancel_all(0, None).unwrap(), [0, id]);
            assert!(engine.cancel_all(0, None).unwrap().is_empty());
        }
        _ => {}
    });
    assert_eq!(
        run.outcome(),
        [
            "250 canceled #1 requested",
            "350 canceled #0 requested",
            "350 canceled #2 requested"
        ]
    );
}

#[test]
fn an_order_whose_cancel_is_under_way_is_seen_as_pending_cancel() {
    let mut text = quotes();
    text.venues[0].latency_ns.cancel = 150;
    let tape = [quote(100, 99, 101), quote(200, 99, 101), quote(400, 99, 101)];
    let mut seen = Vec::new();
    play(&text, &tape, |engine, call| {
        if call == Call::Quote {
            if engine.now() == 100 {
                let id = send(engine, buy(1).limit(90));
                engine.cancel(0, id).unwrap();
            } else {
                seen.push(engine.exchange.orders.get(0).visible_state());
            }
        }
    });
    assert_eq!(seen, [State::PendingCancel, State::Canceled]);
}

#[test]
fn target_sends_the_difference_to_told_position_and_leaves_of_live_market_orders() {
    let mut text = quotes();
    text.venues[0].latency_ns.response = 1_000;
    let mut sent = Vec::new();
    let tape = [
        quote(100, 99, 101),
        quote(200, 99, 101),
        quote(2_000, 99, 101),
        quote(2_100, 99, 101),
    ];
    play(&text, &tape, |engine, call| {
        if call == Call::Quote {
            let target = if engine.now() < 2_000 { 5 } else { -2 };
            if engine.now() == 100 {
                send(engine, buy(50).limit(10)); // a resting limit: never touched, never counted
            }
            let id = engine.target(0, 0, target).unwrap();
            sent.push((engine.now(), id));
            assert_eq!(
                engine.target(0, 0, target).unwrap(),
                None,
                "what was sent in this handler counts"
            );
        }
    });
    // At 200 the fill is not told yet, but the order's leaves count.
    assert_eq!(sent, [(100, Some(1)), (200, None), (2_000, Some(2)), (2_100, None)]);
}

#[test]
fn target_is_floored_to_a_lot_towards_zero() {
    let mut text = quotes();
    text.instruments[0].lot = "4".into();
    let mut sizes = Vec::new();
    play(&text, &[quote(100, 99, 101), quote(200, 99, 101)], |engine, call| {
        if call == Call::Quote {
            engine.target(0, 0, if engine.now() == 100 { 11 } else { -3 }).unwrap();
            sizes.push(engine.told_position(0, 0).quantity);
        }
    });
    assert_eq!(sizes, [0, 8]);
}

#[test]
fn an_order_expires_on_ticks_before_the_first_record_at_or_after_its_expiry() {
    for (time, filled) in [(149, true), (150, false), (151, false)] {
        let run = play_orders(
            &quotes(),
            &[quote(100, 90, 105), quote(time, 90, 95)],
            &[(100, buy(1).limit(99).until(150))],
        );
        assert_eq!(run.fills().len() == 1, filled, "at {time}");
        if !filled {
            assert_eq!(run.outcome(), ["150 expired #0"]);
        }
    }
}

#[test]
fn an_order_that_arrives_at_or_after_its_expiry_is_rejected() {
    let mut text = quotes();
    text.venues[0].latency_ns.entry = 50;
    let tape = [quote(100, 99, 101), quote(300, 99, 101)];
    let run = play_orders(
        &text,
        &tape,
        &[(100, buy(1).limit(90).until(150)), (100, buy(1).limit(90).until(151))],
    );
    assert_eq!(run.outcome(), ["150 rejected #0 expired_on_arrival", "151 expired #1"]);
}

#[test]
fn expiries_at_one_time_go_by_order_id() {
    let mut text = quotes();
    text.instruments
        .push(instrument("B", 0, replay_core::setup::Source::Bar));
    let tape = [quote(100, 99, 101), quote(300, 99, 101)];
    let orders = [
        (100, buy(1).limit(90).until(150).on(1)),
        (100, buy(1).limit(90).until(150)),
        (100, buy(1).limit(90).until(150).on(1)),
        (100, buy(1).limit(90).until(150)),
    ];
    let run = play_orders(&text, &tape, &orders);
    assert_eq!(
        run.outcome(),
        ["150 expired #0", "150 expired #1", "150 expired #2", "150 expired #3"]
    );
}

#[test]
fn a_day_order_ends_with_the_session_that_holds_its_arrival() {
    let mut text = quotes();
    text.instruments[0].sessions = Some(vec![(0, 150), (200, 300)]);
    let times = [100, 150, 180, 250, 350];
    let tape: Vec<_> = times.iter().map(|time| quote(*time, 99, 101)).collect();
    let orders: Vec<_> = times.iter().map(|time| (*time, buy(1).limit(90).day())).collect();
    let run = play_orders(&text, &tape, &orders);
    // At the end of one, or between two, it belongs to the next; without a next one it is rejected.
    assert_eq!(
        run.outcome(),
        [
            "150 expired #0",
            "300 expired #1",
            "300 expired #2",
            "300 expired #3",
            "350 rejected #4 no_session"
        ]
    );
}

#[test]
fn the_operators_cancel_all_cancels_every_strategys_orders() {
    let text = with_two_strategies(quotes());
    let tape = [
        quote(100, 99, 101),
        command(200, OperatorCommand::CancelAll),
        quote(300, 99, 101),
    ];
    let run = play_all(&text, &tape, |engine, _, call| {
        if (call, engine.now()) == (Call::Quote, 100) {
            send(engine, buy(1).limit(90));
        }
    });
    assert_eq!(run.outcome(), ["200 canceled #0 operator", "200 canceled #1 operator"]);
    assert!(run.engine.exchange.orders.told_live().next().is_none());
}

#[test]
fn the_operators_flatten_closes_every_strategys_position() {
    let text = with_two_strategies(quotes());
    let tape = [
        quote(100, 99, 101),
        command(200, OperatorCommand::Flatten),
        quote(300, 99, 101),
    ];
    let run = play_all(&text, &tape, |engine, strategy, call| {
        if (call, engine.now()) == (Call::Quote, 100) {
            send(engine, if strategy == 0 { buy(3) } else { sell(2) });
        }
    });
    let last = &run.outcome()[2..];
    assert_eq!(last, ["200 fill #2 3 @ 99 taker", "200 fill #3 2 @ 101 taker"]);
    assert!(run.engine.told_position(0, 0).quantity == 0 && run.engine.told_position(1, 0).quantity == 0);
}

#[test]
fn commands_after_the_end_raise() {
    let mut run = play(&quotes(), &[quote(100, 99, 101)], |_, _| {});
    run.engine.stop();
    assert!(run.engine.submit(buy(1)).is_err());
    assert!(run.engine.cancel_all(0, None).is_err());
    assert!(run.engine.target(0, 0, 5).is_err());
    assert!(run.engine.at(1_000, 0).is_err());
}

#[test]
fn the_end_of_a_tape_decides_nothing() {
    let mut text = quotes();
    text.venues[0].latency_ns.entry = 50;
    let run = play_orders(&text, &[quote(100, 99, 101)], &[(100, buy(1))]);
    assert!(run.story().is_empty());
    assert_eq!(run.engine.in_flight().len(), 1);
}

#[test]
fn a_strategy_that_raises_loses_its_commands_and_its_orders_at_once() {
    let mut text = quotes();
    text.venues[0].latency_ns.entry = 50;
    text.venues[0].latency_ns.cancel = 500;
    let tape = [quote(100, 99, 101), quote(200, 99, 101), quote(300, 99, 101)];
    let run = play(&text, &tape, |engine, call| match (call, engine.now()) {
        (Call::Quote, 100) => {
            send(engine, buy(1).limit(90));
        }
        (Call::Quote, 200) => {
            send(engine, buy(1).limit(91)); // dropped
            engine.abandon(0);
        }
        _ => {}
    });
    assert_eq!(run.story(), ["150 new #0", "200 canceled #0 strategy_halted"]);
    assert_eq!(run.calls.iter().filter(|one| one.tape_seq == 2).count(), 0);
}

#[test]
fn order_ids_are_one_counter_and_a_command_that_raised_takes_none() {
    let run = play(&quotes(), &[quote(100, 99, 101)], |engine, call| {
        if call == Call::Quote {
            assert_eq!(send(engine, buy(1)), 0);
            assert!(engine.submit(buy(0)).is_err());
            assert!(engine.submit(buy(1).limit(0)).is_err());
            assert_eq!(send(engine, buy(1)), 1);
        }
    });
    assert_eq!(run.fills().len(), 2);
}

#[test]
fn prices_and_quantities_off_the_grid_raise_at_the_users_line() {
    let mut text = quotes();
    text.instruments[0].tick = "5".into();
    text.instruments[0].lot = "10".into();
    play(&text, &[quote(100, 90, 100)], |engine, call| {
        if call == Call::Quote {
            assert!(engine.submit(buy(15)).unwrap_err().0.contains("multiple of lot 10"));
            assert!(engine
                .submit(buy(10).limit(97))
                .unwrap_err()
                .0
                .contains("multiple of tick 5"));
            assert!(engine
                .submit(buy(10).stop(97))
                .unwrap_err()
                .0
                .contains("multiple of tick 5"));
            assert!(engine.submit(buy(10).limit(-5)).unwrap_err().0.contains("not above 0"));
            assert!(engine
                .submit(buy(10).limit(95).day())
                .unwrap_err()
                .0
                .contains("session"));
            assert!(engine
                .submit(buy(10).limit(95).until(100))
                .unwrap_err()
                .0
                .contains("not after now"));
            let id = send(engine, buy(10).limit(95));
            assert!(engine.amend(0, id, KEEP, 97, KEEP).is_err());
            assert!(engine.amend(0, id, 15, KEEP, KEEP).is_err());
            assert!(engine
                .amend(0, id, KEEP, KEEP, 95)
                .unwrap_err()
                .0
                .contains("no stop price"));
            assert!(engine
                .amend(0, id, KEEP, KEEP, KEEP)
                .unwrap_err()
                .0
                .contains("changes nothing"));
        }
    });
}

#[test]
fn a_trigger_whose_data_the_feed_does_not_carry_is_refused_at_submission() {
    use replay_core::order::TriggerBy;
    let refused = |text: &replay_core::setup::SetupText, by: TriggerBy, tape: &[replay_core::record::Record]| {
        let mut refused = None;
        play(text, tape, |engine, call| {
            if matches!(call, Call::Quote | Call::Trade | Call::Bar(_)) {
                refused = Some(engine.submit(buy(1).stop(200).watching(by)).is_err());
            }
        });
        refused.expect("a handler was called")
    };
    let mut only_quotes = quotes();
    only_quotes.instruments[0].kinds = vec!["quote".into()];
    assert!(refused(&only_quotes, TriggerBy::Last, &[quote(100, 99, 101)]));
    assert!(!refused(&quotes(), TriggerBy::Last, &[quote(100, 99, 101)]));
    assert!(refused(&trades(), TriggerBy::Mid, &[trade(100, 99, 1)]));
    assert!(refused(&bars(), TriggerBy::Last, &[bar(100, [50; 4])]));
}

/// Sends `count` orders that end at once, after two that rest; the last quote fills what rests.
fn many_orders(count: i64, mut last_handler: impl FnMut(&mut replay_core::engine::Engine)) -> Run {
    let mut tape: Vec<_> = (0..=count).map(|time| quote(100 + time, 99, 101)).collect();
    tape.push(quote(101 + count, 80, 81));
    play(&quotes(), &tape, |engine, call| match (call, engine.now() - 100) {
        (Call::Quote, 0) => (0..2).for_each(|_| {
            send(engine, buy(1).limit(90));
        }),
        (Call::Quote, time) if time < count => {
            send(engine, buy(1).limit(90).ioc());
        }
        (Call::Quote, time) if time == count => last_handler(engine),
        _ => {}
    })
}

#[test]
fn memory_does_not_grow_with_past_orders_though_an_old_one_rests_and_it_lives_on() {
    use replay_core::order_table::{ENDED_KEPT, SENT_KEPT};
    let count = 2 * SENT_KEPT as i64;
    let run = many_orders(count, |engine| engine.cancel(0, 0).unwrap());
    let table = &run.engine.exchange.orders;
    assert!(table.len() <= SENT_KEPT + ENDED_KEPT, "{} orders", table.len());
    assert_eq!(table.next_id(), count as u64 + 1);
    let tail = run.outcome().split_off(count as usize - 1);
    assert_eq!(
        tail,
        [
            format!("{} canceled #0 requested", 100 + count),
            format!("{} fill #1 1 @ 90 maker", 101 + count)
        ]
    );
    let other = many_orders(3 * count, |_| {});
    assert_eq!(other.engine.exchange.orders.len(), table.len());
}

#[test]
fn an_order_that_ended_is_known_until_so_many_others_have_ended() {
    use replay_core::order_table::{ENDED_KEPT, SENT_KEPT};
    let count = 2 * SENT_KEPT as i64;
    many_orders(count, |engine| {
        // Order 2 was the first that ended, and the last one is told of in this very record.
        let last = engine.exchange.orders.next_id() - 1;
        let oldest_known = last + 1 - SENT_KEPT as u64;
        for known in [0, 1, oldest_known, last] {
            assert!(engine.exchange.orders.contains(known), "order {known}");
        }
        let error = engine.cancel(0, oldest_known - 1).unwrap_err().0;
        assert!(error.contains("not known any more"), "{error}");
        let error = engine.cancel(0, last + 1).unwrap_err().0;
        assert!(error.contains("never sent"), "{error}");
    });
    // One that rests, however old it is, is known from its end on until as many others have ended.
    let further = ENDED_KEPT as i64;
    let mut tape: Vec<_> = (0..count).map(|time| quote(100 + time, 99, 101)).collect();
    tape.extend((0..further + 2).map(|time| quote(100 + count + time, 80, 81)));
    play(&quotes(), &tape, |engine, call| match (call, engine.now() - 100) {
        (Call::Quote, 0) => {
            send(engine, buy(1).limit(90));
        }
        (Call::Quote, time) if time <= count + further => {
            assert!(engine.exchange.orders.contains(0), "at {time}");
            if time != count {
                send(engine, buy(1).limit(70).ioc());
            }
        }
        (Call::Quote, _) => assert!(!engine.exchange.orders.contains(0)),
        _ => {}
    });
}

#[test]
fn a_command_for_an_order_that_ended_keeps_it_until_it_is_answered() {
    use replay_core::order_table::ENDED_KEPT;
    let mut text = quotes();
    text.venues[0].latency_ns.cancel = 3 * ENDED_KEPT as i64;
    let count = 4 * ENDED_KEPT as i64;
    let tape: Vec<_> = (0..count).map(|time| quote(100 + time, 99, 101)).collect();
    let run = play(&text, &tape, |engine, call| match (call, engine.now() - 100) {
        (Call::Quote, 1) => engine.cancel(0, 0).unwrap(),
        (Call::Quote, _) => {
            send(engine, buy(1).limit(90).ioc());
        }
        _ => {}
    });
    let told: Vec<_> = run
        .of_kind(EventKind::CancelRejected)
        .iter()
        .map(|event| event.order_id)
        .collect();
    assert_eq!(told, [0]);
}

#[test]
fn expiries_of_orders_that_ended_do_not_pile_up() {
    let count = 5_000;
    let tape: Vec<_> = (0..count).map(|time| quote(100 + time, 99, 101)).collect();
    let run = play(&quotes(), &tape, |engine, call| {
        if call == Call::Quote {
            engine.cancel_all(0, None).unwrap();
            send(engine, buy(1).limit(90).until(1_000_000));
        }
    });
    let kept = run.engine.kept();
    let expiries = kept.iter().find(|row| row.0 == "expiries").unwrap().1;
    assert!((1..=130).contains(&expiries), "{expiries} of {count}");
}

#[test]
fn thousands_of_orders_at_one_time_are_no_livelock() {
    let run = play(&quotes(), &[quote(100, 99, 101)], |engine, call| {
        if call == Call::Quote {
            (0..6_000).for_each(|_| {
                send(engine, buy(1).limit(90));
            });
        }
    });
    assert!(run.halt.is_none());
    assert_eq!(run.of_kind(EventKind::New).len(), 6_000);
}

#[test]
fn a_clock_record_lets_orders_expire_and_commands_arrive() {
    let tape = [quote(100, 99, 101), quote(120, 99, 101), clock(150, -1)];
    let run = play(&quotes(), &tape, |engine, call| match (call, engine.now()) {
        (Call::Quote, 100) => {
            send(engine, buy(1).limit(90).until(150));
            send(engine, buy(1).limit(90).until(151));
        }
        (Call::Quote, 120) => engine.at(130, 0).unwrap(),
        (Call::Timer(_), _) => engine.cancel(0, 1).unwrap(),
        _ => {}
    });
    assert_eq!(run.outcome(), ["130 canceled #1 requested", "150 expired #0"]);
}
