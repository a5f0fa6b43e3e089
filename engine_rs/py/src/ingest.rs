//! The decoders and the synthetic market as Python sees them.
//! May not live here: how anything is decoded (engine_rs/ingest).

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyTuple};
use replay_core::record::{Kind, Record};
use replay_ingest::layout::{Excess, InstrumentLayout, Layout};
use replay_ingest::synthetic::SyntheticSpec;
use replay_ingest::{
    binance, checksum, csv, frames, gunzip, ndjson, synthetic, write, Counters, IngestError, IngestErrorKind, Output,
};
use serde::de::DeserializeOwned;

/// (records as bytes, dead rows as (reason, line, column, raw)).
type Decoded<'py> = (Bound<'py, PyByteArray>, Bound<'py, PyList>);

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<CsvDecoder>()?;
    module.add_class::<NdjsonDecoder>()?;
    module.add_class::<BinanceDecoder>()?;
    module.add_class::<Gunzip>()?;
    module.add_class::<Synthetic>()?;
    module.add_function(wrap_pyfunction!(crc32, module)?)?;
    module.add_function(wrap_pyfunction!(frames_in_line, module)?)?;
    module.add_function(wrap_pyfunction!(records_to_csv, module)?)
}

/// Longer data are gone through without the interpreter's lock.
const UNLOCKED_BYTES: usize = 16 << 10;

/// The CRC-32 of `data`, as zlib.crc32 gives it.
#[pyfunction]
#[pyo3(signature = (data, value=0, /))]
fn crc32(py: Python<'_>, data: &Bound<'_, PyAny>, value: u32) -> PyResult<u32> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(checked(py, bytes.as_bytes(), value));
    }
    let buffer = PyBuffer::<u8>::get(data)?;
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err("the data must be contiguous bytes"));
    }
    if buffer.len_bytes() == 0 {
        return Ok(value);
    }
    // SAFETY: the buffer is contiguous and held until the end of the call.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
    Ok(checked(py, bytes, value))
}

/// The records of the first messages, as far as they are frames that follow one another: (frames, records, their bytes).
///
/// `messages`: the values of messages. The first frame must begin at `next_seq`, and all must be of the stream and the
/// table; their checksums are checked and their records copied without the interpreter's lock. The bytes may be longer
/// than the records.
#[pyfunction]
fn frames_in_line<'py>(
    py: Python<'py>,
    messages: &Bound<'py, PyList>,
    next_seq: u64,
    stream: u64,
    table_hash: &[u8],
) -> PyResult<(usize, usize, Bound<'py, PyBytes>)> {
    let values: Vec<Bound<'py, PyBytes>> = messages
        .iter()
        .map_while(|message| message.cast_into::<PyBytes>().ok())
        .collect();
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    let line = frames::Line {
        next_seq,
        stream,
        table_hash,
    };
    let places = frames::in_line(&values, line);
    let size: usize = places.iter().map(|place| place.len()).sum();
    // SAFETY: a new object of `size` bytes, or an error; nobody else knows of it until this function returns, and all that
    // is told of (`rows`) has been written by then.
    let (made, out) = unsafe {
        let made = pyo3::ffi::PyBytes_FromStringAndSize(std::ptr::null(), size as isize);
        let made = Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked::<PyBytes>();
        let start = pyo3::ffi::PyBytes_AsString(made.as_ptr()).cast::<u8>();
        (made, std::slice::from_raw_parts_mut(start, size))
    };
    let whole = py.detach(|| frames::copy_whole(&values, &places, out));
    let rows = places[..whole].iter().map(|place| place.len()).sum::<usize>() / size_of::<Record>();
    Ok((whole, rows, made))
}

fn checked(py: Python<'_>, data: &[u8], before: u32) -> u32 {
    if data.len() < UNLOCKED_BYTES {
        return checksum::crc32(data, before);
    }
    py.detach(|| checksum::crc32(data, before))
}

/// The errors of replay.errors: ConfigError for what was asked, DataError for what the data are.
fn raised(py: Python<'_>, error: IngestError) -> PyErr {
    let made = (|| {
        let errors = py.import("replay.errors")?;
        let keywords = PyDict::new(py);
        let optional = |text: String| (!text.is_empty()).then_some(text);
        keywords.set_item("place", optional(error.place))?;
        keywords.set_item("remedy", optional(error.remedy))?;
        let class = match error.kind {
            IngestErrorKind::Config => "ConfigError",
            IngestErrorKind::Data => {
                keywords.set_item("reason", error.reason)?;
                "DataError"
            }
        };
        errors.getattr(class)?.call((error.message,), Some(&keywords))
    })();
    match made {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

fn parsed<T: DeserializeOwned>(what: &str, json: &[u8]) -> PyResult<T> {
    serde_json::from_slice(json)
        .map_err(|error| pyo3::exceptions::PyValueError::new_err(format!("{what} is not as expected: {error}")))
}

fn decoded(py: Python<'_>, output: Output) -> PyResult<Decoded<'_>> {
    let dead = PyList::empty(py);
    for row in output.dead {
        let raw = PyBytes::new(py, &row.raw);
        let items = (row.reason.name(), row.line, row.column, raw).into_pyobject(py)?;
        dead.append::<Bound<'_, PyTuple>>(items)?;
    }
    Ok((PyByteArray::new(py, bytemuck::cast_slice(&output.records)), dead))
}

fn counted(py: Python<'_>, counters: Counters) -> PyResult<Bound<'_, PyDict>> {
    let counts = PyDict::new(py);
    counts.set_item("rows", counters.rows)?;
    counts.set_item("records", counters.records)?;
    counts.set_item("dead", counters.dead)?;
    counts.set_item("rounded", counters.rounded)?;
    for (what, count) in counters.ignored {
        counts.set_item(format!("ignored_{what}"), count)?;
    }
    Ok(counts)
}

/// The methods that all decoders share: bytes in, records and dead rows out, without the GIL.
macro_rules! decoder {
    ($class:ident, { $($own:item)* }) => {
        #[pymethods]
        impl $class {
            $($own)*

            /// Takes the next bytes; gives (records, dead rows) of the rows that they complete.
            fn feed<'py>(&mut self, py: Python<'py>, data: &[u8]) -> PyResult<Decoded<'py>> {
                if let Some(error) = self.stopped.take() {
                    return Err(raised(py, error));
                }
                let decoder = &mut self.decoder;
                let (output, result) = py.detach(|| {
                    let mut output = Output::default();
                    let result = decoder.feed(data, &mut output);
                    (output, result)
                });
                match result {
                    Err(error) if output == Output::default() => return Err(raised(py, error)),
                    // The rows before the one at fault come first; the error is raised by the next call.
                    Err(error) => self.stopped = Some(error),
                    Ok(()) => {}
                }
                decoded(py, output)
            }

            /// Takes the end of the stream; gives what its last row became.
            fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<Decoded<'py>> {
                if let Some(error) = self.stopped.take() {
                    return Err(raised(py, error));
                }
                let mut output = Output::default();
                self.decoder.finish(&mut output).map_err(|error| raised(py, error))?;
                decoded(py, output)
            }

            /// (bytes decoded, lines decoded).
            #[getter]
            fn position(&self) -> (u64, u64) {
                self.decoder.position()
            }

            /// Bytes of an unfinished row that are held back.
            #[getter]
            fn pending(&self) -> usize {
                self.decoder.pending()
            }

            /// Goes on at a position; counters start again.
            fn resume(&mut self, offset: u64, line: u64) {
                self.decoder.resume(offset, line);
            }

            fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                counted(py, self.decoder.counters())
            }
        }
    };
}

/// CSV to records.
#[pyclass(module = "replay._engine")]
pub struct CsvDecoder {
    decoder: csv::CsvDecoder,
    stopped: Option<IngestError>,
}

decoder!(CsvDecoder, {
    #[new]
    fn new(py: Python<'_>, layout: &[u8]) -> PyResult<CsvDecoder> {
        let layout: Layout = parsed("the layout", layout)?;
        let decoder = csv::CsvDecoder::new(layout).map_err(|error| raised(py, error))?;
        Ok(CsvDecoder { decoder, stopped: None })
    }

    /// The names of the columns, once the header was read.
    #[getter]
    fn columns(&self) -> Option<Vec<String>> {
        self.decoder.columns().map(<[String]>::to_vec)
    }
});

/// NDJSON to records.
#[pyclass(module = "replay._engine")]
pub struct NdjsonDecoder {
    decoder: ndjson::NdjsonDecoder,
    stopped: Option<IngestError>,
}

decoder!(NdjsonDecoder, {
    #[new]
    fn new(py: Python<'_>, layout: &[u8]) -> PyResult<NdjsonDecoder> {
        let layout: Layout = parsed("the layout", layout)?;
        let decoder = ndjson::NdjsonDecoder::new(&layout).map_err(|error| raised(py, error))?;
        Ok(NdjsonDecoder { decoder, stopped: None })
    }
});

/// Raw captures of Binance streams to records.
#[pyclass(module = "replay._engine")]
pub struct BinanceDecoder {
    decoder: binance::BinanceDecoder,
    stopped: Option<IngestError>,
}

decoder!(BinanceDecoder, {
    #[new]
    #[pyo3(signature = (instruments, round_excess_decimals = false, receive_offset_ns = 0))]
    fn new(instruments: &[u8], round_excess_decimals: bool, receive_offset_ns: i64) -> PyResult<BinanceDecoder> {
        let instruments: Vec<InstrumentLayout> = parsed("the instruments", instruments)?;
        let excess = if round_excess_decimals {
            Excess::Round
        } else {
            Excess::Error
        };
        let decoder = binance::BinanceDecoder::new(&instruments, excess, receive_offset_ns);
        Ok(BinanceDecoder { decoder, stopped: None })
    }
});

/// Gzip to bytes.
#[pyclass(module = "replay._engine")]
#[derive(Default)]
pub struct Gunzip {
    inflater: gunzip::Gunzip,
}

#[pymethods]
impl Gunzip {
    #[new]
    fn new() -> Gunzip {
        Gunzip::default()
    }

    /// Takes compressed bytes; gives how many inflated ones are there.
    fn feed(&mut self, py: Python<'_>, data: &[u8]) -> PyResult<usize> {
        let inflater = &mut self.inflater;
        py.detach(|| inflater.feed(data)).map_err(|error| raised(py, error))?;
        Ok(self.inflater.available())
    }

    /// Takes the end of the file; an error if it comes too soon.
    fn finish(&mut self, py: Python<'_>) -> PyResult<()> {
        self.inflater.finish().map_err(|error| raised(py, error))
    }

    /// Inflated bytes that were not taken.
    #[getter]
    fn available(&self) -> usize {
        self.inflater.available()
    }

    /// Gives the next inflated bytes, at most `size` of them.
    fn take<'py>(&mut self, py: Python<'py>, size: usize) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inflater.take(size))
    }
}

/// A market made from a seed.
#[pyclass(module = "replay._engine")]
pub struct Synthetic {
    market: synthetic::Synthetic,
}

#[pymethods]
impl Synthetic {
    #[new]
    fn new(py: Python<'_>, spec: &[u8]) -> PyResult<Synthetic> {
        let spec: SyntheticSpec = parsed("the market", spec)?;
        let market = synthetic::Synthetic::new(spec).map_err(|error| raised(py, error))?;
        Ok(Synthetic { market })
    }

    /// The next records as bytes.
    fn next<'py>(&mut self, py: Python<'py>, count: usize) -> Bound<'py, PyByteArray> {
        let market = &mut self.market;
        let records = py.detach(|| {
            let mut records: Vec<Record> = Vec::new();
            market.next(count, &mut records);
            records
        });
        PyByteArray::new(py, bytemuck::cast_slice(&records))
    }

    /// Makes records and drops them.
    fn skip(&mut self, py: Python<'_>, count: u64) {
        let market = &mut self.market;
        py.detach(|| market.skip(count));
    }

    /// Records made so far.
    #[getter]
    fn made(&self) -> u64 {
        self.market.made()
    }
}

/// The CSV rows of records of one kind, and with `header` the line above them.
#[pyfunction]
#[pyo3(signature = (records, kind, instruments, header = false))]
fn records_to_csv<'py>(
    py: Python<'py>,
    records: &[u8],
    kind: u8,
    instruments: &[u8],
    header: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let refuse = |message: &str| pyo3::exceptions::PyValueError::new_err(message.to_string());
    let kind = Kind::from_u8(kind).ok_or_else(|| refuse("there is no such kind of record"))?;
    let header_line = write::csv_header(kind).ok_or_else(|| refuse("records of this kind have no text form"))?;
    let records: Vec<Record> = bytemuck::allocation::pod_collect_to_vec(records);
    let instruments: Vec<InstrumentLayout> = parsed("the instruments", instruments)?;
    let mut out = Vec::new();
    if header {
        out.extend_from_slice(header_line.as_bytes());
    }
    write::csv_rows(&records, kind, &instruments, &mut out);
    Ok(PyBytes::new(py, &out))
}
