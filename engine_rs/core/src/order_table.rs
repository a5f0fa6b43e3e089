//! The table of orders: every order of the run that someone may still ask about, by id.
//! May not live here: what happens to an order.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::order::Order;

/// Recent orders that stay readable after their end; older ones are forgotten, so that memory does not grow with a run's
/// length.
pub const ENDED_KEPT: usize = 100_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OrderTable {
    /// Order `first_id + i` stands at i.
    orders: VecDeque<Order>,
    first_id: u64,
    /// Older orders that still live, or that a command is under way for.
    old: BTreeMap<u64, Order>,
    /// At this many `old` ones the settled among them are forgotten.
    old_swept_at: usize,
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
        if self.orders.len() > ENDED_KEPT {
            self.retire_first();
        }
    }

    fn retire_first(&mut self) {
        let order = self.orders.pop_front().expect("more than are kept");
        self.first_id += 1;
        if order.is_settled() {
            return;
        }
        self.old.insert(order.id, order);
        if self.old.len() >= self.old_swept_at {
            self.old.retain(|_, order| !order.is_settled());
            self.old_swept_at = 2 * self.old.len() + 16;
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

    /// The strategy has been told that it ended.
    pub fn told_end(&mut self, id: u64) {
        if let Ok(at) = self.told_live.binary_search(&id) {
            self.told_live.remove(at);
        }
    }

    /// Orders that the table holds.
    pub fn len(&self) -> usize {
        self.orders.len() + self.old.len()
    }

    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }
}
