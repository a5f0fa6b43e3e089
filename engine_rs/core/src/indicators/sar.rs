//! The parabolic stop and reverse, Wilder's.
//! May not live here: orders that follow it.

use serde::{Deserialize, Serialize};

use super::{IndicatorError, Scale};

/// Which way the stop trails.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Trend {
    is_up: bool,
    stop: f64,
    /// The highest high of a rise, the lowest low of a fall.
    extreme: f64,
    acceleration: f64,
}

/// A stop that closes in on the price: stop + acceleration * (extreme - stop), never inside the last two bars; where a bar reaches it,
/// the direction turns and the stop becomes the extreme. Its value after a bar is the stop of that bar.
///
/// The first direction is that of the larger directional movement of the first two bars, up where they are equal; the first stop is
/// the first bar's low (or high). Source: J. W. Wilder, New Concepts in Technical Trading Systems (1978).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sar {
    scale: Scale,
    step: f64,
    most: f64,
    previous: Option<(f64, f64)>,
    trend: Option<Trend>,
    value: Option<f64>,
}

impl Sar {
    /// Errors: a step or a most that is not a number above 0, or a step above the most.
    pub fn new(step: f64, most: f64, scale: Scale) -> Result<Sar, IndicatorError> {
        if !(step > 0.0 && step <= most && most.is_finite()) {
            return Err(IndicatorError::NotFinite { name: "acceleration" });
        }
        Ok(Sar {
            scale,
            step,
            most,
            previous: None,
            trend: None,
            value: None,
        })
    }

    pub fn update(&mut self, high: i64, low: i64) {
        let (high, low) = (self.scale.mean(high as i128, 1), self.scale.mean(low as i128, 1));
        if let Some((high_before, low_before)) = self.previous {
            self.trend = Some(match self.trend {
                Some(trend) => self.step_on(trend, high, low, high_before, low_before),
                // The first bar gives the direction and the stop; it does not hold the next stop back.
                None => {
                    let first = self.first(high, low, high_before, low_before);
                    self.step_on(first, high, low, high, low)
                }
            });
        }
        self.previous = Some((high, low));
    }

    pub fn value(&self) -> Option<f64> {
        self.value
    }

    fn first(&self, high: f64, low: f64, high_before: f64, low_before: f64) -> Trend {
        let down = low_before - low;
        let is_up = !(down > 0.0 && down > high - high_before);
        Trend {
            is_up,
            stop: if is_up { low_before } else { high_before },
            extreme: if is_up { high } else { low },
            acceleration: self.step,
        }
    }

    fn step_on(&mut self, mut trend: Trend, high: f64, low: f64, high_before: f64, low_before: f64) -> Trend {
        let is_reached = if trend.is_up {
            low <= trend.stop
        } else {
            high >= trend.stop
        };
        if is_reached {
            let stop = trend.extreme;
            trend = Trend {
                is_up: !trend.is_up,
                stop: outside(!trend.is_up, stop, (high, low), (high_before, low_before)),
                extreme: if trend.is_up { low } else { high },
                acceleration: self.step,
            };
            self.value = Some(trend.stop);
        } else {
            self.value = Some(trend.stop);
            let is_new = if trend.is_up {
                high > trend.extreme
            } else {
                low < trend.extreme
            };
            if is_new {
                trend.extreme = if trend.is_up { high } else { low };
                trend.acceleration = (trend.acceleration + self.step).min(self.most);
            }
        }
        let next = trend.stop + trend.acceleration * (trend.extreme - trend.stop);
        trend.stop = outside(trend.is_up, next, (high, low), (high_before, low_before));
        trend
    }
}

/// A stop below both lows in a rise, above both highs in a fall.
fn outside(is_up: bool, stop: f64, present: (f64, f64), before: (f64, f64)) -> f64 {
    if is_up {
        stop.min(present.1).min(before.1)
    } else {
        stop.max(present.0).max(before.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_trails_a_rise_and_turns_where_it_is_reached() {
        let mut sar = Sar::new(0.02, 0.2, Scale::new(0, false).unwrap()).unwrap();
        let mut values = Vec::new();
        for (high, low) in [(110, 100), (120, 105), (130, 115), (125, 90)] {
            sar.update(high, low);
            values.push(sar.value());
        }
        // The low of 100; 0.02 of the way to 120 later; reached by 90, it jumps to the high of 130.
        assert_eq!(values, [None, Some(100.0), Some(100.4), Some(130.0)]);
    }
}
