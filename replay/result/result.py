"""The result of a run: its statistics, digest and tables, in memory or in a run folder.

May not live here: what makes it as a run goes on (builder.py), how a statistic is computed (stats/).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay.errors import DataError, JournalError, UsageError, disk_remedy
from replay.result.projections import SCHEMAS
from replay.result.tables import Table, replace_file
from replay.showing import shower
from replay.stats.chart import thin
from replay.stats.summary import Summary, render, render_all

if TYPE_CHECKING:
    from replay.result.tape import TapeSource

RESULT_VERSION = 1
RESULT_FILE = "result.json"
EVENTS_FILE = "events.bin"

_CHART_POINTS = 2_048

Source = Path | IO[bytes] | Callable[[], Table]
"""Where a table is: a file, a stream in memory, or what makes it when it is asked for."""


class Result:
    """What a run came to.

    `stats` holds the statistics (fractions, account currency, ns); `fills`, `orders`, `positions`, `trades`, `equity`
    and `marks` are tables, read when first asked for. Printed, it shows the statistics; in a notebook, with a chart.
    """

    def __init__(self, document: Mapping[str, Any], sources: Mapping[str, Source]) -> None:
        """Take the object of result.json and, by name, where the tables and `events` are."""
        self.document: dict[str, Any] = dict(document)
        self._sources = dict(sources)
        self._tables: dict[str, Table] = {}
        self.tape: TapeSource | None = None
        """Opens the run's tape again, where the run was made in this process; a run folder knows its own."""

    # -- what it says

    @property
    def name(self) -> str:
        """Name of the run."""
        return str(self.document["name"])

    @property
    def stats(self) -> Summary:
        """The statistics in their order; None where one is undefined."""
        values: Summary = self.document["statistics"]
        return values

    @property
    def undefined(self) -> dict[str, str]:
        """Why statistics that are None have no value, by name."""
        return dict(self.document.get("undefined", {}))

    @property
    def digest(self) -> str:
        """SHA-256 over the event log: two runs are the same exactly if their digests are."""
        return str(self.document["digest"])

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped before the end of its tape."""
        return bool(self.document["interrupted"])

    @property
    def currency(self) -> str:
        """The account's currency: that of all money in `stats`."""
        return str(self.document["currency"])

    @property
    def counts(self) -> dict[str, Any]:
        """Counters of the engine, the sequencer and the feeds."""
        return dict(self.document["counts"])

    @property
    def timings(self) -> dict[str, float]:
        """Seconds of wall time by phase."""
        return dict(self.document["timings"])

    @property
    def open_orders(self) -> list[Any]:
        """Orders that were open when the run ended: the end of a tape decides nothing."""
        return list(self.document["state"].get("open_orders", []))

    @property
    def in_flight(self) -> list[Any]:
        """Commands that had not reached their venue when the run ended."""
        return list(self.document["state"].get("in_flight", []))

    @property
    def open_positions(self) -> list[Any]:
        """Positions held when the run ended."""
        return list(self.document["state"].get("positions", []))

    @property
    def balances(self) -> dict[str, Any]:
        """Balances of the account by currency when the run ended."""
        return dict(self.document["state"].get("balances", {}))

    # -- tables

    @property
    def fills(self) -> Table:
        """One row per fill."""
        return self.table("fills")

    @property
    def orders(self) -> Table:
        """One row per order, by order id."""
        return self.table("orders")

    @property
    def positions(self) -> Table:
        """One row per change of a position."""
        return self.table("positions")

    @property
    def trades(self) -> Table:
        """One row per round trip, in the order of their ends."""
        return self.table("trades")

    @property
    def equity(self) -> Table:
        """One row per equity point."""
        return self.table("equity")

    @property
    def marks(self) -> Table:
        """A thinned series of each instrument's mark."""
        return self.table("marks")

    def table(self, name: str) -> Table:
        """Give a table by its name; it is read once and kept."""
        if name not in self._tables:
            source = self._sources.get(name)
            if source is None or (isinstance(source, Path) and not source.exists()):
                place = str(self.folder) if self.folder else self.name
                raise DataError(f"the run has no {name} table", place=place)
            if callable(source):
                table = source()
            else:
                if not isinstance(source, Path):
                    source.seek(0)
                table = Table.read(name, SCHEMAS[name], source)
            if name == "orders":
                table = table.slice(np.argsort(table.integers("order_id"), kind="stable"))
            self._tables[name] = table
        return self._tables[name]

    @property
    def folder(self) -> Path | None:
        """The run folder, where there is one."""
        source = self._sources.get("fills")
        return source.parent if isinstance(source, Path) else None

    # -- keeping it

    @staticmethod
    def load(folder: str | Path) -> Result:
        """Read a run folder. Raises UsageError where it is none, DataError where result.json cannot be read."""
        path = Path(folder)
        file = path / RESULT_FILE
        if not file.is_file():
            raise UsageError(
                f"{path} is not a run folder: it has no {RESULT_FILE}", remedy="give the --out folder of a run"
            )
        try:
            document = msgspec.json.decode(file.read_bytes())
            found = document["result_version"]
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataError(
                f"not the result of a run: {error}", place=str(file), remedy="the file was cut or changed: run it again"
            ) from error
        except (KeyError, TypeError) as error:
            raise DataError(
                "not the result of a run: it has no result_version",
                place=str(file),
                remedy="give the --out folder of a run",
            ) from error
        if found != RESULT_VERSION:
            raise DataError(
                f"result_version is {found!r}, this version of replay reads {RESULT_VERSION}",
                place=str(file),
                remedy="run its config.toml again with this version, or install the version that made it",
            )
        return Result(document, folder_sources(path))

    def save(self, folder: str | Path) -> None:
        """Write result.json, the event log and the tables into a folder, made if need be."""
        path = Path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
            for name, target in folder_sources(path).items():
                source = self._sources.get(name)
                if isinstance(source, Path):
                    if source.exists() and not (target.exists() and source.samefile(target)):
                        shutil.copyfile(source, target)
                elif callable(source):
                    self.table(name).write(target)
                elif source is not None:
                    source.seek(0)
                    with open(target, "wb") as file:
                        shutil.copyfileobj(source, file)
        except OSError as error:
            raise JournalError(
                f"cannot write the run folder: {error.strerror or error}",
                place=str(path),
                remedy=disk_remedy(error, path),
            ) from error
        replace_file(path / RESULT_FILE, self.to_json(indent=2))

    def to_json(self, indent: int = 0) -> bytes:
        """Give the object of result.json as bytes, on one line unless `indent` says otherwise."""
        data = encode_document(self.document)
        return msgspec.json.format(data, indent=indent) + b"\n" if indent else data

    # -- showing it

    @overload
    def report(self, *, statistics: Literal["main", "all"] = "main", width: int | None = None) -> str: ...

    @overload
    def report(self, path: str | Path) -> Path: ...

    def report(
        self,
        path: str | Path | None = None,
        *,
        statistics: Literal["main", "all"] = "main",
        width: int | None = None,
    ) -> str | Path:
        """Write the report as one HTML file and give its path; without a path give the statistics as lines of text,
        the main ones, or all of them; in one column where two do not fit into `width` characters.

        The page has prices with entries and exits, equity, drawdown, returns by month and day, the round trips, costs
        and statistics. Raises UsageError where the extra `report` is not installed or the file cannot be written.
        """
        if path is not None:
            return shower().write_result_report(self, path)
        lines = [render(self.stats, self.currency, self._chart(), width)]
        if statistics == "all":
            lines.append(f"\n{render_all(self.stats, self.undefined)}")
        lines += [f"\n{note}" for note in self.notes()]
        if self.interrupted:
            lines.insert(0, "INTERRUPTED: a partial result\n")
        lines.append(f"\ndigest {self.digest}")
        return "\n".join(lines)

    def notes(self) -> list[str]:
        """Say which orders were refused or cut short, and which data did not go the ordinary way."""
        notes = []
        reasons = self._reasons()
        if reasons:
            notes.append(f"Refused or cut short: {', '.join(f'{name} {count:,}' for name, count in reasons.items())}")
        dead = self.counts.get("dead_letters", {})
        records = int(self.counts.get("records", 0))
        if any(dead.values()):
            listed = ", ".join(f"{reason} {count:,}" for reason, count in dead.items() if count)
            notes.append(f"Set aside {sum(dead.values()):,} of {records + sum(dead.values()):,} rows: {listed}")
        engine = self.counts.get("engine", {})
        if engine.get("late"):
            stale = f", {engine['stale']:,} of them too old to be applied" if engine.get("stale") else ""
            notes.append(
                f"Late: {engine['late']:,} of {records:,} records happened before one that stands earlier{stale}"
            )
        return notes

    def _reasons(self) -> dict[str, int]:
        """Give the reasons for which orders were refused or ended before they were filled, other than by request."""
        counted = self.counts.get("engine", {}).get("rejections", {})
        return {name: count for name, count in counted.items() if count and name != "requested"}

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw prices with fills, equity and drawdown; write the file `path` (png, svg, pdf) or give the figure.

        Raises UsageError where the extra `report` is not installed or the file cannot be written.
        """
        return shower().draw_result(self, path)

    def __repr__(self) -> str:
        return f"{self.name}\n{self.report()}"

    def _repr_html_(self) -> str:
        pieces = [f"<pre>{escape(self.report())}</pre>"]
        chart = self._chart()
        if len(chart) > 1:
            pieces.append(_svg(chart))
        return f"<div><strong>{escape(self.name)}</strong>{''.join(pieces)}</div>"

    def _chart(self) -> NDArray[np.float64]:
        try:
            return thin(self.equity["equity"], _CHART_POINTS)
        except DataError:
            return np.zeros(0)


def folder_sources(folder: Path) -> dict[str, Path]:
    """Give where a run folder has its tables and events."""
    return {**{name: folder / f"{name}.arrow" for name in SCHEMAS}, "events": folder / EVENTS_FILE}


def encode_document(document: Mapping[str, Any]) -> bytes:
    """Write the object of result.json on one line."""
    return msgspec.json.encode(document, enc_hook=_plain)


def _plain(value: Any) -> Any:
    """Turn what JSON has no form for into what it has: numpy numbers, and text for the rest (decimals, paths)."""
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


def _svg(values: NDArray[np.float64], width: int = 640, height: int = 120) -> str:
    """Draw the values as one line of an inline SVG image."""
    low, high = float(np.min(values)), float(np.max(values))
    across = np.linspace(0, width, len(values))
    down = height - (values - low) / ((high - low) or 1.0) * height
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across.tolist(), down.tolist(), strict=True))
    line = f"<polyline fill='none' stroke='currentColor' points='{points}'/>"
    return f"<svg viewBox='0 0 {width} {height}' width='{width}' height='{height}' role='img'>{line}</svg>"
