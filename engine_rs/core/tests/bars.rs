//! Fill rules on bars (SEMANTICS, section 4): the open, the path, shares, grace; each test's name says the rule.
//! May not live here: rules of quotes or trades.

mod support;

use replay_core::engine::Call;
use replay_core::order::OrderRequest;
use replay_core::record::Record;
use replay_core::setup::{BarMarket, BarPath, SetupText, Sizes};
use support::*;

/// A quiet first bar [70, 100] at 50, whose on_bar sends the orders; they take part in what follows.
fn after_first(text: &SetupText, rest: &[Record], orders: &[OrderRequest]) -> Run {
    let mut tape = vec![bar(100, [50, 50, 50, 50])];
    tape.extend_from_slice(rest);
    let orders: Vec<_> = orders.iter().map(|request| (100, *request)).collect();
    play_orders(text, &tape, &orders)
}

#[test]
fn a_market_order_fills_at_the_next_open() {
    let run = after_first(&bars(), &[bar(130, [52, 55, 51, 53])], &[buy(3), sell(2)]);
    assert_eq!(run.outcome(), ["100 fill #0 3 @ 52 taker", "100 fill #1 2 @ 52 taker"]);
}

#[test]
fn a_market_order_takes_this_close_where_the_venue_says_so_and_it_arrives_at_the_bars_end() {
    let mut text = bars();
    text.venues[0].bar_market = BarMarket::ThisClose;
    let run = after_first(&text, &[bar(130, [52, 55, 51, 53])], &[buy(3)]);
    assert_eq!(run.outcome(), ["100 fill #0 3 @ 50 taker"]);
    text.venues[0].latency_ns.entry = 1;
    let run = after_first(&text, &[bar(130, [52, 55, 51, 53]), bar(160, [54; 4])], &[buy(3)]);
    assert_eq!(run.outcome(), ["130 fill #0 3 @ 54 taker"]);
}

#[test]
fn this_close_bears_slippage_within_the_bar_and_shares_its_volume() {
    let mut text = bars();
    text.venues[0].bar_market = BarMarket::ThisClose;
    text.venues[0].slippage_ticks = 5;
    let tape = [bar(100, [50, 52, 48, 50]).volume(4), bar(130, [60, 60, 60, 60])];
    let run = play_orders(&text, &tape, &[(100, buy(3)), (100, buy(3))]);
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 3 @ 52 taker",
            "100 fill #1 1 @ 52 taker",
            "100 fill #1 2 @ 60 taker"
        ]
    );
}

#[test]
fn an_entry_latency_above_zero_costs_a_whole_bar() {
    let mut text = bars();
    text.venues[0].latency_ns.entry = 1;
    let run = after_first(
        &text,
        &[bar(130, [52; 4]), bar(160, [54; 4])],
        &[buy(3), buy(1).limit(60)],
    );
    assert_eq!(run.outcome(), ["130 fill #0 3 @ 54 taker", "130 fill #1 1 @ 54 taker"]);
}

#[test]
fn bar_grace_lets_a_late_entry_in_as_at_the_open_stamped_with_its_arrival() {
    let mut text = bars();
    text.venues[0].latency_ns.entry = 4;
    text.venues[0].bar_grace_ns = 4;
    let rest = [bar(130, [52, 56, 49, 53])];
    let run = after_first(&text, &rest, &[buy(3), buy(1).limit(50)]);
    assert_eq!(run.outcome(), ["104 fill #0 3 @ 52 taker", "110 fill #1 1 @ 50 maker"]);
    text.venues[0].bar_grace_ns = 3;
    assert!(after_first(&text, &rest, &[buy(3)]).fills().is_empty());
}

#[test]
fn a_bar_starts_at_its_length_before_its_end_or_at_the_end_of_the_previous_bar() {
    // The bar that ends at 110 overlaps the first: it starts at 100.
    let run = after_first(&bars(), &[bar(110, [52; 4])], &[buy(3)]);
    assert_eq!(run.outcome(), ["100 fill #0 3 @ 52 taker"]);
    // After a pause a bar starts its length before its end.
    let run = after_first(&bars(), &[bar(300, [52; 4])], &[buy(3)]);
    assert_eq!(run.outcome(), ["270 fill #0 3 @ 52 taker"]);
}

#[test]
fn a_limit_fills_at_the_first_open_that_it_can_meet_if_better_as_taker() {
    let run = after_first(
        &bars(),
        &[bar(130, [48, 55, 47, 53])],
        &[buy(3).limit(49), sell(3).limit(47)],
    );
    assert_eq!(run.outcome(), ["100 fill #0 3 @ 48 taker", "100 fill #1 3 @ 48 taker"]);
}

#[test]
fn a_limit_at_the_open_is_not_better_and_fills_as_maker_if_the_path_goes_through() {
    let run = after_first(&bars(), &[bar(130, [48, 55, 47, 53])], &[buy(3).limit(48)]);
    assert_eq!(run.outcome(), ["110 fill #0 3 @ 48 maker"]);
}

#[test]
fn a_resting_limit_needs_the_low_strictly_below_it() {
    let rest = [bar(130, [52, 55, 49, 53]), bar(160, [52, 55, 48, 53])];
    let run = after_first(&bars(), &rest, &[buy(3).limit(49)]);
    assert_eq!(run.outcome(), ["150 fill #0 3 @ 49 maker"]);
}

#[test]
fn a_resting_limit_fills_on_touch_where_the_venue_says_so() {
    let mut text = bars();
    text.venues[0].bar_touch = true;
    let run = after_first(
        &text,
        &[bar(130, [52, 58, 49, 53])],
        &[buy(3).limit(49), sell(3).limit(58)],
    );
    assert_eq!(run.outcome(), ["110 fill #0 3 @ 49 maker", "120 fill #1 3 @ 58 maker"]);
    // A bar that opens at its low and never falls touches there.
    let rest = [bar(130, [52; 4]), bar(160, [49, 58, 49, 53])];
    let run = after_first(&text, &rest, &[buy(3).limit(49)]);
    assert_eq!(run.outcome(), ["130 fill #0 3 @ 49 maker"]);
}

#[test]
fn a_resting_limit_that_the_open_has_passed_fills_at_the_open_as_maker() {
    let rest = [bar(130, [52; 4]), bar(160, [45, 55, 44, 50])];
    let run = after_first(&bars(), &rest, &[buy(3).limit(49)]);
    assert_eq!(run.outcome(), ["130 fill #0 3 @ 45 maker"]);
}

#[test]
fn a_stop_fills_at_the_open_or_at_its_price_whichever_is_worse() {
    let run = after_first(&bars(), &[bar(130, [50, 55, 49, 53])], &[buy(3).stop(54)]);
    assert_eq!(
        run.story(),
        ["100 new #0", "120 triggered #0", "120 fill #0 3 @ 54 taker"]
    );
    let run = after_first(&bars(), &[bar(130, [58, 59, 57, 58])], &[buy(3).stop(54)]);
    assert_eq!(run.outcome(), ["100 fill #0 3 @ 58 taker"]);
    let run = after_first(&bars(), &[bar(130, [40, 41, 39, 40])], &[sell(3).stop(45)]);
    assert_eq!(run.outcome(), ["100 fill #0 3 @ 40 taker"]);
    // Reached exactly: the high is at the stop.
    let run = after_first(&bars(), &[bar(130, [50, 54, 49, 53])], &[buy(3).stop(54)]);
    assert_eq!(run.outcome(), ["120 fill #0 3 @ 54 taker"]);
}

#[test]
fn the_path_goes_first_to_the_extreme_nearer_to_the_open() {
    let text = bars();
    let orders = [buy(1).stop(54), sell(1).stop(46)];
    // High 4 away, low 6 away: the high first.
    let run = after_first(&text, &[bar(130, [50, 54, 44, 50])], &orders);
    assert_eq!(run.outcome(), ["110 fill #0 1 @ 54 taker", "120 fill #1 1 @ 46 taker"]);
    // High 6 away, low 4 away: the low first.
    let run = after_first(&text, &[bar(130, [50, 56, 46, 50])], &orders);
    assert_eq!(run.outcome(), ["110 fill #1 1 @ 46 taker", "120 fill #0 1 @ 54 taker"]);
}

#[test]
fn equidistant_extremes_take_first_the_one_farther_from_the_close() {
    let orders = [buy(1).stop(54), sell(1).stop(46)];
    let run = after_first(&bars(), &[bar(130, [50, 54, 46, 53])], &orders);
    assert_eq!(run.outcome(), ["110 fill #1 1 @ 46 taker", "120 fill #0 1 @ 54 taker"]);
    let run = after_first(&bars(), &[bar(130, [50, 54, 46, 47])], &orders);
    assert_eq!(run.outcome(), ["110 fill #0 1 @ 54 taker", "120 fill #1 1 @ 46 taker"]);
}

#[test]
fn extremes_that_tie_twice_take_the_high_first() {
    let orders = [buy(1).stop(54), sell(1).stop(46)];
    let run = after_first(&bars(), &[bar(130, [50, 54, 46, 50])], &orders);
    assert_eq!(run.outcome(), ["110 fill #0 1 @ 54 taker", "120 fill #1 1 @ 46 taker"]);
}

#[test]
fn the_path_ohlc_goes_to_the_high_first() {
    let mut text = bars();
    text.venues[0].bar_path = BarPath::Ohlc;
    let run = after_first(
        &text,
        &[bar(130, [50, 59, 46, 50])],
        &[buy(1).stop(54), sell(1).stop(46)],
    );
    assert_eq!(run.outcome(), ["110 fill #0 1 @ 54 taker", "120 fill #1 1 @ 46 taker"]);
}

#[test]
fn the_worst_path_goes_first_against_the_accounts_net_position() {
    let mut text = bars();
    text.venues[0].bar_path = BarPath::Worst;
    // Long from the open on: the low, though farther, comes first.
    let run = after_first(
        &text,
        &[bar(130, [50, 52, 40, 50])],
        &[buy(1), sell(1).stop(45), sell(1).limit(51)],
    );
    let times: Vec<_> = run
        .fills()
        .iter()
        .map(|fill| (fill.order_id, fill.venue_time))
        .collect();
    assert_eq!(times, [(0, 100), (1, 110), (2, 120)]);
    // Short: the high first.
    let run = after_first(
        &text,
        &[bar(130, [50, 60, 48, 50])],
        &[sell(1), buy(1).stop(55), buy(1).limit(49)],
    );
    let times: Vec<_> = run
        .fills()
        .iter()
        .map(|fill| (fill.order_id, fill.venue_time))
        .collect();
    assert_eq!(times, [(0, 100), (1, 110), (2, 120)]);
    // Flat: the default path.
    let run = after_first(
        &text,
        &[bar(130, [50, 52, 40, 50])],
        &[buy(1).stop(51), sell(1).stop(45)],
    );
    let times: Vec<_> = run
        .fills()
        .iter()
        .map(|fill| (fill.order_id, fill.venue_time))
        .collect();
    assert_eq!(times, [(0, 110), (1, 120)]);
}

#[test]
fn vertices_stand_at_start_thirds_and_end_and_a_fill_carries_the_time_of_the_vertex_that_ends_its_segment() {
    // Start 100, end 110: length 10, vertices at 100, 103, 106, 110.
    let orders = [buy(1), buy(1).stop(51), sell(1).stop(45), buy(1).stop(47)];
    let run = after_first(&bars(), &[bar(110, [50, 52, 40, 48])], &orders);
    let rows: Vec<_> = run
        .fills()
        .iter()
        .map(|fill| (fill.order_id, fill.venue_time))
        .collect();
    // The buy stop at 47 is reached at the open already.
    assert_eq!(rows, [(0, 100), (3, 100), (1, 103), (2, 106)]);
    let rest = [bar(110, [50, 52, 40, 48])];
    let run = after_first(&bars(), &rest, &[sell(1).stop(45).limit(47)]);
    assert_eq!(
        run.outcome(),
        ["110 fill #0 1 @ 47 maker"],
        "its limit is met on the way back to the close"
    );
}

#[test]
fn at_the_open_all_own_orders_meet_by_id_and_in_a_segment_in_path_order_then_by_id() {
    let orders = [
        buy(1).stop(53),
        buy(1).stop(52),
        buy(1).stop(53),
        sell(1).limit(52),
        buy(1).limit(60),
        buy(1),
    ];
    let run = after_first(&bars(), &[bar(130, [50, 54, 30, 40])], &orders);
    let ids: Vec<_> = run.fills().iter().map(|fill| fill.order_id).collect();
    assert_eq!(ids, [4, 5, 1, 3, 0, 2]);
}

#[test]
fn a_stop_limit_triggered_within_a_segment_fills_there_if_its_limit_allows() {
    let run = after_first(&bars(), &[bar(130, [50, 55, 49, 53])], &[buy(3).stop(54).limit(54)]);
    assert_eq!(
        run.story(),
        ["100 new #0", "120 triggered #0", "120 fill #0 3 @ 54 taker"]
    );
}

#[test]
fn a_stop_limit_whose_limit_does_not_allow_fills_only_on_later_segments_strictly_through() {
    // Low 49 first, then high 55 triggers; the close at 52 does not go through 52.
    let rest = [bar(130, [50, 55, 49, 52]), bar(160, [54, 56, 51, 55])];
    let run = after_first(&bars(), &rest, &[buy(3).stop(54).limit(52)]);
    assert_eq!(
        run.story(),
        ["100 new #0", "120 triggered #0", "150 fill #0 3 @ 52 maker"]
    );
    let run = after_first(&bars(), &[bar(130, [50, 55, 49, 51])], &[buy(3).stop(54).limit(52)]);
    assert_eq!(
        run.story(),
        ["100 new #0", "120 triggered #0", "130 fill #0 3 @ 52 maker"]
    );
}

#[test]
fn all_own_orders_of_a_bar_share_max_share_of_its_volume_floored_to_a_lot() {
    let mut text = bars();
    text.venues[0].max_share = "0.5".into();
    text.instruments[0].lot = "2".into();
    let rest = [
        bar(130, [52, 56, 40, 53]).volume(23),
        bar(160, [60, 60, 30, 30]).volume(23),
    ];
    let run = after_first(&text, &rest, &[buy(8), buy(8).limit(45)]);
    // Half of 23 is 11, 10 in whole lots.
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 8 @ 52 taker",
            "120 fill #1 2 @ 45 maker",
            "150 fill #1 6 @ 45 maker"
        ]
    );
}

#[test]
fn what_is_left_of_a_market_or_triggered_stop_goes_on_at_the_next_open_as_taker() {
    let rest = [
        bar(130, [52, 56, 52, 53]).volume(5),
        bar(160, [57, 58, 55, 55]).volume(100),
    ];
    let run = after_first(&bars(), &rest, &[buy(8)]);
    assert_eq!(run.outcome(), ["100 fill #0 5 @ 52 taker", "130 fill #0 3 @ 57 taker"]);
    let run = after_first(&bars(), &rest, &[buy(8).stop(54)]);
    assert_eq!(run.outcome(), ["120 fill #0 5 @ 54 taker", "130 fill #0 3 @ 57 taker"]);
}

#[test]
fn a_bar_of_volume_zero_triggers_but_fills_nothing() {
    let rest = [bar(130, [52, 56, 40, 53]).volume(0), bar(160, [57, 58, 55, 55])];
    let orders = [buy(1), buy(1).stop(54), buy(1).limit(45), buy(1).ioc(), buy(1).fok()];
    let run = after_first(&bars(), &rest, &orders);
    assert_eq!(
        run.outcome(),
        [
            "100 canceled #3 immediate_or_cancel",
            "100 canceled #4 fill_or_kill",
            "130 fill #0 1 @ 57 taker",
            "130 fill #1 1 @ 57 taker"
        ]
    );
    assert_eq!(run.of_kind(replay_core::event::EventKind::Triggered)[0].venue_time, 110);
}

#[test]
fn a_feed_without_sizes_has_no_cap() {
    let mut text = bars();
    text.instruments[0].sizes = Sizes::None;
    let run = after_first(&text, &[bar(130, [52; 4]).volume(0)], &[buy(8_000)]);
    assert_eq!(run.outcome(), ["100 fill #0 8000 @ 52 taker unsized"]);
}

#[test]
fn ioc_and_fok_are_judged_at_the_first_open_that_the_order_can_meet() {
    let rest = [bar(130, [52, 56, 40, 53]).volume(5), bar(160, [30; 4])];
    let orders = [
        buy(9).limit(50).ioc(),
        buy(9).limit(50).fok(),
        buy(9).limit(60).fok(),
        buy(9).limit(60).ioc(),
    ];
    let run = after_first(&bars(), &rest, &orders);
    assert_eq!(
        run.outcome(),
        [
            "100 canceled #0 immediate_or_cancel",
            "100 canceled #1 fill_or_kill",
            "100 canceled #2 fill_or_kill",
            "100 fill #3 5 @ 52 taker",
            "100 canceled #3 immediate_or_cancel"
        ]
    );
}

#[test]
fn slippage_on_bars_is_never_beyond_the_bars_low_and_high() {
    let mut text = bars();
    text.venues[0].slippage_ticks = 3;
    let rest = [bar(130, [50, 52, 45, 51])];
    let orders = [buy(1), sell(1), buy(1).stop(51), sell(1).limit(49)];
    let run = after_first(&text, &rest, &orders);
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 1 @ 52 taker",
            "100 fill #1 1 @ 47 taker",
            "100 fill #3 1 @ 50 taker",
            "110 fill #2 1 @ 52 taker"
        ]
    );
}

#[test]
fn an_order_takes_part_in_a_bar_that_ends_at_its_expiry_and_not_in_one_that_ends_later() {
    let rest = [bar(130, [52, 56, 40, 53]), bar(160, [30; 4])];
    let run = after_first(
        &bars(),
        &rest,
        &[buy(1).limit(45).until(130), buy(1).limit(45).until(129)],
    );
    assert_eq!(run.outcome(), ["129 expired #1", "120 fill #0 1 @ 45 maker"]);
    let run = after_first(&bars(), &rest, &[buy(1).limit(35).until(130)]);
    assert_eq!(run.outcome(), ["130 expired #0"]);
}

#[test]
fn a_bar_that_does_not_end_after_the_last_of_its_length_is_stale() {
    let tape = [
        bar(100, [50; 4]),
        bar(130, [50; 4]),
        bar(130, [10, 90, 10, 50]).received(140),
        bar(120, [10; 4]).received(150),
    ];
    let run = play_orders(&bars(), &tape, &[(100, buy(1).limit(20))]);
    assert!(run.fills().is_empty());
    assert_eq!(run.counters().stale, 2);
    assert_eq!(
        run.calls.iter().filter(|one| matches!(one.call, Call::Bar(_))).count(),
        2
    );
}

#[test]
fn only_bars_of_the_deciding_length_and_price_fill() {
    let mut text = bars();
    text.bar_lengths = vec![BAR, 2 * BAR];
    let longer = Record {
        flags: 1,
        ..bar(160, [50, 50, 10, 50])
    };
    let of_mid = bar(130, [50, 50, 10, 50]).by(3);
    let run = play_orders(&text, &[bar(100, [50; 4]), of_mid, longer], &[(100, buy(1).limit(20))]);
    assert!(run.fills().is_empty());
}

#[test]
fn an_amended_order_meets_only_bars_that_start_after_the_amend_and_counts_as_new_at_their_open() {
    let tape = [bar(100, [50; 4]), bar(130, [50; 4]), bar(160, [44, 50, 41, 50])];
    let run = play(&bars(), &tape, |engine, call| match (call, engine.now()) {
        (Call::Bar(_), 100) => {
            send(engine, buy(1).limit(30));
        }
        (Call::Bar(_), 130) => {
            engine
                .amend(0, 0, replay_core::event::ABSENT, 45, replay_core::event::ABSENT)
                .unwrap();
        }
        _ => {}
    });
    assert_eq!(run.outcome(), ["130 replaced #0", "130 fill #0 1 @ 44 taker"]);
}

#[test]
fn the_mark_is_the_close() {
    let run = play(&bars(), &[bar(100, [50, 60, 40, 55])], |_, _| {});
    assert_eq!(run.engine.exchange.doubled_mark(0), Some(110));
}

#[test]
fn every_fill_of_a_bar_lies_within_its_low_and_high() {
    let orders = [
        buy(1),
        buy(1).limit(90),
        sell(1).limit(10),
        sell(1).stop(80),
        buy(1).stop(51).limit(70),
    ];
    let run = after_first(&bars(), &[bar(130, [50, 52, 45, 51])], &orders);
    assert_eq!(run.fills().len(), 5);
    assert!(run.fills().iter().all(|fill| (45..=52).contains(&fill.last_price)));
}

#[test]
fn no_grace_lets_an_order_into_a_bar_that_had_ended_when_it_arrived() {
    let mut text = bars();
    text.venues[0].bar_grace_ns = 500;
    text.instruments
        .push(instrument("B", 0, replay_core::setup::Source::Quote));
    let tape = [
        bar(100, [50; 4]),
        quote(200, 9, 11).on(1),
        bar(130, [50; 4]).received(210),
        bar(230, [60; 4]),
    ];
    let run = play_orders(&text, &tape, &[(200, buy(1))]);
    assert_eq!(run.outcome(), ["200 fill #0 1 @ 60 taker"]);
}
