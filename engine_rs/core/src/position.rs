//! The position of one strategy in one instrument: quantity, exact cost, realised result.
//! May not live here: marks, cash, or who owns it.

use serde::{Deserialize, Serialize};

use crate::arith::div_half_even;

/// Netting position at average cost. Amounts are on the quote currency's ledger scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Signed quantity, raw.
    pub quantity: i64,
    /// Signed cost: paid for a long, received (negative) for a short. Exact.
    pub cost: i128,
    /// Realised result before fees.
    pub realised: i128,
    pub fees: i128,
}

/// What one fill did to a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Signed value of the fill: positive for a buy.
    pub value: i128,
    /// Change of the cost.
    pub cost: i128,
    /// Result realised by the closing part.
    pub realised: i128,
}

impl Position {
    /// Books `signed_size` at `price`; `factor` turns price x size into an amount.
    ///
    /// Closing q of Q releases half_even(cost * q / Q), the last close all of it (SEMANTICS, section 5).
    pub fn apply(&mut self, signed_size: i64, price: i64, factor: i128) -> Change {
        let value = |size: i64| size as i128 * price as i128 * factor;
        let opposes = self.quantity != 0 && (self.quantity > 0) != (signed_size > 0);
        let closing = if opposes {
            signed_size.abs().min(self.quantity.abs())
        } else {
            0
        };
        let mut change = Change {
            value: value(signed_size),
            ..Change::default()
        };
        if closing > 0 {
            let released = if closing == self.quantity.abs() {
                self.cost
            } else {
                div_half_even(self.cost * closing as i128, self.quantity.abs() as i128)
            };
            let signed_closing = closing * signed_size.signum();
            change.realised = -released - value(signed_closing);
            change.cost -= released;
            let opening = signed_size - signed_closing;
            change.cost += value(opening);
        } else {
            change.cost = change.value;
        }
        self.quantity += signed_size;
        self.cost += change.cost;
        self.realised += change.realised;
        change
    }

    /// Average price in units of the price, 0.0 when flat. For reading only.
    pub fn average_price(&self, factor: i128, price_unit: f64) -> f64 {
        if self.quantity == 0 {
            0.0
        } else {
            self.cost as f64 / (self.quantity as f64 * factor as f64) / price_unit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_fills_of_known_good_a01() {
        // ETH spot: prices with 0 decimals, sizes with 0; realised before fees.
        let mut position = Position::default();
        for (size, price) in [(12, 100), (17, 99), (-9, 101), (-4, 105), (3, 103)] {
            position.apply(size, price, 1_000_000);
        }
        assert_eq!(position.quantity, 19);
        assert!((position.average_price(1_000_000, 1.0) - 99.980_036_297_640_65).abs() < 1e-6);
        // Published: 36.16858966 after fees of 0.01 % of 5 fills (0.6129).
        let fees = 0.0001 * (1200.0 + 1683.0 + 909.0 + 420.0 + 309.0);
        assert!((position.realised as f64 / 1e6 - fees - 36.168_589_66).abs() < 1e-6);
    }

    #[test]
    fn the_last_close_releases_the_whole_cost() {
        let mut position = Position::default();
        position.apply(3, 10, 1);
        position.apply(-1, 11, 1);
        position.apply(-1, 11, 1);
        let change = position.apply(-1, 11, 1);
        assert_eq!((position.quantity, position.cost), (0, 0));
        assert_eq!(position.realised, 3);
        assert_eq!(change.cost, -10);
    }

    #[test]
    fn a_flip_closes_all_and_opens_the_rest() {
        let mut position = Position::default();
        position.apply(100, 75, 1);
        let change = position.apply(-150, 80, 1);
        assert_eq!((position.quantity, position.cost, position.realised), (-50, -4000, 500));
        assert_eq!(
            change,
            Change {
                value: -12_000,
                cost: -11_500,
                realised: 500
            }
        );
    }
}
