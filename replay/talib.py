"""TA-Lib's functions on the last bars: the long tail that the engine does not keep. Needs the extra `talib`.

May not live here: indicators of our own; those are the engine's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from replay.errors import UsageError, choose

__all__ = ["latest"]


def latest(name: str, /, *inputs: Iterable[float], **parameters: float) -> float | tuple[float, ...] | None:
    """Give the last value of a TA-Lib function, a tuple where it has several outputs, None while it has none.

    name: TA-Lib's own ("CCI", "KAMA", "CDLHAMMER").
    inputs: its input series in its order, oldest first; lists, deques or arrays of equal length.
    parameters: its own ("timeperiod").

    A function with memory (EMA, KAMA) depends on how much past it is given: keep some ten times its period. Raises
    UsageError for an unknown function, wrong inputs or parameters, and where TA-Lib is not installed.
    """
    try:
        import talib
    except ImportError:
        raise UsageError("TA-Lib is not installed", remedy="pip install 'tickreplay[talib]'") from None
    functions = talib.__dict__["__TA_FUNCTION_NAMES__"]
    if name not in functions:
        raise UsageError(f"TA-Lib has no function {name!r}", remedy=choose(name, functions))
    function = getattr(talib, name)
    arrays = [np.fromiter(series, dtype=np.float64) for series in inputs]
    if arrays and min(len(array) for array in arrays) == 0:
        return None
    try:
        outputs: Any = function(*arrays, **parameters)
    except Exception as error:  # noqa: BLE001 (TA-Lib raises plain Exception for wrong input)
        raise UsageError(f"TA-Lib's {name} refuses this: {error}", remedy=_signature(name)) from None
    last = [float(output[-1]) for output in (outputs if isinstance(outputs, tuple) else (outputs,))]
    if any(np.isnan(value) for value in last):
        return None
    return tuple(last) if isinstance(outputs, tuple) else last[0]


def _signature(name: str) -> str:
    from talib import abstract

    info: dict[str, Any] = getattr(abstract, name).info
    inputs = [part for names in info["input_names"].values() for part in ([names] if isinstance(names, str) else names)]
    parameters = ", ".join(f"{key}={value}" for key, value in info["parameters"].items())
    return f"it takes {', '.join(inputs)}" + (f" and {parameters}" if parameters else "")
