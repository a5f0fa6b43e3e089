"""kill -9 at each named point: before, in the midst of and after every operation of the disk and of a sink.

May not live here: names of points; they are those that a recorded run passes, so that new files are covered.
"""

from __future__ import annotations

import random
from pathlib import Path

from .forks import forked
from .proof import Figures, Proof, check
from .watched import KillAt, Recorder, WatchedDisk
from .world import Point, Undisturbed, World, home, judge, run_session

TORN = ("journal/#.journal write half", "events/events.bin write half")
"""Where a session was killed once already before it is started again and killed at the point."""


class KillPoints(Proof):
    """A cycle is one point of one start: the first start of a session, or one after a crash that left torn files."""

    name = "kill-points"
    holds = "killed at each named point of the journal, commit, snapshot and sink path, a session goes on unchanged"
    cycles = 0
    small = 0

    def prepare(self, scratch: Path) -> None:
        self._world = World(scratch / "rows.csv", 200)
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
        folder = home(scratch)
        if torn:
            self._tear(folder, torn, scratch)
        end = forked(lambda: self._run(folder, KillAt(occurrence, name)), scratch / "printed.txt")
        # A commit runs beside the loop, so that a point may be passed less often than it was when recorded.
        check(end.killed or occurrence > 1, "the point was not passed")
        if not end.killed:
            end.result()
        forked(lambda: self._run(folder), scratch / "printed.txt").result()
        events = judge(self._world, folder, self._expected)
        return {"point": name, "occurrence": occurrence, "after": torn, "kills": int(end.killed), "events": events}

    def _run(self, folder: Path, point: Point | None = None) -> str:
        watch = point or Recorder()
        feed, dice = self._world.feed(), random.Random(2)
        disk = WatchedDisk(watch)
        return run_session(folder, feed, dice, disk=disk, point=watch, segment_bytes=9_000, commit_every_ns=0)

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
