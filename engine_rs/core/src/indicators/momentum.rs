//! Momentum: how far the price has come.
//! May not live here: ratios of prices.

use serde::{Deserialize, Serialize};

use super::window::Window;
use super::{check_period, IndicatorError, Scale};

/// The close less that of n bars before; an exact integer difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Momentum {
    scale: Scale,
    window: Window,
    difference: Option<i128>,
}

impl Momentum {
    /// Errors: a period out of range.
    pub fn new(period: u32, scale: Scale) -> Result<Momentum, IndicatorError> {
        Ok(Momentum {
            scale,
            window: Window::new(check_period(period, 1)?),
            difference: None,
        })
    }

    pub fn update(&mut self, close: i64) {
        self.difference = self.window.push(close).map(|before| close as i128 - before as i128);
    }

    pub fn value(&self) -> Option<f64> {
        self.difference.map(|difference| self.scale.mean(difference, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_needs_a_bar_more_than_its_period() {
        let mut momentum = Momentum::new(2, Scale::new(1, false).unwrap()).unwrap();
        let values: Vec<_> = [10, 40, 15, 20]
            .into_iter()
            .map(|price| {
                momentum.update(price);
                momentum.value()
            })
            .collect();
        assert_eq!(values, [None, None, Some(0.5), Some(-2.0)]);
    }
}
