//! The due list: expiries, bar closes, arrivals, answers and timers, each taken by (time, kind, seq).
//! May not live here: what is done when an item is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

/// Kinds in their order at one time.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DueKind {
    Expiry,
    BarClose,
    Arrival,
    Answer,
    Timer,
}

pub const DUE_KINDS: usize = 5;

/// What reaches a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Arrival {
    Submit(u64),
    Cancel(u64),
    /// New total quantity, limit and trigger; ABSENT keeps what stands.
    Amend {
        order: u64,
        quantity: i64,
        limit: i64,
        trigger: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timer {
    pub strategy: u32,
    /// The strategy's number for it.
    pub name: u32,
    /// 0: once.
    pub period: i64,
}

/// (time, seq) and what: a heap takes the smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Item<T> {
    time: i64,
    seq: u64,
    what: T,
}

impl<T: Eq> PartialOrd for Item<T> {
    fn partial_cmp(&self, other: &Item<T>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Eq> Ord for Item<T> {
    fn cmp(&self, other: &Item<T>) -> std::cmp::Ordering {
        (self.time, self.seq).cmp(&(other.time, other.seq))
    }
}

/// Items in the order of (time, seq).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "T: Eq + Serialize + serde::de::DeserializeOwned")]
pub struct Queue<T: Eq> {
    heap: BinaryHeap<Reverse<Item<T>>>,
    /// At this many items it is swept.
    sweep_at: usize,
}

/// A queue of fewer items is never swept.
const SWEPT_MIN: usize = 64;

impl<T: Eq> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue {
            heap: BinaryHeap::new(),
            sweep_at: SWEPT_MIN,
        }
    }
}

impl<T: Eq + Copy> Queue<T> {
    pub fn push(&mut self, time: i64, seq: u64, what: T) {
        self.heap.push(Reverse(Item { time, seq, what }));
    }

    /// Time of the first item; i64::MAX when empty.
    #[inline]
    pub fn next_time(&self) -> i64 {
        self.heap.peek().map_or(i64::MAX, |item| item.0.time)
    }

    pub fn next_key(&self) -> Option<(i64, u64)> {
        self.heap.peek().map(|item| (item.0.time, item.0.seq))
    }

    pub fn pop(&mut self) -> Option<(i64, u64, T)> {
        self.heap.pop().map(|item| (item.0.time, item.0.seq, item.0.what))
    }

    pub fn peek(&self) -> Option<&T> {
        self.heap.peek().map(|item| &item.0.what)
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// All items in order, for reading.
    pub fn sorted(&self) -> Vec<(i64, u64, T)> {
        let mut items: Vec<_> = self
            .heap
            .iter()
            .map(|item| (item.0.time, item.0.seq, item.0.what))
            .collect();
        items.sort_by_key(|item| (item.0, item.1));
        items
    }

    /// Drops the items that nobody waits for any more, whenever they may be half of all: what is kept stays below twice
    /// the items that matter, at a constant cost for each push.
    #[inline]
    pub fn sweep(&mut self, matters: impl Fn(&T) -> bool) {
        if self.heap.len() >= self.sweep_at {
            self.heap.retain(|item| matters(&item.0.what));
            self.sweep_at = 2 * self.heap.len() + SWEPT_MIN;
        }
    }
}

/// What is due at one watermark: of a venue, or of all where one clock holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct VenueClock {
    /// The largest ts_event taken from it; None before any.
    pub watermark: Option<i64>,
    /// Expiries of orders that ticks fill: due at time <= e.
    pub expiries: Queue<u64>,
    /// Expiries of orders that bars fill: due at time < e.
    pub bar_expiries: Queue<u64>,
    /// Closes of tick-built bars, by series.
    pub bar_closes: Queue<u32>,
    pub arrivals: Queue<Arrival>,
}

impl VenueClock {
    /// The earliest time of anything here.
    pub fn next_time(&self) -> i64 {
        self.expiries
            .next_time()
            .min(self.bar_expiries.next_time())
            .min(self.bar_closes.next_time())
            .min(self.arrivals.next_time())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_gives_the_smallest_time_then_seq() {
        let mut queue = Queue::default();
        for (time, seq) in [(5, 1), (3, 2), (5, 0), (3, 9)] {
            queue.push(time, seq, seq);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|item| (item.0, item.1))
            .collect();
        assert_eq!(order, [(3, 2), (3, 9), (5, 0), (5, 1)]);
        assert_eq!(queue.next_time(), i64::MAX);
    }
}
