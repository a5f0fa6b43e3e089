"""kill -9 at each named point: before, in the midst of and after every operation of the disk and of a sink.

May not live here: names of points; they are those that a recorded run passes, so that new files are covered.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from modes.market import SETTINGS

from replay.pipeline.snapshot_file import KEPT, SnapshotUnusable, read_snapshot, snapshot_paths

from .forks import forked
from .proof import Figures, Proof, check
from .watched import KillAt, Recorder, WatchedDisk
from .world import Point, Undisturbed, World, home, judge, run_session

TORN = ("journal/#.journal write half", "events/events.bin write half")
"""Where a session was killed once already before it is started again and killed at the point."""

ATTEMPTS_MAX = 10
"""How often a crash is repeated until the start after it passes a point."""


class KillPoints(Proof):
    """A cycle is one point of one start: the first start of a session, or one after a crash that left torn files."""

    name = "kill-points"
    holds = "killed at each named point of the journal, commit, snapshot and sink path, a session goes on unchanged"
    cycles = 0
    small = 0
    rows = 200
    settings: ClassVar[dict[str, Any] | None] = None

    def prepare(self, scratch: Path) -> None:
        self._world = World(scratch / "rows.csv", self.rows)
        self._world.write(seed=6)
        folder = home(scratch / "undisturbed")
        first = self._record(folder, scratch)
        self._expected = Undisturbed.of(folder)
        self._first = first
        self.points = [("", name, count) for name, count in sorted(first.items())]
        for number, torn in enumerate(TORN):
            again = home(scratch / f"again{number}")
            self._tear(again, torn, scratch)
            self.points += [(torn, name, count) for name, count in sorted(self._record(again, scratch).items())]
        # First each name once, for the small form; then each in every kind of start, and in the middle of a run.
        found = {name: (torn, name, 1) for torn, name, _ in reversed(self.points)}
        first_passings = [(torn, name, 1) for torn, name, _ in self.points if found[name] != (torn, name, 1)]
        often = [(torn, name, 1 + count // 2) for torn, name, count in self.points if count > 1]
        self.small = len(found)
        self.points = [*found.values(), *first_passings, *often]
        self.cycles = len(self.points)

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        torn, name, occurrence = self.points[number % len(self.points)]
        # A commit runs beside the loop: how much of it a crash leaves differs from time to time, and so what the next
        # start has to mend. A point may then be passed less often than it was when recorded, or not at all.
        for attempt in range(ATTEMPTS_MAX):
            folder = home(scratch / str(attempt))
            if torn:
                self._tear(folder, torn, scratch)
            end = forked(partial(self._run, folder, KillAt(occurrence, name)), scratch / "printed.txt")
            if not end.killed:
                end.result()
            if end.killed or occurrence > 1:
                break
        check(end.killed or occurrence > 1, "the point was not passed")
        forked(lambda: self._run(folder), scratch / "printed.txt").result()
        events = judge(self._world, folder, self._expected)
        return {"point": name, "occurrence": occurrence, "after": torn, "kills": int(end.killed), "events": events}

    def _run(self, folder: Path, point: Point | None = None) -> str:
        watch = point or Recorder()
        feed, dice = self._world.feed(), random.Random(2)
        disk = WatchedDisk(watch)
        return run_session(
            folder,
            feed,
            dice,
            disk=disk,
            point=watch,
            settings=self.settings,
            segment_bytes=9_000,
            commit_every_ns=0,
        )

    def _record(self, folder: Path, scratch: Path) -> dict[str, int]:
        def run() -> dict[str, int]:
            recorder = Recorder()
            self._run(folder, recorder)
            return dict(recorder.counts)

        counts: dict[str, int] = forked(run, scratch / "printed.txt").result()
        return counts

    def _tear(self, folder: Path, torn: str, scratch: Path) -> None:
        middle = max(1, self._first[torn] // 2)
        forked(lambda: self._run(folder, KillAt(middle, torn)), scratch / "printed.txt")


class SnapshotPoints(KillPoints):
    """A cycle is one passing of one point of the snapshot path, while records come in: the second, the fourth, ...

    Snapshots are written by a thread of their own, so that what the journal and the sinks have by then is anything.
    """

    name = "snapshot-points"
    holds = "killed at each named point of a snapshot that is written, a session goes on unchanged, from what is whole"
    rows = 600
    settings: ClassVar[dict[str, Any]] = {
        **SETTINGS,
        "session_options": {"snapshot_records": 50, "snapshot_every": "0s"},
    }
    passings = (1, 2, 4)

    def prepare(self, scratch: Path) -> None:
        self._world = World(scratch / "rows.csv", self.rows)
        self._world.write(seed=8)
        folder = home(scratch / "undisturbed")
        recorded = self._record(folder, scratch)
        self._expected = Undisturbed.of(folder)
        self._first = recorded
        names = sorted(name for name in recorded if name.startswith("snapshots/") or _is_for_a_snapshot(name))
        check(len({name.rpartition(" ")[0] for name in names if "#.snapshot" in name}) >= 4, f"points: {names}")
        # The last of them a slow thread may not come to; how often a point was passed differs from run to run.
        self.points = [("", name, passing) for passing in self.passings for name in names]
        self.small, self.cycles = len(names), len(self.points)

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        _, name, occurrence = self.points[number % len(self.points)]
        folder = home(scratch)
        end = forked(lambda: self._run(folder, KillAt(occurrence, name)), scratch / "printed.txt")
        if not end.killed:
            end.result()
        whole = torn = 0
        for path in snapshot_paths(folder / "snapshots"):
            try:
                read_snapshot(path)
                whole += 1
            except SnapshotUnusable:
                torn += 1
        check(not torn, f"{torn} snapshots have a name and are not whole")
        forked(lambda: self._run(folder), scratch / "printed.txt").result()
        events = judge(self._world, folder, self._expected)
        # What the kill left over goes with the next snapshot; after the last row there may be none.
        left = len(list((folder / "snapshots").glob("*.part")))
        kept = len(snapshot_paths(folder / "snapshots"))
        check(left <= 1 and 0 < kept <= KEPT + 1, f"{kept} snapshots and {left} unfinished ones")
        return {
            "point": name,
            "occurrence": occurrence,
            "kills": int(end.killed),
            "snapshots_found": whole,
            "events": events,
        }


def _is_for_a_snapshot(name: str) -> bool:
    """Say whether a point belongs to the files that are made durable before a snapshot that stands on them."""
    files = ("events", "equity", "excursions", "marks")
    return name in {f"events/{file}.bin sync {when}" for file in files for when in _WHEN}


_WHEN = ("before", "after")
