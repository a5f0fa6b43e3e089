//! Dispatch: commands that a handler or an operator gave are admitted and sent under way to their venues.
//! May not live here: the checks of admission, or what a command does on arrival.

use std::sync::Arc;

use super::Engine;
use crate::admission;
use crate::command::Command;
use crate::due::{Arrival, Timer};
use crate::event::ABSENT;
use crate::order::{Order, OrderRequest};
use crate::reason::Reason;
use crate::setup::Venue;

impl Engine {
    /// Commands given since the handler was called get their time and seq, and are admitted, in order.
    pub(super) fn admit_commands(&mut self) {
        let strategy = self.calling.take().expect("a handler was called");
        if self.commands.is_empty() {
            return;
        }
        let first_new = self.exchange.orders.next_id();
        for command in std::mem::take(&mut self.commands) {
            self.admit(strategy, command, first_new);
        }
        self.note_next_due();
    }

    /// `first_new`: orders from this id on were sent by the same handler, so that what is under way for them is noted here.
    fn admit(&mut self, strategy: u32, command: Command, first_new: u64) {
        let now = self.exchange.now;
        let setup = Arc::clone(&self.exchange.setup);
        match command {
            Command::Submit(request) => {
                let id = self.exchange.orders.next_id();
                self.exchange.orders.push(Order::new(id, strategy, request));
                self.exchange.counters.orders[request.order_type as usize] += 1;
                let verdict = match self.refused_by_trading() {
                    Some(reason) => Err(reason),
                    None => admission::check(&self.exchange, &self.told, strategy, &request, self.operation.is_some()),
                };
                match verdict {
                    Err(reason) => self.exchange.reject_at_admission(id, reason),
                    Ok(price) => {
                        let instrument = &setup.instruments[request.instrument as usize];
                        let time = now.saturating_add(setup.venues[instrument.venue as usize].latency.entry);
                        let order = self.exchange.orders.get_mut(id);
                        order.reserve_price = price;
                        order.is_reserved = true;
                        order.last_command_time = time;
                        self.send(instrument.clock, time, Arrival::Submit(id));
                    }
                }
            }
            Command::Cancel(id) => {
                if id >= first_new {
                    self.exchange.orders.get_mut(id).cancels_under_way += 1;
                }
                self.send_for(id, Arrival::Cancel(id), |venue| venue.latency.cancel);
            }
            Command::Amend {
                order,
                quantity,
                limit,
                trigger,
            } => {
                if order >= first_new {
                    self.exchange.orders.get_mut(order).amends_under_way += 1;
                }
                if !self.trading.is_active() && !self.only_decreases(order, quantity, limit, trigger) {
                    return self.exchange.reject_amend_at_admission(order, Reason::Paused);
                }
                let arrival = Arrival::Amend {
                    order,
                    quantity,
                    limit,
                    trigger,
                };
                self.send_for(order, arrival, |venue| venue.latency.amend);
            }
            Command::Timer { time, period, name } => {
                let seq = self.exchange.take_seq();
                self.timers.push(time, seq, Timer { strategy, name, period });
            }
        }
    }

    /// Why a new order is refused whatever it is; what closes positions on behalf of the strategies is not.
    fn refused_by_trading(&mut self) -> Option<Reason> {
        if self.operation.is_some() || self.exchange.now < self.exchange.setup.trading_start {
            return None;
        }
        self.trading.count_order(self.exchange.now, self.tape_seq)
    }

    /// Whether an amend leaves price and trigger as they are told to be, and adds nothing to the quantity.
    fn only_decreases(&self, order: u64, quantity: i64, limit: i64, trigger: i64) -> bool {
        let order = self.exchange.orders.get(order);
        (quantity == ABSENT || quantity <= order.told_quantity)
            && (limit == ABSENT || limit == order.told_limit)
            && (trigger == ABSENT || trigger == order.told_trigger)
    }

    fn send_for(&mut self, id: u64, arrival: Arrival, latency: impl Fn(&Venue) -> i64) {
        let setup = Arc::clone(&self.exchange.setup);
        let now = self.exchange.now;
        let order = self.exchange.orders.get_mut(id);
        let instrument = &setup.instruments[order.request.instrument as usize];
        // Commands of one order arrive in the order given.
        let time = now.saturating_add(latency(&setup.venues[instrument.venue as usize]));
        let time = time.max(order.last_command_time);
        order.last_command_time = time;
        self.send(instrument.clock, time, arrival);
    }

    fn send(&mut self, clock: u32, time: i64, arrival: Arrival) {
        let seq = self.exchange.take_seq();
        self.clocks[clock as usize].arrivals.push(time, seq, arrival);
        self.has_sent = true;
    }

    /// Carries out what an operator or a risk switch wants on behalf of one strategy.
    ///
    /// Where nothing is cancelled, a flatten goes on: it closes what is left where no order is under way any more.
    pub(super) fn operate(&mut self, strategy: u32) {
        let operation = self.operation.expect("an operation goes on");
        self.calling = Some(strategy);
        if operation.cancels {
            for id in self.cancellable(strategy, None) {
                let order = self.exchange.orders.get_mut(id);
                order.cancels_under_way += 1;
                order.canceled_by = Some(operation.reason);
                self.commands.push(Command::Cancel(id));
            }
        }
        if operation.closes {
            for index in 0..self.exchange.setup.instruments.len() as u32 {
                if !operation.cancels && self.has_told_live(strategy, index) {
                    continue;
                }
                let request = self.closing(strategy, index);
                self.commands.extend(request.map(Command::Submit));
            }
        }
        self.admit_commands();
    }

    /// The market order that closes a told position; None where there is none, or less than a lot.
    fn closing(&self, strategy: u32, instrument: u32) -> Option<OrderRequest> {
        let quantity = self.told.position(strategy, instrument).quantity;
        let lot = self.exchange.setup.instruments[instrument as usize].lot;
        OrderRequest::towards(instrument, -quantity, lot)
    }

    fn has_told_live(&self, strategy: u32, instrument: u32) -> bool {
        let mut live = self.exchange.orders.told_live();
        live.any(|order| order.strategy == strategy && order.request.instrument == instrument)
    }

    /// Whether a flatten has nothing left to do: no order lives, and no position can be closed.
    pub(super) fn is_flat(&self) -> bool {
        let (strategies, instruments) = (self.handlers.len() as u32, self.exchange.setup.instruments.len() as u32);
        self.exchange.orders.told_live().next().is_none()
            && (0..strategies).all(|strategy| (0..instruments).all(|index| self.closing(strategy, index).is_none()))
    }

    /// Live orders as told, and those sent earlier in this handler, without those whose cancel is under way; by id.
    pub(crate) fn cancellable(&self, strategy: u32, instrument: Option<u32>) -> Vec<u64> {
        self.exchange
            .orders
            .told_live()
            .filter(|order| {
                order.strategy == strategy
                    && order.cancels_under_way == 0
                    && instrument.is_none_or(|index| order.request.instrument == index)
            })
            .map(|order| order.id)
            .collect()
    }
}
