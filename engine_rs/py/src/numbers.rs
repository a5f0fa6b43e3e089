//! Numbers from Python to raw integers, exactly.
//! May not live here: checks against a grid (the core makes them).

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyString};
use replay_core::arith::pow10;
use replay_core::decimal;

/// An int, float, Decimal or decimal text as a raw integer on a scale.
///
/// A float stands for its shortest decimal form; what that form or a Decimal has beyond the scale is an error.
pub fn to_raw(value: &Bound<'_, PyAny>, decimals: u32, what: &str, symbol: &str) -> PyResult<i64> {
    if let Ok(float) = value.cast::<PyFloat>() {
        return from_float(float.value(), decimals, what, symbol);
    }
    if value.is_instance_of::<PyInt>() {
        let too_large = || PyValueError::new_err(format!("{what} {value} is too large ({symbol})"));
        let number: i64 = value.extract().map_err(|_| too_large())?;
        return i64::try_from(number as i128 * pow10(decimals)).map_err(|_| too_large());
    }
    let text: String = if let Ok(text) = value.cast::<PyString>() {
        text.to_string()
    } else if value.get_type().name()? == "Decimal" {
        value.call_method1("__format__", ("f",))?.extract()?
    } else if let Ok(float) = value.extract::<f64>() {
        return from_float(float, decimals, what, symbol);
    } else {
        return Err(PyTypeError::new_err(format!(
            "{what} must be a number, not {}",
            value.get_type().name()?
        )));
    };
    decimal::parse(&text, decimals).map_err(|error| refused(&text, decimals, what, symbol, error))
}

fn from_float(value: f64, decimals: u32, what: &str, symbol: &str) -> PyResult<i64> {
    // A raw number of at most 15 digits that divides back to the same float is that float's shortest form.
    let unit = pow10(decimals) as f64;
    let raw = (value * unit).round();
    if raw.abs() < 1e15 && raw / unit == value {
        return Ok(raw as i64);
    }
    decimal::from_f64_shortest(value, decimals)
        .map_err(|error| refused(&value.to_string(), decimals, what, symbol, error))
}

fn refused(value: &str, decimals: u32, what: &str, symbol: &str, error: decimal::DecimalError) -> PyErr {
    let remedy = match error {
        decimal::DecimalError::ExcessDecimals => format!(" ({symbol} has {decimals}): round it to the grid first"),
        _ => format!(" ({symbol})"),
    };
    PyValueError::new_err(format!("{what} {value}: {error}{remedy}"))
}

pub fn optional_raw(value: Option<&Bound<'_, PyAny>>, decimals: u32, what: &str, symbol: &str) -> PyResult<i64> {
    match value {
        Some(value) => to_raw(value, decimals, what, symbol),
        None => Ok(replay_core::event::ABSENT),
    }
}
