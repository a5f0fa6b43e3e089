//! The desk: what a handler may read and ask for while it runs.
//! May not live here: anything that decides; commands only wait here until the handler returns.

use crate::command::{check_order, check_price, check_quantity, Command, CommandError};
use crate::engine::Engine;
use crate::event::ABSENT;
use crate::indicators::Spec;
use crate::order::{Order, OrderRequest, OrderType};
use crate::order_table::ENDED_KEPT;
use crate::position::Position;
use crate::record::BarPrice;
use crate::series::Ends;

impl Engine {
    fn refuse_after_end(&self) -> Result<(), CommandError> {
        if self.is_stopping() {
            return Err(CommandError(
                "the run has ended: on_stop may read, its commands would never be matched".into(),
            ));
        }
        Ok(())
    }

    /// Sends an order; gives the id that it will have.
    pub fn submit(&mut self, request: OrderRequest) -> Result<u64, CommandError> {
        self.refuse_after_end()?;
        let instrument = &self.setup().instruments[request.instrument as usize];
        check_order(instrument, &request, self.now())?;
        let id = self.next_order_id();
        self.push_command(Command::Submit(request));
        Ok(id)
    }

    /// An order of this strategy: known, or sent earlier in this handler.
    fn own_order(&self, strategy: u32, id: u64) -> Result<Option<&Order>, CommandError> {
        match self.exchange.orders.find(id) {
            Some(order) if order.strategy == strategy => Ok(Some(order)),
            Some(_) => Err(CommandError(format!("order {id} belongs to another strategy"))),
            None if id >= self.exchange.orders.next_id() && id < self.next_order_id() => Ok(None),
            None if id < self.exchange.orders.next_id() => Err(CommandError(format!(
                "order {id} is not known any more: {ENDED_KEPT} other orders have ended since it did"
            ))),
            None => Err(CommandError(format!("order {id} is not known: it was never sent"))),
        }
    }

    fn sent_request(&self, id: u64) -> OrderRequest {
        let position = (id - self.exchange.orders.next_id()) as usize;
        let mut sent = self.pending_commands().iter().filter_map(|command| match command {
            Command::Submit(request) => Some(*request),
            _ => None,
        });
        sent.nth(position).expect("an id given in this handler")
    }

    pub fn cancel(&mut self, strategy: u32, id: u64) -> Result<(), CommandError> {
        self.refuse_after_end()?;
        if self.own_order(strategy, id)?.is_some() {
            self.exchange.orders.get_mut(id).cancels_under_way += 1;
        }
        self.push_command(Command::Cancel(id));
        Ok(())
    }

    /// `quantity` is the new total; [`ABSENT`] keeps what stands.
    pub fn amend(
        &mut self,
        strategy: u32,
        id: u64,
        quantity: i64,
        limit: i64,
        trigger: i64,
    ) -> Result<(), CommandError> {
        self.refuse_after_end()?;
        let request = match self.own_order(strategy, id)? {
            Some(order) => order.request,
            None => self.sent_request(id),
        };
        let instrument = &self.setup().instruments[request.instrument as usize];
        if quantity != ABSENT {
            check_quantity(instrument, quantity)?;
        }
        if limit != ABSENT {
            if !request.order_type.has_limit() {
                return Err(CommandError(format!("order {id} has no limit price to amend")));
            }
            check_price(instrument, "limit price", limit)?;
        }
        if trigger != ABSENT {
            if !request.order_type.is_stop() {
                return Err(CommandError(format!("order {id} has no stop price to amend")));
            }
            check_price(instrument, "stop price", trigger)?;
        }
        if (quantity, limit, trigger) == (ABSENT, ABSENT, ABSENT) {
            return Err(CommandError(format!(
                "amend of order {id} changes nothing: give quantity, limit or stop"
            )));
        }
        if self.exchange.orders.contains(id) {
            self.exchange.orders.get_mut(id).amends_under_way += 1;
        }
        self.push_command(Command::Amend {
            order: id,
            quantity,
            limit,
            trigger,
        });
        Ok(())
    }

    /// Cancels live orders as told and those sent earlier in this handler; gives their ids.
    pub fn cancel_all(&mut self, strategy: u32, instrument: Option<u32>) -> Result<Vec<u64>, CommandError> {
        self.refuse_after_end()?;
        let mut ids = self.cancellable(strategy, instrument);
        let cancelled: Vec<u64> = self
            .pending_commands()
            .iter()
            .filter_map(|command| match command {
                Command::Cancel(id) => Some(*id),
                _ => None,
            })
            .collect();
        for id in self.exchange.orders.next_id()..self.next_order_id() {
            let request = self.sent_request(id);
            if !cancelled.contains(&id) && instrument.is_none_or(|index| request.instrument == index) {
                ids.push(id);
            }
        }
        for id in &ids {
            self.cancel(strategy, *id)?;
        }
        Ok(ids)
    }

    /// Sends a market order of `quantity` - (told position + leaves of own live market and target orders); None for 0.
    ///
    /// What the lot cannot express is left out, towards zero.
    pub fn target(&mut self, strategy: u32, instrument: u32, quantity: i64) -> Result<Option<u64>, CommandError> {
        self.refuse_after_end()?;
        let counts = |request: &OrderRequest| {
            request.instrument == instrument && (request.is_target || request.order_type == OrderType::Market)
        };
        let live: i64 = self
            .exchange
            .orders
            .told_live()
            .filter(|order| order.strategy == strategy && counts(&order.request))
            .map(|order| order.request.side.sign() * order.told_leaves())
            .sum();
        let sent: i64 = self
            .pending_commands()
            .iter()
            .map(|command| match command {
                Command::Submit(request) if counts(request) => request.side.sign() * request.quantity,
                _ => 0,
            })
            .sum();
        let difference = quantity - (self.told.position(strategy, instrument).quantity + live + sent);
        let lot = self.setup().instruments[instrument as usize].lot;
        match OrderRequest::towards(instrument, difference, lot) {
            Some(request) => self.submit(request).map(Some),
            None => Ok(None),
        }
    }

    /// A timer that fires first at now + `period`, then every `period` ns.
    pub fn every(&mut self, period: i64, name: u32) -> Result<(), CommandError> {
        self.refuse_after_end()?;
        if period <= 0 {
            return Err(CommandError(format!(
                "a timer's period must be above 0, not {period} ns"
            )));
        }
        let time = self.now().saturating_add(period);
        self.push_command(Command::Timer { time, period, name });
        Ok(())
    }

    /// A timer that fires once.
    pub fn at(&mut self, time: i64, name: u32) -> Result<(), CommandError> {
        self.refuse_after_end()?;
        if time < self.now() {
            return Err(CommandError(format!(
                "timer at {time} ns is before now, {} ns",
                self.now()
            )));
        }
        self.push_command(Command::Timer { time, period: 0, name });
        Ok(())
    }

    // -------------------------------------------------------------- bars and indicators

    /// Subscribes a strategy to bars, in on_start only: a series must see the tape from its beginning.
    pub fn subscribe_bars(
        &mut self,
        strategy: u32,
        instrument: u32,
        ends: Ends,
        price: Option<BarPrice>,
    ) -> Result<u32, CommandError> {
        if !self.is_in_start() {
            return Err(CommandError(
                "bars are subscribed to in on_start: later they would miss their past".into(),
            ));
        }
        if let Ends::Every(length @ ..=0) = ends {
            return Err(CommandError(format!(
                "a bar of {length} ns is impossible: its length must be above 0"
            )));
        }
        let setup = std::sync::Arc::clone(self.setup());
        self.series.subscribe(&setup, strategy, instrument, ends, price)
    }

    /// Adds an indicator to a series; gives the index of its first line.
    pub fn add_indicator(&mut self, series: u32, spec: Spec) -> Result<u32, CommandError> {
        let setup = std::sync::Arc::clone(self.setup());
        self.series.add_indicator(&setup, series, spec)
    }

    // -------------------------------------------------------------- views

    /// The position as the strategy has been told.
    pub fn told_position(&self, strategy: u32, instrument: u32) -> &Position {
        self.told.position(strategy, instrument)
    }

    /// The strategy's live orders as told, by id.
    pub fn told_orders(&self, strategy: u32, instrument: Option<u32>) -> Vec<u64> {
        self.exchange
            .orders
            .told_live()
            .filter(|order| {
                order.strategy == strategy && instrument.is_none_or(|index| order.request.instrument == index)
            })
            .map(|order| order.id)
            .collect()
    }

    /// Twice the account's equity as told, at the market's marks; None while a mark is unknown.
    pub fn told_doubled_equity(&self) -> Option<i128> {
        self.told
            .doubled_equity(self.setup(), |index| self.exchange.doubled_mark(index))
    }
}
