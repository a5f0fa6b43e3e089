"""Power cuts: a session on a disk that loses what was not synced, and started again on what is left.

May not live here: what a cut leaves (lossy).
"""

from __future__ import annotations

import random
from pathlib import Path

from replay.pipeline.journal import Journal, JournalReader

from .forks import End, forked
from .lossy import LossyDisk, watch_claims
from .proof import Figures, Proof, check
from .watched import WatchedDisk
from .world import Undisturbed, World, home, judge, run_session


class PowerCuts(Proof):
    """A cycle is one session, cut once or more, then started and left alone."""

    name = "power"
    holds = "after a power cut recovery reproduces every effect that a sink showed; a failed sync halts the session"
    cycles = 10_000
    small = 430

    def prepare(self, scratch: Path) -> None:
        self._world = World(scratch / "rows.csv", 160)
        self._world.write(seed=9)
        folder = home(scratch / "undisturbed")
        disk = WatchedDisk(self._count, syncs=False)
        self._points = 0
        run_session(folder, self._world.feed(), random.Random(1), disk=disk)
        self._expected = Undisturbed.of(folder)

    def _count(self, _name: str) -> None:
        self._points += 1

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        folder = home(scratch)
        cuts = halts = 0
        for _ in range(dice.choice([1, 1, 2, 3])):
            end = self._cut(folder, dice, scratch)
            cuts += end.killed
            if end.error is not None:
                halts += 1
                check(end.error.exit_code == 5, f"a failed sync ended the session otherwise: {end.error.trace}")
                check(end.error.remedy, f"a failed sync is told without a remedy: {end.error.text}")
        disk = WatchedDisk(syncs=False)
        forked(lambda: run_session(folder, self._world.feed(), dice, disk=disk), scratch / "printed.txt").result()
        events = judge(self._world, folder, self._expected)
        return {"cuts": cuts, "halts": halts, "events": events}

    def _cut(self, folder: Path, dice: random.Random, scratch: Path) -> End:
        seed = dice.randrange(1 << 30)
        # Under load a session makes fewer operations than were recorded: half of the cuts come early enough for that.
        cut_at = 1 + int(self._points * dice.choice((0.5, 1.05)) * dice.random())
        fail_sync_at = dice.randrange(1, 20) if dice.random() < 0.15 else 0

        def run() -> str:
            own = random.Random(seed)
            disk = LossyDisk(folder, own, cut_at=cut_at, fail_sync_at=fail_sync_at)
            watch_claims(disk, Journal)
            try:
                return run_session(folder, self._world.feed(), own, disk=disk)
            except Exception:
                if fail_sync_at:
                    disk.leave()  # the machine went down with the session: what the sync lost is gone
                raise

        end = forked(run, scratch / "printed.txt")
        if not end.killed and end.error is None:
            end.result()
        self._check_durable(folder, end)
        return end

    def _check_durable(self, folder: Path, end: End) -> None:
        claimed = folder.with_name(folder.name + ".claimed")
        if not claimed.exists():
            return
        reader = JournalReader(folder / "journal")
        for _ in reader.frames():
            pass
        seq = int(claimed.read_text())
        check(reader.next_seq >= seq, f"record {seq} was durable, and the journal ends at {reader.next_seq}")
        claimed.unlink()
