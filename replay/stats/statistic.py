"""The statistic: a short function with its name, unit, definition and source.

May not live here: any formula, and what a run is; a sample of its figures is sample.py's, its value value.py's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import cleandoc
from typing import Literal, ParamSpec

import numpy as np

from replay.stats.sample import Sample
from replay.stats.value import Undefined, Value

Unit = Literal["percent", "ratio", "money", "times", "count", "number", "duration", "bps"]
"""How a value is written: `percent` and `bps` are fractions, `duration` is nanoseconds, `money` in one currency."""

UNITS: Mapping[Unit, str] = {
    "percent": "fraction",
    "ratio": "ratio",
    "money": "account currency",
    "times": "multiple",
    "count": "count",
    "number": "number",
    "duration": "ns",
    "bps": "fraction, shown in basis points",
}
"""Each unit in words, as the documentation says it."""

Arguments = ParamSpec("Arguments")


@dataclass(frozen=True)
class Statistic:
    """One statistic: how it is called, what it is, where its formula is from, and the function that computes it."""

    name: str
    family: str
    """The module of replay.stats that it stands in: returns, risk, drawdown, ..."""
    unit: Unit
    inputs: tuple[str, ...]
    """The fields of a `Sample` that are the function's first arguments, in their order."""
    is_compounded: bool
    """Whether it rests on the annualised return, which a sample shorter than a month has not."""
    definition: str
    source: str
    function: Callable[..., float | None]
    """The public function: None where the statistic is undefined."""
    checked: Callable[..., float]
    """The same, raising `Undefined` with the reason."""

    def evaluate(self, sample: Sample) -> Value:
        """Compute it for a sample; a figure that the sample knows by other means is taken from there."""
        known = sample.known.get(self.name)
        if known is not None:
            return known
        missing = next((name for name in self.inputs if getattr(sample, name) is None), None)
        if missing is not None:
            return Value(None, sample.reason_of(missing))
        if self.is_compounded and sample.is_shorter_than_a_month:
            return Value(None, "shorter than a month")
        try:
            return Value(self.checked(*(getattr(sample, name) for name in self.inputs)))
        except Undefined as error:
            return Value(None, str(error))


STATISTICS: dict[str, Statistic] = {}
"""Every statistic by its name, family by family, in the order in which their modules define them."""


def statistic(
    unit: Unit, *inputs: str, is_compounded: bool = False
) -> Callable[[Callable[Arguments, float]], Callable[Arguments, float | None]]:
    """Register a function as the statistic of its name.

    Its docstring begins with the definition and ends with a line `Source: ...`. It raises `Undefined` where there is no
    value; callers get None instead, as for a result that is not a finite number.
    """

    def register(function: Callable[Arguments, float]) -> Callable[Arguments, float | None]:
        @wraps(function)
        def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> float:
            try:
                with np.errstate(all="ignore"):
                    value = function(*args, **kwargs)
            except (OverflowError, ZeroDivisionError):
                value = math.inf
            if not math.isfinite(value):
                raise Undefined("the figure is beyond a float")
            return value if isinstance(value, int) else float(value)

        @wraps(function)
        def public(*args: Arguments.args, **kwargs: Arguments.kwargs) -> float | None:
            try:
                return checked(*args, **kwargs)
            except Undefined:
                return None

        name = function.__name__
        definition, source = _read(name, function.__doc__ or "")
        family = function.__module__.rpartition(".")[2]
        assert name not in STATISTICS, f"two statistics are called {name}"
        STATISTICS[name] = Statistic(name, family, unit, inputs, is_compounded, definition, source, public, checked)
        return public

    return register


def _read(name: str, docstring: str) -> tuple[str, str]:
    """Take the definition (the first paragraph, without `Give`) and the source from a docstring."""
    text = cleandoc(docstring)
    source = re.search(r"^Source: (.+?)\Z", text, re.DOTALL | re.MULTILINE)
    assert source is not None, f"the docstring of {name} ends without a line Source: ..."
    first = " ".join(text.split("\n\n")[0].split())
    assert first.startswith("Give "), f"the docstring of {name} does not begin with Give"
    definition = first.removeprefix("Give ")
    is_formula = re.match(r"[a-z]+\(", definition) is not None
    return definition if is_formula else definition[0].upper() + definition[1:], " ".join(source[1].split())
