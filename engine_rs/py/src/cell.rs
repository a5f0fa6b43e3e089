//! The cell: the one engine of a run, shared by the objects that Python holds.
//! May not live here: what they do with it.

use std::cell::{RefCell, RefMut};
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use replay_core::engine::Engine;

/// The engine behind a run-time borrow check. Each access holds the interpreter lock, which `py` proves.
pub struct Cell {
    engine: RefCell<Engine>,
}

// SAFETY: every access goes through `borrow_mut`, which needs a `Python` token: on an interpreter with a global lock only
// one thread holds one at a time. While the engine runs without the lock (`Engine::run`), its borrow stays taken, so that
// any other thread gets an error instead of a reference.
unsafe impl Sync for Cell {}
unsafe impl Send for Cell {}

pub type Shared = Arc<Cell>;

impl Cell {
    pub fn new(engine: Engine) -> Shared {
        Arc::new(Cell {
            engine: RefCell::new(engine),
        })
    }

    #[inline]
    pub fn borrow_mut(&self, _py: Python<'_>) -> PyResult<RefMut<'_, Engine>> {
        self.engine
            .try_borrow_mut()
            .map_err(|_| PyRuntimeError::new_err("the engine is running: read it between two batches or in a handler"))
    }
}
