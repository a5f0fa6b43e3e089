//! The order: what a strategy asked for, what its venue made of it, and what the strategy has been told.
//! May not live here: matching, money, or the list of all orders that are due.

use serde::{Deserialize, Serialize};

use crate::event::ABSENT;
use crate::fees::FeeTotal;
use crate::lifecycle::State;
use crate::reason::Reason;

#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    Buy = 1,
    Sell = 2,
}

impl Side {
    /// +1 for a buy, -1 for a sell.
    pub const fn sign(self) -> i64 {
        match self {
            Side::Buy => 1,
            Side::Sell => -1,
        }
    }

    pub const fn from_signed(quantity: i64) -> Side {
        if quantity >= 0 {
            Side::Buy
        } else {
            Side::Sell
        }
    }

    /// Whether `price` is strictly better for this side than `other`: lower for a buy.
    pub const fn better(self, price: i64, other: i64) -> bool {
        match self {
            Side::Buy => price < other,
            Side::Sell => price > other,
        }
    }

    /// Whether a market at `price` satisfies a limit: at or below it for a buy.
    pub const fn within(self, price: i64, limit: i64) -> bool {
        !self.better(limit, price)
    }
}

#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderType {
    Market = 1,
    Limit = 2,
    StopMarket = 3,
    StopLimit = 4,
}

impl OrderType {
    pub const fn is_stop(self) -> bool {
        matches!(self, OrderType::StopMarket | OrderType::StopLimit)
    }

    pub const fn has_limit(self) -> bool {
        matches!(self, OrderType::Limit | OrderType::StopLimit)
    }
}

#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeInForce {
    GoodTillCanceled = 1,
    ImmediateOrCancel = 2,
    FillOrKill = 3,
    GoodTillDate = 4,
    Day = 5,
}

impl TimeInForce {
    /// IOC and FOK: judged once, never resting.
    pub const fn is_immediate(self) -> bool {
        matches!(self, TimeInForce::ImmediateOrCancel | TimeInForce::FillOrKill)
    }
}

/// What a stop watches.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TriggerBy {
    /// Bid/ask with quotes, the last trade on trade data, the path on bars.
    Default = 0,
    Last = 1,
    Mid = 2,
}

/// An order as it was asked for; prices and quantities are raw integers on the instrument's scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRequest {
    pub instrument: u32,
    pub side: Side,
    pub order_type: OrderType,
    pub time_in_force: TimeInForce,
    pub trigger_by: TriggerBy,
    pub quantity: i64,
    /// Limit price, [`ABSENT`] where the type has none.
    pub limit: i64,
    /// Stop price, [`ABSENT`] where the type has none.
    pub trigger: i64,
    /// Expiry of a GTD order, [`ABSENT`] otherwise.
    pub expire: i64,
    /// Sent by `target`: later targets count its leaves.
    pub is_target: bool,
}

impl OrderRequest {
    /// The market order that changes a position by `difference`, towards zero on the lot; None where nothing is left of it.
    pub fn towards(instrument: u32, difference: i64, lot: i64) -> Option<OrderRequest> {
        let quantity = difference.abs() - difference.abs() % lot;
        (quantity > 0).then_some(OrderRequest {
            instrument,
            side: Side::from_signed(difference),
            order_type: OrderType::Market,
            time_in_force: TimeInForce::GoodTillCanceled,
            trigger_by: TriggerBy::Default,
            quantity,
            limit: ABSENT,
            trigger: ABSENT,
            expire: ABSENT,
            is_target: true,
        })
    }
}

/// How much of the queue stands before a resting limit order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueAhead {
    Unknown,
    Known(i64),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub id: u64,
    pub strategy: u32,
    pub request: OrderRequest,

    // As the venue has it.
    pub state: State,
    pub quantity: i64,
    pub filled: i64,
    pub limit: i64,
    pub trigger: i64,
    pub expire: i64,
    pub triggered: bool,
    /// Venue time from which it takes part; of a triggered order, the trigger's.
    pub arrival: i64,
    /// Venue time of its entry, or of the amend that made it new: what a bar's start is held against.
    pub entry: i64,
    /// Its turn among own orders at one price: grows with each arrival, amend and trigger.
    pub place: u64,
    pub queue: QueueAhead,
    /// It has not met the open of a bar yet.
    pub fresh: bool,
    /// A market or triggered stop order that waits for the next open.
    pub waiting: bool,
    /// What its fee so far is made of.
    pub fee_total: FeeTotal,
    /// Fee booked so far, on the ledger scale of its currency.
    pub fee_booked: i128,

    // As its strategy was told.
    pub told_state: State,
    pub told_quantity: i64,
    pub told_filled: i64,
    pub told_limit: i64,
    pub told_trigger: i64,
    pub told_triggered: bool,
    pub cancels_under_way: u32,
    /// An operator's command, or a risk switch, cancels it.
    pub canceled_by: Option<Reason>,
    pub amends_under_way: u32,

    /// Arrival of its latest command: no later command overtakes it.
    pub last_command_time: i64,
    /// The price that admission reserved it at.
    pub reserve_price: i64,
    /// It passed admission: one that was refused there reserves nothing, though its strategy has not been told yet.
    pub is_reserved: bool,
    /// Its place among the settled orders of the run, once it is one.
    pub settled: u64,
}

impl Order {
    pub fn new(id: u64, strategy: u32, request: OrderRequest) -> Order {
        Order {
            id,
            strategy,
            request,
            state: State::PendingNew,
            quantity: request.quantity,
            filled: 0,
            limit: request.limit,
            trigger: request.trigger,
            expire: request.expire,
            triggered: false,
            arrival: ABSENT,
            entry: ABSENT,
            place: 0,
            queue: QueueAhead::Unknown,
            fresh: true,
            waiting: false,
            fee_total: FeeTotal::default(),
            fee_booked: 0,
            told_state: State::PendingNew,
            told_quantity: request.quantity,
            told_filled: 0,
            told_limit: request.limit,
            told_trigger: request.trigger,
            told_triggered: false,
            cancels_under_way: 0,
            canceled_by: None,
            amends_under_way: 0,
            last_command_time: ABSENT,
            reserve_price: 0,
            is_reserved: false,
            settled: 0,
        }
    }

    pub fn leaves(&self) -> i64 {
        if self.state.is_ended() {
            0
        } else {
            self.quantity - self.filled
        }
    }

    /// What the strategy believes to be open.
    pub fn told_leaves(&self) -> i64 {
        if self.told_state.is_ended() {
            0
        } else {
            self.told_quantity - self.told_filled
        }
    }

    /// The state that the strategy sees: a command under way overlays what it was told.
    pub fn visible_state(&self) -> State {
        if self.told_state.is_ended() || self.told_state == State::PendingNew {
            self.told_state
        } else if self.cancels_under_way > 0 {
            State::PendingCancel
        } else if self.amends_under_way > 0 {
            State::PendingReplace
        } else {
            self.told_state
        }
    }

    pub fn is_ended(&self) -> bool {
        self.state.is_ended()
    }

    /// Ended, told so, and no command for it is under way: nothing will ever touch it again.
    pub fn is_settled(&self) -> bool {
        self.is_ended() && self.told_state.is_ended() && self.cancels_under_way == 0 && self.amends_under_way == 0
    }

    /// At the venue and not ended.
    pub fn is_working(&self) -> bool {
        !self.state.is_ended() && self.state != State::PendingNew
    }

    /// A limit order that rests in the book: plain, or triggered.
    pub fn rests_as_limit(&self) -> bool {
        match self.request.order_type {
            OrderType::Limit => true,
            OrderType::StopLimit => self.triggered,
            _ => false,
        }
    }

    /// A stop that still waits for its trigger.
    pub fn awaits_trigger(&self) -> bool {
        self.request.order_type.is_stop() && !self.triggered
    }
}
