//! The orders at work in one instrument, with bounds that tell at a glance whether a price can touch any.
//! May not live here: what happens to an order that is touched.

use serde::{Deserialize, Serialize};

use crate::order::{Order, Side, TriggerBy};
use crate::order_table::OrderTable;

/// The orders at work in one instrument, with bounds that tell at a glance whether a price can touch any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Working {
    /// Ascending.
    pub ids: Vec<u64>,
    pub highest_buy_limit: i64,
    pub lowest_sell_limit: i64,
    pub lowest_buy_stop: i64,
    pub highest_sell_stop: i64,
    /// Stops that watch something else than the default price.
    pub other_triggers: u32,
    pub resting_limits: u32,
}

impl Default for Working {
    fn default() -> Working {
        Working {
            ids: Vec::new(),
            highest_buy_limit: i64::MIN,
            lowest_sell_limit: i64::MAX,
            lowest_buy_stop: i64::MAX,
            highest_sell_stop: i64::MIN,
            other_triggers: 0,
            resting_limits: 0,
        }
    }
}

impl Working {
    /// An order begins to work; the bounds widen by it.
    pub fn add(&mut self, order: &Order, orders: &OrderTable) {
        match self.ids.binary_search(&order.id) {
            Err(at) => {
                self.ids.insert(at, order.id);
                self.widen(order);
            }
            Ok(_) => self.bound_anew(orders),
        }
    }

    pub fn remove(&mut self, id: u64, orders: &OrderTable) {
        if let Ok(at) = self.ids.binary_search(&id) {
            self.ids.remove(at);
            self.bound_anew(orders);
        }
    }

    fn bound_anew(&mut self, orders: &OrderTable) {
        let ids = std::mem::take(&mut self.ids);
        *self = Working::default();
        for id in &ids {
            self.widen(orders.get(*id));
        }
        self.ids = ids;
    }

    fn widen(&mut self, order: &Order) {
        if order.rests_as_limit() {
            self.resting_limits += 1;
            match order.request.side {
                Side::Buy => self.highest_buy_limit = self.highest_buy_limit.max(order.limit),
                Side::Sell => self.lowest_sell_limit = self.lowest_sell_limit.min(order.limit),
            }
        } else if order.awaits_trigger() {
            if order.request.trigger_by != TriggerBy::Default {
                self.other_triggers += 1;
            }
            match order.request.side {
                Side::Buy => self.lowest_buy_stop = self.lowest_buy_stop.min(order.trigger),
                Side::Sell => self.highest_sell_stop = self.highest_sell_stop.max(order.trigger),
            }
        }
    }
}
