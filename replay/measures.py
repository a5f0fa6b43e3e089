"""Measures: what a feed, a sink, a journal or a session tells the metrics, without knowing any metrics library.

May not live here: their text form, and any counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol


class Distribution(Protocol):
    """A histogram as `replay.pipeline.histogram.Histogram` keeps it."""

    total: float

    def cumulative(self) -> list[tuple[str, float]]:
        """Give (upper bound as text, observations up to it), the last one +Inf."""


class Measure(NamedTuple):
    """One series at one moment: its name with unit as Prometheus wants it, without `_total`."""

    name: str
    help: str
    value: float | Distribution
    kind: Literal["counter", "gauge", "histogram"] = "gauge"
    labels: Mapping[str, str] = {}


class Measured(Protocol):
    """Whatever has measures; reading them must be cheap, and safe from the thread of the run."""

    def measures(self) -> Iterable[Measure]:
        """Give all series as they are now; the same names and labels keys each time."""


def told_apart(parts: Sequence[Iterable[Measure]], label: str) -> Iterator[Measure]:
    """Chain the measures of several parts; a name of which two parts have the same series gets one more label.

    The label's value is the number of the part. All series of such a name get it, so that their keys stay alike.
    """
    found = [(number, measure) for number, part in enumerate(parts) for measure in part]
    owner: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    clashing: set[str] = set()
    for number, measure in found:
        series = (measure.name, tuple(sorted(measure.labels.items())))
        if owner.setdefault(series, number) != number:
            clashing.add(measure.name)
    for number, measure in found:
        if measure.name in clashing:
            yield measure._replace(labels={**measure.labels, label: str(number)})
        else:
            yield measure
