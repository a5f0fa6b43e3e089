//! Fill rules on quotes (SEMANTICS, sections 2 to 4): each test's name says the rule.
//! May not live here: rules of prints, bars, accounts or of the order of time.

mod support;

use replay_core::order::TriggerBy;
use replay_core::setup::{BeyondTop, Crossed, ShownSize, Sizes};
use support::*;

#[test]
fn a_market_order_takes_the_top_of_the_same_quote_before_the_next_record() {
    let run = play_orders(&quotes(), &[quote(100, 99, 101)], &[(100, buy(4)), (100, sell(4))]);
    assert_eq!(
        run.story(),
        [
            "100 new #0",
            "100 fill #0 4 @ 101 taker",
            "100 new #1",
            "100 fill #1 4 @ 99 taker"
        ]
    );
}

#[test]
fn a_market_order_walks_one_tick_worse_per_further_displayed_size() {
    let mut text = quotes();
    text.instruments[0].tick = "5".into();
    let run = play_orders(&text, &[quote(100, 90, 100)], &[(100, buy(25)), (100, sell(15))]);
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 10 @ 100 taker",
            "100 fill #0 10 @ 105 taker",
            "100 fill #0 5 @ 110 taker",
            "100 fill #1 10 @ 90 taker",
            "100 fill #1 5 @ 85 taker",
        ]
    );
}

#[test]
fn a_market_order_walks_ten_further_levels_at_most_and_the_rest_is_canceled_for_no_liquidity() {
    let run = play_orders(&quotes(), &[quote(100, 99, 101)], &[(100, buy(200))]);
    assert_eq!(run.fills().len(), 11);
    assert_eq!(run.fills().last().unwrap().last_price, 111);
    assert_eq!(run.outcome().last().unwrap(), "100 canceled #0 no_liquidity");
}

#[test]
fn a_walk_never_reaches_a_price_of_zero_where_that_is_forbidden() {
    let mut text = quotes();
    let tape = [quote(100, 3, 5)];
    let run = play_orders(&text, &tape, &[(100, sell(100))]);
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 10 @ 3 taker",
            "100 fill #0 10 @ 2 taker",
            "100 fill #0 10 @ 1 taker",
            "100 canceled #0 no_liquidity"
        ]
    );
    text.instruments[0].allow_negative_price = true;
    let run = play_orders(&text, &tape, &[(100, sell(100))]);
    assert_eq!(run.fills().last().unwrap().last_price, -6);
}

#[test]
fn top_only_takes_what_is_displayed_and_cancels_the_rest() {
    let mut text = quotes();
    text.venues[0].beyond_top = BeyondTop::Top;
    let run = play_orders(&text, &[quote(100, 99, 101)], &[(100, buy(12))]);
    assert_eq!(
        run.outcome(),
        ["100 fill #0 10 @ 101 taker", "100 canceled #0 no_liquidity"]
    );
}

#[test]
fn all_at_the_top_takes_any_size_there_and_marks_the_fill_as_unsized() {
    let mut text = quotes();
    text.venues[0].beyond_top = BeyondTop::All;
    let run = play_orders(&text, &[quote(100, 99, 101)], &[(100, buy(1_000))]);
    assert_eq!(run.outcome(), ["100 fill #0 1000 @ 101 taker unsized"]);
}

#[test]
fn the_rest_may_be_had_one_tick_worse_where_nothing_is_shown() {
    let mut text = quotes();
    text.venues[0].beyond_top = BeyondTop::NextTick;
    let run = play_orders(
        &text,
        &[quote(100, 99, 101)],
        &[
            (100, buy(1_000)),
            (100, sell(1_000).limit(99)),
            (100, sell(10).limit(98).ioc()),
        ],
    );
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 10 @ 101 taker",
            "100 fill #0 990 @ 102 taker unsized",
            "100 fill #1 10 @ 99 taker",
            "100 fill #2 10 @ 98 taker unsized",
        ]
    );
}

#[test]
fn a_crossed_quote_is_matched_side_by_side_where_the_venue_says_so() {
    let mut text = quotes();
    text.venues[0].crossed = Crossed::Match;
    let run = play_orders(&text, &[quote(100, 103, 101)], &[(100, buy(5)), (100, sell(5))]);
    assert_eq!(
        run.outcome(),
        ["100 fill #0 5 @ 101 taker", "100 fill #1 5 @ 103 taker"]
    );
}

#[test]
fn a_size_that_is_shown_anew_fills_every_order_and_marks_the_fills_as_unsized() {
    let mut text = quotes();
    text.venues[0].shown_size = ShownSize::Anew;
    let tape = [quote(100, 99, 101), quote(200, 99, 101)];
    let orders = [(100, buy(10)), (100, buy(10)), (100, buy(15).limit(101))];
    let run = play_orders(&text, &tape, &orders);
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 10 @ 101 taker unsized",
            "100 fill #1 10 @ 101 taker unsized",
            "100 fill #2 10 @ 101 taker unsized",
            "200 fill #2 5 @ 101 maker unsized",
        ]
    );
}

#[test]
fn what_own_orders_took_stays_taken_while_the_best_price_stays() {
    let tape = [
        sized_quote(100, (99, 10), (101, 10)),
        sized_quote(200, (99, 10), (101, 12)),
        sized_quote(300, (99, 10), (102, 5)),
        sized_quote(400, (99, 10), (101, 3)),
    ];
    let limit = buy(20).limit(101).ioc();
    let orders = [
        (100, buy(8).limit(101)),
        (200, limit),
        (300, buy(9).limit(102).ioc()),
        (400, limit),
    ];
    let run = play_orders(&quotes(), &tape, &orders);
    let fills: Vec<_> = run
        .fills()
        .iter()
        .map(|fill| (fill.venue_time, fill.last_size))
        .collect();
    assert_eq!(fills, [(100, 8), (200, 4), (300, 5), (400, 3)]);
}

#[test]
fn a_record_with_the_same_price_caps_what_was_taken_at_its_size_so_that_only_an_increase_adds() {
    let tape = [
        sized_quote(100, (99, 10), (101, 10)),
        sized_quote(200, (99, 10), (101, 5)),
        sized_quote(300, (99, 10), (101, 9)),
    ];
    let take = buy(20).limit(101).ioc();
    let run = play_orders(&quotes(), &tape, &[(100, buy(8)), (200, take), (300, take)]);
    let fills: Vec<_> = run
        .fills()
        .iter()
        .map(|fill| (fill.venue_time, fill.last_size))
        .collect();
    assert_eq!(fills, [(100, 8), (300, 4)]);
}

#[test]
fn a_side_that_was_absent_comes_back_as_a_new_level() {
    let tape = [
        sized_quote(100, (99, 10), (101, 10)),
        sized_quote(200, (99, 10), (101, 0)),
        sized_quote(300, (99, 10), (101, 10)),
    ];
    let run = play_orders(&quotes(), &tape, &[(100, buy(10)), (300, buy(10).limit(101))]);
    assert_eq!(
        run.outcome(),
        ["100 fill #0 10 @ 101 taker", "300 fill #1 10 @ 101 taker"]
    );
}

#[test]
fn synthetic_levels_remember_what_was_taken_as_the_top_does() {
    let tape = [quote(100, 99, 101), quote(200, 99, 101)];
    let run = play_orders(&quotes(), &tape, &[(100, buy(15)), (200, buy(10))]);
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 10 @ 101 taker",
            "100 fill #0 5 @ 102 taker",
            "200 fill #1 5 @ 102 taker",
            "200 fill #1 5 @ 103 taker"
        ]
    );
}

#[test]
fn synthetic_levels_never_serve_resting_orders() {
    let tape = [quote(100, 99, 105), quote(200, 99, 101)];
    let run = play_orders(&quotes(), &tape, &[(100, buy(15).limit(103))]);
    assert_eq!(run.outcome(), ["200 fill #0 10 @ 103 maker"]);
}

#[test]
fn free_size_is_floored_to_a_lot() {
    let mut text = quotes();
    text.instruments[0].lot = "4".into();
    text.venues[0].beyond_top = BeyondTop::Top;
    let run = play_orders(&text, &[quote(100, 99, 101)], &[(100, buy(12))]);
    assert_eq!(
        run.outcome(),
        ["100 fill #0 8 @ 101 taker", "100 canceled #0 no_liquidity"]
    );
}

#[test]
fn a_marketable_limit_never_takes_beyond_its_limit_and_its_rest_rests() {
    let tape = [quote(100, 99, 101), quote(200, 100, 102), quote(300, 100, 101)];
    let run = play_orders(&quotes(), &tape, &[(100, buy(25).limit(102))]);
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 10 @ 101 taker",
            "100 fill #0 10 @ 102 taker",
            "200 fill #0 5 @ 102 maker"
        ]
    );
}

#[test]
fn a_resting_limit_fills_at_its_limit_as_maker_when_the_opposite_best_reaches_it() {
    let tape = [quote(100, 99, 105), quote(200, 99, 104), quote(300, 99, 101)];
    let run = play_orders(&quotes(), &tape, &[(100, buy(3).limit(103)), (100, sell(3).limit(106))]);
    assert_eq!(run.outcome(), ["300 fill #0 3 @ 103 maker"]);
}

#[test]
fn resting_orders_share_a_level_by_price_then_arrival() {
    let tape = [quote(100, 90, 105), quote(200, 90, 100)];
    let orders = [
        (100, buy(6).limit(101)),
        (100, buy(6).limit(102)),
        (100, buy(6).limit(101)),
    ];
    let run = play_orders(&quotes(), &tape, &orders);
    assert_eq!(
        run.outcome(),
        ["200 fill #1 6 @ 102 maker", "200 fill #0 4 @ 101 maker"]
    );
}

#[test]
fn resting_limits_match_before_stops_of_the_same_record_then_stops_by_id() {
    let tape = [quote(100, 90, 95), quote(200, 90, 100)];
    let orders = [
        (100, buy(8).stop(99)),
        (100, buy(8).stop(98)),
        (100, sell(5).limit(90)), // meets the bid at once: it is no maker here
    ];
    let run = play_orders(&quotes(), &tape, &orders);
    assert_eq!(
        run.outcome(),
        [
            "100 fill #2 5 @ 90 taker",
            "200 fill #0 8 @ 100 taker",
            "200 fill #1 2 @ 100 taker",
            "200 fill #1 6 @ 101 taker"
        ]
    );
    let tape = [quote(100, 90, 105), sized_quote(200, (90, 10), (100, 10))];
    let orders = [(100, sell(8).stop(90)), (100, buy(8).limit(103))];
    let run = play_orders(&quotes(), &tape, &orders);
    assert_eq!(run.outcome(), ["100 fill #0 8 @ 90 taker", "200 fill #1 8 @ 103 maker"]);
}

#[test]
fn the_side_whose_oldest_fillable_order_is_older_goes_first() {
    let tape = [quote(100, 90, 110), sized_quote(200, (106, 10), (107, 10))];
    for (first, second) in [
        (buy(1).limit(108), sell(1).limit(105)),
        (sell(1).limit(105), buy(1).limit(108)),
    ] {
        let run = play_orders(&quotes(), &tape, &[(100, first), (100, second)]);
        let ids: Vec<_> = run.fills().iter().map(|fill| fill.order_id).collect();
        assert_eq!(ids, [0, 1]);
    }
}

#[test]
fn own_orders_may_rest_crossed_and_never_trade_against_each_other() {
    let tape = [quote(100, 90, 110), quote(200, 90, 110)];
    let run = play_orders(&quotes(), &tape, &[(100, buy(5).limit(105)), (100, sell(5).limit(95))]);
    assert!(run.fills().is_empty());
}

#[test]
fn a_stop_triggers_when_the_ask_reaches_it_and_fills_at_the_gaps_price_never_at_the_stop() {
    let tape = [quote(100, 99, 101), quote(200, 101, 103), quote(300, 107, 109)];
    let run = play_orders(&quotes(), &tape, &[(100, buy(3).stop(104))]);
    assert_eq!(
        run.story(),
        ["100 new #0", "300 triggered #0", "300 fill #0 3 @ 109 taker"]
    );
    let tape = [quote(100, 99, 101), quote(200, 96, 98), quote(300, 90, 92)];
    let run = play_orders(&quotes(), &tape, &[(100, sell(3).stop(95))]);
    assert_eq!(
        run.story(),
        ["100 new #0", "300 triggered #0", "300 fill #0 3 @ 90 taker"]
    );
}

#[test]
fn a_stop_triggers_on_arrival_where_its_price_is_reached_already() {
    let run = play_orders(&quotes(), &[quote(100, 99, 101)], &[(100, buy(3).stop(101))]);
    assert_eq!(
        run.story(),
        ["100 new #0", "100 triggered #0", "100 fill #0 3 @ 101 taker"]
    );
}

#[test]
fn a_triggered_stop_limit_is_a_limit_order_with_the_triggers_arrival() {
    let tape = [quote(100, 99, 101), quote(200, 107, 109), quote(300, 103, 105)];
    let run = play_orders(&quotes(), &tape, &[(100, buy(3).stop(104).limit(106))]);
    assert_eq!(
        run.story(),
        ["100 new #0", "200 triggered #0", "300 fill #0 3 @ 106 maker"]
    );
    let order = run.engine.exchange.orders.get(0);
    assert_eq!((order.arrival, order.entry), (200, 100));
}

#[test]
fn a_stop_on_the_mid_triggers_when_the_exact_middle_reaches_it() {
    let tape = [quote(100, 98, 101), quote(200, 99, 100), quote(300, 99, 101)];
    let run = play_orders(&quotes(), &tape, &[(100, buy(1).stop(100).watching(TriggerBy::Mid))]);
    assert_eq!(
        run.story(),
        ["100 new #0", "300 triggered #0", "300 fill #0 1 @ 101 taker"]
    );
}

#[test]
fn slippage_moves_market_and_stop_orders_by_ticks_and_leaves_limits_alone() {
    let mut text = quotes();
    text.venues[0].slippage_ticks = 2;
    let tape = [quote(100, 99, 101), quote(200, 102, 104)];
    let orders = [
        (100, buy(1)),
        (100, sell(1)),
        (100, buy(1).limit(103)),
        (100, buy(1).stop(103)),
    ];
    let run = play_orders(&text, &tape, &orders);
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 1 @ 103 taker",
            "100 fill #1 1 @ 97 taker",
            "100 fill #2 1 @ 101 taker",
            "200 fill #3 1 @ 106 taker"
        ]
    );
}

#[test]
fn slippage_never_moves_a_price_to_zero_where_that_is_forbidden() {
    let mut text = quotes();
    text.venues[0].slippage_ticks = 50;
    let run = play_orders(&text, &[quote(100, 20, 22)], &[(100, sell(1))]);
    assert_eq!(run.outcome(), ["100 fill #0 1 @ 1 taker"]);
    text.instruments[0].allow_negative_price = true;
    let run = play_orders(&text, &[quote(100, 20, 22)], &[(100, sell(1))]);
    assert_eq!(run.outcome(), ["100 fill #0 1 @ -30 taker"]);
}

#[test]
fn a_market_order_without_the_other_side_is_canceled_for_no_market_while_a_limit_rests_and_a_stop_waits() {
    let tape = [sized_quote(100, (99, 10), (0, 0)), quote(200, 99, 101)];
    let orders = [(100, buy(1)), (100, buy(1).limit(101)), (100, buy(1).stop(90))];
    let run = play_orders(&quotes(), &tape, &orders);
    assert_eq!(
        run.story(),
        [
            "100 new #0",
            "100 canceled #0 no_market",
            "100 new #1",
            "100 new #2",
            "200 fill #1 1 @ 101 maker",
            "200 triggered #2",
            "200 fill #2 1 @ 101 taker"
        ]
    );
}

#[test]
fn while_the_quote_is_crossed_nothing_is_matched() {
    let tape = [quote(100, 99, 105), quote(200, 104, 101), quote(300, 99, 103)];
    let orders = [
        (100, buy(1).limit(102)),
        (100, sell(1).limit(104)),
        (100, sell(1).stop(98)),
        (200, buy(1)),
        (200, buy(1).limit(101).ioc()),
        (200, buy(1).limit(120)),
        (200, buy(1).stop(101)),
    ];
    let run = play_orders(&quotes(), &tape, &orders);
    assert_eq!(
        run.outcome(),
        [
            "200 canceled #3 no_market",
            "200 canceled #4 immediate_or_cancel",
            "300 fill #5 1 @ 120 maker",
            "300 fill #6 1 @ 103 taker"
        ]
    );
}

#[test]
fn the_mark_of_a_crossed_quote_is_its_mid_all_the_same() {
    let run = play(&quotes(), &[quote(100, 99, 105), quote(200, 104, 101)], |_, _| {});
    assert_eq!(run.engine.exchange.doubled_mark(0), Some(205));
}

#[test]
fn a_one_sided_quote_leaves_the_last_mark() {
    let tape = [quote(100, 99, 101), sized_quote(200, (90, 5), (0, 0))];
    let run = play(&quotes(), &tape, |_, _| {});
    assert_eq!(run.engine.exchange.doubled_mark(0), Some(200));
}

#[test]
fn a_locked_quote_matches_as_any_other() {
    let run = play_orders(&quotes(), &[quote(100, 100, 100)], &[(100, buy(1)), (100, sell(1))]);
    assert_eq!(
        run.outcome(),
        ["100 fill #0 1 @ 100 taker", "100 fill #1 1 @ 100 taker"]
    );
}

#[test]
fn prices_off_the_tick_grid_are_taken_at_the_datas_precision() {
    let mut text = quotes();
    text.instruments[0].tick = "10".into();
    let run = play_orders(&text, &[quote(100, 93, 107)], &[(100, buy(15))]);
    assert_eq!(
        run.outcome(),
        ["100 fill #0 10 @ 107 taker", "100 fill #0 5 @ 117 taker"]
    );
}

#[test]
fn a_feed_without_sizes_gives_any_size_at_the_top_and_marks_it() {
    let mut text = quotes();
    text.instruments[0].sizes = Sizes::None;
    let tape = [sized_quote(100, (99, 0), (101, 0)), sized_quote(200, (95, 0), (96, 0))];
    let run = play_orders(&text, &tape, &[(100, buy(5_000)), (100, buy(700).limit(97))]);
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 5000 @ 101 taker unsized",
            "200 fill #1 700 @ 97 maker unsized"
        ]
    );
}

#[test]
fn ioc_takes_what_it_can_on_arrival_and_the_rest_is_canceled() {
    let run = play_orders(&quotes(), &[quote(100, 99, 101)], &[(100, buy(12).limit(101).ioc())]);
    assert_eq!(
        run.outcome(),
        ["100 fill #0 10 @ 101 taker", "100 canceled #0 immediate_or_cancel"]
    );
}

#[test]
fn fok_is_judged_by_a_dry_run_of_the_very_same_take_on_what_the_ledger_still_has() {
    let tape = [quote(100, 99, 101)];
    let orders = [
        (100, buy(21).limit(102).fok()),
        (100, buy(20).limit(102).fok()),
        (100, buy(1).limit(102).fok()),
        (100, buy(500).fok()),
    ];
    let run = play_orders(&quotes(), &tape, &orders);
    assert_eq!(
        run.outcome(),
        [
            "100 canceled #0 fill_or_kill",
            "100 fill #1 10 @ 101 taker",
            "100 fill #1 10 @ 102 taker",
            "100 canceled #2 fill_or_kill",
            "100 canceled #3 fill_or_kill"
        ]
    );
}

#[test]
fn a_fok_market_order_without_a_market_is_canceled_for_no_market_and_a_fok_limit_is_killed() {
    let tape = [sized_quote(100, (99, 10), (0, 0))];
    let run = play_orders(&quotes(), &tape, &[(100, buy(1).fok()), (100, buy(1).limit(101).fok())]);
    assert_eq!(
        run.outcome(),
        ["100 canceled #0 no_market", "100 canceled #1 fill_or_kill"]
    );
}

#[test]
fn ioc_and_fok_of_a_conditional_order_are_judged_at_the_trigger() {
    let tape = [quote(100, 99, 101), quote(200, 103, 105)];
    let orders = [
        (100, buy(12).stop(104).limit(105).ioc()),
        (100, buy(12).stop(104).limit(105).fok()),
        (100, buy(12).stop(104).limit(104).ioc()),
    ];
    let run = play_orders(&quotes(), &tape, &orders);
    assert_eq!(
        run.outcome(),
        [
            "200 fill #0 10 @ 105 taker",
            "200 canceled #0 immediate_or_cancel",
            "200 canceled #1 fill_or_kill",
            "200 canceled #2 immediate_or_cancel"
        ]
    );
}

#[test]
fn coarser_data_of_the_instrument_fills_nothing() {
    let tape = [quote(100, 99, 101), trade(200, 90, 50), bar(300, [101, 120, 80, 90])];
    let run = play_orders(&quotes(), &tape, &[(100, buy(1).limit(95)), (100, sell(1).stop(92))]);
    assert!(run.fills().is_empty());
    assert_eq!(run.engine.exchange.doubled_mark(0), Some(200));
}

#[test]
fn a_late_quote_is_state_it_matches_all_stamped_with_the_watermark() {
    let tape = [
        quote(100, 99, 105),
        trade(300, 50, 1),
        quote(200, 99, 101).received(310),
    ];
    let run = play_orders(&quotes(), &tape, &[(100, buy(1).limit(102)), (300, buy(1).limit(101))]);
    assert_eq!(
        run.outcome(),
        ["300 fill #0 1 @ 102 maker", "300 fill #1 1 @ 101 maker"]
    );
    assert_eq!((run.counters().late, run.counters().stale), (1, 0));
}

#[test]
fn a_quote_older_than_the_instruments_last_quote_is_counted_stale_and_not_applied_and_calls_no_handler() {
    let tape = [
        quote(100, 99, 105),
        quote(300, 99, 106),
        quote(200, 99, 101).received(310),
    ];
    let run = play_orders(&quotes(), &tape, &[(100, buy(1).limit(102))]);
    assert!(run.fills().is_empty());
    assert_eq!((run.counters().late, run.counters().stale), (1, 1));
    assert_eq!(run.calls.iter().filter(|one| one.tape_seq == 2).count(), 0);
    assert_eq!(run.engine.tape_seq, 3);
}
