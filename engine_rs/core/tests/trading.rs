//! Operator's commands and risk switches: what a pause, a resume, a flatten and a stop decide, and at which record switches act.
//! May not live here: what the venue does with a single order.

mod support;

use replay_core::engine::Call;
use replay_core::event::ABSENT;
use replay_core::record::{CommandCause, OperatorCommand, Record};
use replay_core::setup::{Action, DrawdownText, OrderRateText, PositionText, SetupText};
use replay_core::trading::{TradingState, FLATTEN_EVERY_NS};
use support::*;

const SECOND: i64 = 1_000_000_000;

fn pause(time: i64) -> Record {
    command(time, OperatorCommand::Pause)
}

fn resume(time: i64) -> Record {
    command(time, OperatorCommand::Resume)
}

fn with_drawdown(share: Option<&str>, amount: Option<&str>, action: Action) -> SetupText {
    let mut text = quotes();
    text.risk.drawdown = Some(DrawdownText {
        share: share.map(str::to_string),
        amount: amount.map(str::to_string),
        action,
    });
    text
}

fn with_position(limit: &str, action: Action) -> SetupText {
    let mut text = quotes();
    text.risk.position = Some(PositionText {
        limit: limit.into(),
        action,
    });
    text
}

fn with_order_rate(orders: u32, per_ns: i64, action: Action) -> SetupText {
    let mut text = quotes();
    text.risk.order_rate = Some(OrderRateText { orders, per_ns, action });
    text
}

/// Sends `request` in the handler of every quote.
fn play_each(text: &SetupText, tape: &[Record], request: replay_core::order::OrderRequest) -> Run {
    play(text, tape, |engine, call| {
        if call == Call::Quote {
            send(engine, request);
        }
    })
}

// ------------------------------------------------------------------ pause and resume

#[test]
fn while_paused_new_orders_are_refused_at_once() {
    let tape = [quote(100, 99, 101), pause(150), quote(200, 99, 101)];
    let run = play_each(&quotes(), &tape, buy(1));
    assert_eq!(run.outcome(), ["100 fill #0 1 @ 101 taker", "200 rejected #1 paused"]);
    let trading = &run.engine.trading;
    assert_eq!(
        (trading.state, trading.since, trading.since_seq),
        (TradingState::Paused, 150, 1)
    );
}

#[test]
fn while_paused_handlers_go_on_running() {
    let tape = [
        quote(100, 99, 101),
        pause(150),
        quote(200, 99, 101),
        quote(300, 99, 101),
    ];
    let run = play(&quotes(), &tape, |_, _| {});
    let times: Vec<i64> = run
        .calls
        .iter()
        .filter(|one| one.call == Call::Quote)
        .map(|one| one.now)
        .collect();
    assert_eq!(times, [100, 200, 300]);
}

#[test]
fn while_paused_resting_orders_fill_and_can_be_cancelled() {
    let tape = [quote(100, 99, 101), pause(150), quote(200, 99, 101), quote(300, 89, 90)];
    let run = play(&quotes(), &tape, |engine, call| match (call, engine.now()) {
        (Call::Quote, 100) => {
            send(engine, buy(1).limit(95));
            send(engine, buy(1).limit(90));
        }
        (Call::Quote, 200) => engine.cancel(0, 1).unwrap(),
        _ => {}
    });
    assert_eq!(run.outcome(), ["200 canceled #1 requested", "300 fill #0 1 @ 95 maker"]);
}

#[test]
fn while_paused_an_amend_that_only_decreases_passes_and_any_other_is_refused() {
    let tape = [quote(100, 99, 101), pause(150), quote(200, 99, 101)];
    let run = play(&quotes(), &tape, |engine, call| match (call, engine.now()) {
        (Call::Quote, 100) => {
            send(engine, buy(4).limit(90));
        }
        (Call::Quote, 200) => {
            engine.amend(0, 0, 3, ABSENT, ABSENT).unwrap();
            engine.amend(0, 0, 5, ABSENT, ABSENT).unwrap();
            engine.amend(0, 0, ABSENT, 91, ABSENT).unwrap();
        }
        _ => {}
    });
    let order = run.engine.exchange.orders.get(0);
    assert_eq!((order.quantity, order.limit, order.amends_under_way), (3, 90, 0));
    let refused: Vec<_> = run
        .outcome()
        .into_iter()
        .filter(|line| line.contains("amend rejected"))
        .collect();
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|line| line.ends_with("paused")), "{refused:?}");
}

#[test]
fn a_resume_lifts_the_pause() {
    let tape = [quote(100, 99, 101), pause(150), resume(160), quote(200, 99, 101)];
    let run = play_each(&quotes(), &tape, buy(1));
    assert_eq!(
        run.outcome(),
        ["100 fill #0 1 @ 101 taker", "200 fill #1 1 @ 101 taker"]
    );
}

#[test]
fn a_command_says_who_wanted_it() {
    let mut record = pause(150);
    record.b = CommandCause::StaleFeed as i64;
    let run = play(&quotes(), &[quote(100, 99, 101), record], |_, _| {});
    assert_eq!(run.engine.trading.cause, CommandCause::StaleFeed);
}

// ------------------------------------------------------------------ flatten

#[test]
fn a_flatten_works_while_paused_and_leaves_trading_paused() {
    let tape = [
        quote(100, 99, 101),
        pause(150),
        command(200, OperatorCommand::Flatten),
        quote(300, 99, 101),
        resume(350),
        quote(400, 99, 101),
    ];
    let run = play_each(&quotes(), &tape, buy(1));
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 1 @ 101 taker",
            "200 fill #1 1 @ 99 taker",
            "300 rejected #2 paused",
            "400 fill #3 1 @ 101 taker"
        ]
    );
    assert!(!run.engine.trading.is_flattening);
}

#[test]
fn what_a_flatten_closes_is_not_bound_by_the_limits_of_orders() {
    let mut text = quotes();
    text.risk.max_order_size = Some("2".into());
    text.risk.max_order_notional = Some("250".into());
    let tape = [
        quote(100, 99, 101),
        quote(110, 99, 101),
        command(200, OperatorCommand::Flatten),
        quote(300, 99, 101),
    ];
    let run = play_each(&text, &tape, buy(2));
    assert_eq!(run.outcome()[2], "200 fill #2 4 @ 99 taker");
}

#[test]
fn a_flatten_sells_what_an_order_that_it_cancels_had_reserved() {
    let mut text = quotes();
    text.account.kind = replay_core::setup::AccountKind::Cash;
    text.account.leverage = "1".into();
    text.venues[0].latency_ns.cancel = 50;
    let tape = [
        quote(100, 99, 101),
        quote(110, 99, 101),
        command(200, OperatorCommand::Flatten),
        quote(210, 99, 101),
        quote(300, 99, 101),
    ];
    let run = play_orders(&text, &tape, &[(100, buy(4)), (110, sell(4).limit(200))]);
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 4 @ 101 taker",
            "200 fill #2 4 @ 99 taker",
            "250 canceled #1 operator"
        ]
    );
}

#[test]
fn a_flatten_tries_again_each_second_until_nothing_is_left() {
    let mut text = quotes();
    text.venues[0].beyond_top = replay_core::setup::BeyondTop::Top;
    let later = 200 + FLATTEN_EVERY_NS;
    let tape = [
        quote(100, 99, 101),
        sized_quote(150, (99, 2), (101, 5)),
        command(200, OperatorCommand::Flatten),
        sized_quote(300, (98, 9), (101, 5)),
        sized_quote(later, (97, 1), (101, 5)),
        sized_quote(later + SECOND, (96, 9), (101, 5)),
        sized_quote(later + 2 * SECOND, (95, 9), (101, 5)),
    ];
    let run = play_orders(&text, &tape, &[(100, buy(4))]);
    let fills: Vec<_> = run.outcome().into_iter().filter(|line| line.contains("fill")).collect();
    assert_eq!(
        fills,
        [
            "100 fill #0 4 @ 101 taker".to_string(),
            "200 fill #1 2 @ 99 taker".to_string(),
            format!("{later} fill #2 1 @ 97 taker"),
            format!("{} fill #3 1 @ 96 taker", later + SECOND),
        ]
    );
    assert!(!run.engine.trading.is_flattening);
    assert_eq!(run.engine.told_position(0, 0).quantity, 0);
}

#[test]
fn a_flatten_closes_what_an_order_under_way_still_opens() {
    let mut text = quotes();
    text.venues[0].latency_ns.entry = 50;
    let tape = [
        quote(100, 99, 101),
        command(120, OperatorCommand::Flatten),
        quote(200, 99, 101),
        quote(120 + FLATTEN_EVERY_NS, 99, 101),
        quote(120 + 2 * FLATTEN_EVERY_NS, 99, 101),
    ];
    let run = play_orders(&text, &tape, &[(100, buy(3).limit(101).ioc())]);
    assert_eq!(run.engine.told_position(0, 0).quantity, 0, "{:?}", run.outcome());
    assert!(!run.engine.trading.is_flattening);
}

// ------------------------------------------------------------------ stop

#[test]
fn after_a_stop_records_are_counted_and_decide_nothing() {
    let tape = [
        quote(100, 99, 101),
        command(150, OperatorCommand::Stop),
        quote(200, 89, 90),
        quote(300, 89, 90),
    ];
    let run = play(&quotes(), &tape, |engine, call| {
        if (call, engine.now()) == (Call::Quote, 100) {
            send(engine, buy(1).limit(95));
        }
    });
    assert_eq!(run.outcome(), [""; 0]);
    assert_eq!((run.engine.tape_seq, run.engine.now()), (4, 150));
    assert_eq!(run.engine.trading.state, TradingState::Stopped);
    assert!(run.calls.iter().all(|one| one.now <= 150), "{:?}", run.calls);
}

#[test]
fn a_pause_wakes_trading_that_was_stopped_and_leaves_it_paused() {
    let tape = [
        quote(100, 99, 101),
        command(150, OperatorCommand::Stop),
        quote(200, 99, 101),
        pause(250),
        quote(300, 99, 101),
        resume(350),
        quote(400, 99, 101),
    ];
    let run = play_each(&quotes(), &tape, buy(1));
    assert_eq!(
        run.outcome(),
        [
            "100 fill #0 1 @ 101 taker",
            "300 rejected #1 paused",
            "400 fill #2 1 @ 101 taker"
        ]
    );
}

// ------------------------------------------------------------------ drawdown

#[test]
fn the_drawdown_switch_acts_at_the_record_whose_mark_reaches_the_limit() {
    // 1,000,000 of equity, 1,000 held at 101: each point of price is 1,000.
    for text in [
        with_drawdown(Some("0.005"), None, Action::Pause),
        with_drawdown(None, Some("5000"), Action::Pause),
    ] {
        let tape = [
            sized_quote(100, (101, 5_000), (101, 5_000)),
            sized_quote(200, (97, 5_000), (97, 5_000)),
            sized_quote(300, (96, 5_000), (96, 5_000)),
            sized_quote(400, (101, 5_000), (101, 5_000)),
        ];
        let run = play_orders(&text, &tape, &[(100, buy(1_000))]);
        let trading = &run.engine.trading;
        assert_eq!(
            (trading.state, trading.cause),
            (TradingState::Paused, CommandCause::Drawdown)
        );
        assert_eq!(
            (trading.drawdown.trips, trading.drawdown.time, trading.drawdown.tape_seq),
            (1, 300, 2)
        );
    }
}

#[test]
fn a_switch_that_flattens_closes_at_its_own_record() {
    let text = with_drawdown(None, Some("5000"), Action::Flatten);
    let tape = [
        sized_quote(100, (101, 5_000), (101, 5_000)),
        sized_quote(300, (96, 5_000), (96, 5_000)),
        sized_quote(400, (90, 5_000), (90, 5_000)),
    ];
    let run = play(&text, &tape, |engine, call| {
        if (call, engine.now()) == (Call::Quote, 100) {
            send(engine, buy(1_000));
            send(engine, buy(1).limit(50));
        }
    });
    assert_eq!(
        run.outcome()[1..],
        ["300 canceled #1 risk_switch", "300 fill #2 1000 @ 96 taker"]
    );
}

#[test]
fn a_resume_measures_the_drawdown_from_the_equity_of_then() {
    let text = with_drawdown(None, Some("5000"), Action::Pause);
    let price = |time, price| sized_quote(time, (price, 5_000), (price, 5_000));
    let tape = [
        price(100, 101),
        price(200, 96),
        resume(250),
        price(300, 95),
        price(400, 92),
        price(500, 91),
    ];
    let run = play_orders(&text, &tape, &[(100, buy(1_000))]);
    let drawdown = run.engine.trading.drawdown;
    assert_eq!((drawdown.trips, drawdown.time), (2, 500));
}

#[test]
fn a_drawdown_that_only_alerts_is_armed_again_by_a_new_peak() {
    let text = with_drawdown(None, Some("5000"), Action::Alert);
    let price = |time, price| sized_quote(time, (price, 5_000), (price, 5_000));
    let tape = [
        price(100, 101),
        price(200, 96),
        price(300, 95),
        price(400, 102),
        price(500, 97),
    ];
    let run = play_orders(&text, &tape, &[(100, buy(1_000))]);
    let trading = &run.engine.trading;
    assert_eq!((trading.drawdown.trips, trading.state), (2, TradingState::Active));
}

#[test]
fn a_switch_that_stops_lets_its_record_finish_and_nothing_after_it() {
    let text = with_drawdown(None, Some("5000"), Action::Stop);
    let price = |time, price| sized_quote(time, (price, 5_000), (price, 5_000));
    let tape = [price(100, 101), price(200, 96), price(300, 50)];
    let run = play_orders(&text, &tape, &[(100, buy(1_000))]);
    let trading = &run.engine.trading;
    assert_eq!(
        (trading.state, trading.cause),
        (TradingState::Stopped, CommandCause::Drawdown)
    );
    assert_eq!((run.engine.now(), run.engine.tape_seq), (200, 3));
}

// ------------------------------------------------------------------ position

#[test]
fn the_position_switch_acts_on_what_is_held_over_all_strategies() {
    let mut text = with_two_strategies(with_position("5", Action::Flatten));
    text.risk.max_position = Some("100".into());
    let tape = [quote(100, 99, 101), quote(200, 99, 101), quote(300, 99, 101)];
    let run = play_all(&text, &tape, |engine, _, call| {
        if call == Call::Quote && engine.now() < 300 {
            send(engine, buy(2));
        }
    });
    let trading = &run.engine.trading;
    assert_eq!((trading.position.trips, trading.position.time), (1, 200));
    assert_eq!(trading.cause, CommandCause::Position);
    assert_eq!(run.engine.exchange.ledger.net, [0]);
}

#[test]
fn a_position_above_the_limit_trips_again_after_a_resume() {
    let text = with_position("1", Action::Pause);
    let tape = [quote(100, 99, 101), resume(150), quote(200, 99, 101)];
    let run = play_orders(&text, &tape, &[(100, buy(2))]);
    let trading = &run.engine.trading;
    assert_eq!((trading.position.trips, trading.position.time), (2, 150));
    assert_eq!(trading.state, TradingState::Paused);
}

// ------------------------------------------------------------------ order rate

#[test]
fn the_order_beyond_the_rate_trips_the_switch_and_is_refused() {
    let text = with_order_rate(2, 100, Action::Pause);
    let tape = [
        quote(100, 99, 101),
        quote(110, 99, 101),
        quote(120, 99, 101),
        quote(130, 99, 101),
    ];
    let run = play_each(&text, &tape, buy(1).limit(90));
    assert_eq!(run.outcome(), ["120 rejected #2 order_rate", "130 rejected #3 paused"]);
    let trading = &run.engine.trading;
    assert_eq!((trading.order_rate.trips, trading.cause), (1, CommandCause::OrderRate));
}

#[test]
fn the_order_rate_counts_a_window_that_slides() {
    let text = with_order_rate(2, 100, Action::Pause);
    let tape = [
        quote(100, 99, 101),
        quote(150, 99, 101),
        quote(200, 99, 101),
        quote(250, 99, 101),
    ];
    let run = play_each(&text, &tape, buy(1).limit(90));
    assert_eq!(run.engine.trading.order_rate.trips, 0);
}

#[test]
fn an_order_rate_that_only_alerts_refuses_nothing() {
    let text = with_order_rate(1, 100, Action::Alert);
    let tape = [
        quote(100, 99, 101),
        quote(110, 99, 101),
        quote(300, 99, 101),
        quote(310, 99, 101),
    ];
    let run = play_each(&text, &tape, buy(1));
    assert_eq!(run.outcome().len(), 4, "{:?}", run.outcome());
    assert_eq!(run.engine.trading.order_rate.trips, 2);
}

#[test]
fn an_order_rate_that_flattens_cancels_within_its_record() {
    let text = with_order_rate(2, 100, Action::Flatten);
    let tape = [quote(100, 99, 101), quote(110, 99, 101), quote(120, 99, 101)];
    let run = play_each(&text, &tape, buy(1).limit(90));
    assert_eq!(
        run.outcome(),
        [
            "120 rejected #2 order_rate",
            "120 canceled #0 risk_switch",
            "120 canceled #1 risk_switch"
        ]
    );
}

#[test]
fn an_order_rate_of_nothing_is_no_setup() {
    assert!(replay_core::setup::Setup::new(&with_order_rate(0, 100, Action::Pause)).is_err());
    assert!(replay_core::setup::Setup::new(&with_order_rate(1, 0, Action::Pause)).is_err());
}
