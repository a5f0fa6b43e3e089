//! Fees (SEMANTICS, section 4): per share with minimum and cap, per order, in what is received; and their laws.
//! May not live here: rates alone and their rounding; accounts.rs has those.

mod support;

use proptest::prelude::*;
use replay_core::event::EventKind;
use replay_core::fees::{FeeCurrency, FeeRounding, FeeSchedule, FeeTotal, Liquidity};
use replay_core::ledger::AccountKind as Account;
use replay_core::setup::{CurrencyText, Setup, SetupText};
use support::*;

/// Dollars with cents: 0.005 a share, at least 1.00, at most 0.5 % of the value.
fn per_share() -> SetupText {
    let mut text = quotes();
    let fees = &mut text.venues[0].fees;
    fees.per_share = Some("0.005".into());
    fees.minimum = Some("1.00".into());
    fees.maximum_rate = Some("0.005".into());
    text
}

fn fees_of(
    text: &SetupText,
    tape: &[replay_core::record::Record],
    orders: &[(i64, replay_core::order::OrderRequest)],
) -> Vec<i128> {
    play_orders(text, tape, orders)
        .fills()
        .iter()
        .map(|fill| fill.amount())
        .collect()
}

#[test]
fn a_fee_per_share_lies_between_its_minimum_and_its_cap() {
    let one = |price: i64, size: i64| {
        let tape = [sized_quote(100, (price - 1, size), (price, size))];
        fees_of(&per_share(), &tape, &[(100, buy(size))])
    };
    assert_eq!(one(100, 500), [250], "500 shares of 100 USD: 2.50");
    assert_eq!(one(100, 10), [100], "10 shares would pay 0.05: the minimum of 1.00");
    assert_eq!(one(1, 1_000), [500], "1,000 shares of 1 USD pay 5.00: exactly the cap");
    assert_eq!(
        one(2, 9),
        [9],
        "9 shares of 2 USD: the cap of 0.09 goes before the minimum"
    );
}

#[test]
fn an_order_pays_the_minimum_once_however_it_is_filled() {
    let mut text = per_share();
    let tape = [
        quote(50, 99, 120),
        sized_quote(100, (99, 10), (110, 10)),
        sized_quote(200, (99, 10), (110, 200)),
        sized_quote(300, (99, 10), (110, 400)),
    ];
    let orders = [(50, buy(400).limit(110))];
    assert_eq!(fees_of(&text, &tape, &orders), [100, 0, 100], "0.05, 1.00, 2.00 in all");
    text.venues[0].fees.rounding = FeeRounding::Fill;
    assert_eq!(
        fees_of(&text, &tape, &orders),
        [100, 100, 100],
        "each fill pays at least the minimum"
    );
}

#[test]
fn a_fee_per_order_is_paid_at_its_first_fill_alone() {
    let mut text = quotes();
    text.venues[0].fees.per_order = Some("0.75".into());
    let tape = [
        quote(50, 99, 120),
        sized_quote(100, (99, 10), (110, 10)),
        sized_quote(200, (99, 10), (110, 30)),
    ];
    assert_eq!(fees_of(&text, &tape, &[(50, buy(25).limit(110))]), [75, 0]);
    assert_eq!(
        fees_of(&text, &tape, &[(50, buy(5).limit(90))]),
        [] as [i128; 0],
        "an order without a fill pays nothing"
    );
}

#[test]
fn admission_sets_the_fee_per_share_aside() {
    // 10 shares of 101 USD and the minimum of 1.00.
    let tape = [quote(100, 99, 101)];
    let refused = play_orders(&with_cash(per_share(), "1010.99"), &tape, &[(100, buy(10))]);
    assert_eq!(refused.of_kind(EventKind::Rejected).len(), 1);
    let taken = play_orders(&with_cash(per_share(), "1011.00"), &tape, &[(100, buy(10))]);
    assert_eq!(taken.fills().len(), 1);
    assert_eq!(taken.engine.exchange.ledger.cash[0], 0);
}

// ------------------------------------------------------------------ in what is received

/// A coin with 3 decimals of size and 8 of precision, against dollars; both sides pay 0.1 %.
fn coin() -> SetupText {
    let mut text = with_cash(quotes(), "100000");
    text.currencies.push(CurrencyText {
        name: "COIN".into(),
        decimals: 8,
    });
    text.instruments[0].base = Some("COIN".into());
    text.instruments[0].size_decimals = 3;
    text.instruments[0].lot = "0.001".into();
    let fees = &mut text.venues[0].fees;
    (fees.maker, fees.taker, fees.currency) = ("0.001".into(), "0.001".into(), FeeCurrency::Received);
    text
}

#[test]
fn a_buy_pays_from_the_coins_that_it_brings_in_and_a_sale_from_its_proceeds() {
    let tape = [
        sized_quote(100, (200, 10_000), (201, 10_000)),
        sized_quote(200, (200, 10_000), (202, 10_000)),
    ];
    let run = play_orders(&coin(), &tape, &[(100, buy(2_000)), (200, sell(1_998))]);
    let fills = run.fills();
    // 0.1 % of 2 coins, on the coin's ledger scale of 8 decimals; 0.1 % of 1.998 x 200 USD in cents, on the scale of 3.
    assert_eq!((fills[0].currency, fills[0].amount()), (1, 200_000));
    assert_eq!((fills[1].currency, fills[1].amount()), (0, 400));
    let ledger = &run.engine.exchange.ledger;
    assert_eq!(ledger.net[0], 0, "2 coins less 0.002, and 1.998 sold");
    assert_eq!(ledger.cash, [100_000_000 - 402_000 + 399_600 - 400, 0]);
    // The coins that paid the fee count at the fill's price: 0.002 x 201 USD.
    assert_eq!(ledger.fees, [402 + 400, 0]);
    assert!(ledger.is_balanced(&run.engine.exchange.setup));
}

#[test]
fn what_is_finer_than_a_size_stays_as_a_balance_of_the_coin() {
    let tape = [sized_quote(100, (200, 10_000), (201, 10_000))];
    let run = play_orders(&coin(), &tape, &[(100, buy(1_500))]);
    let ledger = &run.engine.exchange.ledger;
    // 0.0015 coins of fee: 0.002 leave the position, 0.0005 come back.
    assert_eq!((ledger.net[0], ledger.cash[1]), (1_498, 50_000));
    assert!(ledger.is_balanced(&run.engine.exchange.setup));
    // Equity: cash, and 1.4985 coins at the mid of 200.5.
    let equity = ledger.doubled_equity(&run.engine.exchange.setup, |index| {
        run.engine.exchange.doubled_mark(index)
    });
    assert_eq!(equity, Some(2 * (100_000_000 - 301_500) + 600_698 + 200));
    let mut sums = [0_i128; 2];
    for posting in run.of_kind(EventKind::Posting) {
        sums[posting.currency as usize] += posting.amount();
    }
    assert_eq!(sums, [0, 0], "the postings of each currency sum to zero");
    let coins: Vec<_> = run
        .of_kind(EventKind::Posting)
        .iter()
        .filter(|event| event.currency == 1)
        .map(|event| event.flags)
        .collect();
    assert_eq!(coins, [Account::Cash as u8, Account::Fees as u8]);
}

#[test]
fn a_buy_that_pays_in_coins_may_spend_all_of_the_cash() {
    let mut text = coin();
    text.account.cash.insert("USD".into(), "201".into());
    let run = play_orders(
        &text,
        &[sized_quote(100, (200, 10_000), (201, 10_000))],
        &[(100, buy(1_000))],
    );
    assert_eq!(run.fills().len(), 1);
    assert_eq!(run.engine.exchange.ledger.cash[0], 0);
}

#[test]
fn a_strategy_is_told_what_is_left_of_the_coins() {
    let run = play_orders(
        &coin(),
        &[sized_quote(100, (200, 10_000), (201, 10_000)), quote(200, 200, 201)],
        &[(100, buy(2_000))],
    );
    assert_eq!(run.engine.told_position(0, 0).quantity, 1_998);
}

#[test]
fn fees_in_what_is_received_need_a_coin_and_a_cash_account() {
    let mut text = coin();
    text.account.kind = replay_core::setup::AccountKind::Margin;
    assert!(Setup::new(&text).is_err());
    let mut text = coin();
    text.instruments[0].base = None;
    assert!(Setup::new(&text).is_err());
}

#[test]
fn a_negative_amount_is_refused() {
    for change in [
        (|fees| fees.per_share = Some("-1".into())) as fn(&mut replay_core::setup::FeesText),
        |fees| fees.per_order = Some("-1".into()),
        |fees| fees.minimum = Some("-1".into()),
        |fees| fees.maximum_rate = Some("-0.1".into()),
    ] {
        let mut text = quotes();
        change(&mut text.venues[0].fees);
        assert!(Setup::new(&text).is_err());
    }
}

// ------------------------------------------------------------------ laws

fn schedules() -> impl Strategy<Value = FeeSchedule> {
    (
        (
            0_i64..20_000_000,
            0_i64..20_000_000,
            0_i128..10_i128.pow(12),
            0_i128..10_i128.pow(12),
        ),
        (
            prop::option::of(0_i128..10_i128.pow(13)),
            prop::option::of(0_i64..100_000_000),
        ),
    )
        .prop_map(
            |((maker_rate, taker_rate, per_size, per_order), (minimum, maximum_rate))| FeeSchedule {
                maker_rate,
                taker_rate,
                per_size,
                per_order,
                minimum,
                maximum_rate,
                ..FeeSchedule::default()
            },
        )
}

proptest! {
    #[test]
    fn cutting_an_order_into_fills_does_not_change_what_it_pays(
        schedule in schedules(),
        fills in prop::collection::vec((1_i64..1_000, 1_i64..100_000), 1..12),
        unit in prop::sample::select(vec![1_i128, 10, 100]),
    ) {
        let (mut total, mut booked) = (FeeTotal::default(), 0);
        for (size, price) in &fills {
            let fill = schedule.fill(*size as i128 * *price as i128, *size, Liquidity::Taker);
            let (sum, fee) = schedule.charge(&total, booked, &fill, unit);
            (total, booked) = (sum, booked + fee);
            prop_assert!(fee % unit == 0);
        }
        let value: i128 = fills.iter().map(|(size, price)| *size as i128 * *price as i128).sum();
        let size: i64 = fills.iter().map(|(size, _)| *size).sum();
        let whole = schedule.fill(value, size, Liquidity::Taker);
        prop_assert_eq!(schedule.charge(&FeeTotal::default(), 0, &whole, unit).1, booked);
    }

    #[test]
    fn a_fee_lies_between_minimum_and_cap_and_the_cap_goes_first(
        schedule in schedules(), size in 1_i64..1_000_000, price in 1_i64..1_000_000,
    ) {
        let value = size as i128 * price as i128;
        let parts = schedule.parts(&schedule.fill(value, size, Liquidity::Maker));
        let cap = schedule.maximum_rate.map_or(i128::MAX, |rate| value * rate as i128);
        prop_assert!(parts <= cap);
        prop_assert!(parts >= schedule.minimum.unwrap_or(0).min(cap));
        prop_assert_eq!(schedule.parts(&FeeTotal::default()), 0);
    }
}
