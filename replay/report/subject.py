"""The subject of a report: a run with its price series, found in a run folder, a session folder or a Result in memory.

May not live here: what a report shows of it, and how.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from replay.config import RunConfig, load, resolved, toml
from replay.errors import DataError, ReplayError, UsageError
from replay.report.prices import PriceCollector, PriceSeries, series_of_marks
from replay.rerun import tape_of_run, tape_of_session
from replay.result.projections import RunScales
from replay.result.result import RESULT_FILE, Result
from replay.result.tables import Table
from replay.result.tape import TapeAgain, TapeSource
from replay.session import SETUP_FILE, is_session, read_manifest, stored_config
from replay.units import format_time

RUN_CONFIG_FILE = "config.toml"
EVENTS_FOLDER = "events"


@dataclass(frozen=True)
class Subject:
    """A run to report on."""

    result: Result
    folder: Path | None
    """The run folder or the session folder; None for a run that was kept in memory."""
    configuration: str | None = None
    """The resolved run file, where it is kept."""
    tape: TapeSource | None = None
    notes: list[str] = field(default_factory=list)
    config: Callable[[], RunConfig] | None = None
    """Reads the configuration, where it is kept."""

    @property
    def name(self) -> str:
        """The run's folder, or its name where it has none."""
        return self.result.name if self.folder is None else str(self.folder)

    def resolved_configuration(self) -> str | None:
        """Give the configuration with absolute paths, as comparing needs it; as it is kept where it does not load."""
        if self.config is None:
            return self.configuration
        try:
            return resolved(self.config())
        except (ReplayError, OSError):
            return self.configuration

    @cached_property
    def prices(self) -> list[PriceSeries]:
        """The price series by instrument: of the whole tape where it can be read again, else of the sampled marks.

        Which of the two it is, and why, stands in `notes`.
        """
        try:
            return self._prices_of_tape()
        except (ReplayError, OSError) as error:
            reason = str(error).splitlines()[0]
        marks = self.optional("marks")
        if marks is None:
            self.notes.append(f"No prices: the run's data cannot be read again ({reason}), and it kept no marks.")
            return []
        self.notes.append(
            f"Prices are the {len(marks):,} marks that the run kept: its data cannot be read again ({reason})."
        )
        decimals = {row["symbol"]: int(row["price_decimals"]) for row in self.result.document["instruments"]}
        return series_of_marks(marks, decimals)

    def optional(self, name: str) -> Table | None:
        """Give a table of the run; None where it has none, or an empty one."""
        try:
            table = self.result.table(name)
        except DataError as error:
            if "has no" in error.message:
                return None
            raise
        return table if len(table) else None

    def _prices_of_tape(self) -> list[PriceSeries]:
        if self.tape is None:
            raise UsageError("it was made in memory, of a feed that is not kept")
        again = self.tape()
        wanted = int(self.result.counts.get("records", 0))
        scales = RunScales(again.setup, [int(row["ledger_scale"]) for row in self.result.document["currencies"]])
        collector = PriceCollector(scales)
        taken = 0
        for records in again.pieces:
            piece = records[: wanted - taken] if self.result.interrupted else records
            collector.add(piece)
            taken += len(piece)
            if self.result.interrupted and taken >= wanted:
                break
        if taken != wanted:
            raise UsageError(f"it took {wanted:,} records, and its feeds now have {taken:,}")
        series = collector.series()
        for one in series:
            if one.is_thinned:
                kind = "bars were joined" if one.is_bars else "each stretch has its extremes"
                self.notes.append(f"{one.symbol}: {len(one):,} points of {one.records:,} records; {kind}.")
        return series


def find_subject(path: str | Path) -> Subject:
    """Find the run in a folder. Raises UsageError where there is none, DataError where it cannot be read."""
    folder = Path(path)
    if not folder.exists():
        raise UsageError(
            f"there is no folder {str(folder)!r}", remedy="name the --out folder of a run, or a session folder"
        )
    if is_session(folder):
        return _session_subject(folder)
    if folder.name == EVENTS_FOLDER and is_session(folder.parent):
        return _session_subject(folder.parent)
    return subject_of(Result.load(folder))


def subject_of(result: Result) -> Subject:
    """Make the subject of a result, loaded or fresh from its run."""
    folder = result.folder
    if folder is None:
        return Subject(result, None, None, result.tape)
    if folder.name == EVENTS_FOLDER and is_session(folder.parent):
        return _session_subject(folder.parent, result)
    file = folder / RUN_CONFIG_FILE
    tape = result.tape or partial(_run_tape, folder)
    return Subject(result, folder, _text(file), tape, config=partial(load, file) if file.is_file() else None)


def _session_subject(folder: Path, result: Result | None = None) -> Subject:
    manifest = read_manifest(folder)
    events = folder / EVENTS_FOLDER
    if not (events / RESULT_FILE).is_file():
        raise UsageError(
            f"the session {folder} has no result yet: it is running, or it was killed",
            remedy=f"end it with `replay ctl {folder} stop`, or start it again and stop it in order",
        )
    loaded = result or Result.load(events)
    notes = [f"Paper session {manifest.id}, made {format_time(manifest.created_ns)}."]
    return Subject(
        loaded,
        folder,
        toml.dump(manifest.config),
        partial(_session_tape, folder),
        notes,
        partial(stored_config, folder),
    )


def _session_tape(folder: Path) -> TapeAgain:
    if not (folder / SETUP_FILE).is_file():
        raise UsageError(f"the session lacks its {SETUP_FILE}")
    return tape_of_session(folder)


def _run_tape(folder: Path) -> TapeAgain:
    if not (folder / RUN_CONFIG_FILE).is_file():
        raise UsageError(f"the folder lacks its {RUN_CONFIG_FILE}")
    return tape_of_run(load(folder / RUN_CONFIG_FILE))


def _text(file: Path) -> str | None:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
