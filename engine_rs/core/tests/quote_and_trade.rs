//! Fill rules on quotes and trades together: what takes meets the quote, resting limits both; the queue ahead.
//! May not live here: rules that hold on quotes or on trades alone.

mod support;

use replay_core::engine::Call;
use replay_core::order::TriggerBy;
use replay_core::setup::Sizes;
use support::*;

#[test]
fn what_takes_meets_the_quote_only() {
    let tape = [quote(100, 99, 101), trade(150, 70, 5), trade(200, 95, 5)];
    let run = play_orders(&quotes_and_trades(), &tape, &[(150, buy(2)), (100, sell(2).stop(95))]);
    assert_eq!(run.outcome(), ["150 fill #1 2 @ 101 taker"]);
    let stop = &run.engine.exchange.orders.get(0);
    assert!(!stop.triggered, "a stop watches bid and ask where there are quotes");
}

#[test]
fn resting_limits_meet_prints_and_quotes() {
    let tape = [quote(100, 99, 105), trade(200, 97, 2).by(SELL), quote(300, 97, 98)];
    let run = play_orders(&quotes_and_trades(), &tape, &[(100, buy(9).limit(98))]);
    assert_eq!(run.outcome(), ["200 fill #0 2 @ 98 maker", "300 fill #0 7 @ 98 maker"]);
}

#[test]
fn a_print_never_changes_a_displayed_size() {
    let tape = [quote(100, 99, 101), trade(200, 101, 8).by(BUY)];
    let run = play_orders(&quotes_and_trades(), &tape, &[(200, buy(10).limit(101))]);
    assert_eq!(run.outcome(), ["200 fill #0 10 @ 101 taker"]);
}

#[test]
fn a_limit_that_joins_the_best_has_the_displayed_size_ahead() {
    let tape = [
        quote(100, 99, 101),
        trade(200, 99, 7),
        trade(300, 99, 5),
        trade(400, 99, 1),
    ];
    let run = play_orders(&quotes_and_trades(), &tape, &[(100, buy(5).limit(99))]);
    // 10 ahead: 7 of them go, then 3 of the next 5, so that 2 are left for the order.
    assert_eq!(run.outcome(), ["300 fill #0 2 @ 99 maker", "400 fill #0 1 @ 99 maker"]);
}

#[test]
fn a_limit_that_improves_the_best_has_nothing_ahead() {
    let tape = [quote(100, 97, 101), trade(200, 99, 3)];
    let run = play_orders(&quotes_and_trades(), &tape, &[(100, buy(5).limit(99))]);
    assert_eq!(run.outcome(), ["200 fill #0 3 @ 99 maker"]);
}

#[test]
fn behind_the_best_the_queue_is_unknown_until_the_best_reaches_the_price() {
    let tape = [
        quote(100, 99, 101),
        trade(150, 97, 50), // at the price, but the queue is not known yet
        sized_quote(200, (97, 4), (101, 10)),
        trade(300, 97, 6),
    ];
    let run = play_orders(&quotes_and_trades(), &tape, &[(100, buy(5).limit(97))]);
    assert_eq!(run.outcome(), ["300 fill #0 2 @ 97 maker"]);
}

#[test]
fn a_quote_at_the_price_caps_the_queue_at_its_size() {
    let tape = [
        quote(100, 99, 101),
        sized_quote(200, (99, 3), (101, 10)),
        trade(300, 99, 5),
    ];
    let run = play_orders(&quotes_and_trades(), &tape, &[(100, buy(9).limit(99))]);
    assert_eq!(run.outcome(), ["300 fill #0 2 @ 99 maker"]);
    let tape = [
        quote(100, 99, 101),
        sized_quote(200, (99, 30), (101, 10)),
        trade(300, 99, 12),
    ];
    let run = play_orders(&quotes_and_trades(), &tape, &[(100, buy(9).limit(99))]);
    assert_eq!(
        run.outcome(),
        ["300 fill #0 2 @ 99 maker"],
        "who joins later stands behind"
    );
}

#[test]
fn when_the_best_falls_back_past_the_price_or_its_side_is_absent_nobody_is_ahead() {
    for fallen in [
        sized_quote(200, (98, 10), (101, 10)),
        sized_quote(200, (0, 0), (101, 10)),
    ] {
        let tape = [quote(100, 99, 101), fallen, trade(300, 99, 4)];
        let run = play_orders(&quotes_and_trades(), &tape, &[(100, buy(9).limit(99))]);
        assert_eq!(run.outcome(), ["300 fill #0 4 @ 99 maker"]);
    }
}

#[test]
fn a_print_through_the_limit_clears_its_queue() {
    let tape = [
        quote(100, 99, 101),
        trade(200, 98, 1).by(SELL),
        trade(300, 99, 4).by(SELL),
    ];
    let run = play_orders(&quotes_and_trades(), &tape, &[(100, buy(9).limit(99))]);
    assert_eq!(run.outcome(), ["200 fill #0 1 @ 99 maker", "300 fill #0 4 @ 99 maker"]);
}

#[test]
fn several_own_orders_in_one_queue_share_a_print_after_what_is_ahead_of_each() {
    // #0 joins behind 10, #1 behind 10 as well: own orders are never queue.
    let tape = [quote(100, 99, 101), trade(200, 99, 14)];
    let run = play_orders(
        &quotes_and_trades(),
        &tape,
        &[(100, buy(3).limit(99)), (100, buy(3).limit(99))],
    );
    assert_eq!(run.outcome(), ["200 fill #0 3 @ 99 maker", "200 fill #1 1 @ 99 maker"]);
}

#[test]
fn an_amend_of_the_price_or_an_increase_loses_the_queue_place_and_a_pure_decrease_keeps_it() {
    for (quantity, expected) in [(4, 4), (20, 0)] {
        let tape = [
            quote(100, 99, 101),
            trade(200, 99, 10),
            quote(300, 99, 101),
            trade(400, 99, 5),
        ];
        let run = play(&quotes_and_trades(), &tape, |engine, call| match (call, engine.now()) {
            (Call::Quote, 100) => {
                send(engine, buy(9).limit(99));
            }
            (Call::Quote, 300) => engine
                .amend(0, 0, quantity, replay_core::event::ABSENT, replay_core::event::ABSENT)
                .unwrap(),
            _ => {}
        });
        let filled: i64 = run.fills().iter().map(|fill| fill.last_size).sum();
        assert_eq!(filled, expected);
    }
}

#[test]
fn prints_fill_nothing_while_the_quote_is_crossed() {
    let tape = [
        quote(100, 97, 105),
        quote(200, 104, 101),
        trade(250, 90, 50),
        quote(300, 97, 105),
        trade(350, 90, 5),
    ];
    let run = play_orders(&quotes_and_trades(), &tape, &[(100, buy(9).limit(99))]);
    assert_eq!(run.outcome(), ["350 fill #0 5 @ 99 maker"]);
}

#[test]
fn a_stop_on_the_last_price_triggers_on_a_print_and_takes_from_the_quote() {
    let tape = [quote(100, 99, 101), trade(200, 103, 1)];
    let run = play_orders(
        &quotes_and_trades(),
        &tape,
        &[(100, buy(2).stop(103).watching(TriggerBy::Last))],
    );
    assert_eq!(
        run.story(),
        ["100 new #0", "200 triggered #0", "200 fill #0 2 @ 101 taker"]
    );
}

#[test]
fn the_mark_is_the_mid_and_never_the_last_trade() {
    let run = play(
        &quotes_and_trades(),
        &[quote(100, 99, 102), trade(200, 90, 1)],
        |_, _| {},
    );
    assert_eq!(run.engine.exchange.doubled_mark(0), Some(201));
}

#[test]
fn a_feed_without_sizes_does_not_know_the_queue_at_the_best() {
    let mut text = quotes_and_trades();
    text.instruments[0].sizes = Sizes::None;
    let tape = [
        quote(100, 99, 101),
        trade(200, 99, 10),
        trade(300, 99, 10),
        trade(400, 98, 10),
    ];
    let run = play_orders(&text, &tape, &[(100, buy(9).limit(99))]);
    assert_eq!(run.outcome(), ["400 fill #0 9 @ 99 maker unsized"]);
}
