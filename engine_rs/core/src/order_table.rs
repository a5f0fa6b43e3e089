//! The table of orders: every order of the run that someone may still ask about, by id.
//! May not live here: what happens to an order.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::order::Order;

/// Ended orders that stay readable; older ones are forgotten, so that memory does not grow with a run's length.
pub const ENDED_KEPT: usize = 100_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OrderTable {
    /// Order `first_id + i` stands at i.
    orders: VecDeque<Order>,
    first_id: u64,
    /// Not ended at the venue, ascending.
    live: BTreeSet<u64>,
    /// Not ended as told, ascending.
    told_live: BTreeSet<u64>,
}

impl OrderTable {
    /// The id that the next order gets.
    pub fn next_id(&self) -> u64 {
        self.first_id + self.orders.len() as u64
    }

    pub fn push(&mut self, order: Order) {
        assert_eq!(order.id, self.next_id(), "order ids are given in sequence");
        self.live.insert(order.id);
        self.told_live.insert(order.id);
        self.orders.push_back(order);
        while self.orders.len() > ENDED_KEPT && self.orders[0].is_settled() {
            self.live.remove(&self.first_id);
            self.orders.pop_front();
            self.first_id += 1;
        }
    }

    pub fn contains(&self, id: u64) -> bool {
        id >= self.first_id && id < self.next_id()
    }

    /// Panics on an id that is not in the table: callers got it from the engine.
    #[inline]
    pub fn get(&self, id: u64) -> &Order {
        &self.orders[(id - self.first_id) as usize]
    }

    #[inline]
    pub fn get_mut(&mut self, id: u64) -> &mut Order {
        &mut self.orders[(id - self.first_id) as usize]
    }

    pub fn find(&self, id: u64) -> Option<&Order> {
        if self.contains(id) {
            Some(self.get(id))
        } else {
            None
        }
    }

    /// Orders that have not ended at their venue, ascending; those that have ended are dropped from the list here.
    pub fn live(&mut self) -> Vec<u64> {
        let (orders, first_id) = (&self.orders, self.first_id);
        self.live.retain(|id| !orders[(id - first_id) as usize].is_ended());
        self.live.iter().copied().collect()
    }

    /// Orders that have not ended as far as their strategies know, ascending.
    pub fn told_live(&self) -> impl Iterator<Item = &Order> {
        self.told_live.iter().map(|id| self.get(*id))
    }

    /// The strategy has been told that it ended.
    pub fn told_end(&mut self, id: u64) {
        self.told_live.remove(&id);
        self.live.remove(&id);
    }

    pub fn len(&self) -> usize {
        self.orders.len()
    }

    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }
}
