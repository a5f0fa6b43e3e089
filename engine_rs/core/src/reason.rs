//! Reasons: the coded causes of rejections and cancellations, in one table.
//! May not live here: the decisions themselves.

use serde::{Deserialize, Serialize};

use crate::lifecycle::State;

macro_rules! reasons {
    ($($name:ident = $code:literal, $text:literal, $meaning:literal;)*) => {
        /// Why an order was rejected, cancelled or left unchanged. Codes are pinned: they stand in the event log.
        #[repr(u16)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason { $(#[doc = $meaning] $name = $code,)* }

        /// Every reason with its code, name and meaning: the documentation table is generated from it.
        pub const REASONS: &[(u16, &str, &str)] = &[$(($code, $text, $meaning),)*];
    };
}

reasons! {
    None = 0, "none", "No reason: the ordinary course of things.";
    WarmingUp = 1, "warming_up", "The run is still warming up: commands are refused before its start.";
    InsufficientFunds = 2, "insufficient_funds", "The account cannot pay for the order, or the margin does not suffice.";
    MaxOrderSize = 3, "max_order_size", "The quantity is above the risk limit for one order.";
    MaxOrderNotional = 4, "max_order_notional", "The value is above the risk limit for one order.";
    MaxPosition = 5, "max_position", "The position could pass its risk limit.";
    MinNotional = 6, "min_notional", "The value is below the instrument's minimum notional.";
    ExpiredOnArrival = 7, "expired_on_arrival", "The order reached the venue at or after its expiry.";
    NoSession = 8, "no_session", "A DAY order found no session to end with.";
    NoMarket = 9, "no_market", "There is no price to meet: no data yet, one side absent, or a crossed quote.";
    NoLiquidity = 10, "no_liquidity", "What the market shows was used up.";
    ImmediateOrCancel = 11, "immediate_or_cancel", "The rest of an IOC order.";
    FillOrKill = 12, "fill_or_kill", "A FOK order could not be filled whole.";
    Requested = 13, "requested", "Cancelled by the strategy.";
    OrderFilled = 14, "order_filled", "The order had been filled when the command reached the venue.";
    BelowFilled = 15, "below_filled", "The amended total is not above what is filled already.";
    AlreadyTriggered = 16, "already_triggered", "The trigger price of a triggered order cannot change.";
    StrategyHalted = 17, "strategy_halted", "The strategy raised: its orders are cancelled at once.";
    Operator = 18, "operator", "Cancelled by an operator's command.";
    Unpayable = 19, "unpayable", "The cash account could not pay for the rest at the fill.";
    OrderCanceled = 20, "order_canceled", "The order had been cancelled when the command reached the venue.";
    OrderExpired = 21, "order_expired", "The order had expired when the command reached the venue.";
    OrderRejected = 22, "order_rejected", "The order had been rejected when the command reached the venue.";
    Paused = 23, "paused", "Trading is paused, by an operator's command or a risk switch.";
    RiskSwitch = 24, "risk_switch", "Cancelled by a risk switch.";
    OrderRate = 25, "order_rate", "One order more than the risk switch allows in its time.";
}

impl Reason {
    /// Why a command for an order in this ended state is refused.
    ///
    /// Panics where the order has not ended.
    pub const fn of_ended(state: State) -> Reason {
        match state {
            State::Filled => Reason::OrderFilled,
            State::Canceled => Reason::OrderCanceled,
            State::Expired => Reason::OrderExpired,
            State::Rejected => Reason::OrderRejected,
            _ => panic!("the order has not ended"),
        }
    }

    /// The name that stands in logs, tables and metrics.
    pub fn name(code: u16) -> &'static str {
        REASONS.iter().find(|row| row.0 == code).map_or("unknown", |row| row.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dense_and_names_unique() {
        for (index, row) in REASONS.iter().enumerate() {
            assert_eq!(row.0 as usize, index);
            assert_eq!(REASONS.iter().filter(|other| other.1 == row.1).count(), 1);
        }
        assert_eq!(Reason::name(Reason::NoMarket as u16), "no_market");
    }
}
