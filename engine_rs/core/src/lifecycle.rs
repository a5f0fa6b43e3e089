//! The lifecycle of an order: one visible transition table, state x event.
//! May not live here: what causes an event, or any order's data.

use serde::{Deserialize, Serialize};

/// Order states, in FIX terms. `PendingReplace` and `PendingCancel` are what a strategy sees while a command is under way;
/// the venue knows the others only.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    PendingNew,
    New,
    Triggered,
    PartiallyFilled,
    PendingReplace,
    PendingCancel,
    Filled,
    Canceled,
    Rejected,
    Expired,
}

pub const STATES: [State; 10] = [
    State::PendingNew,
    State::New,
    State::Triggered,
    State::PartiallyFilled,
    State::PendingReplace,
    State::PendingCancel,
    State::Filled,
    State::Canceled,
    State::Rejected,
    State::Expired,
];

impl State {
    pub const fn is_ended(self) -> bool {
        matches!(self, State::Filled | State::Canceled | State::Rejected | State::Expired)
    }

    pub const fn name(self) -> &'static str {
        match self {
            State::PendingNew => "pending_new",
            State::New => "new",
            State::Triggered => "triggered",
            State::PartiallyFilled => "partially_filled",
            State::PendingReplace => "pending_replace",
            State::PendingCancel => "pending_cancel",
            State::Filled => "filled",
            State::Canceled => "canceled",
            State::Rejected => "rejected",
            State::Expired => "expired",
        }
    }
}

/// What can happen to an order at its venue (and, later, be told to its strategy).
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    Accept,
    Reject,
    Trigger,
    PartialFill,
    FullFill,
    Replace,
    Cancel,
    Expire,
}

pub const HAPPENINGS: [Happening; 8] = [
    Happening::Accept,
    Happening::Reject,
    Happening::Trigger,
    Happening::PartialFill,
    Happening::FullFill,
    Happening::Replace,
    Happening::Cancel,
    Happening::Expire,
];

/// The table: the state after `happening`, or None where that must never happen.
///
/// A replaced order keeps its state; a pending overlay never enters here (see `Order::told_state`).
pub const fn next(state: State, happening: Happening) -> Option<State> {
    use Happening as H;
    use State as S;
    Some(match (state, happening) {
        (S::PendingNew, H::Accept) => S::New,
        (S::PendingNew, H::Reject) => S::Rejected,
        (S::PendingNew, H::Cancel) => S::Canceled,
        (S::New, H::Trigger) => S::Triggered,
        (S::New | S::Triggered | S::PartiallyFilled, H::PartialFill) => S::PartiallyFilled,
        (S::New | S::Triggered | S::PartiallyFilled, H::FullFill) => S::Filled,
        (S::New | S::Triggered | S::PartiallyFilled, H::Replace) => state,
        (S::New | S::Triggered | S::PartiallyFilled, H::Cancel) => S::Canceled,
        (S::New | S::Triggered | S::PartiallyFilled, H::Expire) => S::Expired,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: states in order; columns: accept reject trigger partial full replace cancel expire.
    const EXPECTED: [&str; 10] = [
        "NR----C-", // pending_new
        "--TPFNCX", // new
        "---PFTCX", // triggered
        "---PFPCX", // partially_filled
        "--------", // pending_replace: an overlay, never a venue's state
        "--------", // pending_cancel: likewise
        "--------", "--------", "--------", "--------",
    ];

    #[test]
    fn every_pair_of_state_and_happening_is_as_the_table_says() {
        for (row, state) in STATES.iter().enumerate() {
            for (column, happening) in HAPPENINGS.iter().enumerate() {
                let expected = match EXPECTED[row].as_bytes()[column] {
                    b'N' => Some(State::New),
                    b'R' => Some(State::Rejected),
                    b'T' => Some(State::Triggered),
                    b'P' => Some(State::PartiallyFilled),
                    b'F' => Some(State::Filled),
                    b'C' => Some(State::Canceled),
                    b'X' => Some(State::Expired),
                    _ => None,
                };
                assert_eq!(next(*state, *happening), expected, "{state:?} x {happening:?}");
            }
        }
    }

    #[test]
    fn an_ended_order_never_moves() {
        for state in STATES.iter().filter(|state| state.is_ended()) {
            assert!(HAPPENINGS.iter().all(|happening| next(*state, *happening).is_none()));
        }
    }
}
