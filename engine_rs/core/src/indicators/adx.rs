//! The directional movement system, Wilder's.
//! May not live here: other measures of a trend.

use serde::{Deserialize, Serialize};

use super::smooth::{Kind, Smooth};
use super::wilder::{Start, Wilder};
use super::{check_period, IndicatorError, Scale};

/// The directional indicators and their average index, each 0 to 100.
///
/// +DI and -DI are 100 times the smoothed directional movement over the smoothed true range, from the second bar on; the index is
/// 100 |+DI - -DI| / (+DI + -DI), 0 where both are, smoothed in its turn. Each smoothing starts from a mean of its first n.
/// Source: J. W. Wilder, New Concepts in Technical Trading Systems (1978).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adx {
    previous: Option<(i64, i64, i64)>,
    plus: Wilder,
    minus: Wilder,
    range: Wilder,
    index: Smooth,
}

impl Adx {
    /// Errors: a period out of range.
    pub fn new(period: u32, scale: Scale) -> Result<Adx, IndicatorError> {
        let period = check_period(period, 1)?;
        let smoothed = Wilder::new(period, Start::Mean, scale);
        Ok(Adx {
            previous: None,
            plus: smoothed,
            minus: smoothed,
            range: smoothed,
            index: Smooth::new(period, Kind::Wilder),
        })
    }

    pub fn update(&mut self, high: i64, low: i64, close: i64) {
        if let Some((high_before, low_before, close_before)) = self.previous {
            let up = high as i128 - high_before as i128;
            let down = low_before as i128 - low as i128;
            self.plus.update(if up > down && up > 0 { up } else { 0 });
            self.minus.update(if down > up && down > 0 { down } else { 0 });
            self.range
                .update(high.max(close_before) as i128 - low.min(close_before) as i128);
            if let Some((plus, minus)) = self.plus_di().zip(self.minus_di()) {
                let sum = plus + minus;
                self.index.update(if sum == 0.0 {
                    0.0
                } else {
                    100.0 * (plus - minus).abs() / sum
                });
            }
        }
        self.previous = Some((high, low, close));
    }

    pub fn adx(&self) -> Option<f64> {
        self.index.value()
    }

    pub fn plus_di(&self) -> Option<f64> {
        self.part(&self.plus)
    }

    pub fn minus_di(&self) -> Option<f64> {
        self.part(&self.minus)
    }

    fn part(&self, movement: &Wilder) -> Option<f64> {
        let (movement, range) = (movement.value()?, self.range.value()?);
        Some(if range == 0.0 { 0.0 } else { 100.0 * movement / range })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(bars: &[(i64, i64, i64)]) -> Adx {
        let mut adx = Adx::new(2, Scale::new(0, false).unwrap()).unwrap();
        bars.iter().for_each(|&(high, low, close)| adx.update(high, low, close));
        adx
    }

    #[test]
    fn a_steady_rise_is_all_plus() {
        let rise: Vec<_> = (0..4)
            .map(|step| (110 + 10 * step, 100 + 10 * step, 105 + 10 * step))
            .collect();
        let adx = after(&rise[..3]);
        // Ranges of 15 each: from the close before to the high.
        assert_eq!(
            (adx.plus_di(), adx.minus_di(), adx.adx()),
            (Some(100.0 * 10.0 / 15.0), Some(0.0), None)
        );
        assert_eq!(after(&rise).adx(), Some(100.0));
    }

    #[test]
    fn prices_that_stand_still_have_no_direction() {
        let adx = after(&[(5, 5, 5); 6]);
        assert_eq!(
            (adx.plus_di(), adx.minus_di(), adx.adx()),
            (Some(0.0), Some(0.0), Some(0.0))
        );
    }

    #[test]
    fn of_two_movements_the_larger_counts() {
        // Up 10 and down 20: an outside bar whose fall is the larger.
        let adx = after(&[(110, 100, 105), (120, 80, 85), (120, 80, 85)]);
        assert_eq!(adx.plus_di(), Some(0.0));
        assert_eq!(adx.minus_di(), Some(100.0 * 10.0 / 40.0));
    }
}
