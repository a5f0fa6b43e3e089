"""The comparison of two runs: what differs in their configuration, statistics, equity and events.

May not live here: how event logs are compared (verify.py), and HTML.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from replay.errors import ReplayError
from replay.report.calendar import daily_returns
from replay.report.document import Document, add_equity, currency_decimals
from replay.report.statistics import MAIN, label_of, text_of, unit_of
from replay.report.subject import Subject
from replay.stats.benchmark import correlation
from replay.stats.chart import terminal_chart
from replay.stats.statistic import STATISTICS
from replay.stats.text import show
from replay.verify import Outcome, verify

_SIDES = ("A", "B")
_CHART_WIDTH = 60
_CHART_HEIGHT = 4
_VALUE_WIDTH_MAX = 36


@dataclass(frozen=True)
class Changed:
    """A key of the run file that differs; None on the side that has not got it."""

    key: str
    first: str | None
    second: str | None


@dataclass(frozen=True)
class StatisticPair:
    """One statistic of both runs, in words; `difference` is the second's less the first's, '' where there is none."""

    key: str
    label: str
    first: str
    second: str
    difference: str


class Comparison:
    """Two runs side by side; printed, it is what `replay compare` says."""

    def __init__(self, first: Subject, second: Subject) -> None:
        """Take two runs; nothing of them is read before it is asked for."""
        self.first = first
        self.second = second

    @property
    def subjects(self) -> tuple[Subject, Subject]:
        """Both runs."""
        return self.first, self.second

    def configuration(self) -> list[Changed]:
        """Give the keys of the run files whose values differ, in their order; parameters of strategies among them."""
        left, right = (_flat(subject.resolved_configuration()) for subject in self.subjects)
        keys = dict.fromkeys([*left, *right])
        return [Changed(key, left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)]

    def statistics(self, which: Literal["main", "all"] = "main") -> list[StatisticPair]:
        """Give the main statistics, or all, that either of the runs has."""
        left, right = (subject.result.stats for subject in self.subjects)
        currencies = [subject.result.currency for subject in self.subjects]
        names = MAIN if which == "main" else tuple(dict.fromkeys([*MAIN, *STATISTICS]))
        pairs = []
        for name in names:
            if name not in left and name not in right:
                continue
            values = left.get(name), right.get(name)
            texts = text_of(name, values[0], currencies[0]), text_of(name, values[1], currencies[1])
            is_money = unit_of(name) == "money" and currencies[0] != currencies[1]
            difference = "" if is_money else _difference(*values, unit_of(name))
            pairs.append(StatisticPair(name, label_of(name), texts[0], texts[1], difference))
        return pairs

    def correlation(self) -> float | None:
        """Give the correlation of the returns of the days that both runs have; None where there is none."""
        series = []
        for subject in self.subjects:
            equity, stats = subject.optional("equity"), subject.result.stats
            start = stats.get("start_equity")
            if equity is None or start is None:
                return None
            first_ns = stats.get("start_ns")
            returns = daily_returns(equity, float(start), None if first_ns is None else int(first_ns))
            series.append(dict(zip(returns.period.tolist(), returns.value.tolist(), strict=True)))
        shared = [day for day in series[0] if day in series[1]]
        return correlation(*(np.array([one[day] for day in shared], dtype=np.float64) for one in series))

    def events(self) -> Outcome | str:
        """Compare the event logs byte by byte; give the reason as text where one is not there."""
        folders = [subject.folder for subject in self.subjects]
        if folders[0] is None or folders[1] is None:
            return "Events: one of the runs was kept in memory; save it to compare its events."
        try:
            return verify(folders[0], folders[1])
        except ReplayError as error:
            return f"Events: {str(error).splitlines()[0]}"

    def render(self, which: Literal["main", "all"] = "main") -> str:
        """Give the comparison as lines for a terminal."""
        lines = [
            f"{side}  {subject.name}  digest {subject.result.digest[:16]}"
            for side, subject in zip(_SIDES, self.subjects, strict=True)
        ]
        changed = self.configuration()
        if all(subject.configuration is not None for subject in self.subjects):
            lines += ["", "Configuration that differs" if changed else "The configurations are the same"]
            lines += _table([(f"  {one.key}", _short(one.first), _short(one.second)) for one in changed])
        rows = [(f"  {one.label}", one.first, one.second, one.difference) for one in self.statistics(which)]
        lines += ["", *_table([("Statistics", "A", "B", "B - A"), *rows])]
        related = self.correlation()
        if related is not None:
            lines += ["", f"Correlation of their daily returns {related:.3f}"]
        for side, subject in zip(_SIDES, self.subjects, strict=True):
            equity = _equity(subject)
            if len(equity) > 1:
                labels = [show(float(extreme), "money") for extreme in (np.max(equity), np.min(equity))]
                lines += ["", f"Equity of {side}", terminal_chart(equity, _CHART_WIDTH, _CHART_HEIGHT, labels)]
        outcome = self.events()
        lines += ["", outcome if isinstance(outcome, str) else f"Events: {outcome}"]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render()

    def document(self) -> Document:
        """Give what the page of a comparison shows."""
        document = Document(head={"tables": {}})
        outcome = self.events()
        related = self.correlation()
        document.head |= {
            "sides": [self._side(document, side, subject) for side, subject in zip("ab", self.subjects, strict=True)],
            "changed": [[one.key, one.first, one.second] for one in self.configuration()],
            "has_configurations": all(subject.configuration is not None for subject in self.subjects),
            "statistics": [
                [one.key, one.label, one.first, one.second, one.difference] for one in self.statistics("all")
            ],
            "main": len(self.statistics()),
            "correlation": None if related is None else f"{related:.3f}",
            "events": str(outcome),
            "equal": isinstance(outcome, Outcome) and outcome.equal,
        }
        return document

    def _side(self, document: Document, side: str, subject: Subject) -> dict[str, Any]:
        result, equity = subject.result, subject.optional("equity")
        if equity is not None:
            add_equity(document, equity, currency_decimals(result.document, result.currency), side)
        return {
            "name": subject.name,
            "digest": result.digest,
            "currency": result.currency,
            "interrupted": result.interrupted,
            "start_equity": result.stats.get("start_equity"),
        }


def _flat(configuration: str | None) -> dict[str, str]:
    """Give every value of a run file by its dotted key; entries of lists by their names where they have some."""
    if configuration is None:
        return {}
    return dict(_leaves(tomllib.loads(configuration), ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}.{item.get('symbol', item.get('name', index))}")
    else:
        yield path, value if isinstance(value, str) else repr(value)


def _difference(first: float | None, second: float | None, unit: str) -> str:
    if first is None or second is None:
        return ""
    text = show(abs(second - first), unit)
    if not any(digit in text for digit in "123456789"):
        return text  # less than can be seen
    return f"{'+' if second > first else '-'}{text}"


def _equity(subject: Subject) -> NDArray[np.float64]:
    equity = subject.optional("equity")
    return np.zeros(0) if equity is None else equity["equity"]


def _short(value: str | None) -> str:
    if value is None:
        return "-"
    return value if len(value) <= _VALUE_WIDTH_MAX else f"{value[: _VALUE_WIDTH_MAX - 3]}..."


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Put cells under each other: the first column to the left, the others to the right."""
    if not rows:
        return []
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("   ".join([f"{row[0]:<{widths[0]}}", *cells]).rstrip())
    return lines
