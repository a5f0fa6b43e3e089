//! Trading: whether the strategies may trade, and the risk switches that act on what is on the tape alone.
//! May not live here: the checks of a single order (admission), or how orders are cancelled and positions closed (dispatch).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::reason::Reason;
use crate::record::{CommandCause, OperatorCommand};
use crate::setup::{Action, SwitchLimits, SHARE_UNIT};

/// A flatten that has not reached its end tries again after this much tape time.
pub const FLATTEN_EVERY_NS: i64 = 1_000_000_000;

/// What strategies may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TradingState {
    /// Trade.
    Active,
    /// Cancel, and reduce what rests; new orders are refused.
    Paused,
    /// Nothing: records after the stop are counted and decide nothing, until a pause or resume is on the tape.
    Stopped,
}

impl TradingState {
    pub fn name(self) -> &'static str {
        match self {
            TradingState::Active => "active",
            TradingState::Paused => "paused",
            TradingState::Stopped => "stopped",
        }
    }
}

/// What is done on behalf of every strategy, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    pub cancels: bool,
    pub closes: bool,
    /// The reason of its cancellations.
    pub reason: Reason,
}

/// What one switch has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latch {
    /// It acted, and is not armed until it is armed again.
    pub is_tripped: bool,
    pub trips: u64,
    /// Tape time and tape seq of the last trip.
    pub time: i64,
    pub tape_seq: u64,
}

/// The state of trading. Everything in it follows from the tape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trading {
    pub state: TradingState,
    /// Why the state is as it is; of an active one, who resumed.
    pub cause: CommandCause,
    /// Tape time and tape seq of the last change.
    pub since: i64,
    pub since_seq: u64,
    /// Positions are being closed until nothing is left.
    pub is_flattening: bool,
    flatten_next: i64,
    /// The record that is being taken ends in a stop.
    stops: bool,
    /// A switch wants this done at the next point where it may be.
    wanted: Option<Operation>,
    pub drawdown: Latch,
    pub position: Latch,
    pub order_rate: Latch,
    /// Highest doubled equity since the switch was armed; None before the first.
    pub peak: Option<i128>,
    /// Times of the latest orders, at most as many as the order rate allows.
    orders: VecDeque<i64>,
    limits: SwitchLimits,
    /// Whether any switch is set.
    has_limits: bool,
}

impl Trading {
    pub fn new(limits: SwitchLimits) -> Trading {
        Trading {
            state: TradingState::Active,
            cause: CommandCause::Operator,
            since: i64::MIN,
            since_seq: 0,
            is_flattening: false,
            flatten_next: i64::MIN,
            stops: false,
            wanted: None,
            drawdown: Latch::default(),
            position: Latch::default(),
            order_rate: Latch::default(),
            peak: None,
            orders: VecDeque::new(),
            has_limits: limits.any(),
            limits,
        }
    }

    pub fn limits(&self) -> &SwitchLimits {
        &self.limits
    }

    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.state == TradingState::Stopped
    }

    #[inline]
    pub fn is_active(&self) -> bool {
        self.state == TradingState::Active
    }

    /// Whether anything is to be looked at after a record.
    #[inline]
    pub fn is_watching(&self) -> bool {
        self.is_flattening || self.stops || self.has_limits
    }

    /// Trips of all switches so far: a number that the shell compares.
    pub fn trips(&self) -> u64 {
        self.drawdown.trips + self.position.trips + self.order_rate.trips
    }

    // -------------------------------------------------------------- commands

    /// Takes an operator's command; gives what is to be done at once on behalf of the strategies.
    pub fn command(
        &mut self,
        command: OperatorCommand,
        cause: CommandCause,
        now: i64,
        tape_seq: u64,
    ) -> Option<Operation> {
        let reason = if cause.is_switch() {
            Reason::RiskSwitch
        } else {
            Reason::Operator
        };
        match command {
            OperatorCommand::CancelAll => {
                return Some(Operation {
                    cancels: true,
                    closes: false,
                    reason,
                })
            }
            OperatorCommand::Flatten => {
                self.enter(TradingState::Paused, cause, now, tape_seq);
                return Some(self.flatten(reason, now));
            }
            OperatorCommand::Pause => self.enter(TradingState::Paused, cause, now, tape_seq),
            OperatorCommand::Resume => {
                self.enter(TradingState::Active, cause, now, tape_seq);
                self.arm();
            }
            OperatorCommand::Stop => {
                self.enter(TradingState::Paused, cause, now, tape_seq);
                self.cause = cause;
                self.stops = true;
            }
        }
        None
    }

    /// Whether a record wakes trading that was stopped: only a pause or a resume does.
    pub fn is_woken_by(command: Option<OperatorCommand>) -> bool {
        matches!(command, Some(OperatorCommand::Pause | OperatorCommand::Resume))
    }

    fn enter(&mut self, state: TradingState, cause: CommandCause, now: i64, tape_seq: u64) {
        if state == self.state {
            return;
        }
        (self.state, self.cause, self.since, self.since_seq) = (state, cause, now, tape_seq);
    }

    fn flatten(&mut self, reason: Reason, now: i64) -> Operation {
        self.is_flattening = true;
        self.flatten_next = now.saturating_add(FLATTEN_EVERY_NS);
        Operation {
            cancels: true,
            closes: true,
            reason,
        }
    }

    /// Resuming arms every switch: the drawdown counts from the equity of now, the order rate from the next order.
    fn arm(&mut self) {
        self.is_flattening = false;
        self.wanted = None;
        self.drawdown.is_tripped = false;
        self.position.is_tripped = false;
        self.order_rate.is_tripped = false;
        self.peak = None;
        self.orders.clear();
    }

    // -------------------------------------------------------------- after a record

    /// The record is taken; a stop takes hold.
    #[inline]
    pub fn end_record(&mut self, now: i64, tape_seq: u64) {
        if self.stops {
            self.stops = false;
            let cause = self.cause;
            self.enter(TradingState::Stopped, cause, now, tape_seq);
        }
    }

    /// What a switch, or a flatten that goes on, wants done now.
    pub fn take_wanted(&mut self, now: i64) -> Option<Operation> {
        if let Some(operation) = self.wanted.take() {
            return Some(operation);
        }
        if self.is_flattening && now >= self.flatten_next {
            self.flatten_next = now.saturating_add(FLATTEN_EVERY_NS);
            return Some(Operation {
                cancels: false,
                closes: true,
                reason: Reason::Operator,
            });
        }
        None
    }

    /// Nothing is open and nothing under way: a flatten is done.
    pub fn end_flatten(&mut self) {
        self.is_flattening = false;
    }

    // -------------------------------------------------------------- switches

    /// Looks at the account's doubled equity.
    pub fn look_at_equity(&mut self, doubled_equity: i128, now: i64, tape_seq: u64) {
        let Some(limit) = &self.limits.drawdown else {
            return;
        };
        let action = limit.action;
        let peak = *self.peak.get_or_insert(doubled_equity);
        if doubled_equity >= peak {
            self.peak = Some(doubled_equity);
            if action == Action::Alert {
                self.drawdown.is_tripped = false;
            }
            return;
        }
        let fall = peak - doubled_equity;
        let is_over = limit.doubled_amount.is_some_and(|amount| fall >= amount)
            || limit
                .share
                .is_some_and(|share| peak > 0 && fall * SHARE_UNIT >= share * peak);
        if is_over && !self.drawdown.is_tripped {
            note(&mut self.drawdown, now, tape_seq);
            self.act(action, CommandCause::Drawdown, now, tape_seq);
        }
    }

    /// Looks at the account's net quantities, by instrument.
    pub fn look_at_positions(&mut self, net: &[i64], now: i64, tape_seq: u64) {
        let Some(limit) = &self.limits.position else {
            return;
        };
        let action = limit.action;
        let is_over = net
            .iter()
            .zip(&limit.quantities)
            .any(|(quantity, limit)| quantity.unsigned_abs() > limit.unsigned_abs());
        if is_over && !self.position.is_tripped {
            note(&mut self.position, now, tape_seq);
            self.act(action, CommandCause::Position, now, tape_seq);
        } else if !is_over && action == Action::Alert {
            self.position.is_tripped = false;
        }
    }

    /// Counts a strategy's new order; says why it is refused, if it is.
    pub fn count_order(&mut self, now: i64, tape_seq: u64) -> Option<Reason> {
        if !self.is_active() {
            return Some(Reason::Paused);
        }
        let limit = self.limits.order_rate?;
        while self
            .orders
            .front()
            .is_some_and(|first| now.saturating_sub(*first) >= limit.per)
        {
            self.orders.pop_front();
        }
        if self.orders.len() < limit.orders as usize {
            self.orders.push_back(now);
            if limit.action == Action::Alert {
                self.order_rate.is_tripped = false;
            }
            return None;
        }
        if !self.order_rate.is_tripped {
            note(&mut self.order_rate, now, tape_seq);
            self.act(limit.action, CommandCause::OrderRate, now, tape_seq);
        }
        (limit.action != Action::Alert).then_some(Reason::OrderRate)
    }

    fn act(&mut self, action: Action, cause: CommandCause, now: i64, tape_seq: u64) {
        match action {
            Action::Alert => {}
            Action::Pause => self.enter(TradingState::Paused, cause, now, tape_seq),
            Action::Flatten => {
                self.enter(TradingState::Paused, cause, now, tape_seq);
                self.wanted = Some(self.flatten(Reason::RiskSwitch, now));
            }
            Action::Stop => {
                self.enter(TradingState::Paused, cause, now, tape_seq);
                self.cause = cause;
                self.stops = true;
            }
        }
    }
}

fn note(latch: &mut Latch, now: i64, tape_seq: u64) {
    latch.is_tripped = true;
    latch.trips += 1;
    (latch.time, latch.tape_seq) = (now, tape_seq);
}
