//! Series and indicators as a strategy sees them: handles that read the engine, and act as numbers.
//! May not live here: how they are reckoned (core).

use std::sync::Arc;

use pyo3::basic::CompareOp;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use replay_core::indicators::{Divisor, FirstRange, Seed, Spec, Start, PERIOD_MAX};

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
