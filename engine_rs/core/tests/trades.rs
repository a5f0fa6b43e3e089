//! Fill rules on trades alone (SEMANTICS, sections 1 to 4): each test's name says the rule.
//! May not live here: rules of quotes or bars.

mod support;

use replay_core::setup::{PrintAtLimit, Sizes};
use support::*;

#[test]
fn a_market_order_fills_whole_at_the_last_price_since_a_print_is_a_price_and_not_an_offer() {
    let run = play_orders(&trades(), &[trade(100, 50, 1)], &[(100, buy(1_000)), (100, sell(7))]);
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 1000 @ 50 taker unsized",
            "100 fill #1 7 @ 50 taker unsized"
        ]
    );
}

#[test]
fn a_market_order_pays_slippage_ticks_on_the_last_price() {
    let mut text = trades();
    text.venues[0].slippage_ticks = 3;
    text.instruments[0].tick = "2".into();
    let run = play_orders(&text, &[trade(100, 50, 1)], &[(100, buy(1)), (100, sell(1))]);
    assert_eq!(
        run.outcome(),
        ["100 fill #0 1 @ 56 taker unsized", "100 fill #1 1 @ 44 taker unsized"]
    );
}

#[test]
fn a_marketable_limit_fills_at_the_last_price_as_taker() {
    let run = play_orders(
        &trades(),
        &[trade(100, 50, 1)],
        &[(100, buy(9).limit(52)), (100, sell(9).limit(50))],
    );
    assert_eq!(
        run.outcome(),
        ["100 fill #0 9 @ 50 taker unsized", "100 fill #1 9 @ 50 taker unsized"]
    );
}

#[test]
fn a_print_through_the_limit_fills_up_to_its_size_at_the_limit_as_maker() {
    let tape = [trade(100, 50, 1), trade(200, 47, 5), trade(300, 47, 20)];
    let run = play_orders(&trades(), &tape, &[(100, buy(9).limit(48))]);
    assert_eq!(run.outcome(), ["200 fill #0 5 @ 48 maker", "300 fill #0 4 @ 48 maker"]);
}

#[test]
fn a_print_at_the_limit_fills_nothing_until_a_print_through_it_has_cleared_the_queue() {
    let tape = [
        trade(100, 50, 1),
        trade(200, 48, 30),
        trade(300, 47, 2),
        trade(400, 48, 3),
    ];
    let run = play_orders(&trades(), &tape, &[(100, buy(9).limit(48))]);
    assert_eq!(run.outcome(), ["300 fill #0 2 @ 48 maker", "400 fill #0 3 @ 48 maker"]);
}

#[test]
fn a_print_at_the_limit_fills_where_the_venue_says_all() {
    let mut text = trades();
    text.venues[0].print_at_limit = PrintAtLimit::All;
    let run = play_orders(
        &text,
        &[trade(100, 50, 1), trade(200, 48, 3)],
        &[(100, buy(9).limit(48))],
    );
    assert_eq!(run.outcome(), ["200 fill #0 3 @ 48 maker"]);
}

#[test]
fn prints_of_the_own_sides_aggressor_do_not_fill() {
    let tape = [
        trade(100, 50, 1),
        trade(200, 45, 5).by(BUY),
        trade(300, 55, 5).by(SELL),
        trade(400, 45, 5).by(SELL),
    ];
    let run = play_orders(&trades(), &tape, &[(100, buy(9).limit(48)), (100, sell(9).limit(52))]);
    assert_eq!(run.outcome(), ["400 fill #0 5 @ 48 maker"]);
}

#[test]
fn a_print_without_aggressor_may_fill_both_sides_but_its_size_once() {
    // Both arrive before any price, and rest crossed around the print.
    let tape = [clock(50, -1), trade(200, 50, 10)];
    let run = play(&trades(), &tape, |engine, call| {
        if call == replay_core::engine::Call::Start {
            send(engine, sell(6).limit(49));
            send(engine, buy(6).limit(51));
        }
    });
    assert_eq!(run.outcome(), ["200 fill #0 6 @ 49 maker", "200 fill #1 4 @ 51 maker"]);
}

#[test]
fn own_orders_share_a_print_by_price_then_arrival() {
    let tape = [trade(100, 50, 1), trade(200, 40, 10)];
    let orders = [
        (100, buy(6).limit(45)),
        (100, buy(6).limit(46)),
        (100, buy(6).limit(45)),
    ];
    let run = play_orders(&trades(), &tape, &orders);
    assert_eq!(run.outcome(), ["200 fill #1 6 @ 46 maker", "200 fill #0 4 @ 45 maker"]);
}

#[test]
fn what_a_print_gives_is_floored_to_a_lot() {
    let mut text = trades();
    text.instruments[0].lot = "4".into();
    let run = play_orders(
        &text,
        &[trade(100, 50, 1), trade(200, 40, 11)],
        &[(100, buy(20).limit(45))],
    );
    assert_eq!(run.outcome(), ["200 fill #0 8 @ 45 maker"]);
}

#[test]
fn a_feed_without_sizes_fills_whole_on_a_print_through() {
    let mut text = trades();
    text.instruments[0].sizes = Sizes::None;
    let run = play_orders(
        &text,
        &[trade(100, 50, 0), trade(200, 40, 0)],
        &[(100, buy(99).limit(45))],
    );
    assert_eq!(run.outcome(), ["200 fill #0 99 @ 45 maker unsized"]);
}

#[test]
fn a_stop_triggers_on_the_print_and_takes_its_price() {
    let tape = [trade(100, 50, 1), trade(200, 53, 1), trade(300, 58, 1)];
    let run = play_orders(&trades(), &tape, &[(100, buy(4).stop(54))]);
    assert_eq!(
        run.story(),
        ["100 new #0", "300 triggered #0", "300 fill #0 4 @ 58 taker unsized"]
    );
}

#[test]
fn a_stop_triggers_on_arrival_where_the_last_price_has_reached_it() {
    let run = play_orders(&trades(), &[trade(100, 50, 1)], &[(100, sell(4).stop(50))]);
    assert_eq!(
        run.story(),
        ["100 new #0", "100 triggered #0", "100 fill #0 4 @ 50 taker unsized"]
    );
}

#[test]
fn a_stop_limit_whose_limit_the_print_has_passed_rests() {
    let tape = [trade(100, 50, 1), trade(200, 58, 1), trade(300, 54, 2)];
    let run = play_orders(&trades(), &tape, &[(100, buy(4).stop(54).limit(55))]);
    assert_eq!(
        run.story(),
        ["100 new #0", "200 triggered #0", "300 fill #0 2 @ 55 maker"]
    );
}

#[test]
fn an_order_before_any_trade_meets_no_market() {
    let run = play(&trades(), &[clock(50, -1), trade(100, 50, 1)], |engine, call| {
        if call == replay_core::engine::Call::Start {
            send(engine, buy(1));
            send(engine, buy(1).limit(60).fok());
            send(engine, buy(1).limit(60).ioc());
            send(engine, buy(1).limit(60));
        }
    });
    assert_eq!(
        run.outcome(),
        [
            "50 canceled #0 no_market",
            "50 canceled #1 fill_or_kill",
            "50 canceled #2 immediate_or_cancel",
            "100 fill #3 1 @ 60 maker"
        ]
    );
}

#[test]
fn a_fok_limit_that_the_last_price_does_not_meet_is_killed() {
    let orders = [(100, buy(1).limit(49).fok()), (100, buy(5).limit(50).fok())];
    let run = play_orders(&trades(), &[trade(100, 50, 1)], &orders);
    assert_eq!(
        run.outcome(),
        ["100 canceled #0 fill_or_kill", "100 fill #1 5 @ 50 taker unsized"]
    );
}

#[test]
fn a_late_trade_fills_only_orders_that_had_arrived_then_stamped_with_its_own_time() {
    let tape = [trade(100, 50, 1), trade(300, 50, 1), trade(200, 40, 20).received(310)];
    let run = play_orders(&trades(), &tape, &[(100, buy(3).limit(45)), (300, buy(3).limit(45))]);
    assert_eq!(run.outcome(), ["200 fill #0 3 @ 45 maker"]);
    assert_eq!(run.counters().late, 1);
}

#[test]
fn a_late_trade_triggers_only_stops_that_had_arrived_then_and_what_it_triggers_takes_its_price() {
    let tape = [trade(100, 50, 1), trade(300, 50, 1), trade(200, 40, 20).received(310)];
    let run = play_orders(&trades(), &tape, &[(100, sell(3).stop(45)), (300, sell(3).stop(45))]);
    assert_eq!(
        run.story(),
        [
            "100 new #0",
            "300 new #1",
            "200 triggered #0",
            "200 fill #0 3 @ 40 taker unsized"
        ]
    );
}

#[test]
fn a_late_trade_becomes_last_price_and_mark_only_where_no_trade_is_later() {
    let tape = [trade(100, 50, 1), trade(300, 55, 1), trade(200, 40, 20).received(310)];
    let run = play(&trades(), &tape, |_, _| {});
    assert_eq!(run.engine.exchange.markets[0].last_price, Some(55));
    assert_eq!(run.engine.exchange.doubled_mark(0), Some(110));
    let tape = [trade(100, 50, 1), clock(300, -1), trade(200, 40, 20).received(310)];
    let run = play(&trades(), &tape, |_, _| {});
    assert_eq!(run.engine.exchange.markets[0].last_price, Some(40));
    assert_eq!(run.engine.exchange.doubled_mark(0), Some(80));
}

#[test]
fn a_crossed_quote_of_an_instrument_that_trades_decide_stops_nothing() {
    let tape = [
        trade(100, 50, 1),
        quote(150, 60, 40),
        trade(200, 44, 5),
        trade(300, 55, 1),
    ];
    let orders = [(100, buy(3).limit(45)), (100, buy(3).stop(55))];
    let run = play_orders(&trades(), &tape, &orders);
    assert_eq!(
        run.outcome(),
        ["200 fill #0 3 @ 45 maker", "300 fill #1 3 @ 55 taker unsized"]
    );
}

#[test]
fn an_order_triggered_by_a_late_trade_shares_later_prints_by_its_earlier_arrival() {
    let tape = [
        trade(100, 50, 1),
        trade(300, 50, 1),
        trade(200, 60, 1).received(310), // late: triggers #0, whose limit it has passed
        trade(400, 40, 4),
    ];
    let orders = [(100, buy(3).stop(55).limit(55)), (300, buy(3).limit(49))];
    let run = play_orders(&trades(), &tape, &orders);
    assert_eq!(run.engine.exchange.orders.get(0).arrival, 200);
    assert_eq!(run.outcome(), ["400 fill #0 3 @ 55 maker", "400 fill #1 1 @ 49 maker"]);
}

#[test]
fn a_late_trade_does_not_fill_an_order_by_a_price_that_was_amended_after_it() {
    let tape = [trade(100, 50, 1), trade(300, 50, 1), trade(200, 40, 20).received(310)];
    let run = play(&trades(), &tape, |engine, call| match (call, engine.now()) {
        (replay_core::engine::Call::Trade, 100) => {
            send(engine, buy(3).limit(30));
        }
        (replay_core::engine::Call::Trade, 300) => {
            let keep = replay_core::event::ABSENT;
            engine.amend(0, 0, keep, 45, keep).unwrap();
        }
        _ => {}
    });
    assert_eq!(run.outcome(), ["300 replaced #0"]);
}
