//! The sequencer as Python sees it.
//! May not live here: its checks (core).

use std::sync::Arc;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict};
use replay_core::duration;
use replay_core::record::Record;
use replay_core::sequencer::{self, FAULTS};
use replay_core::setup::Setup;

use crate::engine::{parse_setup, records_of};
use crate::errors;

/// The admitted records as bytes, and the quarantined rows with their reasons.
type Admitted<'py> = (Bound<'py, PyAny>, Vec<(usize, &'static str)>);

/// Longer batches are gone through without the interpreter's lock.
const UNLOCKED_ROWS: usize = 1_024;

/// Decides which records are on the tape: checks, raises, quarantines and counts.
#[pyclass(module = "replay._engine")]
pub struct Sequencer {
    core: sequencer::Sequencer,
    setup: Arc<Setup>,
}

#[pymethods]
impl Sequencer {
    #[new]
    fn new(py: Python<'_>, setup: &[u8]) -> PyResult<Sequencer> {
        let setup = Arc::new(parse_setup(py, setup)?);
        Ok(Sequencer {
            core: sequencer::Sequencer::new(Arc::clone(&setup)),
            setup,
        })
    }

    /// Gives (admitted records as bytes: the same object where nothing changed, quarantined rows with their reasons).
    fn admit<'py>(&mut self, py: Python<'py>, batch: &Bound<'py, PyAny>) -> PyResult<Admitted<'py>> {
        let buffer = PyBuffer::<u8>::get(batch)?;
        let records = records_of(py, &buffer)?;
        let core = &mut self.core;
        let verdict = match records.len() {
            0..UNLOCKED_ROWS => core.admit(records),
            _ => py.detach(|| core.admit(records)),
        };
        if let Some((row, fault)) = verdict.halted {
            let error = self.halted(py, row, fault.name(), &records[row]);
            // What stood before that row was admitted: the shell takes it before it stops.
            let admitted = verdict.changed.unwrap_or_default();
            let quarantined: Vec<(usize, &str)> = verdict
                .rejected
                .iter()
                .map(|(row, fault)| (*row, fault.name()))
                .collect();
            error.value(py).setattr("row", row)?;
            error
                .value(py)
                .setattr("admitted", PyByteArray::new(py, bytemuck::cast_slice(&admitted)))?;
            error.value(py).setattr("quarantined", quarantined)?;
            return Err(error);
        }
        let admitted = match verdict.changed {
            None => batch.clone(),
            Some(changed) => PyByteArray::new(py, bytemuck::cast_slice(&changed)).into_any(),
        };
        Ok((
            admitted,
            verdict
                .rejected
                .into_iter()
                .map(|(row, fault)| (row, fault.name()))
                .collect(),
        ))
    }

    /// The whole state, as bytes that a sequencer of the same build and setup restores.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = postcard::to_allocvec(&self.core).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Puts a snapshot in the place of this sequencer. Raises ValueError where the bytes are none.
    fn restore(&mut self, state: &[u8]) -> PyResult<()> {
        let mut core: sequencer::Sequencer = postcard::from_bytes(state)
            .map_err(|error| PyValueError::new_err(format!("these bytes are no snapshot of a sequencer: {error}")))?;
        // As after a journal that is run from its start, which holds neither what was raised nor what was left out.
        core.raised = 0;
        core.faults = Default::default();
        self.core = core;
        Ok(())
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = PyDict::new(py);
        counters.set_item("admitted", self.core.admitted)?;
        counters.set_item("raised", self.core.raised)?;
        counters.set_item("late", self.core.late)?;
        counters.set_item("crossed", self.core.crossed)?;
        for (fault, name) in FAULTS {
            counters.set_item(format!("quarantined_{name}"), self.core.faults[fault as usize])?;
        }
        Ok(counters)
    }
}

impl Sequencer {
    fn halted(&self, py: Python<'_>, row: usize, reason: &str, record: &Record) -> PyErr {
        let symbol = self
            .setup
            .instruments
            .get(record.instrument as usize)
            .map_or("?", |one| one.symbol.as_str());
        let place = format!("record {} ({symbol}), row {row} of its batch", self.core.admitted);
        let (message, remedy) = match reason {
            "gap" => (
                format!(
                    "{place}: ts_event {} is more than {} after the record before it",
                    record.ts_event,
                    duration::format(self.setup.max_gap)
                ),
                "check the unit of the time column; or set run.max_gap, or run.gap = \"accept\"",
            ),
            "implausible_time" => (
                format!(
                    "{place}: ts_event {} lies before {}",
                    record.ts_event, self.setup.plausible_from
                ),
                "check the unit of the time column (s, ms, us, ns)",
            ),
            "ahead" => (
                format!(
                    "{place}: ts_event {} is more than {} ahead of ts_recv {}",
                    record.ts_event,
                    duration::format(self.setup.max_ahead),
                    record.ts_recv
                ),
                "set the feed's clock_offset, run.max_ahead, or run.leap = \"accept\"",
            ),
            _ => (
                format!(
                    "{place}: ts_event {} is earlier than a record before it",
                    record.ts_event
                ),
                "set run.late = \"accept\" or \"quarantine\"",
            ),
        };
        errors::halt(py, reason, message, remedy)
    }
}
