//! The window: the last n integers that an indicator has taken.
//! May not live here: sums over it; an indicator keeps its own.

use serde::{Deserialize, Serialize};

/// The last `length` prices, or fewer while they are all there have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    /// A ring: zeros where there has been no price yet.
    prices: Vec<i64>,
    /// Where the next price goes, and the oldest stands once the ring is full.
    next: usize,
    is_full: bool,
}

impl Window {
    pub(super) fn new(length: u32) -> Window {
        assert!(length > 0, "a window holds at least one price");
        Window {
            prices: vec![0; length as usize],
            next: 0,
            is_full: false,
        }
    }

    /// Takes a price in; returns the one that falls out.
    #[inline]
    pub(super) fn push(&mut self, price: i64) -> Option<i64> {
        let oldest = std::mem::replace(&mut self.prices[self.next], price);
        let fallen = self.is_full.then_some(oldest);
        self.next += 1;
        if self.next == self.prices.len() {
            self.next = 0;
            self.is_full = true;
        }
        fallen
    }

    pub(super) fn length(&self) -> u32 {
        self.prices.len() as u32
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
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
