//! The ledger: cash per currency, positions per strategy and instrument, fees; double entry.
//! May not live here: prices of the market (they are passed in), or the decision what fills.

use serde::{Deserialize, Serialize};

use crate::arith::{div_ceil, div_half_even, narrow};
use crate::order::Side;
use crate::position::{Change, Position};
use crate::setup::Setup;

/// Which account a posting is made to. Pinned: it stands in the event log.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountKind {
    Cash = 1,
    /// Positions at cost.
    Inventory = 2,
    /// Realised results, as a credit.
    Pnl = 3,
    Fees = 4,
    /// Residue of rounding.
    Rounding = 5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    pub account: AccountKind,
    pub currency: u32,
    pub amount: i128,
}

/// One fill, as it is booked.
#[derive(Clone, Copy, Debug)]
pub struct FillToBook {
    pub strategy: u32,
    pub instrument: u32,
    pub side: Side,
    pub price: i64,
    pub size: i64,
    /// On the ledger scale of its currency.
    pub fee: i128,
    /// The quote currency, or the base coin of a buy whose fee is taken from what it brings in.
    pub fee_currency: u32,
}

/// What is owned. The engine keeps two: the true one, booked at matching, and the told one, booked as answers arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Per currency, on its ledger scale.
    pub cash: Vec<i128>,
    pub fees: Vec<i128>,
    /// Realised results and positions at cost: with cash and fees they add up to the opening balances.
    inventory: Vec<i128>,
    pnl: Vec<i128>,
    /// strategy * instruments + instrument.
    positions: Vec<Position>,
    /// Net quantity per instrument over all strategies.
    pub net: Vec<i64>,
    /// Instruments with a position in any strategy, ascending.
    held: Vec<u32>,
    instruments: usize,
    /// Value traded so far, without sign.
    pub turnover: i128,
}

impl Ledger {
    pub fn new(setup: &Setup) -> Ledger {
        let currencies = setup.currencies.len();
        Ledger {
            cash: setup.currencies.iter().map(|currency| currency.opening).collect(),
            fees: vec![0; currencies],
            inventory: vec![0; currencies],
            pnl: vec![0; currencies],
            positions: vec![Position::default(); setup.strategies.len() * setup.instruments.len()],
            net: vec![0; setup.instruments.len()],
            held: Vec::new(),
            instruments: setup.instruments.len(),
            turnover: 0,
        }
    }

    pub fn position(&self, strategy: u32, instrument: u32) -> &Position {
        &self.positions[strategy as usize * self.instruments + instrument as usize]
    }

    /// Books a fill and gives its postings; in each currency they sum to zero. Those of 0 are no postings.
    pub fn book(&mut self, setup: &Setup, fill: &FillToBook) -> (Change, [Posting; 7]) {
        let instrument = &setup.instruments[fill.instrument as usize];
        let (quote, fee_currency) = (instrument.quote, fill.fee_currency);
        let signed_size = fill.size * fill.side.sign();
        let index = fill.strategy as usize * self.instruments + fill.instrument as usize;
        let change = self.positions[index].apply(signed_size, fill.price, instrument.factor);
        self.net[fill.instrument as usize] += signed_size;
        self.turnover += change.value.abs();
        let mut given = Change::default();
        let (mut fee, mut rest) = (fill.fee, 0);
        if fee_currency == quote {
            self.positions[index].fees += fill.fee;
        } else {
            // The coins leave the position as if sold at the fill's price, and that pays the fee. Only whole raw sizes can
            // leave it: what is too much comes back as a balance of the coin.
            let unit = setup.balance_unit(fill.instrument);
            let coins = narrow(div_ceil(fill.fee, unit)).expect("a fee is less than what it is taken from");
            given = self.positions[index].apply(-coins, fill.price, instrument.factor);
            self.net[fill.instrument as usize] -= coins;
            self.positions[index].fees += div_half_even(fill.fee * fill.price as i128 * instrument.factor, unit);
            (fee, rest) = (-given.value, coins as i128 * unit - fill.fee);
        }
        let paid = if fee_currency == quote { fee } else { 0 };
        let postings = [
            (AccountKind::Cash, quote, -change.value),
            (AccountKind::Inventory, quote, change.cost + given.cost),
            (AccountKind::Pnl, quote, -change.realised - given.realised),
            (AccountKind::Cash, quote, -paid),
            (AccountKind::Fees, quote, fee),
            (AccountKind::Cash, fee_currency, rest),
            (AccountKind::Fees, fee_currency, -rest),
        ]
        .map(|(account, currency, amount)| Posting {
            account,
            currency,
            amount,
        });
        let sum = |currency: u32| -> i128 {
            let of_it = postings.iter().filter(|posting| posting.currency == currency);
            of_it.map(|posting| posting.amount).sum()
        };
        assert_eq!(
            (sum(quote), sum(fee_currency)),
            (0, 0),
            "postings of a fill sum to zero"
        );
        for posting in &postings {
            let currency = posting.currency as usize;
            match posting.account {
                AccountKind::Cash => self.cash[currency] += posting.amount,
                AccountKind::Inventory => self.inventory[currency] += posting.amount,
                AccountKind::Pnl => self.pnl[currency] += posting.amount,
                AccountKind::Fees => self.fees[currency] += posting.amount,
                AccountKind::Rounding => unreachable!("a fill leaves no residue"),
            }
        }
        self.keep_held(fill.instrument);
        (change, postings)
    }

    fn keep_held(&mut self, instrument: u32) {
        let strategies = self.positions.len() / self.instruments;
        let is_held =
            (0..strategies).any(|row| self.positions[row * self.instruments + instrument as usize].quantity != 0);
        match (self.held.binary_search(&instrument), is_held) {
            (Err(at), true) => self.held.insert(at, instrument),
            (Ok(at), false) => {
                self.held.remove(at);
            }
            _ => {}
        }
    }

    /// Instruments with a position, ascending.
    pub fn held(&self) -> &[u32] {
        &self.held
    }

    /// Twice the equity in the account's currency, on its ledger scale: exact, since a mid may end in a half.
    ///
    /// `doubled_mark(instrument)` is twice the mark; None where a held instrument or a balance in another currency has no
    /// mark yet.
    pub fn doubled_equity(&self, setup: &Setup, doubled_mark: impl Fn(u32) -> Option<i64>) -> Option<i128> {
        let account = setup.account_currency as usize;
        let mut equity = 2 * self.cash[account];
        for &index in &self.held {
            let instrument = &setup.instruments[index as usize];
            equity += self.net[index as usize] as i128 * doubled_mark(index)? as i128 * instrument.factor;
        }
        for (currency, balance) in self.cash.iter().enumerate().filter(|_| self.cash.len() > 1) {
            if currency == account || *balance == 0 {
                continue;
            }
            let index = setup.instruments.iter().position(|instrument| {
                instrument.base == Some(currency as u32) && instrument.quote == account as u32
            })?;
            let instrument = &setup.instruments[index];
            // The balance on its own scale is a whole number of sizes plus, after fees in kind, a finer rest.
            let unit = crate::arith::pow10(setup.currencies[currency].ledger_scale - instrument.size_decimals);
            equity += div_half_even(balance * doubled_mark(index as u32)? as i128 * instrument.factor, unit);
        }
        Some(equity)
    }

    /// Twice the equity, and twice the gross value of all positions; each position is looked at once where that is all.
    pub fn doubled_equity_and_exposure(
        &self,
        setup: &Setup,
        doubled_mark: impl Fn(u32) -> Option<i64>,
    ) -> (Option<i128>, i128) {
        if let ([index], [cash]) = (&self.held[..], &self.cash[..]) {
            let Some(mark) = doubled_mark(*index) else {
                return (None, 0);
            };
            let factor = setup.instruments[*index as usize].factor;
            let value = self.net[*index as usize] as i128 * mark as i128 * factor;
            return (Some(2 * cash + value), value.abs());
        }
        let equity = self.doubled_equity(setup, &doubled_mark);
        (equity, self.doubled_exposure(setup, &doubled_mark))
    }

    /// Gross value of all positions at their marks, doubled.
    pub fn doubled_exposure(&self, setup: &Setup, doubled_mark: impl Fn(u32) -> Option<i64>) -> i128 {
        self.held
            .iter()
            .map(|&index| {
                let mark = doubled_mark(index).unwrap_or(0);
                (self.net[index as usize] as i128 * mark as i128 * setup.instruments[index as usize].factor).abs()
            })
            .sum()
    }

    /// Law 6: what was opened equals cash, inventory, results and fees together, in every currency.
    pub fn is_balanced(&self, setup: &Setup) -> bool {
        setup.currencies.iter().enumerate().all(|(index, currency)| {
            currency.opening == self.cash[index] + self.inventory[index] + self.pnl[index] + self.fees[index]
        })
    }
}
