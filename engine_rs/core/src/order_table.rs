//! The table of orders: every order of the run that someone may still ask about, by id.
//! May not live here: what happens to an order.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::order::Order;

/// So many of the orders that were sent last stay readable, whatever became of them.
pub const SENT_KEPT: usize = 4_096;
/// So many of the orders that ended last stay readable, however long ago they were sent. Older ones are forgotten, so that
/// neither memory nor snapshots grow with a run's length.
pub const ENDED_KEPT: usize = 2_048;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OrderTable {
    /// Order `first_id + i` stands at i.
    orders: VecDeque<Order>,
    first_id: u64,
    /// Older orders that still live, that a command is under way for, or that are among the last that ended.
    old: BTreeMap<u64, Order>,
    /// The last orders that were settled, in that order; the first is the `first_ended`th of the run.
    ended: VecDeque<u64>,
    first_ended: u64,
    /// Not ended as told, ascending: what lives at a venue is among them, since an end is told after it happened.
    told_live: Vec<u64>,
}

impl OrderTable {
    /// The id that the next order gets.
    pub fn next_id(&self) -> u64 {
        self.first_id + self.orders.len() as u64
    }

    pub fn push(&mut self, order: Order) {
        assert_eq!(order.id, self.next_id(), "order ids are given in sequence");
        self.told_live.push(order.id);
        self.orders.push_back(order);
        if self.orders.len() > SENT_KEPT {
            let first = self.orders.pop_front().expect("more than are kept");
            self.first_id += 1;
            if !first.is_settled() || first.settled >= self.first_ended {
                self.old.insert(first.id, first);
            }
        }
    }

    /// An answer was told: where nothing can come for the order any more, it takes its place among those that ended.
    pub fn told(&mut self, id: u64) {
        let next_ended = self.first_ended + self.ended.len() as u64;
        let order = self.get_mut(id);
        if !order.told_state.is_ended() {
            return;
        }
        let is_settled = order.is_settled();
        if is_settled {
            order.settled = next_ended;
        }
        if let Ok(at) = self.told_live.binary_search(&id) {
            self.told_live.remove(at);
        }
        if is_settled {
            self.ended.push_back(id);
            if self.ended.len() > ENDED_KEPT {
                self.forget_first_ended();
            }
        }
    }

    fn forget_first_ended(&mut self) {
        let id = self.ended.pop_front().expect("more than are kept");
        let place = self.first_ended;
        self.first_ended += 1;
        // One that was asked for once more has another place, or gets it with the answer.
        if self
            .old
            .get(&id)
            .is_some_and(|order| order.is_settled() && order.settled == place)
        {
            self.old.remove(&id);
        }
    }

    pub fn contains(&self, id: u64) -> bool {
        self.find(id).is_some()
    }

    /// Panics on an id that is not in the table: callers got it from the engine.
    #[inline]
    pub fn get(&self, id: u64) -> &Order {
        match id.checked_sub(self.first_id) {
            Some(index) => &self.orders[index as usize],
            None => &self.old[&id],
        }
    }

    #[inline]
    pub fn get_mut(&mut self, id: u64) -> &mut Order {
        match id.checked_sub(self.first_id) {
            Some(index) => &mut self.orders[index as usize],
            None => self.old.get_mut(&id).expect("an order of the table"),
        }
    }

    pub fn find(&self, id: u64) -> Option<&Order> {
        match id.checked_sub(self.first_id) {
            Some(index) => self.orders.get(index as usize),
            None => self.old.get(&id),
        }
    }

    /// Orders that have not ended at their venue, ascending.
    pub fn live(&self) -> Vec<u64> {
        self.told_live()
            .filter(|order| !order.is_ended())
            .map(|order| order.id)
            .collect()
    }

    /// Orders that have not ended as far as their strategies know, ascending.
    pub fn told_live(&self) -> impl Iterator<Item = &Order> {
        self.told_live.iter().map(|id| self.get(*id))
    }

    /// Orders that the table holds.
    pub fn len(&self) -> usize {
        self.orders.len() + self.old.len()
    }

    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }
}
