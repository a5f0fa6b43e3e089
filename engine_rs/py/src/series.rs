//! Series and indicators as a strategy sees them: handles that read the engine, and act as numbers.
//! May not live here: how they are reckoned (core).

use std::sync::Arc;

use pyo3::basic::CompareOp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use replay_core::indicators::{Divisor, FirstRange, MacdSeed, Seed, Span, Spec, Start, Weighed, PERIOD_MAX};

use crate::cell::Shared;
use crate::views::{Bar, Names};

/// Bars of one instrument, price and length.
#[pyclass(frozen, module = "replay._engine")]
pub struct Series {
    pub cell: Shared,
    pub names: Arc<Names>,
    pub index: u32,
    pub instrument: u32,
}

impl Series {
    fn add(&self, py: Python<'_>, spec: Spec) -> PyResult<Indicator> {
        let mut engine = self.cell.borrow_mut(py)?;
        let index = engine
            .add_indicator(self.index, spec)
            .map_err(|error| PyValueError::new_err(error.0))?;
        Ok(Indicator {
            cell: Arc::clone(&self.cell),
            index,
        })
    }
}

#[pymethods]
impl Series {
    /// Simple moving average of the closes; ready after `period` bars.
    fn sma(&self, py: Python<'_>, period: i64) -> PyResult<Indicator> {
        self.add(py, Spec::Sma { period: whole(period)? })
    }

    /// Exponential moving average, alpha 2 / (period + 1). `seed`: "first" (the first close) or "sma" (mean of the first ones).
    #[pyo3(signature = (period, seed="first"))]
    fn ema(&self, py: Python<'_>, period: i64, seed: &str) -> PyResult<Indicator> {
        let seed = match seed {
            "first" => Seed::FirstPrice,
            "sma" => Seed::Mean,
            other => {
                return Err(PyValueError::new_err(format!(
                    "seed {other:?} is unknown: choose first or sma"
                )))
            }
        };
        self.add(
            py,
            Spec::Ema {
                period: whole(period)?,
                seed,
            },
        )
    }

    /// Relative strength index after Wilder, 0 to 100.
    fn rsi(&self, py: Python<'_>, period: i64) -> PyResult<Indicator> {
        self.add(
            py,
            Spec::Rsi {
                period: whole(period)?,
                start: Start::default(),
            },
        )
    }

    /// Average true range after Wilder. `first_range`: the first bar's high - low counts ("high_low"), or is left out ("skip").
    #[pyo3(signature = (period, first_range="high_low"))]
    fn atr(&self, py: Python<'_>, period: i64, first_range: &str) -> PyResult<Indicator> {
        let first_range = match first_range {
            "high_low" => FirstRange::HighLow,
            "skip" => FirstRange::Skip,
            other => {
                return Err(PyValueError::new_err(format!(
                    "first_range {other:?} is unknown: choose high_low or skip"
                )))
            }
        };
        self.add(
            py,
            Spec::Atr {
                period: whole(period)?,
                first_range,
            },
        )
    }

    /// Rolling standard deviation of the closes; of the population, or of a sample.
    #[pyo3(signature = (period, sample=false))]
    fn deviation(&self, py: Python<'_>, period: i64, sample: bool) -> PyResult<Indicator> {
        let divisor = if sample { Divisor::Sample } else { Divisor::Population };
        self.add(
            py,
            Spec::Deviation {
                period: whole(period)?,
                divisor,
            },
        )
    }

    /// Linearly weighted moving average of the closes.
    fn wma(&self, py: Python<'_>, period: i64) -> PyResult<Indicator> {
        self.add(py, Spec::Wma { period: whole(period)? })
    }

    /// The close less that of `period` bars before.
    fn momentum(&self, py: Python<'_>, period: i64) -> PyResult<Indicator> {
        self.add(py, Spec::Momentum { period: whole(period)? })
    }

    /// Wilder's parabolic stop and reverse.
    #[pyo3(signature = (acceleration=0.02, maximum=0.2))]
    fn sar(&self, py: Python<'_>, acceleration: f64, maximum: f64) -> PyResult<Indicator> {
        self.add(
            py,
            Spec::Sar {
                step: acceleration,
                most: maximum,
            },
        )
    }

    /// Volume-weighted average price of the last `period` bars, or of those since the last multiple of `reset_ns`.
    /// `price`: the typical one ("hlc"), or the mean of all four ("ohlc").
    #[pyo3(signature = (period=None, *, reset_ns=None, price="hlc"))]
    fn vwap(&self, py: Python<'_>, period: Option<i64>, reset_ns: Option<i64>, price: &str) -> PyResult<Indicator> {
        let weighed = match price {
            "hlc" => Weighed::Typical,
            "ohlc" => Weighed::OpenHighLowClose,
            other => {
                return Err(PyValueError::new_err(format!(
                    "price {other:?} is unknown: choose hlc or ohlc"
                )))
            }
        };
        let span = match (period, reset_ns) {
            (Some(period), None) => Span::Bars(whole(period)?),
            (None, Some(length_ns)) => Span::Since(length_ns),
            _ => {
                return Err(PyValueError::new_err(
                    "a VWAP has a period, or a time at which it begins anew",
                ))
            }
        };
        self.add(py, Spec::Vwap { span, weighed })
    }

    /// Moving average convergence and divergence. `seed`: "first", "sma" (each average its own), "aligned" (as TA-Lib).
    #[pyo3(signature = (fast=12, slow=26, signal=9, seed="first"))]
    fn macd(&self, py: Python<'_>, fast: i64, slow: i64, signal: i64, seed: &str) -> PyResult<Macd> {
        let seed = match seed {
            "first" => MacdSeed::First,
            "sma" => MacdSeed::Mean,
            "aligned" => MacdSeed::Aligned,
            other => {
                return Err(PyValueError::new_err(format!(
                    "seed {other:?} is unknown: choose first, sma or aligned"
                )))
            }
        };
        let spec = Spec::Macd {
            fast: whole(fast)?,
            slow: whole(slow)?,
            signal: whole(signal)?,
            seed,
        };
        Ok(Macd(self.add(py, spec)?))
    }

    /// Bollinger bands: the mean of the closes and `width` deviations around it, of the population or of a sample.
    #[pyo3(signature = (period=20, width=2.0, sample=false))]
    fn bollinger(&self, py: Python<'_>, period: i64, width: f64, sample: bool) -> PyResult<Bollinger> {
        let divisor = if sample { Divisor::Sample } else { Divisor::Population };
        let spec = Spec::Bollinger {
            period: whole(period)?,
            width,
            divisor,
        };
        Ok(Bollinger(self.add(py, spec)?))
    }

    /// The highest high and the lowest low of the last `period` bars, the present one included.
    fn donchian(&self, py: Python<'_>, period: i64) -> PyResult<Donchian> {
        Ok(Donchian(self.add(py, Spec::Donchian { period: whole(period)? })?))
    }

    /// The highest high of the last `period` bars.
    fn highest(&self, py: Python<'_>, period: i64) -> PyResult<Indicator> {
        Ok(self.donchian(py, period)?.upper())
    }

    /// The lowest low of the last `period` bars.
    fn lowest(&self, py: Python<'_>, period: i64) -> PyResult<Indicator> {
        Ok(self.donchian(py, period)?.lower())
    }

    /// Wilder's directional movement: the average index and the two directional indicators.
    fn adx(&self, py: Python<'_>, period: i64) -> PyResult<Adx> {
        Ok(Adx(self.add(py, Spec::Adx { period: whole(period)? })?))
    }

    /// The stochastic oscillator: %K over `period` bars, smoothed by a mean of `smooth` (1: fast), and %D, a mean of `signal` %K.
    #[pyo3(signature = (period=14, smooth=3, signal=3))]
    fn stochastic(&self, py: Python<'_>, period: i64, smooth: i64, signal: i64) -> PyResult<Stochastic> {
        let spec = Spec::Stochastic {
            period: whole(period)?,
            smooth: whole(smooth)?,
            signal: whole(signal)?,
        };
        Ok(Stochastic(self.add(py, spec)?))
    }

    /// The last closed bar, or None.
    #[getter]
    fn last(&self, py: Python<'_>) -> PyResult<Option<Bar>> {
        let engine = self.cell.borrow_mut(py)?;
        Ok(engine.series.last_bar(self.index).map(|bar| {
            let view = Bar::new(&self.names);
            view.set(self.instrument, bar);
            view
        }))
    }

    #[getter]
    fn symbol(&self) -> String {
        self.names.setup.instruments[self.instrument as usize].symbol.clone()
    }
}

/// An indicator: compares and reckons as the number that it is now.
#[pyclass(frozen, module = "replay._engine")]
pub struct Indicator {
    pub cell: Shared,
    pub index: u32,
}

impl Indicator {
    /// Another line of the indicator whose first one this is.
    fn line(&self, place: u32) -> Indicator {
        Indicator {
            cell: Arc::clone(&self.cell),
            index: self.index + place,
        }
    }

    #[inline]
    fn read(&self, py: Python<'_>) -> PyResult<f64> {
        let engine = self.cell.borrow_mut(py)?;
        engine
            .series
            .reading(self.index)
            .value
            .ok_or_else(|| PyValueError::new_err("the indicator has no value yet: ask `.ready` first"))
    }
}

/// An indicator of several lines, each of which is an indicator by itself.
macro_rules! lines {
    ($(#[$doc:meta])* $name:ident { $($(#[$line_doc:meta])* $line:ident: $place:literal),* }) => {
        $(#[$doc])*
        #[pyclass(frozen, module = "replay._engine")]
        pub struct $name(pub Indicator);

        #[pymethods]
        impl $name {
            $(
                $(#[$line_doc])*
                #[getter]
                pub fn $line(&self) -> Indicator {
                    self.0.line($place)
                }
            )*

            /// Whether every line has seen enough bars.
            #[getter]
            fn ready(&self, py: Python<'_>) -> PyResult<bool> {
                Ok([$($place),*].into_iter().map(|place| self.0.line(place).ready(py)).collect::<PyResult<Vec<bool>>>()?
                    .into_iter().all(|ready| ready))
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                let shown = [$((stringify!($line), $place)),*].into_iter().map(|(name, place)| {
                    Ok(match self.0.line(place).read(py) {
                        Ok(value) => format!("{name}={value}"),
                        Err(_) => format!("{name}=not ready"),
                    })
                }).collect::<PyResult<Vec<String>>>()?;
                Ok(format!(concat!(stringify!($name), "({})"), shown.join(", ")))
            }
        }
    };
}

lines!(
    /// Moving average convergence and divergence.
    Macd {
        /// The fast average less the slow one.
        macd: 0,
        /// The average of that difference.
        signal: 1,
        /// How far the difference is above its signal.
        histogram: 2
    }
);
lines!(
    /// Bollinger bands.
    Bollinger {
        /// The mean.
        middle: 0,
        /// Some deviations above it.
        upper: 1,
        /// As many below it.
        lower: 2
    }
);
lines!(
    /// A Donchian channel.
    Donchian {
        /// Half way between its ends.
        middle: 0,
        /// The highest high.
        upper: 1,
        /// The lowest low.
        lower: 2
    }
);
lines!(
    /// Wilder's directional movement.
    Adx {
        /// The average directional index, 0 to 100.
        adx: 0,
        /// The indicator of rises.
        plus_di: 1,
        /// The indicator of falls.
        minus_di: 2
    }
);
lines!(
    /// The stochastic oscillator.
    Stochastic {
        /// %K, 0 to 100.
        k: 0,
        /// %D, its mean.
        d: 1
    }
);

/// A period as the core takes it; it has a narrower range of its own.
fn whole(period: i64) -> PyResult<u32> {
    u32::try_from(period)
        .map_err(|_| PyValueError::new_err(format!("period {period} is out of range: it must be 1 to {PERIOD_MAX}")))
}

/// The number that stands on the other side.
fn number(other: &Bound<'_, PyAny>) -> PyResult<f64> {
    match other.cast::<Indicator>() {
        Ok(indicator) => indicator.get().read(other.py()),
        Err(_) => other.extract(),
    }
}

#[pymethods]
impl Indicator {
    /// Whether it has seen enough bars.
    #[getter]
    fn ready(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.cell.borrow_mut(py)?.series.reading(self.index).ready)
    }

    /// Its value; a ValueError before there is one.
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<f64> {
        self.read(py)
    }

    fn __float__(&self, py: Python<'_>) -> PyResult<f64> {
        self.read(py)
    }

    fn __richcmp__(&self, py: Python<'_>, other: &Bound<'_, PyAny>, operation: CompareOp) -> PyResult<bool> {
        let (left, right) = (self.read(py)?, number(other)?);
        Ok(match operation {
            CompareOp::Lt => left < right,
            CompareOp::Le => left <= right,
            CompareOp::Eq => left == right,
            CompareOp::Ne => left != right,
            CompareOp::Gt => left > right,
            CompareOp::Ge => left >= right,
        })
    }

    fn __hash__(&self) -> u64 {
        self.index as u64
    }

    fn __add__(&self, other: &Bound<'_, PyAny>) -> PyResult<f64> {
        Ok(self.read(other.py())? + number(other)?)
    }
    fn __radd__(&self, other: &Bound<'_, PyAny>) -> PyResult<f64> {
        Ok(number(other)? + self.read(other.py())?)
    }
    fn __sub__(&self, other: &Bound<'_, PyAny>) -> PyResult<f64> {
        Ok(self.read(other.py())? - number(other)?)
    }
    fn __rsub__(&self, other: &Bound<'_, PyAny>) -> PyResult<f64> {
        Ok(number(other)? - self.read(other.py())?)
    }
    fn __mul__(&self, other: &Bound<'_, PyAny>) -> PyResult<f64> {
        Ok(self.read(other.py())? * number(other)?)
    }
    fn __rmul__(&self, other: &Bound<'_, PyAny>) -> PyResult<f64> {
        Ok(number(other)? * self.read(other.py())?)
    }
    fn __truediv__(&self, other: &Bound<'_, PyAny>) -> PyResult<f64> {
        Ok(self.read(other.py())? / number(other)?)
    }
    fn __rtruediv__(&self, other: &Bound<'_, PyAny>) -> PyResult<f64> {
        Ok(number(other)? / self.read(other.py())?)
    }
    fn __neg__(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(-self.read(py)?)
    }
    fn __abs__(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.read(py)?.abs())
    }
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let engine = self.cell.borrow_mut(py)?;
        Ok(match engine.series.reading(self.index).value {
            Some(value) => format!("Indicator({value})"),
            None => "Indicator(not ready)".into(),
        })
    }
}
