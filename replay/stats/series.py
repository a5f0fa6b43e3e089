"""Series of numbers, whatever holds them, as numpy arrays of floats.

May not live here: what the numbers mean.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from replay.stats.value import Undefined

Floats = NDArray[np.float64]

Series: TypeAlias = Any
"""A list, numpy array, column of a `Table`, Arrow array (pyarrow, nanoarrow), pandas or polars series of numbers."""


def floats(values: Series) -> Floats:
    """Give a series as float64; what is absent (None, null, NA, NaN) is NaN.

    Decimals are rounded to the nearest float, durations become nanoseconds. Raises ValueError where it holds no numbers
    or has more than one dimension.
    """
    array = _array(values)
    if array.dtype.kind in "mM":
        absent = np.isnat(array)
        array = array.astype(f"{array.dtype.kind}8[ns]").astype(np.int64).astype(np.float64)
        array[absent] = np.nan
    if array.dtype.kind == "O":
        array = np.array([np.nan if _is_absent(value) else float(value) for value in array.ravel()])
    try:
        series = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"not a series of numbers: {array.dtype} ({error})") from error
    if series.ndim != 1:
        raise ValueError(f"a series has one dimension, and this has the shape {series.shape}")
    return series


def _array(values: Series) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "__arrow_c_stream__") and not hasattr(values, "__array__"):
        import nanoarrow as na

        return np.array(na.Array(values).to_pylist(), dtype=object)
    if hasattr(values, "__arrow_c_array__") and not hasattr(values, "__array__"):
        import nanoarrow as na

        return np.array(na.Array(values).to_pylist(), dtype=object)
    if not hasattr(values, "__array__") and not hasattr(values, "__len__"):
        values = list(values)
    return np.asarray(values)


def _is_absent(value: Any) -> bool:
    # pandas' NA is neither equal to itself nor a bool.
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def present(values: Series) -> Floats:
    """Give a series without what is absent."""
    series = floats(values)
    return series[~np.isnan(series)]


def some(values: Series, what: str = "returns", least: int = 1) -> Floats:
    """Give a series without what is absent; raise Undefined where fewer than `least` are left."""
    series = present(values)
    if len(series) < least:
        raise Undefined(f"no {what}" if least == 1 else f"fewer than {least} {what}")
    return series


def varied(values: Series, what: str = "returns", least: int = 2) -> Floats:
    """Give a series without what is absent; raise Undefined where it is too short or all its values are equal."""
    series = some(values, what, least)
    if np.all(series == series[0]):
        raise Undefined(f"all {what} are equal")
    return series


def ratio(numerator: float, denominator: float, reason: str) -> float:
    """Divide; raise Undefined with this reason where the denominator is 0."""
    if denominator == 0:
        raise Undefined(reason)
    return numerator / denominator


def standard_deviation(values: Series) -> float:
    """Give the sample's standard deviation, exactly 0 for equal values; raises Undefined below two."""
    series = some(values, least=2)
    return 0.0 if np.all(series == series[0]) else float(np.std(series, ddof=1))
