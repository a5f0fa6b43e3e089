//! The window: the last n integers that an indicator has taken.
//! May not live here: sums over it; an indicator keeps its own.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The last `length` prices, or fewer while they are all there have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    length: u32,
    prices: VecDeque<i64>,
}

impl Window {
    pub(super) fn new(length: u32) -> Window {
        assert!(length > 0, "a window holds at least one price");
        Window {
            length,
            prices: VecDeque::new(),
        }
    }

    /// Takes a price in; returns the one that falls out.
    pub(super) fn push(&mut self, price: i64) -> Option<i64> {
        let oldest = if self.is_full() { self.prices.pop_front() } else { None };
        self.prices.push_back(price);
        oldest
    }

    pub(super) fn length(&self) -> u32 {
        self.length
    }

    pub(super) fn is_full(&self) -> bool {
        self.prices.len() == self.length as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_gives_up_its_oldest_price() {
        let mut window = Window::new(2);
        assert_eq!((window.push(1), window.is_full()), (None, false));
        assert_eq!((window.push(2), window.is_full()), (None, true));
        assert_eq!((window.push(3), window.is_full()), (Some(1), true));
        assert_eq!(window.push(4), Some(2));
    }
}
