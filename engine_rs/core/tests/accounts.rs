//! Accounts (SEMANTICS, section 5): funds, margin, fees, limits, the cash account's cut at the fill, exact postings.
//! May not live here: fill prices, or the order of time.

mod support;

use replay_core::engine::Call;
use replay_core::event::EventKind;
use replay_core::setup::{CurrencyText, FeeRounding, SetupText, Source};
use support::*;

/// USD with cents; taker fee 0.1 %, maker fee 0.05 %.
fn with_fees(mut text: SetupText) -> SetupText {
    text.venues[0].fees.taker = "0.001".into();
    text.venues[0].fees.maker = "0.0005".into();
    text
}

fn usd(run: &Run) -> i128 {
    run.engine.exchange.ledger.cash[0]
}

#[test]
fn cash_is_kept_exactly_and_fees_are_rounded_to_the_currency_on_the_orders_running_total() {
    // 3 fills of 1 at 7: 0.007 each; in all 0.021. Rounded on the total: 0.01, 0.00, 0.01.
    let mut text = with_fees(quotes());
    let tape = [
        sized_quote(100, (5, 10), (7, 1)),
        sized_quote(200, (5, 10), (7, 2)),
        sized_quote(300, (5, 10), (7, 3)),
    ];
    let orders = [(100, buy(1).limit(7)), (200, buy(1).limit(7)), (300, buy(1).limit(7))];
    let run = play_orders(&text, &tape, &orders);
    let fees: Vec<_> = run.fills().iter().map(|fill| fill.amount()).collect();
    assert_eq!(fees, [1, 1, 1], "three orders pay a cent each");
    let maker = [
        quote(50, 1, 20),
        sized_quote(100, (5, 10), (14, 1)),
        sized_quote(200, (5, 10), (14, 2)),
        sized_quote(300, (5, 10), (14, 3)),
    ];
    let run = play_orders(&text, &maker, &[(50, buy(3).limit(14))]);
    let fees: Vec<_> = run.fills().iter().map(|fill| fill.amount()).collect();
    assert_eq!(
        fees,
        [1, 0, 1],
        "one order's fills pay the differences of its total: 0.007, 0.014, 0.021"
    );
    assert_eq!(usd(&run), 100_000_000 - 3 * 1_400 - 2);
    text.venues[0].fees.rounding = FeeRounding::Fill;
    let run = play_orders(&text, &maker, &[(50, buy(3).limit(14))]);
    let fees: Vec<_> = run.fills().iter().map(|fill| fill.amount()).collect();
    assert_eq!(fees, [1, 1, 1]);
}

#[test]
fn a_rebate_is_paid_out_and_rounded_half_up_of_the_signed_total() {
    let mut text = quotes();
    text.venues[0].fees.maker = "-0.0005".into();
    let run = play_orders(
        &text,
        &[quote(50, 1, 20), sized_quote(100, (5, 10), (10, 1))],
        &[(50, buy(1).limit(10))],
    );
    // -0.005: half up of the signed total is 0.
    assert_eq!(run.fills()[0].amount(), 0);
    let run = play_orders(
        &text,
        &[quote(50, 1, 20), sized_quote(100, (5, 10), (12, 1))],
        &[(50, buy(1).limit(12))],
    );
    assert_eq!(run.fills()[0].amount(), -1);
    assert_eq!(usd(&run), 100_000_000 - 1_200 + 1);
}

#[test]
fn postings_of_every_fill_sum_to_zero_and_follow_it() {
    let run = play_orders(
        &with_fees(quotes()),
        &[quote(100, 99, 101)],
        &[(100, buy(15)), (100, sell(20))],
    );
    let mut sum = 0_i128;
    for event in &run.events {
        if event.kind == EventKind::Posting as u8 {
            sum += event.amount();
        } else {
            assert_eq!(sum, 0);
        }
    }
    assert_eq!(sum, 0);
    assert!(run.of_kind(EventKind::Posting).len() >= 4 * run.fills().len() - 2);
}

#[test]
fn equity_is_cash_plus_quantity_times_mark_exactly() {
    let run = play_orders(
        &with_fees(quotes()),
        &[quote(100, 99, 101), quote(200, 100, 103)],
        &[(100, buy(7))],
    );
    let ledger = &run.engine.exchange.ledger;
    let equity = ledger.doubled_equity(&run.engine.exchange.setup, |index| {
        run.engine.exchange.doubled_mark(index)
    });
    // Cents, doubled: cash and 7 at the mid of 101.5.
    assert_eq!(equity, Some(2 * (100_000_000 - 70_700 - 71) + 7 * 203 * 100));
}

#[test]
fn the_multiplier_scales_every_amount() {
    let mut text = with_fees(quotes());
    text.instruments[0].multiplier = "0.5".into();
    let run = play_orders(&text, &[quote(100, 99, 101)], &[(100, buy(3))]);
    assert_eq!(usd(&run), 100_000_000 - 15_150 - 15);
}

// ------------------------------------------------------------------ cash account

#[test]
fn a_cash_account_refuses_a_buy_that_its_told_balance_cannot_pay_with_the_taker_fee() {
    let text = with_cash(with_fees(quotes()), "101.10");
    let orders = [(100, buy(1).limit(101))];
    let run = play_orders(&text, &[quote(100, 99, 105)], &orders);
    assert_eq!(run.outcome(), ["100 rejected #0 insufficient_funds"]);
    // 101 + 0.101 unrounded needs 101.11 of whole cents.
    let run = play_orders(
        &with_cash(with_fees(quotes()), "101.11"),
        &[quote(100, 99, 105)],
        &orders,
    );
    assert!(run.outcome().is_empty());
}

#[test]
fn reservations_of_live_orders_are_taken_off_at_the_limit_else_at_the_opposite_price() {
    let text = with_cash(quotes(), "300");
    let tape = [quote(100, 99, 101), quote(200, 99, 101)];
    let mut latent = text.clone();
    latent.venues[0].latency_ns.entry = 50;
    // A market order reserves the ask: 101; then 199 are left.
    let run = play_orders(
        &latent,
        &tape,
        &[
            (100, buy(1)),
            (100, buy(2).limit(99)),
            (100, buy(1).limit(1)),
            (100, buy(1).limit(2)),
        ],
    );
    assert_eq!(
        run.of_kind(EventKind::Rejected)
            .iter()
            .map(|one| one.order_id)
            .collect::<Vec<_>>(),
        [3]
    );
}

#[test]
fn an_order_that_was_refused_at_admission_reserves_nothing() {
    let mut text = with_cash(quotes(), "300");
    text.account.cash.insert("COIN".into(), "5".into());
    text.currencies.push(CurrencyText {
        name: "COIN".into(),
        decimals: 0,
    });
    text.instruments[0].base = Some("COIN".into());
    let orders = [
        (100, buy(4).limit(90)),
        (100, buy(3).limit(90)),
        (100, sell(6).limit(110)),
        (100, sell(5).limit(110)),
    ];
    let run = play_orders(&text, &[quote(100, 99, 101)], &orders);
    assert_eq!(
        run.outcome(),
        [
            "100 rejected #0 insufficient_funds",
            "100 rejected #2 insufficient_funds"
        ]
    );
}

#[test]
fn reservations_end_when_the_strategy_is_told_of_the_end() {
    let mut text = with_cash(quotes(), "100");
    text.venues[0].latency_ns.response = 100;
    let tape = [quote(100, 99, 101), quote(150, 99, 101), quote(300, 99, 101)];
    let run = play(&text, &tape, |engine, call| match (call, engine.now()) {
        (Call::Quote, 100) => {
            send(engine, buy(1).limit(90).ioc()); // ends at once, told at 200
        }
        (Call::Quote, 150 | 300) => {
            send(engine, buy(1).limit(90));
        }
        _ => {}
    });
    assert_eq!(
        run.outcome(),
        [
            "100 canceled #0 immediate_or_cancel",
            "150 rejected #1 insufficient_funds"
        ]
    );
}

#[test]
fn a_cash_account_sells_only_what_it_has_and_never_goes_short() {
    let text = with_cash(quotes(), "1000");
    let tape = [quote(100, 99, 101), quote(200, 99, 101)];
    let orders = [
        (100, buy(3)),
        (100, sell(1)),
        (200, sell(4)),
        (200, sell(2)),
        (200, sell(2)),
    ];
    let run = play_orders(&text, &tape, &orders);
    assert_eq!(
        run.outcome(),
        [
            "100 rejected #1 insufficient_funds",
            "100 fill #0 3 @ 101 taker",
            "200 rejected #2 insufficient_funds",
            "200 rejected #4 insufficient_funds",
            "200 fill #3 2 @ 99 taker"
        ]
    );
}

#[test]
fn a_coin_is_one_balance_wherever_it_trades() {
    let mut text = with_cash(with_two_venues(quotes()), "1000");
    text.one_clock = true;
    text.account.cash.insert("COIN".into(), "5".into());
    text.currencies.push(CurrencyText {
        name: "COIN".into(),
        decimals: 0,
    });
    for index in 0..2 {
        text.instruments[index].base = Some("COIN".into());
    }
    let tape = [
        quote(100, 99, 101),
        quote(100, 99, 101).on(1),
        quote(200, 99, 101),
        quote(200, 99, 101).on(1),
    ];
    let run = play(&text, &tape, |engine, call| {
        if (call, engine.now()) == (Call::Quote, 200) && engine.record().instrument == 1 {
            send(engine, sell(3));
            send(engine, sell(3).on(1));
            send(engine, sell(2).on(1));
        }
    });
    assert_eq!(
        run.outcome(),
        [
            "200 rejected #1 insufficient_funds",
            "200 fill #0 3 @ 99 taker",
            "200 fill #2 2 @ 99 taker"
        ]
    );
}

#[test]
fn what_a_cash_account_cannot_pay_at_the_fill_is_cut_to_lots_and_the_rest_canceled() {
    let mut text = with_cash(with_fees(quotes()), "1000");
    text.venues[0].latency_ns.entry = 50;
    text.instruments[0].lot = "2".into();
    // Reserved at 90, filled at 150: with the fee 6 can be paid.
    let tape = [quote(100, 80, 90), quote(120, 140, 150), quote(300, 140, 150)];
    let run = play_orders(&text, &tape, &[(100, buy(10))]);
    assert_eq!(
        run.outcome(),
        ["150 fill #0 6 @ 150 taker", "150 canceled #0 unpayable"]
    );
    assert_eq!(usd(&run), 100_000 - 90_000 - 90);
}

#[test]
fn a_fok_order_that_the_cash_account_cannot_pay_whole_is_killed() {
    for source in [Source::Quote, Source::Trade] {
        let mut text = with_cash(setup(source), "1000");
        text.venues[0].latency_ns.entry = 50;
        let tape = match source {
            Source::Quote => [quote(100, 80, 90), quote(120, 140, 150), quote(300, 140, 150)],
            _ => [trade(100, 90, 5), trade(120, 150, 5), trade(300, 150, 5)],
        };
        let run = play_orders(&text, &tape, &[(100, buy(10).fok())]);
        assert_eq!(run.outcome(), ["150 canceled #0 fill_or_kill"]);
    }
    let text = with_cash(bars(), "1000");
    let run = play_orders(&text, &[bar(100, [90; 4]), bar(130, [150; 4])], &[(100, buy(10).fok())]);
    assert_eq!(run.outcome(), ["100 canceled #0 fill_or_kill"]);
}

// ------------------------------------------------------------------ margin account

#[test]
fn margin_refuses_an_opening_order_when_value_by_leverage_and_fees_exceed_told_equity() {
    let mut text = with_fees(quotes());
    text.account.leverage = "2".into();
    text.account.cash = [("USD".to_string(), "1000".to_string())].into();
    // 19 x 105 = 1995 / 2 + 1.995 = 999.495; 20 x 105 / 2 + 2.1 > 1000.
    let tape = [quote(100, 99, 105)];
    assert!(play_orders(&text, &tape, &[(100, buy(19).limit(105))])
        .of_kind(EventKind::Rejected)
        .is_empty());
    let run = play_orders(&text, &tape, &[(100, buy(20).limit(105))]);
    assert_eq!(run.outcome(), ["100 rejected #0 insufficient_funds"]);
}

#[test]
fn margin_counts_positions_at_their_marks_and_opening_leaves_at_their_prices() {
    let mut text = quotes();
    text.account.leverage = "1".into();
    text.account.cash = [("USD".to_string(), "1000".to_string())].into();
    let tape = [quote(100, 99, 101), quote(200, 99, 101)];
    // Told at 200: equity 1000 - 5, position 5 x 100; 495 are left: 400 for the first, 95 for more.
    let orders = [
        (100, buy(5)),
        (200, buy(4).limit(100)),
        (200, buy(1).limit(96)),
        (200, buy(1).limit(95)),
    ];
    let run = play_orders(&text, &tape, &orders);
    assert_eq!(
        run.of_kind(EventKind::Rejected)
            .iter()
            .map(|one| one.order_id)
            .collect::<Vec<_>>(),
        [2]
    );
}

#[test]
fn margin_lets_an_order_pass_whose_own_part_only_closes() {
    let mut text = quotes();
    text.account.leverage = "1".into();
    text.account.cash = [("USD".to_string(), "1000".to_string())].into();
    // At 200 the equity is 1000 - 9 x 81 = 271, the position is worth 180.
    let tape = [quote(100, 99, 101), quote(200, 19, 21)];
    let orders = [
        (100, buy(9)),
        (200, buy(5).limit(19)),
        (200, buy(4).limit(19)),
        (200, sell(9).limit(30)),
    ];
    let run = play_orders(&text, &tape, &orders);
    let rejected: Vec<_> = run
        .of_kind(EventKind::Rejected)
        .iter()
        .map(|one| one.order_id)
        .collect();
    assert_eq!(rejected, [1]);
}

#[test]
fn a_short_needs_margin_as_a_long_does() {
    let mut text = quotes();
    text.account.leverage = "1".into();
    text.account.cash = [("USD".to_string(), "1000".to_string())].into();
    let run = play_orders(&text, &[quote(100, 100, 101)], &[(100, sell(11)), (100, sell(10))]);
    assert_eq!(
        run.outcome(),
        ["100 rejected #0 insufficient_funds", "100 fill #1 10 @ 100 taker"]
    );
}

#[test]
fn amends_are_not_checked_for_funds() {
    let mut text = with_cash(quotes(), "100");
    text.risk.max_order_size = Some("5".into());
    let tape = [quote(100, 99, 101), quote(200, 99, 101)];
    let run = play(&text, &tape, |engine, call| match (call, engine.now()) {
        (Call::Quote, 100) => {
            send(engine, buy(1).limit(90));
        }
        (Call::Quote, 200) => engine
            .amend(0, 0, 500, replay_core::event::ABSENT, replay_core::event::ABSENT)
            .unwrap(),
        _ => {}
    });
    assert_eq!(run.outcome(), ["200 replaced #0"]);
}

#[test]
fn the_account_is_told_what_any_of_its_strategies_was_told() {
    let mut text = with_two_strategies(with_cash(quotes(), "1000"));
    text.venues[0].latency_ns.response = 50;
    let tape = [quote(100, 99, 101), quote(120, 99, 101), quote(200, 99, 101)];
    let run = play_all(&text, &tape, |engine, strategy, call| {
        match (strategy, call, engine.now()) {
            (0, Call::Quote, 100) => {
                send(engine, buy(3));
            }
            (1, Call::Quote, 120 | 200) => {
                send(engine, sell(3));
            }
            _ => {}
        }
    });
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 3 @ 101 taker",
            "120 rejected #1 insufficient_funds",
            "200 fill #2 3 @ 99 taker"
        ]
    );
}

// ------------------------------------------------------------------ limits

#[test]
fn orders_above_the_size_or_notional_limit_are_refused() {
    let mut text = quotes();
    text.risk.max_order_size = Some("10".into());
    text.risk.max_order_notional = Some("505".into());
    let orders = [
        (100, buy(11).limit(1)),
        (100, buy(6)),
        (100, buy(5)),
        (100, sell(5).limit(102)),
    ];
    let run = play_orders(&text, &[quote(100, 99, 101)], &orders);
    assert_eq!(
        run.outcome(),
        [
            "100 rejected #0 max_order_size",
            "100 rejected #1 max_order_notional",
            "100 rejected #3 max_order_notional",
            "100 fill #2 5 @ 101 taker"
        ]
    );
}

#[test]
fn an_order_below_the_instruments_minimum_notional_is_refused() {
    let mut text = quotes();
    text.instruments[0].min_notional = Some("100.5".into());
    let orders = [(100, buy(1).limit(100)), (100, buy(1)), (100, sell(1))];
    let run = play_orders(&text, &[quote(100, 99, 101)], &orders);
    assert_eq!(
        run.outcome(),
        [
            "100 rejected #0 min_notional",
            "100 rejected #2 min_notional",
            "100 fill #1 1 @ 101 taker"
        ]
    );
}

#[test]
fn an_order_is_refused_if_told_position_and_live_orders_of_its_side_could_pass_the_position_limit() {
    let mut text = quotes();
    text.risk.max_position = Some("10".into());
    let tape = [quote(100, 99, 101), quote(200, 99, 101)];
    let orders = [
        (100, buy(6)),
        (200, buy(4).limit(50)),
        (200, buy(1).limit(50)),
        (200, sell(16)),
        (200, sell(1)),
    ];
    let run = play_orders(&text, &tape, &orders);
    assert_eq!(
        run.of_kind(EventKind::Rejected)
            .iter()
            .map(|one| one.order_id)
            .collect::<Vec<_>>(),
        [2, 4]
    );
    assert!(run
        .outcome()
        .iter()
        .all(|line| !line.contains("rejected") || line.ends_with("max_position")));
}

#[test]
fn a_flip_is_one_fill_and_the_last_close_releases_the_whole_cost() {
    let run = play_orders(
        &quotes(),
        &[quote(100, 99, 101), quote(200, 109, 111)],
        &[(100, buy(3)), (200, sell(5))],
    );
    let position = run.engine.exchange.ledger.position(0, 0);
    assert_eq!(
        (run.fills().len(), position.quantity, position.cost, position.realised),
        (2, -2, -21_800, 2_400)
    );
}

#[test]
fn reservations_count_a_rebate_as_no_fee() {
    let mut text = with_cash(quotes(), "101");
    text.venues[0].fees.taker = "-0.01".into();
    let orders = [(100, buy(1).limit(101)), (100, buy(1).limit(1))];
    let run = play_orders(&text, &[quote(100, 99, 105)], &orders);
    assert_eq!(run.outcome(), ["100 rejected #1 insufficient_funds"]);
}

#[test]
fn an_order_is_reserved_at_its_limit_as_it_was_admitted_and_by_its_leaves_as_told() {
    let text = with_cash(quotes(), "1000");
    let tape = [quote(100, 99, 105), quote(200, 99, 105), quote(300, 99, 105)];
    let run = play(&text, &tape, |engine, call| match (call, engine.now()) {
        (Call::Quote, 100) => {
            send(engine, buy(5).limit(100)); // reserves 500
        }
        (Call::Quote, 200) => {
            // The new price is not looked at, the new quantity is once it is told: 200.
            engine.amend(0, 0, 2, 50, replay_core::event::ABSENT).unwrap();
        }
        (Call::Quote, 300) => {
            send(engine, buy(8).limit(100));
            send(engine, buy(1).limit(1));
        }
        _ => {}
    });
    assert_eq!(run.outcome(), ["200 replaced #0", "300 rejected #2 insufficient_funds"]);
}

#[test]
fn equity_points_stand_once_per_interval_of_tape_time_and_at_fills() {
    let mut text = quotes();
    text.equity_every_ns = 100;
    let tape = [
        quote(110, 99, 101),
        quote(150, 99, 101),
        quote(199, 99, 101),
        quote(205, 99, 103),
        quote(290, 99, 101),
    ];
    let mut run = play_orders(&text, &tape, &[(150, buy(2))]);
    let points: Vec<_> = run
        .engine
        .equity
        .take()
        .iter()
        .map(|point| (point.ts, point.doubled_equity))
        .collect();
    // Cents, doubled: 2 bought at 101, at the mids of 100 and 101.
    assert_eq!(
        points,
        [(110, 200_000_000), (150, 200_000_000 - 400), (205, 200_000_000)]
    );
}
