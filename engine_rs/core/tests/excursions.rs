//! Excursions: between which fills which marks count, by source; each test's name says the rule.
//! May not live here: what an excursion was worth; the shell knows round trips.

mod support;

use replay_core::engine::Call;
use replay_core::excursion::Excursion;
use replay_core::setup::BarPath;
use support::*;

const NONE: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

/// (low, high) of each fill's row, as prices.
fn rows(run: &mut Run) -> Vec<(f64, f64)> {
    let rows = run.engine.exchange.excursions.take();
    assert_eq!(rows.len(), run.fills().len(), "a row for each fill");
    let price = |row: Excursion| match row {
        Excursion::NONE => NONE,
        row => (row.doubled_low as f64 / 2.0, row.doubled_high as f64 / 2.0),
    };
    rows.into_iter().map(price).collect()
}

#[test]
fn the_fill_that_ends_a_position_has_the_lowest_and_highest_mid_since_the_one_that_began_it() {
    let tape = [
        quote(100, 99, 101),
        quote(110, 95, 98),
        quote(120, 106, 109),
        quote(130, 101, 103),
    ];
    for (entry, exit) in [(buy(2), sell(2)), (sell(2), buy(2))] {
        let mut run = play_orders(&quotes(), &tape, &[(100, entry), (130, exit)]);
        assert_eq!(rows(&mut run), [NONE, (96.5, 107.5)]);
    }
}

#[test]
fn the_mark_that_stands_at_a_fill_counts_for_what_ends_there_and_not_for_what_begins() {
    let tape = [quote(100, 99, 101), quote(110, 89, 91), quote(120, 94, 96)];
    let mut run = play_orders(
        &quotes(),
        &tape,
        &[(100, buy(2)), (110, sell(2)), (110, buy(2)), (120, sell(2))],
    );
    assert_eq!(rows(&mut run), [NONE, (90.0, 90.0), NONE, (95.0, 95.0)]);
    // Nothing came between these two fills.
    let mut run = play_orders(&quotes(), &tape, &[(100, buy(2)), (100, sell(2))]);
    assert_eq!(rows(&mut run), [NONE, NONE]);
}

#[test]
fn the_mark_of_the_quote_that_fills_a_resting_order_comes_after_the_fill() {
    let tape = [
        quote(100, 99, 101),
        quote(110, 100, 102),
        quote(120, 109, 111),
        quote(130, 98, 100),
    ];
    let orders = [(100, buy(4)), (100, sell(2).limit(105)), (130, sell(2))];
    let mut run = play_orders(&quotes(), &tape, &orders);
    assert_eq!(rows(&mut run), [NONE, (101.0, 101.0), (99.0, 110.0)]);
}

#[test]
fn each_fill_of_a_position_begins_anew_and_a_flip_ends_one_and_begins_one() {
    let tape = [
        quote(100, 99, 101),
        quote(110, 89, 91),
        quote(120, 94, 96),
        quote(130, 104, 106),
        quote(140, 101, 103),
    ];
    let orders = [
        (100, buy(2)),
        (110, buy(2)),
        (120, sell(1)),
        (130, sell(6)),
        (140, buy(3)),
    ];
    let mut run = play_orders(&quotes(), &tape, &orders);
    assert_eq!(
        rows(&mut run),
        [NONE, (90.0, 90.0), (95.0, 95.0), (105.0, 105.0), (102.0, 102.0)]
    );
}

#[test]
fn on_trades_prints_are_the_marks_and_a_late_print_is_none() {
    let tape = [
        trade(100, 50, 10),
        trade(110, 40, 10),
        trade(105, 1, 10).received(115),
        trade(120, 60, 10),
    ];
    let mut run = play_orders(&trades(), &tape, &[(100, buy(2)), (120, sell(2))]);
    assert_eq!(rows(&mut run), [NONE, (40.0, 60.0)]);
}

#[test]
fn a_bar_counts_with_its_low_and_its_high() {
    let tape = [
        bar(100, [50; 4]),
        bar(130, [50, 58, 44, 52]),
        bar(160, [52, 55, 51, 53]),
        bar(190, [54, 99, 1, 54]),
    ];
    let mut run = play_orders(&bars(), &tape, &[(100, buy(2)), (160, sell(2))]);
    assert_eq!(run.outcome(), ["100 fill #0 2 @ 50 taker", "160 fill #1 2 @ 54 taker"]);
    // Of the last bar only the open had come.
    assert_eq!(rows(&mut run), [NONE, (44.0, 58.0)]);
}

#[test]
fn of_the_bar_that_fills_what_stands_on_the_path_before_the_fill_counts_before_it_and_the_rest_after_it() {
    let tape = [
        bar(100, [50; 4]),
        bar(130, [50, 50, 50, 50]),
        bar(160, [50, 60, 40, 50]),
        bar(190, [50; 4]),
    ];
    let orders = [(100, buy(4)), (100, sell(2).stop(45)), (160, sell(2))];
    let mut text = bars();
    text.venues[0].bar_path = BarPath::Ohlc;
    let mut high_first = play_orders(&text, &tape, &orders);
    assert_eq!(high_first.outcome()[1], "150 fill #1 2 @ 45 taker");
    assert_eq!(rows(&mut high_first), [NONE, (50.0, 60.0), (40.0, 50.0)]);
    text.venues[0].bar_path = BarPath::Worst;
    let mut low_first = play_orders(&text, &tape, &orders);
    assert_eq!(low_first.outcome()[1], "140 fill #1 2 @ 45 taker");
    assert_eq!(rows(&mut low_first), [NONE, (50.0, 50.0), (40.0, 60.0)]);
}

#[test]
fn a_limit_met_on_the_path_has_not_seen_the_extreme_before_it() {
    let mut text = bars();
    text.venues[0].bar_path = BarPath::Ohlc;
    let tape = [bar(100, [50; 4]), bar(130, [50, 60, 40, 50]), bar(160, [50; 4])];
    let mut run = play_orders(&text, &tape, &[(100, buy(2).limit(45)), (130, sell(2))]);
    assert_eq!(run.outcome()[0], "120 fill #0 2 @ 45 maker");
    assert_eq!(rows(&mut run), [NONE, (40.0, 50.0)]);
}

#[test]
fn strategies_in_one_instrument_have_excursions_of_their_own() {
    let tape = [
        quote(100, 99, 101),
        quote(110, 89, 91),
        quote(120, 109, 111),
        quote(130, 99, 101),
    ];
    let text = with_two_strategies(quotes());
    let mut run = play_all(&text, &tape, |engine, strategy, call| {
        let request = match (call, engine.now(), strategy) {
            (Call::Quote, 100, 0) | (Call::Quote, 110, 1) => buy(2),
            (Call::Quote, 120, 1) | (Call::Quote, 130, 0) => sell(2),
            _ => return,
        };
        send(engine, request);
    });
    assert_eq!(rows(&mut run), [NONE, NONE, (110.0, 110.0), (90.0, 110.0)]);
}

#[test]
fn marks_of_another_instrument_count_for_nothing() {
    let text = with_two_venues(quotes());
    let tape = [
        quote(100, 99, 101),
        quote(105, 1, 3).on(1),
        quote(110, 94, 96),
        quote(115, 501, 503).on(1),
    ];
    let orders = [(100, buy(2)), (105, buy(2).on(1)), (110, sell(2)), (115, sell(2).on(1))];
    let mut run = play_orders(&text, &tape, &orders);
    assert_eq!(rows(&mut run), [NONE, NONE, (95.0, 95.0), (502.0, 502.0)]);
}
