"""kill -9 under load: at random moments of fresh processes, and at random moments and operations of forked ones.

May not live here: kills at points that are enumerated (points).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from .forks import forked
from .proof import Figures, Proof, check
from .watched import KillAt, Recorder, WatchedDisk
from .world import ReceiveTime, Undisturbed, World, home, judge, run_session

ROOT = Path(__file__).resolve().parents[2]


class Writer:
    """A process that appends the rows of a world, as a live source does, whatever happens to the session."""

    def __init__(self, world: World, seed: int, seconds: float) -> None:
        self._child = os.fork()
        if self._child == 0:
            try:
                world.append(seed, seconds)
            finally:
                os._exit(0)

    def close(self) -> None:
        """Wait for its end."""
        os.waitpid(self._child, 0)


class ForkedKills(Proof):
    """A cycle is one session with one to four kills, then a start that is left alone."""

    name = "kill-forked"
    holds = "killed at a random moment or operation in a forked child, a session loses nothing and doubles nothing"
    cycles = 2_500
    small = 24

    def prepare(self, scratch: Path) -> None:
        self._kept = World(scratch / "rows.csv", 400)
        self._kept.write(seed=5)
        recorder = Recorder()
        folder = home(scratch / "undisturbed")
        run_session(folder, self._kept.feed(), random.Random(1), disk=WatchedDisk(recorder), point=recorder)
        judge(self._kept, folder)
        self._expected = Undisturbed.of(folder)
        self._points = sum(recorder.counts.values())

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        receive_time: ReceiveTime = dice.choice(["keep", "keep", "stamp"])
        wanted = dice.choice([1, 1, 2, 4])
        if receive_time == "keep":
            world, expected, writer = self._kept, self._expected, None
        else:
            world, expected = World(scratch / "rows.csv", 400, "stamp"), None
            world.begin()
            writer = Writer(world, dice.randrange(1 << 30), 0.4)
        try:
            killed = [self._disturb(world, dice, scratch) for _ in range(wanted)]
            log = scratch / "printed.txt"
            forked(lambda: run_session(home(scratch), world.feed(), dice), log).result()
        finally:
            if writer is not None:
                writer.close()
        events = judge(world, home(scratch), expected)
        return {"receive_time": receive_time, "starts": wanted, "kills": sum(killed), "events": events}

    def _disturb(self, world: World, dice: random.Random, scratch: Path) -> bool:
        log = scratch / "printed.txt"
        seed = dice.randrange(1 << 30)
        if dice.random() < 0.3:
            moment_s = dice.random() * 0.12
            run = lambda: run_session(home(scratch), world.feed(), random.Random(seed))  # noqa: E731
            return forked(run, log, kill_after_s=moment_s).killed
        point = KillAt(1 + int(dice.random() * 1.1 * self._points))
        disk = WatchedDisk(point)
        return forked(
            lambda: run_session(home(scratch), world.feed(), random.Random(seed), disk=disk, point=point), log
        ).killed


class FreshKills(Proof):
    """A cycle is one session with five kills of fresh processes while rows come in, then a start that is left alone."""

    name = "kill-fresh"
    holds = "kill -9 under load, a fresh process each time: 0 lost, 0 doubled, the event log as promised"
    cycles = 100
    small = 8
    kills = 5
    seconds = 5.0
    rows = 2_000

    def cycle(self, number: int, dice: random.Random, scratch: Path) -> Figures:
        receive_time: ReceiveTime = "stamp" if number % 2 else "keep"
        world = World(scratch / "rows.csv", self.rows, receive_time)
        expected, writer = None, None
        if receive_time == "keep":
            world.write(dice.randrange(1 << 30))
            folder = home(scratch / "undisturbed")
            forked(lambda: run_session(folder, world.feed(), random.Random(1)), scratch / "printed.txt").result()
            expected = Undisturbed.of(folder)
        else:
            world.begin()
            writer = Writer(world, dice.randrange(1 << 30), self.seconds)
        try:
            killed = [self._disturb(world, dice, scratch) for _ in range(self.kills)]
            process = self._start(world, dice, scratch)
            out, _ = process.communicate(timeout=60)
            check(process.returncode == 0, f"the last start ended with code {process.returncode}: {out}")
        finally:
            if writer is not None:
                writer.close()
        events = judge(world, home(scratch), expected)
        return {"receive_time": receive_time, "kills": sum(killed), "events": events}

    def _disturb(self, world: World, dice: random.Random, scratch: Path) -> bool:
        process = self._start(world, dice, scratch)
        assert process.stdout is not None
        if dice.random() < 0.8:
            process.stdout.readline()  # "ready": all is imported; otherwise it may die before
        time.sleep(dice.random() * 0.15)
        process.kill()
        process.communicate()
        return process.returncode == -signal.SIGKILL

    def _start(self, world: World, dice: random.Random, scratch: Path) -> subprocess.Popen[str]:
        program = [sys.executable, "-m", "stress.session_process", str(home(scratch)), str(world.path)]
        with (scratch / "printed.txt").open("a") as printed:
            return subprocess.Popen(
                [*program, str(world.rows), world.receive_time, str(dice.randrange(1 << 30))],
                stdout=subprocess.PIPE,
                stderr=printed,
                text=True,
                cwd=ROOT / "tests",
            )
