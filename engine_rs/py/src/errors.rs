//! Errors of the package, raised from here.
//! May not live here: when they are raised.

use pyo3::prelude::*;

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("replay.errors")?.getattr(name)
}

/// `HaltError(reason, message, remedy=...)`.
pub fn halt(py: Python<'_>, reason: &str, message: String, remedy: &str) -> PyErr {
    let made = class(py, "HaltError").and_then(|class| {
        let keywords = pyo3::types::PyDict::new(py);
        keywords.set_item("remedy", remedy)?;
        class.call((reason, message), Some(&keywords))
    });
    match made {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// `ConfigError(message, place=...)`.
pub fn config(py: Python<'_>, message: String, place: &str) -> PyErr {
    let made = class(py, "ConfigError").and_then(|class| {
        let keywords = pyo3::types::PyDict::new(py);
        keywords.set_item("place", place)?;
        class.call((message,), Some(&keywords))
    });
    match made {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// `StrategyError(strategy, handler, tape_seq, tick)` from the user's own exception.
pub fn strategy(py: Python<'_>, cause: PyErr, name: &str, handler: &str, tape_seq: u64, tick: String) -> PyErr {
    let message = cause.value(py).to_string();
    let kind = cause
        .get_type(py)
        .name()
        .map(|name| name.to_string())
        .unwrap_or_default();
    let made = class(py, "StrategyError")
        .and_then(|class| class.call1((name, handler, tape_seq, tick, format!("{kind}: {message}"))));
    match made {
        Ok(error) => {
            let error = PyErr::from_value(error);
            error.set_cause(py, Some(cause));
            error
        }
        Err(error) => error,
    }
}
