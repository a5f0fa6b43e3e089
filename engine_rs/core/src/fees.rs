//! Fees: what a venue asks for the fills of an order.
//! May not live here: who pays and how it is booked (ledger), or what fills (exchange).

use serde::{Deserialize, Serialize};

use crate::arith::{div_half_up, pow10};
use crate::event::{LIQUIDITY_MAKER, LIQUIDITY_TAKER};

/// Whether a fill made or took liquidity.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liquidity {
    Maker = LIQUIDITY_MAKER,
    Taker = LIQUIDITY_TAKER,
}

/// Decimals of fee rates.
pub const RATE_DECIMALS: u32 = 10;

/// When a fee is rounded to the currency's precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeeRounding {
    /// On the order's running total, each fill paying the difference.
    #[default]
    Order,
    /// Each fill by itself.
    Fill,
}

/// What fees are paid in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeeCurrency {
    /// The currency of prices.
    #[default]
    Quote,
    /// What the fill brings in: the base coin of a buy, the quote currency of a sale.
    Received,
}

/// The fees of one instrument at its venue. Amounts are parts: on the fee currency's ledger scale times 10^RATE_DECIMALS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeSchedule {
    pub maker_rate: i64,
    pub taker_rate: i64,
    /// For each raw unit of size.
    pub per_size: i128,
    /// For each order that is filled at all.
    pub per_order: i128,
    /// The least that an order pays.
    pub minimum: Option<i128>,
    /// The most, as a rate of the traded value; it goes before the minimum.
    pub maximum_rate: Option<i64>,
    pub rounding: FeeRounding,
    pub currency: FeeCurrency,
}

/// What the fills of an order, or one of them, came to: exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeTotal {
    /// Sum of value times rate, in parts.
    pub rated: i128,
    /// Value without sign, on the ledger scale.
    pub value: i128,
    pub size: i64,
}

impl FeeTotal {
    pub fn plus(&self, other: &FeeTotal) -> FeeTotal {
        FeeTotal {
            rated: self.rated + other.rated,
            value: self.value + other.value,
            size: self.size + other.size,
        }
    }
}

impl FeeSchedule {
    /// What one fill of this value (without sign) and raw size comes to.
    pub fn fill(&self, value: i128, size: i64, liquidity: Liquidity) -> FeeTotal {
        let rate = match liquidity {
            Liquidity::Maker => self.maker_rate,
            Liquidity::Taker => self.taker_rate,
        };
        FeeTotal {
            rated: value * rate as i128,
            value,
            size,
        }
    }

    /// The fee of all that, in parts: within minimum and maximum. Nothing filled costs nothing.
    pub fn parts(&self, total: &FeeTotal) -> i128 {
        if total.size == 0 {
            return 0;
        }
        let mut parts = total.rated + self.per_size * total.size as i128 + self.per_order;
        if let Some(minimum) = self.minimum {
            parts = parts.max(minimum);
        }
        if let Some(rate) = self.maximum_rate {
            parts = parts.min(total.value * rate as i128);
        }
        parts
    }

    /// (total so far, fee now) of a fill, on the ledger scale; `unit` is the currency's smallest amount there.
    pub fn charge(&self, so_far: &FeeTotal, booked: i128, fill: &FeeTotal, unit: i128) -> (FeeTotal, i128) {
        let total = so_far.plus(fill);
        let round = |parts: i128| div_half_up(parts, unit * pow10(RATE_DECIMALS)) * unit;
        match self.rounding {
            FeeRounding::Order => (total, round(self.parts(&total)) - booked),
            FeeRounding::Fill => (total, round(self.parts(fill))),
        }
    }

    /// What admission sets aside for an order of this value and size, in parts: all of it taken; a rebate counts as 0.
    pub fn reserve(&self, value: i128, size: i64) -> i128 {
        self.parts(&self.fill(value, size, Liquidity::Taker)).max(0)
    }
}
