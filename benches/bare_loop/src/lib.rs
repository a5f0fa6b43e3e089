//! The limit of a Python-fronted engine: a loop over records that sets a reused view and calls a handler.
//! May not live here: orders, time, checks, or anything else that makes an engine of it.
//!
//! The views are made as those of `replay._engine` (atomic words behind a frozen class), so that a handler reads both at
//! the same price; what an engine adds to this loop is its own cost.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use pyo3::basic::CompareOp;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// As `replay_core::record::Record`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Record {
    ts_event: i64,
    ts_recv: i64,
    a: i64,
    b: i64,
    c: i64,
    d: i64,
    e: i64,
    instrument: u32,
    kind: u8,
    side: u8,
    flags: u16,
}

const _: () = assert!(std::mem::size_of::<Record>() == 64);

fn records_of(buffer: &PyBuffer<u8>) -> PyResult<&[Record]> {
    let address = buffer.buf_ptr().cast::<Record>();
    if !buffer.is_c_contiguous() || buffer.len_bytes() & 63 != 0 || !address.is_aligned() {
        return Err(PyValueError::new_err(
            "records must be contiguous, aligned and of 64 bytes",
        ));
    }
    // SAFETY: contiguous, aligned, whole records, any bits are a record, and the bench writes to no array that it handed over.
    Ok(unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes() / 64) })
}

#[derive(Default)]
struct Words {
    ts_event: AtomicI64,
    ts_recv: AtomicI64,
    fields: [AtomicI64; 5],
    price_unit: AtomicU64,
    size_unit: AtomicU64,
}

impl Words {
    fn new(price_unit: f64, size_unit: f64) -> Words {
        Words {
            price_unit: AtomicU64::new(price_unit.to_bits()),
            size_unit: AtomicU64::new(size_unit.to_bits()),
            ..Words::default()
        }
    }

    #[inline]
    fn set(&self, record: &Record) {
        self.ts_event.store(record.ts_event, Relaxed);
        self.ts_recv.store(record.ts_recv, Relaxed);
        let values = [record.a, record.b, record.c, record.d, record.e];
        for (word, value) in self.fields.iter().zip(values) {
            word.store(value, Relaxed);
        }
    }

    #[inline]
    fn price(&self, field: usize) -> f64 {
        self.fields[field].load(Relaxed) as f64 / f64::from_bits(self.price_unit.load(Relaxed))
    }

    #[inline]
    fn size(&self, field: usize) -> f64 {
        self.fields[field].load(Relaxed) as f64 / f64::from_bits(self.size_unit.load(Relaxed))
    }
}

#[pyclass(frozen)]
struct Quote {
    words: Words,
}

#[pymethods]
impl Quote {
    #[getter]
    fn bid(&self) -> f64 {
        self.words.price(0)
    }
    #[getter]
    fn ask(&self) -> f64 {
        self.words.price(1)
    }
    #[getter]
    fn bid_size(&self) -> f64 {
        self.words.size(2)
    }
    #[getter]
    fn ask_size(&self) -> f64 {
        self.words.size(3)
    }
    #[getter]
    fn ts_event(&self) -> i64 {
        self.words.ts_event.load(Relaxed)
    }
    #[getter]
    fn ts_recv(&self) -> i64 {
        self.words.ts_recv.load(Relaxed)
    }
}

#[pyclass(frozen)]
struct Bar {
    words: Words,
}

#[pymethods]
impl Bar {
    #[getter]
    fn open(&self) -> f64 {
        self.words.price(0)
    }
    #[getter]
    fn high(&self) -> f64 {
        self.words.price(1)
    }
    #[getter]
    fn low(&self) -> f64 {
        self.words.price(2)
    }
    #[getter]
    fn close(&self) -> f64 {
        self.words.price(3)
    }
    #[getter]
    fn volume(&self) -> f64 {
        self.words.size(4)
    }
    #[getter]
    fn end(&self) -> i64 {
        self.words.ts_event.load(Relaxed)
    }
}

/// A simple moving average of the closes that `bars` keeps, read as `replay`'s indicators are.
#[pyclass(frozen)]
struct Sma {
    period: usize,
    sum: AtomicI64,
    unit: f64,
    is_ready: AtomicBool,
}

impl Sma {
    #[inline]
    fn update(&self, records: &[Record], index: usize) {
        let oldest = if index >= self.period {
            records[index - self.period].d
        } else {
            0
        };
        self.sum
            .store(self.sum.load(Relaxed) + records[index].d - oldest, Relaxed);
        if index + 1 == self.period {
            self.is_ready.store(true, Relaxed);
        }
    }

    #[inline]
    fn read(&self) -> PyResult<f64> {
        if !self.is_ready.load(Relaxed) {
            return Err(PyValueError::new_err(
                "the indicator has no value yet: ask `.ready` first",
            ));
        }
        Ok(self.sum.load(Relaxed) as f64 / self.unit)
    }
}

fn number(other: &Bound<'_, PyAny>) -> PyResult<f64> {
    match other.cast::<Sma>() {
        Ok(sma) => sma.get().read(),
        Err(_) => other.extract(),
    }
}

#[pymethods]
impl Sma {
    #[new]
    fn new(period: usize, price_unit: f64) -> Sma {
        Sma {
            period,
            sum: AtomicI64::new(0),
            unit: period as f64 * price_unit,
            is_ready: AtomicBool::new(false),
        }
    }
    #[getter]
    fn ready(&self) -> bool {
        self.is_ready.load(Relaxed)
    }
    #[getter]
    fn value(&self) -> PyResult<f64> {
        self.read()
    }
    fn __richcmp__(&self, other: &Bound<'_, PyAny>, operation: CompareOp) -> PyResult<bool> {
        let (left, right) = (self.read()?, number(other)?);
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
        self.period as u64
    }
}

/// Calls `on_quote` with a reused view of each record.
#[pyfunction]
fn quotes(
    py: Python<'_>,
    records: &Bound<'_, PyAny>,
    on_quote: &Bound<'_, PyAny>,
    price_unit: f64,
    size_unit: f64,
) -> PyResult<()> {
    let buffer = PyBuffer::<u8>::get(records)?;
    let view = Py::new(
        py,
        Quote {
            words: Words::new(price_unit, size_unit),
        },
    )?;
    for record in records_of(&buffer)? {
        view.get().words.set(record);
        on_quote.call1((&view,))?;
    }
    Ok(())
}

/// Keeps the averages and calls `on_bar` with a reused view of each record.
#[pyfunction]
fn bars(
    py: Python<'_>,
    records: &Bound<'_, PyAny>,
    on_bar: &Bound<'_, PyAny>,
    averages: Vec<Py<Sma>>,
    price_unit: f64,
    size_unit: f64,
) -> PyResult<()> {
    let buffer = PyBuffer::<u8>::get(records)?;
    let view = Py::new(
        py,
        Bar {
            words: Words::new(price_unit, size_unit),
        },
    )?;
    let records = records_of(&buffer)?;
    for (index, record) in records.iter().enumerate() {
        for sma in &averages {
            sma.get().update(records, index);
        }
        view.get().words.set(record);
        on_bar.call1((&view,))?;
    }
    Ok(())
}

/// Calls `handler` with one argument `count` times, the same each time: the vectorcall and nothing else.
#[pyfunction]
fn calls(handler: &Bound<'_, PyAny>, argument: &Bound<'_, PyAny>, count: usize) -> PyResult<()> {
    for _ in 0..count {
        handler.call1((argument,))?;
    }
    Ok(())
}

#[pymodule]
mod bare_loop {
    #[pymodule_export]
    use super::{bars, calls, quotes, Bar, Quote, Sma};
}
